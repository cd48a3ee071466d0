"""What tests do with a mirror: follow a ref as a run does, and look at what is there."""

from reconciler.git.mirror import Mirror, Revision
from reconciler.git.process import GitDeadlines
from reconciler.git.refs import RefSpec

DEADLINES = GitDeadlines(connect=8, idle=8, total=15)
ALL = ("**",)


async def follow(mirror: Mirror, spec: RefSpec | None = None) -> Revision:
    """Poll, fetch, and give the revision, as a run does."""
    found = await mirror.resolve(spec or RefSpec(), None)
    await mirror.fetch(found, None)
    return mirror.revision(found)


def paths(mirror: Mirror, revision: Revision, *globs: str) -> list[str]:
    return [file.path for file in mirror.files(revision, globs or ALL)]


def content(mirror: Mirror, revision: Revision, path: str) -> bytes:
    (file,) = mirror.files(revision, (path,))
    return mirror.read(file.blob, limit=1024)
