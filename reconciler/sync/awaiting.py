"""
What a project that failed waits for, and hearing when it changes: then it is retried at once.

The retry after a while (keeper.py) stays; this is only so that nobody waits for it when an
object recovers, goes, or a missing namespace or kind appears by another hand. `awaited_of`
reads it off a report, purely. Reads and watches, never writes.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from reconciler.cluster import errors
from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError
from reconciler.cluster.follow import Listed
from reconciler.cluster.health import Health
from reconciler.cluster.resource import NAMESPACES, Resource
from reconciler.cluster.watch import EventKind
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.outcome import ObjectReport, Outcome, ProjectReport, Reason
from reconciler.sync.readiness import Readiness, Seen
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

MOST: Final = 20
"""Kinds, and namespaces, that are watched for one project; the rest waits for the next retry."""
DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What has to come true: objects are ready or gone, namespaces and kinds are there."""

    ready: frozenset[ObjectRef] = frozenset()
    gone: frozenset[ObjectRef] = frozenset()
    namespaces: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    """Of the kinds that nobody serves."""

    def __bool__(self) -> bool:
        return bool(self.ready or self.gone or self.namespaces or self.groups)


def awaited_of(report: ProjectReport, *, running: bool = False) -> Awaited:
    """What `report` waits for; of a run that is still `running`, what it does not hear itself."""
    return Awaited(
        ready=frozenset() if running else frozenset(its.ref for its in report.objects if _is_unwell(its)),
        gone=frozenset(its.ref for its in report.objects if _is_going(its)),
        namespaces=frozenset(its.ref.namespace for its in report.objects if _lacks_namespace(its)),
        groups=frozenset(
            its.ref.group
            for its in report.objects
            if its.outcome is Outcome.FAILED and its.reason == errors.KindNotServed.reason and its.ref.group
        ),
    )


def _is_unwell(its: ObjectReport) -> bool:
    return its.health not in ("", Health.CURRENT.value)


def _is_going(its: ObjectReport) -> bool:
    blocked = its.outcome is Outcome.BLOCKED and its.reason == Reason.TERMINATING
    return blocked or (its.outcome is Outcome.FAILED and its.reason == Reason.PRUNE_TIMEOUT)


def _lacks_namespace(its: ObjectReport) -> bool:
    missing = (errors.NotFound.reason, errors.Terminating.reason)
    return its.outcome is Outcome.FAILED and its.reason in missing and bool(its.ref.namespace)


class Say(Protocol):
    """Told of what is awaited whether it is so now."""

    def __call__(self, what: str, *, true: bool) -> None:
        """Take it in."""
        ...


class Awaiting:
    """One project's ear; `find` gives the kind that a reference is of, None where it is not known."""

    def __init__(
        self, cluster: Cluster, readiness: Readiness, *, find: Callable[[ObjectRef], Resource | None]
    ) -> None:
        self._cluster = cluster
        self._readiness = readiness
        self._find = find

    async def change(self, awaited: Awaited, told: set[str]) -> str:
        """
        Wait until something of it comes true, and say what.

        `told` is what was said before and did not help: it is not said again until it was seen not
        to be true in between. Ends only by that, or by being cancelled.
        """
        news: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def say(what: str, *, true: bool) -> None:
            if not true:
                told.discard(what)
            elif what not in told and not news.done():
                told.add(what)
                news.set_result(what)

        async with task_group() as tasks:
            beside = [
                tasks.create_task(self._hear_namespace(name, say))
                for name in sorted(awaited.namespaces)[:MOST]
            ]
            if awaited.groups:
                beside.append(tasks.create_task(self._hear_definitions(awaited.groups, say)))
            beside.append(tasks.create_task(self._hear_objects(awaited, say)))
            try:
                return await news
            finally:
                for task in beside:
                    task.cancel()

    async def _hear_objects(self, awaited: Awaited, say: Say) -> None:
        resources: dict[Resource, set[ObjectRef]] = {}
        for ref in sorted(awaited.ready | awaited.gone):
            if (resource := self._find(ref)) is not None:
                resources.setdefault(resource, set()).add(ref)

        def heard(seen: Seen) -> None:
            if seen.ref in awaited.ready:
                say(f"{seen.ref} is ready", true=seen.status.health is Health.CURRENT)
            if seen.ref in awaited.gone:
                say(f"{seen.ref} is gone", true=seen.status.health is Health.NOT_FOUND)

        def listed(resource: Resource, _namespace: str) -> None:
            for ref in resources[resource] & awaited.gone:
                say(f"{ref} is gone", true=self._readiness.known(resource, ref) is None)

        def deaf(resource: Resource, error: ClusterError) -> None:
            log.debug("%s cannot be watched, the retry comes later: %s", resource, error)

        async with self._readiness.listening(heard, listed, deaf) as listening:
            for resource in list(resources)[:MOST]:
                listening.add(resource)
            await asyncio.Event().wait()

    async def _hear_namespace(self, name: str, say: Say) -> None:
        selector = f"metadata.name={name}"
        what = f"Namespace {name} is there"
        try:
            async with self._cluster.follow(
                NAMESPACES, field_selector=selector, metadata_only=True
            ) as changes:
                async for change in changes:
                    if isinstance(change, Listed):
                        found = change.items[0]["metadata"] if change.items else None
                    else:
                        found = None if change.kind is EventKind.DELETED else change.object["metadata"]
                    say(what, true=found is not None and "deletionTimestamp" not in found)
        except ClusterError as error:
            log.debug("Namespace %s cannot be watched, the retry comes later: %s", name, error)

    async def _hear_definitions(self, groups: frozenset[str], say: Say) -> None:
        try:
            async with self._cluster.follow(DEFINITIONS, metadata_only=True) as changes:
                async for change in changes:
                    if isinstance(change, Listed):
                        found: Iterable[Mapping[str, Any]] = change.items
                    else:
                        found = () if change.kind is EventKind.DELETED else (change.object,)
                    for metadata in (its["metadata"] for its in found):
                        # It changes once more when its kinds are served.
                        if metadata["name"].partition(".")[2] in groups:
                            version = metadata["resourceVersion"]
                            what = f"CustomResourceDefinition {metadata['name']} is at {version}"
                            say(what, true=True)
        except ClusterError as error:
            log.debug("definitions cannot be watched, the retry comes later: %s", error)
