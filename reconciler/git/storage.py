"""
What lies in a mirror's directory: the lock between processes, our refs, leftovers, sizes.

Plain files only, no git and no network. `<directory>/lock` is held by whoever changes
`<directory>/repository.git`; all that a killed git left there is swept under that lock.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from reconciler.git.errors import LocalFailure, MirrorBusy
from reconciler.git.failures import FULL, MAKE_ROOM, USABLE

COMMITS = "refs/reconciler/commits"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROBE = 64 * 1024  # bytes that must find room; more than git's small files, less than any pack
LOCK_PAUSE = 0.05  # s between two tries; the other process holds the lock for the length of a fetch


@asynccontextmanager
async def held(directory: Path, *, seconds: float) -> AsyncIterator[None]:
    """Hold the directory's lock against other processes; `MirrorBusy` if it is not free in time."""
    descriptor = _open_lock(directory)
    try:
        try:
            async with asyncio.timeout(seconds):
                while not _try_lock(descriptor):  # noqa: ASYNC110 - flock has no event to wait for
                    await asyncio.sleep(LOCK_PAUSE)
        except TimeoutError:
            raise MirrorBusy(
                what=f"another process works on the mirror for more than {seconds:g} s",
                where=f"mirror {directory.name}",
                mend="let only one process use a mirror directory",
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def own_failures(where: str) -> Iterator[None]:
    """Turn what this machine refuses (no room, no rights, no git) into `LocalFailure`."""
    try:
        yield
    except TimeoutError:  # an OSError since Python 3.10, but not one of the disk
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise LocalFailure(what=FULL, where=where, mend=MAKE_ROOM) from error
        name = error.filename if isinstance(error.filename, str) else "the mirror directory"
        raise LocalFailure(
            what=f"this machine fails at {name}: {error.strerror}",
            where=where,
            mend="install git" if name == "git" else USABLE,
        ) from error


def is_full(directory: Path) -> bool:
    """Is there no room for a small file? Free blocks alone do not tell: there are quotas and limits."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            return file.write(bytes(PROBE)) < PROBE
    except OSError as error:
        return error.errno in NO_ROOM


def looks_whole(repository: Path) -> bool:
    """Was the repository set up to its end? Says nothing of its objects."""
    head = repository / "HEAD"
    try:
        return head.stat().st_size > 0 and all((repository / d).is_dir() for d in ("objects", "refs"))
    except OSError:
        return False


def has_commit(repository: Path, commit: str) -> bool:
    """Is there our ref for the commit, and with it, by git's own check, all of its objects?"""
    return commit in dict(commits(repository)) if _loose(repository, commit) != commit else True


def commits(repository: Path) -> Iterator[tuple[str, float]]:
    """Every commit that our refs keep, with the time (s since 1970, 0 long ago) when it came."""
    with contextlib.suppress(OSError):
        for line in (repository / "packed-refs").read_text("utf-8", "replace").splitlines():
            commit, _, name = line.partition(" ")
            if name == f"{COMMITS}/{commit}":
                yield commit, 0.0
    with contextlib.suppress(OSError):
        for file in os.scandir(repository / COMMITS):
            if _loose(repository, file.name) == file.name:
                yield file.name, file.stat().st_mtime


def sweep(directory: Path) -> None:
    """Remove what a git or a process of ours left when it was killed; only while `held`."""
    repository = directory / "repository.git"
    patterns = (
        "*.lock",
        "refs/**/*.lock",
        "gc.pid",
        "objects/tmp_*",
        "objects/pack/tmp_*",
        "objects/pack/.tmp-*",
    )
    for pattern in patterns:
        for path in repository.glob(pattern):
            path.unlink(missing_ok=True)
    for path in [*repository.glob("objects/incoming-*"), *repository.glob("objects/tmp_objdir-*")]:
        shutil.rmtree(path, ignore_errors=True)
    for path in directory.glob("removed-*"):
        shutil.rmtree(path, ignore_errors=True)


def discard(directory: Path) -> None:
    """Take the repository away; the rename makes it vanish at once, also if we are killed."""
    aside = directory / f"removed-{time.time_ns()}"
    with contextlib.suppress(FileNotFoundError):
        (directory / "repository.git").rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def size(repository: Path) -> int:
    """Bytes in packs, those that are just being written included."""
    total = 0
    with contextlib.suppress(OSError):
        for file in os.scandir(repository / "objects" / "pack"):
            with contextlib.suppress(OSError):  # renamed or removed between the two looks
                total += file.stat().st_size
    return total


def packs(repository: Path) -> int:
    """How many packs a read may have to search."""
    return sum(1 for _ in (repository / "objects" / "pack").glob("*.pack"))


def _open_lock(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # repositories may be confidential
    return os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _loose(repository: Path, commit: str) -> str:
    try:
        return (repository / COMMITS / commit).read_text("ascii", "replace").strip()
    except OSError:
        return ""
