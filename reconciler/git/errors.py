"""
What can go wrong between a repository and us.

    GitError
    +- LocalFailure          our own disk or programs do not work: full, read-only, no git
    +- SourceUnreachable     the server, the network or time: try again, it may pass by itself
    |  +- MirrorDamaged      our own copy on disk is broken: the next fetch builds a new one
    |  +- SourceCorrupt      the server sent objects that are broken, or our copy is
    |  +- MirrorBusy         another process works on the same directory
    +- RepositoryEmpty       no commit there yet: wait for the first push
    +- RepositoryNotFound    the server knows no such repository, or hides it from us
    +- AuthenticationFailed  credentials or host key were not accepted
    +- CredentialsInvalid    the Secret or directory does not hold what is needed
    +- SourceRefused         we do not talk to this URL, or not with these credentials
    +- RefNotFound           the branch, tag or commit is not there
    +- RefInvalid            no branch, tag or commit can have this name
    +- DirectoryMissing      a glob starts in a directory that the commit does not have
    +- BadGlob               a glob that cannot be matched
    +- LimitExceeded         more than we are willing to fetch, list or read

Only `LocalFailure`, `SourceUnreachable`, `RepositoryEmpty` and their children may pass
without a change (`transient`); every error leaves the last good revision in force. Free text of a server
is never passed on, it could repeat a secret; names of its refs are.
"""

from typing import ClassVar

from reconciler.errors import ReconcilerError


class GitError(ReconcilerError):
    """Anything of this layer; `transient` errors are worth another try without a change."""

    transient: ClassVar[bool] = False


class LocalFailure(GitError):
    """This machine fails, not the server; it may pass when somebody makes room."""

    transient = True


class SourceUnreachable(GitError):
    """The server did not answer, not in time, or not in git's language."""

    transient = True


class MirrorDamaged(SourceUnreachable):
    """The mirror on disk cannot be read; `Mirror.fetch` replaces it."""


class MirrorBusy(SourceUnreachable):
    """Another process holds the mirror's lock."""


class SourceCorrupt(SourceUnreachable):
    """What arrived does not fit together; the fault of the server or of what it was built on."""


class RepositoryEmpty(GitError):
    """The repository has no commit yet."""

    transient = True


class RepositoryNotFound(GitError):
    """The server says that there is no such repository (many say so instead of "forbidden")."""


class AuthenticationFailed(GitError):
    """The server refused our credentials, or its host key is not one that we know."""


class CredentialsInvalid(GitError):
    """Credentials that cannot be used as they are."""


class SourceRefused(GitError):
    """A URL that we do not open, or not with these credentials."""


class RefNotFound(GitError):
    """The repository has no such branch, tag or commit."""


class RefInvalid(GitError):
    """A name that git does not allow for a branch or tag, or a commit id that is none."""


class DirectoryMissing(GitError):
    """The directory that a glob starts in does not exist in the commit."""


class BadGlob(GitError):
    """A glob with a spot that means nothing, reached while matching."""


class LimitExceeded(GitError):
    """A repository, listing or file is bigger than its limit."""
