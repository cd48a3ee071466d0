"""
The one shape of every error that a user may see.

Each layer derives its own tree from `ReconcilerError` in its own `errors.py`; the
type says what to do (needs a person, try again), the three texts say what happened,
where, and how to mend it. No text may hold a secret: messages are built from safe
parts, never by masking a finished one.
"""


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
        return " ".join((f"{line}; {self.mend}" if self.mend else line).split())
