"""
One watch: events of one resource from a resourceVersion on, until the stream ends.

Never lists and never opens itself again; follow.py does both. The server ends a watch
after `timeoutSeconds` (the iteration ends normally), an expired resourceVersion comes as
HTTP 410 or as an ERROR event in a 200 answer (both WatchExpired), and silence means a
dead connection (WatchLost), because bookmarks are asked for.
"""

import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from reconciler.cluster import errors, replies, requests
from reconciler.cluster.replies import Doing
from reconciler.cluster.requests import Requests
from reconciler.cluster.resource import Resource, collection_path, describe, is_secret
from reconciler.cluster.transport import Stream

SILENCE = 90.0  # s; the server sends a bookmark each minute, half a minute late is dead
LINE_LIMIT = 16 * 1024 * 1024  # bytes; etcd takes 1.5 MiB, JSON escapes make it at most six times as long
LIFETIME = (300, 600)  # s, drawn for each watch, so that not all of them come back together

_OK = 200
_GONE = 410


class EventKind(StrEnum):
    """What happened, in the words of the API."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"  # only the resourceVersion of `object` means something


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event with the object as it then was (for DELETED: as it last was)."""

    kind: EventKind
    object: dict[str, Any]


class Watch:
    """An open watch; `resource_version` is the newest that was seen, where a next watch goes on."""

    def __init__(self, stream: Stream, resource_version: str, doing: Doing) -> None:
        self.resource_version = resource_version
        self._stream = stream
        self._doing = doing
        self._lines = LineBuffer(LINE_LIMIT)
        self._ready: deque[bytes] = deque()  # the lines of one chunk

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._ready:
            chunk = await self._stream.chunk()
            if not chunk and self._lines.pending:
                raise self._lost("the stream ended within an event")
            if not chunk:
                raise StopAsyncIteration
            try:
                self._ready.extend(self._lines.feed(chunk))
            except OverflowError:
                raise self._lost(f"an event is longer than {LINE_LIMIT} bytes") from None
        return self._event(self._ready.popleft())

    def _event(self, line: bytes) -> WatchEvent:
        try:
            decoded = orjson.loads(line)
            kind, body = decoded["type"], decoded["object"]
            if kind == "ERROR":
                raise error_event(body, self._doing)
            event = WatchEvent(EventKind(kind), body)
            self.resource_version = body["metadata"]["resourceVersion"]
        except (ValueError, KeyError, TypeError):
            raise self._lost("the stream holds what is not an event") from None
        return event

    def _lost(self, what: str) -> errors.WatchLost:
        return errors.WatchLost(
            what=what,
            where=self._doing.text,
            mend="it is opened again; if it repeats, look at proxies in between",
        )


class LineBuffer:
    """Cuts a stream of chunks into lines; pure, and bounded by `limit` bytes a line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether a line has begun and not ended."""
        return self._size > 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes, empty ones left out. Raises OverflowError."""
        head, newline, rest = chunk.partition(b"\n")
        if not newline:
            self._keep(chunk)
            return []
        self._keep(head)
        first = b"".join(self._parts)
        *whole, last = rest.split(b"\n")
        self._parts, self._size = [], 0
        self._keep(last)
        return [line for line in (first, *whole) if line.strip()]

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise OverflowError
        if part:
            self._parts.append(part)


def error_event(body: Any, doing: Doing) -> errors.ClusterError:
    """Turn the Status of an ERROR event into an error; one without a code breaks the watch."""
    code = body.get("code") if isinstance(body, dict) else None
    if not isinstance(code, int):
        return errors.WatchLost(
            what="the server ended the watch with an error of no kind",
            where=doing.text,
            mend="it is opened again",
        )
    return replies.from_object(code, body, doing=doing)


@asynccontextmanager
async def open_watch(
    sender: Requests,
    resource: Resource,
    *,
    namespace: str,
    label_selector: str,
    field_selector: str,
    resource_version: str,
    metadata_only: bool,
    silence: float = SILENCE,
) -> AsyncIterator[Watch]:
    """Open a watch for the block; leaving the block closes it at once."""
    doing = Doing(describe("watch", resource, namespace), secret=is_secret(resource))
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        "timeoutSeconds": str(random.randint(*LIFETIME)),  # noqa: S311  # spreads load, guards nothing
    }
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    sender.counter.add("watch", str(resource))
    async with sender.transport.stream(
        collection_path(resource, namespace),
        query=query,
        doing=doing,
        headers={**sender.headers, "Accept": requests.METADATA if metadata_only else requests.JSON},
        silence=silence,
    ) as stream:
        if stream.status != _OK:
            body = await stream.body()
            raise replies.from_status(stream.status, body, doing=doing, retry_after=stream.retry_after)
        yield Watch(stream, resource_version, doing)
