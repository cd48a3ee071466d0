"""
Commands that only look at the records, or sign one thing in them: status and approve.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.errors import ClusterError, NotFound
from reconciler.cluster.resource import LEASES, NAMESPACES, Resource
from reconciler.service.options import Options, OptionsInvalid, records_namespace
from reconciler.sync import marks
from reconciler.sync.errors import NotApproved
from reconciler.sync.lease import Role
from reconciler.sync.pausing import annotated, is_annotated
from reconciler.sync.records import ProjectRecords, Records
from reconciler.sync.status import StoredStatus, read_status

SHORTEST_HASH: Final = 12
"""Hex digits of a plan hash that `approve` takes for the whole."""
_HASH: Final = re.compile(rf"[0-9a-f]{{{SHORTEST_HASH},64}}")
_SHOWN_BY: Final = "`reconciler status` shows what is held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A project that has records; `inventory` counts the objects in it."""

    project: str
    status: StoredStatus
    inventory: int
    damage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProjects:
    """What was recorded of every project, and what it took to read it."""

    projects: tuple[Stored, ...]
    paused: str
    """Why nothing is written at the moment, records included; "" while all may be."""
    unseen: str
    """Why that could not be seen."""
    requests: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """The whole plan hash that was signed, and how many objects it lets go."""

    plan_hash: str
    objects: int


async def stored_statuses(options: Options, *, only: Sequence[str] = ()) -> StoredProjects:
    """Every project with records, sorted by id."""
    async with connect(kubeconfig=options.kubeconfig, context=options.context) as cluster:
        records = Records(cluster, namespace=records_namespace(options), instance=options.instance_name)
        every, (paused, unseen) = await asyncio.gather(records.all(), _pause(cluster, options))
        found = {stored.project: stored for stored in map(_stored, every)}
        requests = cluster.requests.as_json()
    for name in only:
        if name not in found:
            raise no_records(name, sorted(found))
    projects = tuple(found[name] for name in sorted(found) if not only or name in only)
    return StoredProjects(projects=projects, paused=paused, unseen=unseen, requests=requests)


async def _pause(cluster: Cluster, options: Options) -> tuple[str, str]:
    """Why nothing is written at the moment: an annotation, or what the service says on its Lease."""
    namespace, lease = records_namespace(options), marks.lease_name(options.instance_name)
    try:
        found, held = await asyncio.gather(
            _metadata(cluster, NAMESPACES, "", namespace), _metadata(cluster, LEASES, namespace, lease)
        )
    except ClusterError as error:
        return "", str(error)
    if is_annotated(found):
        return annotated(namespace), ""
    notes = held.get("annotations") or {}
    return (str(notes.get(marks.PAUSED, "")) if notes.get(marks.ROLE) == Role.SERVICE else ""), ""


async def _metadata(cluster: Cluster, resource: Resource, namespace: str, name: str) -> Mapping[str, Any]:
    try:
        found = await cluster.get(resource, namespace, name, metadata_only=True)
    except NotFound:
        return {}
    metadata: Mapping[str, Any] = found["metadata"]
    return metadata


async def approve(options: Options, project: str, plan_hash: str) -> Approved:
    """
    Put the approval on the project's head.

    `plan_hash` may be shortened to its first 12 digits or more. Raises NotApproved.
    """
    check_hash(project, plan_hash)
    async with connect(kubeconfig=options.kubeconfig, context=options.context) as cluster:
        records = Records(cluster, namespace=records_namespace(options), instance=options.instance_name)
        found = {its.project: its for its in await records.all()}
        if project not in found:
            raise no_records(project, sorted(found))
        held = read_status(found[project].status, found[project].head)
        check_approval(project, plan_hash, held.held_plan)
        await records.approve(found[project], held.held_plan)
        return Approved(plan_hash=held.held_plan, objects=held.held_objects)


def check_approval(project: str, plan_hash: str, held: str) -> None:
    """Raises NotApproved where `plan_hash`, whole or its first digits, is not that of what is held."""
    check_hash(project, plan_hash)
    if not held.startswith(plan_hash):
        raise NotApproved(
            what=f"nothing is held under {plan_hash}",
            where=f"project {project}",
            mend=f"held is {held}" if held else _SHOWN_BY,
        )


def check_hash(project: str, plan_hash: str) -> None:
    """Raises NotApproved for what cannot be the hash of a plan, nor its first digits."""
    if not _HASH.fullmatch(plan_hash):
        wanted = f"{SHORTEST_HASH} to 64 digits out of 0-9 and a-f are wanted"
        raise NotApproved(
            what=f"{plan_hash} is no hash: {wanted}" if plan_hash else "no hash is given",
            where=f"project {project}",
            mend=_SHOWN_BY,
        )


def _stored(records: ProjectRecords) -> Stored:
    return Stored(
        project=records.project or f"({records.name})",
        status=read_status(records.status, records.head),
        inventory=len(records.inventory.records),
        damage=records.inventory.damage,
    )


def no_records(project: str, known: Sequence[str]) -> OptionsInvalid:
    return OptionsInvalid(
        what=f"there are no records of project {project}",
        where="PROJECT",
        mend=f"there are some of {', '.join(known)}"
        if known
        else "look at --instance and --records-namespace",
    )
