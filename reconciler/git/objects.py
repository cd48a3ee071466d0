"""
Read commits, trees and blobs of one bare repository by their ids.

The only place that knows GitPython. There is no checkout and no index: symbolic links and
submodules are entries that nobody follows. Every object passes one persistent
`git cat-file --batch`, which git itself keeps quick and safe; measured with 3,400 blobs out
of a fresh shallow fetch: 0.2 s. Nothing here crosses the network.
"""

import configparser
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.git.errors import LimitExceeded, MirrorDamaged, RefInvalid, SourceRefused
from reconciler.git.globs import Budget, TreeFile

MAX_TREE_SIZE = 64 * 1024 * 1024  # bytes of one directory; about a million entries
MAX_ENTRIES = 1_000_000  # walked in one listing; a tree that holds itself many times over has no end
MAX_DEPTH = 256  # directories below each other
TREE, REGULAR, LINK = 0o040000, 0o100000, 0o120000  # what an entry's mode says it is
KIND = 0o170000


def load() -> None:
    """Import GitPython, which takes 50 ms: free while a server is waited for."""
    import git.objects.fun  # noqa: F401, PLC0415


class Objects:
    """The objects of one repository; safe to call from several threads, one at a time gets served."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: Any = None

    def close(self) -> None:
        """End the helper processes; the next call starts them again."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def tree_of(self, commit: str) -> str:
        """The id of a commit's tree."""
        first = self._read(commit, "commit", MAX_TREE_SIZE).split(b"\n", 1)[0]
        if not first.startswith(b"tree "):
            raise self._damaged(f"commit {commit} has no tree")
        return first.removeprefix(b"tree ").decode("ascii", "replace")

    def parents_of(self, commit: str) -> tuple[str, ...]:
        """The ids of a commit's parents, also of those that are not here."""
        header = self._read(commit, "commit", MAX_TREE_SIZE).partition(b"\n\n")[0]
        lines = (line for line in header.splitlines() if line.startswith(b"parent "))
        return tuple(line.removeprefix(b"parent ").decode("ascii", "replace") for line in lines)

    def blob(self, blob: str, *, limit: int) -> bytes:
        """The content of a blob of at most `limit` bytes."""
        return self._read(blob, "blob", limit)

    def blob_size(self, blob: str) -> int:
        """The size of a blob, without reading it."""
        return self._info(blob, "blob")

    def subtree(self, tree: str, directory: str) -> str | None:
        """The id of `directory` ("." or "a/b") below `tree`, None if it is not a directory there."""
        for name in () if directory == "." else directory.split("/"):
            found = [entry for entry in self._entries(tree) if entry[2] == name]
            if not found or found[0][1] & KIND != TREE:
                return None
            tree = found[0][0]
        return tree

    def plain_file(self, tree: str, path: str) -> str | None:
        """The id of the plain file at `path` below `tree`, None if nothing is there."""
        directory, _, wanted = path.rpartition("/")
        below = self.subtree(tree, directory or ".")
        found = [] if below is None else [entry for entry in self._entries(below) if entry[2] == wanted]
        if not found:
            return None
        object_id, mode, _ = found[0]
        if mode & KIND != REGULAR:
            raise SourceRefused(
                what="this is a directory, a symbolic link or a submodule, not a plain file",
                where=path,
                mend="commit the file itself",
            )
        return object_id

    def walk(self, tree: str, directory: str, *, recursive: bool, budget: Budget) -> Iterator[TreeFile]:
        """Plain files below `directory`, whose id is `tree`; hidden directories are not entered."""
        waiting = [(tree, "" if directory == "." else f"{directory}/")]
        while waiting:
            current, prefix = waiting.pop()
            entries = self._entries(current)
            budget.left -= len(entries)
            if budget.left < 0 or prefix.count("/") > MAX_DEPTH:
                raise LimitExceeded(
                    what=f"the tree has more than {MAX_ENTRIES} entries or {MAX_DEPTH} levels",
                    where=f"directory {directory}",
                    mend="start the globs in a smaller directory",
                )
            for object_id, mode, name in entries:
                if mode & KIND in (REGULAR, LINK):
                    yield TreeFile(f"{prefix}{name}", object_id, link=mode & KIND == LINK)
                elif mode & KIND == TREE and recursive and not name.startswith("."):
                    waiting.append((object_id, f"{prefix}{name}/"))

    def _entries(self, tree: str) -> list[tuple[str, int, str]]:
        from git.objects.fun import tree_entries_from_data  # noqa: PLC0415 - GitPython costs 90 ms

        data = self._read(tree, "tree", MAX_TREE_SIZE)
        try:
            entries = [
                (binary.hex(), mode, _text(name)) for binary, mode, name in tree_entries_from_data(data)
            ]
        except ValueError as error:
            raise self._impossible(tree, "an entry with an impossible mode or name") from error
        # One of the two would hide the other, whose objects would seem to have left git.
        if len({name for _, _, name in entries}) < len(entries):
            raise self._impossible(tree, "two entries of one name")
        return entries

    def _impossible(self, tree: str, what: str) -> SourceRefused:
        return SourceRefused(
            what=f"tree {tree} holds {what}",
            where=f"mirror {self._path.parent.name}",
            mend="remove it from the repository; `git fsck` there names it",
        )

    def _info(self, object_id: str, kind: str) -> int:
        with self._lock:
            _, found, size = self._ask("get_object_header", object_id)
        found = found.decode()  # GitPython hands on what the pipe gave
        if found != kind and kind == "commit":
            raise RefInvalid(
                what=f"{object_id} is a {found}, not a commit",
                where="ref.commit",
                mend="give the id of a commit; `git rev-parse NAME^{commit}` shows it",
            )
        if found != kind:
            raise self._damaged(f"{object_id} is a {found}, not a {kind}")
        return int(size)

    def _read(self, object_id: str, kind: str, limit: int) -> bytes:
        size = self._info(object_id, kind)
        if size > limit:
            raise LimitExceeded(
                what=f"{kind} {object_id} has {size} bytes, the limit is {limit}",
                where=f"mirror {self._path.parent.name}",
                mend="make it smaller, or raise the limit",
            )
        with self._lock:
            data: bytes = self._ask("get_object_data", object_id)[3]
        return data

    def _ask(self, question: str, object_id: str) -> Any:
        try:
            return getattr(self._repository().git, question)(object_id)
        except (ValueError, OSError) as error:
            # After a broken answer the pipe may hold the rest of it.
            if self._open is not None:
                self._open.close()
                self._open = None
            raise self._damaged(f"cannot read object {object_id}") from error

    def _repository(self) -> Any:
        if self._open is None:
            import git  # noqa: PLC0415 - GitPython costs 90 ms, which a run with nothing to read saves

            try:
                self._open = git.Repo(self._path, expand_vars=False)
            except (git.GitError, configparser.Error) as error:
                raise self._damaged("the directory holds no repository") from error
            self._open.git.update_environment(
                GIT_DIR=str(self._path),
                GIT_OBJECT_DIRECTORY=str(self._path / "objects"),
                GIT_ALTERNATE_OBJECT_DIRECTORIES="",
                GIT_CONFIG_COUNT="0",
                GIT_CONFIG_PARAMETERS="",
                GIT_CONFIG_GLOBAL=os.devnull,
                GIT_CONFIG_NOSYSTEM="1",
                GIT_NO_LAZY_FETCH="1",
                GIT_ALLOW_PROTOCOL="",
            )
        return self._open

    def _damaged(self, what: str) -> MirrorDamaged:
        return MirrorDamaged(
            what=what, where=f"mirror {self._path.parent.name}", mend="the next fetch replaces it"
        )


def _text(name: str | bytes) -> str:
    """A name as text that can be written anywhere: bytes that are not UTF-8 become `\\xff`."""
    # GitPython gives them as lone surrogates, which no JSON, log or terminal takes.
    plain = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    return plain.decode("utf-8", "backslashreplace")
