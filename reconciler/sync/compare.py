"""
Read what a plan needs of the cluster, and make the plan.

One metadata LIST for each kind that git declares or the inventory holds; what it does not
show is looked up by name, since it may be there without our label. A kind that cannot be
read takes only its own objects out of the plan, and forbids any prune.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import (
    ClusterError,
    DiscoveryIncomplete,
    Forbidden,
    KindNotKept,
    KindNotServed,
    NotAllowed,
)
from reconciler.cluster.reach import Reach
from reconciler.cluster.resource import Resource
from reconciler.cluster.takeover import Heir
from reconciler.config.models import InventoryPolicy
from reconciler.manifests.decode import CRD
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import Manifest, ManifestSet
from reconciler.sync.departing import Around, depart
from reconciler.sync.inventory import Record
from reconciler.sync.live import Keep, Labelled, LiveObjects, Snapshot
from reconciler.sync.outcome import Outcome
from reconciler.sync.plan import Live, Plan, Refusal, Wanted, applies_to, plan, unseen

GroupKind = tuple[str, str]

_READ: Final = frozenset({"get", "list"})
_CHANGE: Final = frozenset({"patch", "delete"})
"""One of them is enough: objects whose definition is being deleted can still be deleted themselves."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the cluster and our records say about what git declares."""

    plan: Plan
    live: Mapping[ObjectRef, Live]
    listed: Mapping[GroupKind, str]
    """The resourceVersion that the LIST of each kind showed."""
    unread: Mapping[GroupKind, ClusterError]
    """Kinds whose objects could not be read."""
    unkept: Mapping[GroupKind, ClusterError]
    """Kinds that the server keeps no objects of (a SubjectAccessReview is a question, not an object)."""
    strays: tuple[Record, ...]
    """Objects with our mark that are in no inventory, as far as kinds were listed."""
    stray_plan: Plan
    """What would become of the strays if they were recorded; counts only where records were lost."""


async def compare(
    manifests: ManifestSet,
    records: Mapping[ObjectRef, Record],
    *,
    live_objects: LiveObjects,
    discovery: Discovery,
    inventory: str,
    policy: InventoryPolicy,
    mark: Callable[[Manifest], str],
    records_namespace: str,
    heir: Heir,
    why_not: Callable[[ObjectRef], str],
    claimed: Mapping[ObjectRef, str],
    around: Around,
    everywhere: Mapping[GroupKind, Resource] = MappingProxyType({}),
) -> Comparison:
    """
    Read and plan; `mark` gives a manifest's applied mark. Raises nothing for a kind alone.

    `everywhere` are more kinds to look for strays among: records that were lost do not say of which
    they were. Nothing is concluded of what lies outside of the installation's namespaces.
    """
    declared = {m.ref: m for m in manifests.manifests}
    why_beyond = live_objects.reach.why_not
    refs = {ref for ref in (*declared, *records) if not why_beyond(ref.namespace)}
    # Also the kinds of what cannot be applied: a group that did not answer leaves us not knowing.
    seen = {ref for ref in manifests.claimed if not why_beyond(ref.namespace)}
    served, unread = _resources(refs | seen, discovery)
    unkept = _take_unkept(served)
    # Nothing of such a kind was ever recorded; if it was, the server has changed and we do not know.
    recorded = {_kind(ref) for ref in records.keys() & refs}
    unread |= {kind: unkept.pop(kind) for kind in recorded & unkept.keys()}
    unread |= await _hidden(recorded - served.keys() - unread.keys(), discovery, live_objects)
    named = frozenset(served)
    served = {**everywhere, **served}
    wanted = {ref: Wanted(manifest=m, mark=mark(m)) for ref, m in declared.items()}

    def keep(ref: ObjectRef, its: Live) -> bool:
        want = wanted.get(ref)
        return want is not None and applies_to(
            want,
            records.get(ref),
            its,
            inventory=inventory,
            policy=policy,
            heir=heir,
            others=around.others,
        )

    live: dict[ObjectRef, Live] = {}
    strays: dict[Record, Live] = {}
    versions: dict[GroupKind, str] = {}
    listed = await asyncio.gather(*(_labelled(live_objects, resource, keep) for resource in served.values()))
    for kind, found in zip(served, listed, strict=True):
        if isinstance(found, ClusterError):
            # What we may not even list we could not have made either.
            if kind in named or not isinstance(found, Forbidden):
                unread[kind] = found
            continue
        versions[kind] = found.resource_version
        live.update((ref, its) for ref, its in found.objects.items() if ref in refs)
        strays.update(_strays(found.objects, refs, served[kind], inventory))
    hidden = [ref for ref in unseen(declared, records, live) if ref in refs]
    await _look_up(hidden, live, served, unread, live_objects, keep)
    work = plan(
        [want for ref, want in wanted.items() if _kind(ref) not in unread and _kind(ref) not in unkept],
        records=records,
        live=live,
        inventory=inventory,
        policy=policy,
        records_namespace=records_namespace,
        heir=heir,
        why_not=why_not,
        claimed=claimed,
        others=around.others,
    )
    leave = partial(
        depart,
        declared=manifests.claimed,
        inventory=inventory,
        records_namespace=records_namespace,
        around=replace(around, definition_of=lambda ref: _definition(ref, discovery)),
    )
    work = leave(
        work,
        records={ref: its for ref, its in records.items() if ref in refs and _kind(ref) not in unread},
        live=live,
    )
    stays = sorted(records.keys() - refs - manifests.claimed)
    beyond = [_beyond(ref, why_beyond(ref.namespace)) for ref in stays]
    work = replace(work, refusals=(*work.refusals, *beyond))
    lost = leave(
        Plan(),
        records={record.ref: record for record in strays},
        live={record.ref: found for record, found in strays.items()},
    )
    return Comparison(work, live, versions, unread, unkept, tuple(strays), lost)


def _beyond(ref: ObjectRef, why: str) -> Refusal:
    return Refusal(
        ref=ref, outcome=Outcome.SKIPPED, reason=NotAllowed.reason, message=f"left git and stays: {why}"
    )


def _definition(ref: ObjectRef, discovery: Discovery) -> str:
    """Name of the definition that a kind would come from; built-in groups simply have none of that name."""
    if "." not in ref.group or discovery.is_incomplete(ref.group):
        return ""
    resource = discovery.preferred(ref.group, ref.kind)
    return f"{resource.plural}.{ref.group}" if resource else ""


def _kind(ref: ObjectRef) -> GroupKind:
    return ref.group, ref.kind


def _resources(
    refs: Iterable[ObjectRef], discovery: Discovery
) -> tuple[dict[GroupKind, Resource], dict[GroupKind, ClusterError]]:
    """The endpoint of each kind; a kind that is surely not served has no objects and is left out."""
    served: dict[GroupKind, Resource] = {}
    unread: dict[GroupKind, ClusterError] = {}
    for group, kind in sorted({_kind(ref) for ref in refs}):
        try:
            if resource := discovery.preferred(group, kind):
                served[group, kind] = resource
        except DiscoveryIncomplete as error:
            unread[group, kind] = error
    return served, unread


def _take_unkept(served: dict[GroupKind, Resource]) -> dict[GroupKind, ClusterError]:
    """Take out the kinds whose objects can never be read and applied, and say why."""
    unkept: dict[GroupKind, ClusterError] = {}
    for kind, resource in tuple(served.items()):
        if not resource.verbs >= _READ or resource.verbs.isdisjoint(_CHANGE):
            verbs = ", ".join(sorted(resource.verbs))
            unkept[kind] = KindNotKept(
                what=f"objects of this kind cannot be kept equal to git: the server offers only {verbs}",
                where=str(resource),
                mend="remove it from the repository",
            )
            del served[kind]
    return unkept


def all_kinds(discovery: Discovery, reach: Reach) -> dict[GroupKind, Resource]:
    """The endpoint of every kind in reach whose objects can be read and applied."""
    # Versions come in the server's order of preference; the first one stays.
    found = [its for its in reversed(discovery.resources) if its.namespaced or not reach.namespaces]
    kinds = {(resource.group, resource.kind): resource for resource in found}
    _take_unkept(kinds)
    return kinds


async def _hidden(
    kinds: Collection[GroupKind], discovery: Discovery, live_objects: LiveObjects
) -> dict[GroupKind, ClusterError]:
    """
    Of `kinds`, which are not served, those whose objects may exist all the same.

    A definition that is deleted takes its objects along; one that only serves no version keeps
    them, and they are back as soon as it serves one again.
    """
    definitions = discovery.preferred(*CRD) if kinds else None
    if definitions is None:
        return {}
    try:
        defined = await live_objects.defined(definitions, {group for group, _ in kinds})
    except ClusterError as error:
        return dict.fromkeys(kinds, error)
    return {
        (group, kind): KindNotServed(
            what="no version of it is served, though it is defined",
            where=f"{kind}.{group}",
            mend="let its CustomResourceDefinition serve a version, or delete the definition",
        )
        for group, kind in sorted(defined & frozenset(kinds))
    }


async def _labelled(live_objects: LiveObjects, resource: Resource, keep: Keep) -> Labelled | ClusterError:
    # A value, so that one kind's failure does not cancel the reads of the others.
    try:
        return await live_objects.labelled(resource, keep)
    except ClusterError as error:
        return error


async def _look_up(
    refs: Iterable[ObjectRef],
    live: dict[ObjectRef, Live],
    served: Mapping[GroupKind, Resource],
    unread: dict[GroupKind, ClusterError],
    live_objects: LiveObjects,
    keep: Keep,
) -> None:
    by_kind: dict[GroupKind, list[ObjectRef]] = {}
    for ref in refs:
        if _kind(ref) in served and _kind(ref) not in unread:
            by_kind.setdefault(_kind(ref), []).append(ref)
    for kind, group in by_kind.items():
        try:
            live.update(await live_objects.named(served[kind], group, keep))
        except ClusterError as error:
            unread[kind] = error


def _strays(
    snapshot: Snapshot, refs: set[ObjectRef], resource: Resource, inventory: str
) -> dict[Record, Live]:
    return {
        Record(ref, resource.api_version, uid=found.uid, entry=found.entry, time=found.time): found
        for ref, found in sorted(snapshot.items())
        # Controllers copy annotations (a Deployment's to its ReplicaSets), never our managed fields.
        if ref not in refs and found.belongs_to(inventory) and found.entry
    }
