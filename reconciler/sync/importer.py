"""
The first step of a project that has no inventory yet: take over the one that the old agent left.

    look -> decide -> see that the old agent is gone -> say so in our head -> mark it -> record what it lists

Decides nothing itself (importing.py). Killed at any point, the next run finds a head that says
so, and does it again. The mark names the resourceVersion that was read, so that two
installations never take the same one. The old inventory itself stays where it is.
"""

import logging
from collections.abc import Iterable
from typing import Final

from reconciler.cluster.errors import ClusterError, DiscoveryIncomplete, Forbidden, NotAllowed
from reconciler.cluster.resource import Resource
from reconciler.config.models import ManifestProject
from reconciler.manifests.identity import ObjectRef, join_api_version
from reconciler.manifests.manifest import ManifestSet, Scope
from reconciler.sync.apply import Kinds
from reconciler.sync.errors import RecordsUnusable
from reconciler.sync.importing import (
    Asking,
    Decision,
    Hold,
    OldInventory,
    Start,
    choose,
    choose_named,
    named_id,
)
from reconciler.sync.inventory import Record
from reconciler.sync.live import LiveObjects
from reconciler.sync.neighbours import Elsewhere, Neighbours
from reconciler.sync.oldagent import OldAgent
from reconciler.sync.recording import Recording
from reconciler.sync.records import ProjectRecords, Records

log = logging.getLogger(__name__)

UNKNOWN_VERSION: Final = "unknown"
"""Version of an object whose kind is not served now; its first apply writes the real one."""


class Importer:
    """One run's look at what the old agent left; `notes` are for the report."""

    def __init__(
        self,
        project: ManifestProject,
        manifests: ManifestSet,
        kept: ProjectRecords,
        *,
        old: OldAgent,
        neighbours: Neighbours,
        recording: Recording,
        records: Records,
        live: LiveObjects,
        kinds: Kinds,
        instance: str,
        records_namespace: str,
    ) -> None:
        self.notes: list[str] = []
        self._project = project
        self._manifests = manifests
        self._kept = kept
        self._old = old
        self._neighbours = neighbours
        self._recording = recording
        self._records = records
        self._live = live
        self._kinds = kinds
        self._by = f"{instance}/{project.id}"
        self._records_namespace = records_namespace

    @property
    def is_due(self) -> bool:
        """Whether the project has no inventory, or one whose import was cut off."""
        kept = self._kept
        if kept.head is None:
            return not kept.inventory.committed
        if self._begun:
            return True
        # All was refused as another's so far, and somebody has said since whose it was.
        return bool(self._project.inventory_id) and not (kept.inventory.records or kept.head.imported)

    def unheard(self) -> str:
        """What to say where an inventory is named that is not the project's, which has one; "" otherwise."""
        named = {its.inventory_id for its in self._manifests.inventory_objects}
        named |= {self._project.inventory_id or ""}
        other = sorted(named - {"", self._kept.owner})
        if not other or self._kept.head is None:
            return ""
        return (
            f"inventory {other[0]} is named, but the project has an inventory already; nothing of it is taken"
        )

    @property
    def _begun(self) -> bool:
        return self._kept.head is not None and bool(self._kept.head.importing)

    async def carry_out(self) -> str:
        """Take over what there is; returns why the project must be held, "" if it may go on."""
        decision = await self._decide()
        match decision:
            case Hold(reason):
                return reason
            case Start(owner):
                self._kept.owner = owner or self._kept.name
                return ""
        if reason := await self._why_wait(decision.inventory):
            return reason
        await self._import(decision.inventory)
        return ""

    async def _decide(self) -> Decision:
        key, objects = self._project.inventory_id, self._manifests.inventory_objects
        named = named_id(key, objects)
        if isinstance(named, Hold):
            return named
        if named == "":
            return Start()
        if named is None and self._begun:
            named = self._kept.owner
        namespace = objects[0].ref.namespace if objects else self._project.default_namespace
        found = await self._look(namespace, named or "")
        owners = {its.owner: its.project for its in await self._records.all() if its.name != self._kept.name}
        if named is not None:
            asking = Asking(by=self._by, namespace=namespace, owners=owners)
            return choose_named(named, found, asking, must_exist=bool(key))
        elsewhere = await self._elsewhere() if found else Elsewhere()
        asking = Asking(
            by=self._by,
            namespace=namespace,
            declared=self._manifests.claimed,
            elsewhere={ref: name for name, refs in elsewhere.declared.items() for ref in refs},
            unread=elsewhere.unread,
            owners=owners,
        )
        return choose(found, asking)

    async def _look(self, namespace: str, named: str) -> tuple[OldInventory, ...]:
        try:
            return await self._old.inventories(namespace, named, namespaced=self._namespaced)
        except (Forbidden, NotAllowed) as error:
            raise RecordsUnusable(
                what=f"whether the old agent left an inventory cannot be seen: {error.what}",
                where=f"project {self._project.id}",
                mend=f"grant list on configmaps in namespace {namespace}, correct default_namespace, "
                'or set inventory_id: "" to take over none',
            ) from error

    def _namespaced(self, ref: ObjectRef) -> bool | None:
        resource = self._resource(ref)
        return resource.namespaced if resource else None

    async def _elsewhere(self) -> Elsewhere:
        others = self._neighbours.besides(self._project.id)
        return await self._neighbours.of(others, scope=self._scope)

    def _scope(self, group: str, version: str, kind: str) -> Scope:
        return self._kinds.scope(group, version, kind)

    async def _why_wait(self, inventory: OldInventory) -> str:
        """Why it may not be taken over now: two writers would undo each other's work."""
        namespaces = dict.fromkeys(
            (inventory.namespace, self._project.default_namespace, self._records_namespace)
        )
        running = await self._old.running(inventory.id, namespaces=namespaces)
        if not running:
            return ""
        if isinstance(running, Forbidden):
            why = (
                f"inventory {inventory} can be taken over, but whether agentk still runs cannot be seen: "
                f"{running.what}; grant list on leases.coordination.k8s.io, or stop agentk and "
                f"set inventory_id: {inventory.id}"
            )
            # Who names the inventory has decided that its agent is to be replaced.
            decided = bool(self._project.inventory_id)
        else:
            why = (
                f"agentk still runs: its Lease {running} was renewed within the last minute; stop it "
                f"(kubectl scale its Deployment to 0), then inventory {inventory} is taken over"
            )
            decided = False
        if self._recording.active and not decided:
            return why
        self.notes.append(why)
        return ""

    async def _import(self, inventory: OldInventory) -> None:
        await self._kinds.know(inventory.refs)
        declared = {its.ref: its.api_version for its in self._manifests.manifests}
        uids = await self._uids(inventory.refs - self._manifests.claimed)
        records = [
            Record(ref, declared.get(ref) or self._api_version(ref), uid=uids.get(ref, ""))
            for ref in sorted(inventory.refs)
        ]
        # Our mark, and nothing that says why: what was recorded since has been lost.
        lost = bool(inventory.imported_by) and self._kept.head is None
        again = "the inventory was made again out of the old agent's" if lost else ""
        await self._recording.begin_import(owner=inventory.id, uid=inventory.uid)
        if self._recording.active and not inventory.imported_by:
            await self._old.mark(inventory, self._by)
        await self._recording.import_all(records, uid=inventory.uid, damage=again)
        doing = "took over" if self._recording.active else "would take over"
        note = f"{doing} inventory {inventory} with {len(records)} objects"
        log.info("project %s: %s", self._project.id, note)
        self.notes.append(note)

    async def _uids(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, str]:
        """
        Of objects that left git: with it one without agentk's mark is told, and not taken for another's.

        What cannot be read is left out; as long as it is so, nothing is pruned.
        """
        by_resource: dict[Resource, list[ObjectRef]] = {}
        for ref in refs:
            if resource := self._resource(ref):
                by_resource.setdefault(resource, []).append(ref)
        uids: dict[ObjectRef, str] = {}
        for resource, its in by_resource.items():
            try:
                found = await self._live.named(resource, its)
            except ClusterError as error:
                log.debug("%s of the old inventory cannot be read: %s", resource, error)
                continue
            uids.update((ref, live.uid) for ref, live in found.items())
        return uids

    def _resource(self, ref: ObjectRef) -> Resource | None:
        try:
            return self._kinds.discovery.preferred(ref.group, ref.kind)
        except DiscoveryIncomplete:
            return None

    def _api_version(self, ref: ObjectRef) -> str:
        resource = self._resource(ref)
        return resource.api_version if resource else join_api_version(ref.group, UNKNOWN_VERSION)
