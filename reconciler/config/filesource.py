"""
A configuration in a local file or a mounted ConfigMap.

Edge: reads the file and listens to inotify through watchdog, decides nothing. It never
trusts the events alone (some file systems send none): the caller reads on an interval
too. Kubernetes never updates a ConfigMap that is mounted by `subPath`; neither can we.
"""

import asyncio
import errno
import hashlib
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Self

from reconciler.config.errors import ConfigError
from reconciler.config.parse import MAX_SIZE
from reconciler.config.source import Content, Missing, Reading, Unreadable

if TYPE_CHECKING:
    from reconciler.config.filewatch import FileWatch

log = logging.getLogger(__name__)

READ_TIMEOUT = 10.0  # s; a local file answers at once, a network file system may hang for ever
QUIET = 0.1  # s without an event before reading: an editor truncates, then writes
QUIET_MAX = 0.5  # s; then read anyway, so that a change acts within a second
_LINKS_MAX = 40  # as in Linux; more means a loop


class FileSource:
    """The file at `path`. See `ConfigSource` for the methods."""

    def __init__(self, path: Path) -> None:
        try:
            self._path = Path(os.path.abspath(path))  # not resolve(): a symlink may point elsewhere tomorrow
        except FileNotFoundError:
            raise ConfigError(
                what="the current directory is gone", where=str(path), mend="give an absolute path"
            ) from None
        self._shown = str(path)
        self._event = asyncio.Event()
        self._watch: FileWatch | None = None

    async def __aenter__(self) -> Self:
        from reconciler.config.filewatch import FileWatch  # noqa: PLC0415 - one pass needs no watchdog

        self._watch = FileWatch(asyncio.get_running_loop(), self._event.set)
        return self

    async def __aexit__(self, *exc: object) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await asyncio.to_thread(watch.stop)

    def poke(self) -> None:
        self._event.set()

    async def changed(self) -> None:
        await self._event.wait()
        loop = asyncio.get_running_loop()
        latest = loop.time() + QUIET_MAX
        while self._event.is_set() and loop.time() < latest:
            self._event.clear()
            await asyncio.sleep(QUIET)

    async def read(self) -> Reading:
        self._event.clear()
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                return await asyncio.to_thread(self._look)
        except TimeoutError:
            what = f"the file system gave no answer in {READ_TIMEOUT:.0f} s"
            return Unreadable(where=self._shown, what=what, mend="look at the mount")

    def _look(self) -> Reading:
        # Watch first, then read: a change in between is noticed, the other way round it would be lost.
        if self._watch is not None:
            self._watch.aim(lookups(self._path))
        return read_file(self._path, shown=self._shown)


def read_file(path: Path, *, shown: str) -> Reading:
    """Read a plain file, at most one byte more than a configuration may have."""
    try:
        # Not blocking: opening a named pipe would wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _not_a_file(shown)
            data = file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Missing(where=shown, mend="create it, or correct --config")
    except IsADirectoryError:
        return _not_a_file(shown)
    except OSError as error:
        what = f"cannot read it: {os.strerror(error.errno or errno.EIO)}"
        return Unreadable(where=shown, what=what, mend="let the service's user read it")
    return Content(where=shown, revision=f"sha256:{hashlib.sha256(data).hexdigest()[:12]}", data=data)


def _not_a_file(shown: str) -> Unreadable:
    return Unreadable(where=shown, what="this is not a plain file", mend="name the file itself")


def lookups(path: Path) -> tuple[Path, ...]:
    """
    Every name that is looked up on the way to `path` (absolute), links followed, in order.

    A mounted ConfigMap is two links (`config.yaml` -> `..data/config.yaml`, `..data` -> a
    directory with a date): what swaps is `..data`, and `path` itself never changes. The
    last name is the file, or the first one that is not there.
    """
    names: list[Path] = []
    at = Path(path.anchor)
    ahead = [*reversed(path.parts[1:])]
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            at = at.parent
            continue
        names.append(at / part)
        try:
            target = Path(os.readlink(names[-1]))
        except FileNotFoundError:
            break
        except OSError:
            at = names[-1]  # no link
            continue
        links += 1
        if links > _LINKS_MAX:
            break
        at = Path(target.anchor) if target.is_absolute() else at
        ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return tuple(names)
