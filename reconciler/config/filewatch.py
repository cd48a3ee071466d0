"""
Tell the event loop that a name on the way to a file changed.

Edge: the one user of watchdog. It listens to directories, since a file that is renamed,
deleted or replaced takes its own watch with it. A machine without a free watch costs only
the speed: the caller reads on an interval too.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

if sys.platform == "linux":
    from watchdog.observers.inotify import InotifyEmitter, InotifyObserver

    class _Emitter(InotifyEmitter):
        """
        Ends in order: what it reads from is closed, and only dropped with the emitter itself.

        watchdog drops it first. A reader that is on its way to it meets None, and logs that as
        an error; a closed one simply gives it nothing more.
        """

        def on_thread_stop(self) -> None:
            if self._inotify is not None:
                self._inotify.deactivate()

    class _Observer(InotifyObserver):
        def __init__(self) -> None:
            super().__init__()
            self._emitter_class = _Emitter
else:
    _Observer = Observer

log = logging.getLogger(__name__)

JOIN_TIMEOUT = 5.0  # s; the threads end at once, and are daemons if they do not
# Without "opened": our own read would wake us again.
_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
_Identity = tuple[int, int]


class FileWatch(FileSystemEventHandler):
    """Calls `wake` in the loop for every event that concerns the names last given to `aim`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._names: frozenset[str] = frozenset()
        self._watches: dict[Path, tuple[ObservedWatch, _Identity]] = {}
        self._observer: BaseObserver | None = None
        self._complained = False

    def aim(self, names: Sequence[Path]) -> None:
        """Listen to what concerns these names (see `filesource.lookups`); may block, call it in a thread."""
        self._names = frozenset(map(str, names))
        try:
            self._watch(directories(names))
        except OSError as error:
            self._complain(error)

    def stop(self) -> None:
        """End all threads; may block for a moment."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(JOIN_TIMEOUT)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Runs in watchdog's thread."""
        if {os.fsdecode(event.src_path), os.fsdecode(event.dest_path)} & self._names:
            self._loop.call_soon_threadsafe(self._wake)

    def _watch(self, wanted: frozenset[Path]) -> None:
        if self._observer is None:
            observer = _Observer()
            observer.start()
            self._observer = observer
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        for directory, (watch, identity) in [*self._watches.items()]:
            # A directory that was deleted or moved away, and came back, needs a new watch.
            if directory not in wanted or watch not in alive or identity != _identity(directory):
                del self._watches[directory]
                self._observer.unschedule(watch)
        for directory in wanted - self._watches.keys():
            identity = _identity(directory)
            watch = self._observer.schedule(self, str(directory), event_filter=_EVENTS)
            self._watches[directory] = watch, identity

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            log.warning(
                "cannot watch the configuration file (%s): looking at it on the interval only", reason
            )


def directories(names: Sequence[Path]) -> frozenset[Path]:
    """
    Which directories to listen to: those that hold a link, the file, or the file's directory.

    Not all the way up: a renamed `/etc` is left to the interval.
    """
    return frozenset(name.parent for i, name in enumerate(names) if i >= len(names) - 2 or name.is_symlink())


def _identity(directory: Path) -> _Identity:
    try:
        found = directory.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino
