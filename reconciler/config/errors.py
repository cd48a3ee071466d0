"""
What can be wrong with a configuration or with the place it is read from.

    ConfigError
    └── ConfigInvalid     the text breaks a rule: only an edit mends it, no retry

A source that cannot be read is no exception but a `Reading` (source.py), since the
service goes on with what it has.
"""

from dataclasses import dataclass

from reconciler.errors import ReconcilerError, shown_name

Path = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """
    `("gitops", "manifest_projects", 2, "ref")` -> `gitops.manifest_projects[2].ref`; the root is "".

    A key that may hold a secret is not shown, since a file may have the strangest text as a key.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{shown_name(part)}" if text else shown_name(part)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """
    One broken rule. `path` is dotted ("" for the file as a whole), `line` and `column`
    count from 1; `what` is wrong, `mend` is what would be right ("" if `what` says it all).
    """

    path: str
    line: int
    column: int
    what: str
    mend: str

    def render(self, where: str) -> str:
        """One line, as compilers write it: `config.yaml:12:5: gitops.manifest_projects[2].ref: ...`."""
        at = f"{where}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        mend = f"; {self.mend}" if self.mend else ""
        return " ".join(f"{at}{path}{self.what}{mend}".split())


class ConfigError(ReconcilerError):
    """A configuration that cannot be used."""


class ConfigInvalid(ConfigError):
    """
    All broken rules of one file, in the order in which they stand in it.

    `str()` shows the first and counts the rest; `lines()` is the whole list.
    """

    def __init__(self, file: str, problems: tuple[ConfigProblem, ...]) -> None:
        first = problems[0]
        rest = len(problems) - 1
        more = f" (and {rest} more)" if rest else ""
        path = f"{first.path}: " if first.path else ""
        super().__init__(
            what=f"{path}{first.what}{more}",
            where=f"{file}:{first.line}:{first.column}",
            mend=first.mend,
        )
        self.file = file
        self.problems = problems

    def lines(self) -> tuple[str, ...]:
        """Every problem as one line of text."""
        return tuple(problem.render(self.file) for problem in self.problems)
