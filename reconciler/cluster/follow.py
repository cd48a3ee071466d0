"""
A resource as it is and as it changes, without end: list, watch, and list again when needed.

The stream is normalised: `Listed` (all objects; what is not in it is gone), then ADDED,
MODIFIED and DELETED events. A watch that expired, broke or fell silent leads to a new
`Listed`; one that ended in good order goes on where it was. Trouble that passes is waited
out with a bounded backoff and logged; trouble that does not (Forbidden, unknown kind, bad
selector) is raised. The caller owns the deadline. Neighbours: listing.py, watch.py.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from reconciler.cluster import errors, listing, watch
from reconciler.cluster.requests import Requests
from reconciler.cluster.resource import Resource
from reconciler.cluster.watch import EventKind, WatchEvent

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1  # s; a restarted API server answers again after 0.8 s
LONGEST_PAUSE = 15.0  # s between two tries
STEADY = 5.0  # s that a watch must live for the next trouble to count as the first again


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects as of one moment; comes first, and again whenever events may have been missed."""

    items: tuple[dict[str, Any], ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try; pure."""

    tries: int = 0

    def pause(self, jitter: float) -> float:
        """Seconds; `jitter` in 0..1 spreads clients that a restart hit at the same time."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.tries, 16))
        return longest * (0.5 + jitter / 2)

    def next(self) -> "Backoff":
        """The state after one more failure."""
        return replace(self, tries=self.tries + 1)


@dataclass(frozen=True, slots=True)
class Followed:
    """What is followed; the same values for each list and watch."""

    resource: Resource
    namespace: str
    label_selector: str
    field_selector: str
    metadata_only: bool
    silence: float
    since: str = ""
    """resourceVersion from which on events are enough; "" lists first."""


@asynccontextmanager
async def follow(sender: Requests, what: Followed) -> AsyncIterator[AsyncIterator[Listed | WatchEvent]]:
    """Open the stream for the block; leaving the block ends it at once."""
    async with aclosing(_stream(sender, what)) as stream:
        yield stream


async def _stream(sender: Requests, what: Followed) -> AsyncGenerator[Listed | WatchEvent]:
    loop = asyncio.get_running_loop()
    backoff = Backoff()
    position = what.since or None
    while True:
        began = loop.time()
        try:
            if position is None:
                listed = await _list(sender, what)
                position = listed.resource_version
                yield listed
            async with _open(sender, what, position) as events:
                async for event in events:
                    position = events.resource_version
                    if event.kind is not EventKind.BOOKMARK:
                        yield event
        except errors.ClusterError as exc:
            position = _after(exc, position)
        if loop.time() - began >= STEADY:
            backoff = Backoff()
        await asyncio.sleep(backoff.pause(random.random()))  # noqa: S311  # spreads load, guards nothing
        backoff = backoff.next()


def _after(exc: errors.ClusterError, position: str | None) -> str | None:
    """Return where to go on (None: list anew), or raise what waiting does not mend."""
    if not exc.retry or isinstance(exc, errors.KindNotServed):
        raise exc
    if isinstance(exc, errors.WatchExpired):
        log.debug("%s", exc)  # the ordinary end of a quiet watch when the server restarts
        return None
    log.warning("%s", exc)
    # A silent or broken stream may have kept events back (a restored etcd does); a list is cheap.
    return None if isinstance(exc, errors.WatchLost) else position


async def _list(sender: Requests, what: Followed) -> Listed:
    found = await listing.list_all(
        sender,
        what.resource,
        namespace=what.namespace,
        label_selector=what.label_selector,
        field_selector=what.field_selector,
        metadata_only=what.metadata_only,
        page_size=listing.PAGE,
    )
    return Listed(found.items, found.resource_version)


def _open(sender: Requests, what: Followed, position: str) -> AbstractAsyncContextManager[watch.Watch]:
    return watch.open_watch(
        sender,
        what.resource,
        namespace=what.namespace,
        label_selector=what.label_selector,
        field_selector=what.field_selector,
        resource_version=position,
        metadata_only=what.metadata_only,
        silence=what.silence,
    )
