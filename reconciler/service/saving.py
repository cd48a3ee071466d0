"""
The records and the key of an installation to a file and back: `reconciler backup` and `restore`.

The file holds a key: it is made for its owner alone, never shown on a terminal, and no
message quotes it.
"""

import asyncio
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.permit import Permit
from reconciler.errors import ReconcilerError
from reconciler.service.options import Options, OptionsInvalid, records_namespace
from reconciler.service.signals import interruptible, stopping
from reconciler.service.turn import Say, no_turn, nothing_said, turn
from reconciler.sync import backup as files
from reconciler.sync.backup import Backup, Kept
from reconciler.sync.records import Records
from reconciler.sync.saving import Restored, Saving

STREAM: Final = Path("-")
"""Standard output or input."""


class FileUnusable(ReconcilerError):
    """The file of a backup cannot be written or read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is in the file."""

    projects: tuple[Kept, ...]
    has_key: bool


async def save(options: Options, path: Path, *, force: bool) -> Saved:
    """Write the backup; a file that is there is only replaced with `force`."""
    if path == STREAM and sys.stdout.isatty():
        raise OptionsInvalid(
            what="the backup holds a key and is not shown on a terminal",
            where="FILE",
            mend="name a file, or pipe it on",
        )
    if path != STREAM:
        _check_target(path, force=force)
    backup, projects = await interruptible(_read(options))
    text = files.render(backup)
    if path == STREAM:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    else:
        await asyncio.to_thread(_write, path, text, force=force)
    return Saved(projects=projects, has_key=bool(backup.key))


async def restore(options: Options, path: Path, *, force: bool, say: Say = nothing_said) -> Restored:
    """Put a backup back; records that are there and differ are only replaced with `force`."""
    where = "standard input" if path == STREAM else str(path)
    text = sys.stdin.buffer.read(files.LIMIT + 1) if path == STREAM else _content(path)
    backup = files.parse(text, where=where)
    stop, permit = asyncio.Event(), Permit()
    async with connect(kubeconfig=options.kubeconfig, context=options.context, permit=permit) as cluster:
        records = _records(options, cluster)
        with stopping(stop):
            async with turn(cluster, permit, options, records, stop=stop, insist=True, say=say) as its:
                if not its.ours:
                    raise no_turn("restore")
                return await _saving(options, cluster).restore(backup, where=where, force=force)


async def _read(options: Options) -> tuple[Backup, tuple[Kept, ...]]:
    async with connect(kubeconfig=options.kubeconfig, context=options.context) as cluster:
        return await _saving(options, cluster).backup()


def _records(options: Options, cluster: Cluster) -> Records:
    return Records(cluster, namespace=records_namespace(options), instance=options.instance_name)


def _saving(options: Options, cluster: Cluster) -> Saving:
    namespace, instance = records_namespace(options), options.instance_name
    return Saving(cluster, _records(options, cluster), namespace=namespace, instance=instance)


def _check_target(path: Path, *, force: bool) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, f"cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "is there and no ordinary file", mend="name another one, or - for a pipe")
    if not force:
        raise _unusable(path, "is there already", mend="name another one, or give --force")


def _write(path: Path, text: bytes, *, force: bool) -> None:
    """Whole or not at all, for the owner alone, and never through a link."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _check_target(path, force=force)
            if force:
                Path(name).replace(path)
            else:
                os.link(name, path)  # fails where it is there by now
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(path, f"cannot be written: {error.strerror}") from error


def _content(path: Path) -> bytes:
    try:
        # A pipe without a writer must not keep us waiting.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unusable(path, "is no ordinary file", mend="name the file, or - for a pipe")
            return file.read(files.LIMIT + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name"
        raise _unusable(path, f"cannot be read: {why}") from error


def _unusable(path: Path, what: str, mend: str = "name another file") -> FileUnusable:
    return FileUnusable(what=what, where=str(path), mend=mend)
