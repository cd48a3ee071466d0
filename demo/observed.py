"""
What the cluster has of the demo's projects: its objects, and the status records.

Reads only. It asks the API server and never the service, so that the table shows what is
true and not what somebody says. Neighbours: declared.py, table.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.declared import Declared
from reconciler.cluster import health
from reconciler.cluster.client import Cluster
from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import DiscoveryIncomplete, NotFound
from reconciler.cluster.health import Health
from reconciler.cluster.resource import Resource
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.marks import INSTANCE_LABEL, PROJECT
from reconciler.sync.outcome import State
from reconciler.sync.records import ProjectRecords, Records
from reconciler.sync.status import StoredStatus, parse_status, read_status

Name = tuple[str, str, str]
"""Kind, namespace and name: enough for the examples."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    A project's records: its status, and the objects in its inventory.

    `whole`: they speak of one moment. The status follows the inventory within a second.
    """

    status: StoredStatus
    inventory: frozenset[ObjectRef]
    whole: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """One project; `objects` are those in the cluster that carry its mark."""

    project: str
    status: StoredStatus | None = None
    objects: Mapping[Name, Mapping[str, Any]] = field(default_factory=dict)
    ready: int = 0
    unwell: int = 0

    @property
    def state(self) -> str:
        """The recorded state; while there is none, what can be seen."""
        # A record is written after the fact: with objects there, "pending" is of the moment before.
        early = (State.UNKNOWN, State.PENDING) if self.objects else (State.UNKNOWN,)
        if self.status is not None and self.status.state not in early:
            return self.status.state.value
        return "applying" if self.objects else "starting"

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in (State.SYNCED, State.FAILED, State.HELD)

    @property
    def failed(self) -> int:
        """Objects that are not what git wants, by the record, or by their own health."""
        return max(self.unwell, self.status.counts.get("failed", 0) if self.status else 0)

    @property
    def commit(self) -> str:
        """As recorded; "" before."""
        return self.status.commit if self.status else ""


class Observer:
    """Looks at one instance's projects in one cluster."""

    def __init__(
        self, cluster: Cluster, declared: Iterable[Declared], *, instance: str, records_namespace: str
    ) -> None:
        self._cluster = cluster
        self._declared = tuple(declared)
        self._selector = f"{INSTANCE_LABEL}={instance}"
        self._instance = instance
        self._records_namespace = records_namespace
        self._discovery: Discovery | None = None

    async def look(self, *, now: float) -> dict[str, Observed]:
        """Every project; `now` is wall-clock time, which some kinds' health needs. Raises ClusterError."""
        objects = await self._objects()
        recorded = await self.recorded()
        found = {}
        for project in dict.fromkeys(its.project for its in self._declared):
            own = {name: body for name, body in objects.items() if _project(body) == project}
            healths = [health.compute(body, now=now).health for body in own.values()]
            found[project] = Observed(
                project,
                recorded[project].status if project in recorded else None,
                own,
                ready=healths.count(Health.CURRENT),
                unwell=healths.count(Health.FAILED),
            )
        return found

    async def recorded(self) -> dict[str, Recorded]:
        """What is recorded of each project; one request. Raises ClusterError."""
        records = Records(self._cluster, namespace=self._records_namespace, instance=self._instance)
        return {its.project: _recorded(its) for its in await records.all()}

    async def _objects(self) -> dict[Name, Mapping[str, Any]]:
        found: dict[Name, Mapping[str, Any]] = {}
        for resource in await self._resources():
            try:
                listing = await self._cluster.list(
                    resource, label_selector=self._selector, metadata_only=False
                )
            except NotFound:
                continue  # a definition that has gone
            for body in listing.items:
                metadata = body["metadata"]
                name = (resource.kind, metadata.get("namespace", ""), metadata["name"])
                found[name] = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
        return found

    async def _resources(self) -> list[Resource]:
        """The kinds of the examples, as far as the cluster knows them already."""
        kinds = dict.fromkeys((its.group, its.api_version, its.kind) for its in self._declared)
        if self._discovery is None or None in _found(self._discovery, kinds):
            self._discovery = await self._cluster.discover()
        return [resource for resource in _found(self._discovery, kinds) if resource is not None]


def _recorded(its: ProjectRecords) -> Recorded:
    own = parse_status(its.status)
    inventory = frozenset(its.inventory.records)
    whole = its.head is not None and own.state.value == its.head.state
    if own.state is State.SYNCED:
        whole = whole and own.counts.get("objects") == len(inventory)
    return Recorded(read_status(its.status, its.head), inventory, whole)


def _found(discovery: Discovery, kinds: Iterable[tuple[str, str, str]]) -> list[Resource | None]:
    return [_find(discovery, *kind) for kind in kinds]


def _find(discovery: Discovery, group: str, api_version: str, kind: str) -> Resource | None:
    try:
        return discovery.find(group, api_version.rpartition("/")[2], kind)
    except DiscoveryIncomplete:
        return None  # looked at again with the next poll


def _project(body: Mapping[str, Any]) -> str:
    annotations: Mapping[str, str] = body["metadata"].get("annotations") or {}
    return annotations.get(PROJECT, "")
