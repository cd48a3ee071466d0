"""
What can go wrong with a local cluster. Neighbours: everything in `localcluster` raises these.

    LocalClusterError         a person has to do something
    +- ToolchainError         no Go compiler that is new enough
    +- LoggedError            a program of ours failed; the end of what it said is in the text
    |  +- BuildError          the compiler said no
    |  +- RoleError           a role ended early or did not become ready
    +- ApiError               the API server answered with an error status
"""

from reconciler.errors import ReconcilerError


class LocalClusterError(ReconcilerError):
    """A local cluster cannot be built, started or used."""


class ToolchainError(LocalClusterError):
    """No Go compiler was found that can build the modules."""


class LoggedError(LocalClusterError):
    """
    A program failed, and `log` is the end of what it wrote.

    `str()` shows it below its first line, unlike other errors: a log loses its meaning when
    its lines are joined.
    """

    def __init__(self, *, what: str, where: str, mend: str, log: str) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.log = log

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.log}" if self.log else super().__str__()


class BuildError(LoggedError):
    """Compiling a binary failed."""


class RoleError(LoggedError):
    """A role of the control plane ended early or was not ready in time."""


class ApiError(LocalClusterError):
    """The API server refused a request; `status` is the HTTP code, `body` the decoded Status object."""

    def __init__(self, *, what: str, where: str, mend: str, status: int, body: object) -> None:
        super().__init__(what=what, where=where, mend=mend)
        self.status = status
        self.body = body
