"""
A working directory read as if all that lies in it were committed.

Follows the rules of a mirror, so that a plan of what is not committed yet says what the commit
would do: the same globs and limits, no hidden directories, no link followed, nothing out of a
repository inside of it. What git ignores is taken as well: git itself is not asked, and need
not be there. Blocks for as long as the disk needs.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from reconciler.git.errors import DirectoryMissing, GitError, LimitExceeded, LocalFailure, SourceRefused
from reconciler.git.globs import (
    ROOT,
    Budget,
    FileLimits,
    Glob,
    TreeFile,
    check_count,
    check_size,
    compile_glob,
    select,
)
from reconciler.git.mirror import BlobFile, Revision
from reconciler.git.objects import MAX_DEPTH, MAX_ENTRIES

HERE: Final = Revision("", "", "")
"""Of what is in no commit."""
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not make us wait


class Directory:
    """One directory; a link that leads to it may be given, links inside of it are not followed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, Path] = {}

    def files(
        self,
        revision: Revision,  # there is but one
        globs: Sequence[str],
        limits: FileLimits | None = None,
    ) -> tuple[BlobFile, ...]:
        """The files that the globs take, sorted by path, each once: all of them, or an error."""
        limits = limits or FileLimits()
        check_count(globs, limits)
        compiled = tuple(compile_glob(glob) for glob in globs)
        try:
            selection = select(self._walk(compiled), compiled, limits)
            return tuple(self._sized(selection.files, limits))
        except OSError as error:
            raise self._failed(error) from error

    def read(self, blob: str, *, limit: int) -> bytes:
        """The content of a file as `files` saw it; one that was changed since is an error."""
        place = self._places[blob]
        try:
            data = _read(place, limit)
        except OSError as error:
            raise self._failed(error) from error
        if _identity(data) != blob:
            raise LocalFailure(
                what="was changed while it was read", where=str(place), mend="run the command again"
            )
        return data

    def close(self) -> None:
        """Nothing is kept open."""

    def _walk(self, globs: Sequence[Glob]) -> Iterator[TreeFile]:
        roots: dict[str, bool] = {}
        for glob in globs:
            self._check_directory(glob)
            roots[glob.directory] = glob.recursive or roots.get(glob.directory, False)
        budget = Budget(MAX_ENTRIES)
        for directory, recursive in roots.items():
            yield from self._below(directory, budget, recursive=recursive)

    def _check_directory(self, glob: Glob) -> None:
        place = self._path
        # The directory itself may be reached by a link; in a tree a link is no directory.
        found = place.is_dir()
        for name in () if glob.directory == ROOT else glob.directory.split("/"):
            place = place / name
            plain = name not in ("", ".", "..") and _is_directory(place)
            found = found and plain and not _is_repository(place)
        if not found:
            raise DirectoryMissing(
                what=f"directory {glob.directory} does not exist",
                where=f"glob {glob.text} in {self._path}",
                mend="correct the glob, or add the directory",
            )

    def _below(self, directory: str, budget: Budget, *, recursive: bool) -> Iterator[TreeFile]:
        waiting = ["" if directory == ROOT else f"{directory}/"]
        while waiting:
            prefix = waiting.pop()
            with os.scandir(self._path / prefix) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            budget.left -= len(entries)
            if budget.left < 0 or prefix.count("/") > MAX_DEPTH:
                raise LimitExceeded(
                    what=f"the directory has more than {MAX_ENTRIES} entries or {MAX_DEPTH} levels",
                    where=str(self._path / directory),
                    mend="start the globs in a smaller directory",
                )
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield TreeFile(name, "", link=entry.is_symlink())
                elif (
                    recursive
                    and entry.is_dir(follow_symlinks=False)
                    and not entry.name.startswith(".")
                    and not _is_repository(self._path / name)
                ):
                    waiting.append(f"{name}/")

    def _sized(self, files: Iterable[TreeFile], limits: FileLimits) -> Iterator[BlobFile]:
        total = 0
        for file in files:
            place = self._path / file.path
            path = os.fsencode(file.path).decode("utf-8", "backslashreplace")
            if file.link:
                yield BlobFile(path, "", 0, link=True)
                continue
            size = os.lstat(place).st_size
            total += size
            check_size(path, size, total, limits, where=str(self._path))
            data = _read(place, limits.max_file_size)
            blob = _identity(data)
            self._places[blob] = place
            yield BlobFile(path, blob, len(data))

    def _failed(self, error: OSError) -> GitError:
        return LocalFailure(
            what=f"cannot be read: {error.strerror}",
            where=str(error.filename or self._path),
            mend="make it readable, or leave it out of the globs",
        )


def _is_directory(place: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_repository(place: Path) -> bool:
    """A submodule, or another repository's clone: in a commit that is one entry that nobody enters."""
    return os.path.lexists(place / ".git")


def _read(place: Path, limit: int) -> bytes:
    descriptor = os.open(place, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceRefused(what="is not a plain file any more", where=str(place), mend="run it again")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise LimitExceeded(
            what=f"more than {limit} bytes", where=str(place), mend="make it smaller, or raise the limit"
        )
    return data


def _identity(data: bytes) -> str:
    """What names a content in caches; never the id of a blob in git, which hashes `blob` before it."""
    return hashlib.sha256(b"file " + data).hexdigest()
