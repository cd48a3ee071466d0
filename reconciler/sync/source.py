"""
From a revision to manifests: which files, what they decode to, and the bodies when needed.

Reads this disk only (the mirror, or a working directory), in threads (short and local). A file
that was decoded once is never parsed again for its identities: the cache goes by blob id. Bodies
are kept as JSON in a bounded cache, so that a first sync decodes each file once.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import orjson

from reconciler.git.globs import FileLimits
from reconciler.git.mirror import BlobFile, Revision
from reconciler.manifests.cache import DecodeCache
from reconciler.manifests.decode import Decoded, Problem, decode_with_texts
from reconciler.manifests.manifest import Manifest, ManifestSet, Scope, assemble

BODY_CACHE: Final = 32 * 1024 * 1024  # bytes of JSON, about 10,000 ordinary objects


_LINK: Final = Decoded(
    (),
    (
        Problem(
            1, "is a symbolic link, which is not followed", "commit the file itself, or leave it out of paths"
        ),
    ),
    complete=False,
)
"""What hides behind a link may have been declared there before: unknown, not empty."""


class Bodies:
    """Bodies by blob, at most `limit` bytes of JSON; the least recently used go first."""

    def __init__(self, limit: int = BODY_CACHE) -> None:
        self._limit = limit
        self._lock = threading.Lock()  # projects decode in threads
        self._size = 0
        self._blobs: OrderedDict[str, tuple[bytes, ...]] = OrderedDict()

    def put(self, blob: str, texts: tuple[bytes, ...]) -> None:
        """Keep the JSON of a blob's objects, by `Entry.index`."""
        with self._lock:
            if blob in self._blobs:
                return
            self._blobs[blob] = texts
            self._size += sum(map(len, texts))
            while self._size > self._limit:
                _, old = self._blobs.popitem(last=False)
                self._size -= sum(map(len, old))

    def get(self, blob: str) -> tuple[bytes, ...] | None:
        """None where it was never kept, or had to go."""
        with self._lock:
            if (texts := self._blobs.get(blob)) is not None:
                self._blobs.move_to_end(blob)
            return texts


class Files(Protocol):
    """Where files come from: a mirror, or a directory of this machine."""

    def files(
        self, revision: Revision, globs: Sequence[str], limits: FileLimits | None = None
    ) -> tuple[BlobFile, ...]:
        """All that the globs take, or GitError."""
        ...

    def read(self, blob: str, *, limit: int) -> bytes:
        """The content that a file of the last `files` had."""
        ...

    def close(self) -> None:
        """End what reads; the next read starts it again."""
        ...


MovedBack = Callable[[str, Revision], Awaitable[bool]]
"""Whether a revision is an ancestor of this commit, where its ref pointed before; GitError if unknown."""


async def _never_moves(_before: str, _revision: Revision) -> bool:
    return False


class NoFiles:
    """What a project declares that has left the configuration: surely nothing."""

    def files(
        self,
        revision: Revision,
        globs: Sequence[str],
        limits: FileLimits | None = None,
    ) -> tuple[BlobFile, ...]:
        """None."""
        return ()

    def read(self, blob: str, *, limit: int) -> bytes:
        """Nothing was named that could be read."""
        raise RuntimeError("a file is read of a project that has none")

    def close(self) -> None:
        """Nothing is open."""


class Source:
    """One manifest repository's content; `file_limit` in bytes. `moved_back` asks its server."""

    def __init__(
        self,
        files: Files,
        cache: DecodeCache,
        bodies_kept: Bodies,
        *,
        file_limit: int,
        moved_back: MovedBack = _never_moves,
    ) -> None:
        self.moved_back = moved_back
        self._files = files
        self._cache = cache
        self._bodies = bodies_kept
        self._file_limit = file_limit

    async def manifests(
        self,
        revision: Revision,
        globs: tuple[str, ...],
        *,
        limits: FileLimits,
        default_namespace: str,
        scope: Callable[[str, str, str], Scope],
    ) -> ManifestSet:
        """All that the revision declares below `globs`; GitError where the tree cannot be read whole."""
        files = await asyncio.to_thread(self._files.files, revision, globs, limits)
        abandoned = threading.Event()
        try:
            decoded = await asyncio.to_thread(
                self._decode_all, [file.blob for file in files if not file.link], abandoned
            )
        finally:
            # A thread cannot be cancelled, and 100 MiB take a minute: the process could not end before.
            abandoned.set()
        return assemble(
            ((file.path, file.blob, _LINK if file.link else decoded[file.blob]) for file in files),
            default_namespace=default_namespace,
            scope=scope,
        )

    def _decode_all(self, blobs: list[str], abandoned: threading.Event) -> dict[str, Decoded]:
        known = self._cache.get_many(blobs)
        fresh = {}
        for blob in dict.fromkeys(blobs):
            if abandoned.is_set():
                break  # nobody waits for the answer; what is done already spares the next run
            if blob not in known:
                fresh[blob], texts = decode_with_texts(self._read(blob))
                self._bodies.put(blob, texts)
        if fresh:
            self._cache.put_many(fresh)
        return {**known, **fresh}

    def _read(self, blob: str) -> bytes:
        return self._files.read(blob, limit=self._file_limit)

    def close(self) -> None:
        """End what reads the files; the next read starts it again."""
        self._files.close()

    async def body(self, manifest: Manifest) -> dict[str, Any]:
        """The object as git has it."""
        blob = manifest.origin.blob
        texts = self._bodies.get(blob)
        if texts is None:
            texts = await asyncio.to_thread(self._read_bodies, blob)
            self._bodies.put(blob, texts)
        body: dict[str, Any] = orjson.loads(texts[manifest.origin.index])
        return body

    def _read_bodies(self, blob: str) -> tuple[bytes, ...]:
        return decode_with_texts(self._read(blob))[1]
