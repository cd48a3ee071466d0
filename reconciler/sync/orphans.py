"""
Objects with our mark that are in no inventory: what lost records, or a hand in them, left behind.

Lists, and never deletes: a mark alone never proves ownership. Objects are read before the
inventories, since one is written down before it is made; what was pruned meanwhile is asked for again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import ClusterError, Forbidden
from reconciler.cluster.resource import Resource
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.compare import all_kinds
from reconciler.sync.live import LiveObjects
from reconciler.sync.others import OtherProject
from reconciler.sync.plan import Live
from reconciler.sync.records import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """An object that says whose it is, while no inventory names it."""

    ref: ObjectRef
    uid: str
    project: str
    inventory: str
    """What its owner annotation says."""
    terminating: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """What was found, and what was not seen."""

    found: tuple[Orphan, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Kinds that may not be listed: an installation has no objects of kinds that it has no rights for."""
    unread: tuple[str, ...] = ()
    """What could not be read for another reason; there may be orphans that are not listed."""


async def find_orphans(records: Records, live_objects: LiveObjects, discovery: Discovery) -> Orphans:
    """Look through all kinds; ClusterError or SyncError where the records cannot be read."""
    kinds = list(all_kinds(discovery, live_objects.reach).values())
    answers = await asyncio.gather(*(_marked(live_objects, resource) for resource in kinds))
    marked: dict[ObjectRef, Live] = {}
    forbidden: list[str] = []
    unread = [f"{group}: the API server does not say which kinds it has" for group in discovery.incomplete]
    for resource, answer in zip(kinds, answers, strict=True):
        if isinstance(answer, Forbidden):
            forbidden.append(str(resource))
        elif isinstance(answer, ClusterError):
            unread.append(f"{resource}: {answer.what}")
        else:
            marked.update(answer)
    projects = await records.others("")
    unread += [f"project {its.project or its.owner}: {its.unread}" for its in projects if its.unread]
    suspects = orphans_among(marked, projects)
    still, lost = await _still_there(live_objects, suspects, {(r.group, r.kind): r for r in kinds})
    return Orphans(found=still, forbidden=tuple(sorted(forbidden)), unread=(*sorted(unread), *lost))


def orphans_among(marked: Mapping[ObjectRef, Live], projects: Iterable[OtherProject]) -> tuple[Orphan, ...]:
    """
    Of the objects with our mark those that surely are in no inventory, sorted.

    What belongs to an inventory that cannot be believed is not known to be an orphan.
    """
    known: set[ObjectRef] = set()
    doubtful: set[str] = set()
    for its in projects:
        known.update(its.records)
        if its.unread:
            doubtful.add(its.owner)
    return tuple(
        Orphan(
            ref=ref,
            uid=live.uid,
            project=live.project,
            inventory=live.owner,
            terminating=live.terminating,
        )
        for ref, live in sorted(marked.items())
        # Controllers copy labels and annotations (a Deployment's to its ReplicaSets), never managed fields.
        if live.owner and live.entry and ref not in known and live.owner not in doubtful
    )


async def _marked(live_objects: LiveObjects, resource: Resource) -> Mapping[ObjectRef, Live] | ClusterError:
    # A value, so that one kind's failure does not cancel the reads of the others.
    try:
        return (await live_objects.labelled(resource)).objects
    except ClusterError as error:
        return error


async def _still_there(
    live_objects: LiveObjects, suspects: Iterable[Orphan], kinds: Mapping[tuple[str, str], Resource]
) -> tuple[tuple[Orphan, ...], list[str]]:
    """Those that exist still: one may have been pruned, and struck out, between the reads."""
    found: list[Orphan] = []
    lost: list[str] = []
    by_kind: dict[tuple[str, str], list[Orphan]] = {}
    for orphan in suspects:
        by_kind.setdefault((orphan.ref.group, orphan.ref.kind), []).append(orphan)
    for kind, orphans in by_kind.items():
        try:
            now = await live_objects.named(kinds[kind], [its.ref for its in orphans])
        except ClusterError as error:
            lost.append(f"{kinds[kind]}: {error.what}")
            continue
        found += [its for its in orphans if its.ref in now and now[its.ref].uid == its.uid]
    return tuple(found), lost
