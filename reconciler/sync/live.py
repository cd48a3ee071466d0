"""
What the cluster shows of our objects: one metadata LIST per kind, shared by all projects.

A reader gets a snapshot that was *started* after it asked, never an older one, so that a
plan is not made from what was true before the last write; readers that ask at the same
time share one request. Keeps small records, no objects. Decides nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, NotFound, ServerFault
from reconciler.cluster.follow import Listed
from reconciler.cluster.managed import LAST_APPLIED, our_entry, owners
from reconciler.cluster.reach import Reach
from reconciler.cluster.resource import Resource
from reconciler.cluster.watch import WatchEvent
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.plan import Live

Snapshot = Mapping[ObjectRef, Live]
Keep = Callable[[ObjectRef, Live], bool]
"""Whether an object's managedFields are needed as they are: nine tenths of an object's metadata."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One LIST of a kind: what carries our label, and the moment (a resourceVersion) that it shows."""

    objects: Snapshot
    resource_version: str


def live_of(metadata: Mapping[str, Any], *, instance: str) -> Live:
    """
    The record of one object's metadata, as `instance` sees it.

    Our managedFields entry is found by its project's manager.
    """
    annotations = metadata.get("annotations") or {}
    project = str(annotations.get(marks.PROJECT, ""))
    entry = our_entry(metadata, marks.field_manager(project)) if project else None
    label = str((metadata.get("labels") or {}).get(marks.INSTANCE_LABEL, ""))
    return Live(
        uid=metadata["uid"],
        resource_version=metadata.get("resourceVersion", ""),
        owner=marks.owner_of(metadata),
        project=project,
        applied=str(annotations.get(marks.APPLIED, "")),
        entry=entry.hash if entry else "",
        time=entry.time if entry else "",
        api_version=entry.api_version if entry else "",
        labelled=label == instance,
        elsewhere="" if label == instance else label,
        terminating="deletionTimestamp" in metadata,
        depends_on=str(annotations.get(marks.DEPENDS_ON, "")),
        keep=marks.keep_of(metadata),
        owners=owners(metadata),
        last_applied=LAST_APPLIED in annotations,
    )


def with_managed(its: Live, metadata: Mapping[str, Any]) -> Live:
    """The record with the object's managedFields, packed."""
    return replace(its, managed=orjson.dumps(metadata.get("managedFields") or []))


def ref_of(resource: Resource, metadata: Mapping[str, Any]) -> ObjectRef:
    """The reference of an object that was read through `resource`."""
    return ObjectRef(resource.group, resource.kind, metadata.get("namespace", ""), metadata["name"])


def _found(
    resource: Resource, item: Mapping[str, Any], keeps: Iterable[Keep], *, instance: str
) -> tuple[ObjectRef, Live]:
    """One object of an answer. Raises ServerFault where an extension server leaves out who it is."""
    metadata = item.get("metadata") or {}
    if not metadata.get("uid") or not metadata.get("name"):
        raise ServerFault(
            what="the server shows an object without name or uid",
            where=str(resource),
            mend="look at what serves this kind",
        )
    ref, its = ref_of(resource, metadata), live_of(metadata, instance=instance)
    return ref, with_managed(its, metadata) if any(keep(ref, its) for keep in keeps) else its


@dataclass(slots=True)
class _Reads:
    """Of one kind: the read that runs, and the one that starts when it ends."""

    running: "asyncio.Task[Labelled | ClusterError]"
    following: "asyncio.Task[Labelled | ClusterError] | None" = None
    keeps: list[Keep] = field(default_factory=list)
    """Of those who wait for the following one."""


class LiveObjects:
    """Reads of the cluster's metadata for one instance; tasks belong to `tasks`."""

    def __init__(self, cluster: Cluster, *, instance: str, tasks: asyncio.TaskGroup) -> None:
        self._cluster = cluster
        self._instance = instance
        self._selector = f"{marks.INSTANCE_LABEL}={instance}"
        self._tasks = tasks
        self._reads: dict[Resource, _Reads] = {}
        self._running: set[asyncio.Task[Labelled | ClusterError]] = set()
        self._shown: dict[Resource, str] = {}

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        for task in self._running:
            task.cancel()

    async def labelled(self, resource: Resource, keep: Keep = lambda _ref, _its: False) -> Labelled:
        """Every object of the kind that carries our label, of all projects; ClusterError as a whole."""
        reads = self._reads.get(resource)
        if reads is None:
            reads = self._reads[resource] = _Reads(self._task(self._read(resource, [keep])))
            task = reads.running
        else:
            # The running one may have begun before our reader's last write.
            reads.keeps.append(keep)
            reads.following = reads.following or self._task(self._read_after(resource, reads))
            task = reads.following
        # Shielded: a reader that is cancelled must not take the answer from the others.
        found = await asyncio.shield(task)
        if isinstance(found, ClusterError):
            raise found
        return found

    def _task(
        self, work: Coroutine[Any, Any, Labelled | ClusterError]
    ) -> "asyncio.Task[Labelled | ClusterError]":
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _read_after(self, resource: Resource, reads: _Reads) -> Labelled | ClusterError:
        await asyncio.wait([reads.running])
        if reads.following is None:
            raise RuntimeError("a following read runs without being known")
        self._reads[resource] = _Reads(reads.following)
        return await self._read(resource, reads.keeps)

    async def _read(self, resource: Resource, keeps: list[Keep]) -> Labelled | ClusterError:
        # A value, not an exception: one kind that cannot be read must not end the task group.
        try:
            return await self._list(resource, keeps)
        except ClusterError as error:
            return error
        finally:
            reads = self._reads.get(resource)
            if reads and reads.running is asyncio.current_task() and reads.following is None:
                del self._reads[resource]

    async def _list(self, resource: Resource, keeps: list[Keep]) -> Labelled:
        found: dict[ObjectRef, Live] = {}
        first = ""
        for namespace in self._cluster.reach.places(resource):
            version = ""
            async for page in self._cluster.pages(
                resource, namespace=namespace, label_selector=self._selector, metadata_only=True
            ):
                for item in page.items:
                    ref, its = _found(resource, item, keeps, instance=self._instance)
                    found[ref] = its
                version = page.resource_version
            # Events after the earliest of several moments leave out nothing.
            first = first or version
        # The first one: a later LIST of another project says nothing of what this one has not looked at.
        self._shown.setdefault(resource, first)
        return Labelled(found, first)

    def follow(
        self, resource: Resource, namespace: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Listed | WatchEvent]]:
        """What carries our label and how it changes, from the last LIST of the kind on."""
        return self._cluster.follow(
            resource,
            namespace=namespace,
            label_selector=self._selector,
            metadata_only=True,
            since=self._shown.get(resource, ""),
        )

    def found(self, resource: Resource, item: Mapping[str, Any]) -> tuple[ObjectRef, Live]:
        """An object as `follow` shows it."""
        return _found(resource, item, (), instance=self._instance)

    @property
    def reach(self) -> Reach:
        """What the installation sees at all."""
        return self._cluster.reach

    async def defined(self, definitions: Resource, groups: Collection[str]) -> frozenset[tuple[str, str]]:
        """Group and kind of each CustomResourceDefinition of these groups, served or not; or ClusterError."""
        found: set[tuple[str, str]] = set()
        async for page in self._cluster.pages(definitions, metadata_only=True):
            for item in page.items:
                name = item["metadata"]["name"]
                if name.partition(".")[2] in groups:
                    found |= await self._defines(definitions, name)
        return frozenset(found)

    async def _defines(self, definitions: Resource, name: str) -> set[tuple[str, str]]:
        try:
            spec = (await self._cluster.get(definitions, "", name))["spec"]
        except NotFound:
            return set()
        return {(spec["group"], spec["names"]["kind"])}

    async def named(
        self, resource: Resource, refs: Iterable[ObjectRef], keep: Keep = lambda _ref, _its: False
    ) -> Snapshot:
        """
        Those of `refs` (all of this kind) that exist, label or not; ClusterError as a whole.

        Few references cost one GET each, many of one namespace one LIST of its metadata.
        """
        found: dict[ObjectRef, Live] = {}
        by_namespace: dict[str, list[ObjectRef]] = {}
        for ref in refs:
            by_namespace.setdefault(ref.namespace, []).append(ref)
        for namespace, group in by_namespace.items():
            if len(group) <= _FEW:
                found.update([pair for ref in group if (pair := await self._get(resource, ref, keep))])
            else:
                found.update(await self._list_among(resource, namespace, frozenset(group), keep))
        return found

    async def _get(self, resource: Resource, ref: ObjectRef, keep: Keep) -> tuple[ObjectRef, Live] | None:
        try:
            found = await self._cluster.get(resource, ref.namespace, ref.name, metadata_only=True)
        except NotFound:
            return None
        return _found(resource, found, [keep], instance=self._instance)

    async def _list_among(
        self, resource: Resource, namespace: str, refs: frozenset[ObjectRef], keep: Keep
    ) -> Snapshot:
        found: dict[ObjectRef, Live] = {}
        async for page in self._cluster.pages(resource, namespace=namespace, metadata_only=True):
            for item in page.items:
                ref, its = _found(resource, item, [keep], instance=self._instance)
                if ref in refs:
                    found[ref] = its
        return found


_FEW = 8  # GETs that cost less than a LIST of a namespace of unknown size
