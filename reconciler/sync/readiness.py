"""
Hears when objects become ready: one follower (LIST, then watch) per kind, shared.

A kind is followed while somebody waits for one of its objects, and not a moment longer. Who
waits only for what was just written needs no LIST: the events since the comparison tell.
Reads whole objects, since kstatus needs their status, keeps only the answer. Pods are read for an
object alone, where whoever waits for it asks for a look. Decides
nothing about waiting: apply.py and prune.py do.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.cluster import health
from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError
from reconciler.cluster.follow import Listed
from reconciler.cluster.health import Health, Status
from reconciler.cluster.health_pods import PODS, is_told_by_pods, selector_of, with_pods
from reconciler.cluster.resource import Resource
from reconciler.cluster.watch import EventKind, WatchEvent
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.live import ref_of
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

RECHECK: Final = 5.0
"""s between looks at what changes with time alone: a Pod is unschedulable for good after 15 s."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The last that was heard of an object; `status.health` is NotFound once it was not listed."""

    ref: ObjectRef
    uid: str
    resource_version: str
    generation: int
    status: Status


Listener = Callable[[Seen], None]
"""Called in the loop, must not block."""
OnListed = Callable[[Resource, str], None]
"""Kind, and the namespace of which all is known now; "" if that is all of them."""


class Readiness:
    """Followers for one instance's objects; tasks belong to `tasks`."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        instance: str,
        tasks: asyncio.TaskGroup,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._selector = f"{marks.INSTANCE_LABEL}={instance}"
        self._tasks = tasks
        self._wall = wall
        self._followers: dict[Resource, _Follower] = {}
        self._current: dict[ObjectRef, tuple[str, str]] = {}
        self._since: dict[ObjectRef, dict[str, tuple[str, float]]] = {}

    @asynccontextmanager
    async def listening(
        self,
        listener: Listener,
        on_listed: OnListed,
        on_error: Callable[[Resource, ClusterError], None],
    ) -> AsyncIterator["Listening"]:
        """One waiter; kinds are added as it goes, all are let go at the end."""
        listening = Listening(self, listener, on_listed, on_error)
        try:
            yield listening
        finally:
            for resource in listening.resources:
                self._leave(resource, listening)

    def join(self, resource: Resource, listening: "Listening", *, since: str) -> None:
        """Follow `resource` for this waiter as well, and tell it what is known already."""
        self.cover(resource, since=since)
        follower = self._followers[resource]
        follower.listeners.append(listening)
        for seen in tuple(follower.known.values()):
            listening.listener(seen)
        if follower.error:
            listening.on_error(resource, follower.error)

    def cover(self, resource: Resource, *, since: str) -> None:
        """See that the kind is followed, and from a LIST on unless the events after `since` are enough."""
        follower = self._followers.get(resource)
        if follower is None:
            follower = self._followers[resource] = _Follower(resource, self._wall, self._current)
        elif follower.covers_all or (since and since == follower.since):
            return
        elif follower.task:
            # Of two moments nobody can say which is the earlier: a LIST serves both.
            follower.task.cancel()
            since = ""
        follower.covers_all = not since
        follower.since = since
        follower.task = self._tasks.create_task(follower.run(self._cluster, self._selector, since))

    def waiting_since(self, ref: ObjectRef, uid: str, now: float, *, end: str) -> float:
        """
        When this object was first waited for, in whichever run; `now` if it is only now.

        `end` is what is waited for: its deletion has a clock of its own.
        """
        waits = self._since.setdefault(ref, {})
        known = waits.get(end)
        if known is None or known[0] != uid:
            known = waits[end] = (uid, now)
        return known[1]

    def forget_wait(self, ref: ObjectRef) -> None:
        """It was applied anew, or is as it should be: the next wait starts over."""
        self._since.pop(ref, None)

    def note_current(self, ref: ObjectRef, uid: str, resource_version: str) -> None:
        """Nothing in the object's status is waited for: it is Current at this version."""
        self._current[ref] = (uid, resource_version)

    def is_current(self, ref: ObjectRef, uid: str, resource_version: str) -> bool:
        """Whether it was Current at just this version: nothing has changed since, status included."""
        return self._current.get(ref) == (uid, resource_version)

    def known(self, resource: Resource, ref: ObjectRef) -> Seen | None:
        """The last that was heard, if the kind is followed and the object was ever seen."""
        follower = self._followers.get(resource)
        return follower.known.get(ref) if follower else None

    async def look(self, resource: Resource, item: Mapping[str, Any]) -> Seen:
        """What an object that was read just now shows, and its pods where it waits for them."""
        seen = _seen(resource, item, self._wall())
        if seen.status.health is not Health.IN_PROGRESS or not is_told_by_pods(resource):
            return seen
        try:
            pods = await self._cluster.list(
                PODS,
                namespace=seen.ref.namespace,
                label_selector=selector_of(item),
                metadata_only=False,
            )
        except ClusterError as error:
            # Its own status is known all the same.
            log.debug("the pods of %s cannot be read: %s", seen.ref, error)
            return seen
        return replace(seen, status=with_pods(seen.status, seen.uid, pods.items, now=self._wall()))

    def _leave(self, resource: Resource, listening: "Listening") -> None:
        follower = self._followers[resource]
        follower.listeners.remove(listening)
        if not follower.listeners:
            del self._followers[resource]
            if follower.task:
                follower.task.cancel()


class Listening:
    """A waiter's own handle."""

    def __init__(
        self,
        readiness: Readiness,
        listener: Listener,
        on_listed: OnListed,
        on_error: Callable[[Resource, ClusterError], None],
    ) -> None:
        self._readiness = readiness
        self.listener = listener
        self.on_listed = on_listed
        self.on_error = on_error
        self.resources: list[Resource] = []

    def add(self, resource: Resource, *, since: str = "") -> None:
        """
        Hear of objects of this kind from now on; again is no harm.

        `since`, a resourceVersion: what happened to the objects after it is all that counts.
        """
        if resource in self.resources:
            self._readiness.cover(resource, since=since)
            return
        self.resources.append(resource)
        self._readiness.join(resource, self, since=since)


class _Follower:
    def __init__(
        self,
        resource: Resource,
        wall: Callable[[], float],
        current: dict[ObjectRef, tuple[str, str]],
    ) -> None:
        self._current = current
        self.resource = resource
        self.listeners: list[Listening] = []
        self.known: dict[ObjectRef, Seen] = {}
        self.task: asyncio.Task[None] | None = None
        self.covers_all = False
        """Objects that nobody has touched since it began are known as well."""
        self.since = ""
        """Where it does not, the resourceVersion from which on events are known."""
        self.error: ClusterError | None = None
        self._wall = wall
        self._timed: dict[ObjectRef, Mapping[str, Any]] = {}
        self._unlisted: set[str] = set()
        """Namespaces ("": all) whose first LIST is still to come."""

    async def run(self, cluster: Cluster, selector: str, since: str) -> None:
        """Until cancelled; a kind that cannot be followed is told to its listeners."""
        try:
            async with task_group() as tasks:
                tasks.create_task(self._recheck())
                places = cluster.reach.places(self.resource)
                self._unlisted = set(places)
                for namespace in places:
                    tasks.create_task(self._follow(cluster, namespace, selector, since))
        except ClusterError as error:
            self.error = error
            for listening in tuple(self.listeners):
                listening.on_error(self.resource, self.error)

    async def _follow(self, cluster: Cluster, namespace: str, selector: str, since: str) -> None:
        # Where nothing but existence counts nobody needs the object; of a Secret nobody should.
        bare = health.always_current(self.resource.group, self.resource.kind)
        async with cluster.follow(
            self.resource, namespace=namespace, label_selector=selector, metadata_only=bare, since=since
        ) as changes:
            async for change in changes:
                match change:
                    case Listed():
                        self._relist(change.items, namespace)
                    case WatchEvent(kind=EventKind.DELETED):
                        self._gone(ref_of(self.resource, change.object["metadata"]))
                    case WatchEvent():
                        self._look(change.object)

    def _relist(self, items: Iterable[Mapping[str, Any]], namespace: str) -> None:
        self._unlisted.discard(namespace)
        listed = {ref_of(self.resource, item["metadata"]): item for item in items}
        for ref in self.known.keys() - listed.keys():
            if namespace in ("", ref.namespace):
                self._gone(ref)
        for item in listed.values():
            self._look(item)
        self.covers_all = self.covers_all or not self._unlisted
        for listening in tuple(self.listeners):
            listening.on_listed(self.resource, namespace)

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK)
            for item in tuple(self._timed.values()):
                self._look(item)

    def _look(self, item: Mapping[str, Any]) -> None:
        seen = _seen(self.resource, item, self._wall())
        if seen.status.reason == "PodNotScheduled":
            self._timed[seen.ref] = item
        else:
            self._timed.pop(seen.ref, None)
        self._tell(seen)

    def _gone(self, ref: ObjectRef) -> None:
        self._timed.pop(ref, None)
        before = self.known.get(ref)
        uid = before.uid if before else ""
        self._tell(Seen(ref, uid, "", 0, Status(Health.NOT_FOUND, "NotFound", "is not in the cluster")))

    def _tell(self, seen: Seen) -> None:
        if seen.status.health is Health.CURRENT:
            self._current[seen.ref] = (seen.uid, seen.resource_version)
        else:
            self._current.pop(seen.ref, None)
        if self.known.get(seen.ref) == seen:
            return
        self.known[seen.ref] = seen
        for listening in tuple(self.listeners):
            listening.listener(seen)


def _seen(resource: Resource, item: Mapping[str, Any], now: float) -> Seen:
    metadata = item["metadata"]
    return Seen(
        ref_of(resource, metadata),
        metadata["uid"],
        metadata.get("resourceVersion", ""),
        metadata.get("generation", 0),
        health.compute(item, now=now),
    )
