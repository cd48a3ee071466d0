"""
The one shape of every error that a user may see.

Each layer derives its own tree from `ReconcilerError` in its own `errors.py`; the
type says what to do (needs a person, try again), the three texts say what happened,
where, and how to mend it. No text may hold a secret: messages are built from safe
parts, never by masking a finished one.
"""

LONGEST_NAME = 80  # characters; more is no name that anybody would recognize
HIDDEN_NAME = "(not shown)"


def shown_name(name: str) -> str:
    """
    A name that somebody wrote into a file, for a message: one short line.

    Cut, without unprintable characters; and not at all where it looks like a URL or an
    address, which may hold a password.
    """
    if "@" in name or "://" in name:
        return HIDDEN_NAME
    cut = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in cut)


def with_mend(what: str, mend: str) -> str:
    """What happened and what would make it go away, where the reader knows already where it was."""
    return "; ".join(part for part in (what, mend) if part)


class ReconcilerError(Exception):
    """
    A problem a person can act on.

    `what` happened, `where` (file and line, URL without credentials, object, request),
    `mend`: what would make it go away. `str()` is one line.
    """

    def __init__(self, *, what: str, where: str, mend: str) -> None:
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return " ".join(with_mend(line, self.mend).split())
