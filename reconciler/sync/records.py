"""
Our records in the cluster: inventory head and shards, digest key, status, one namespace.

Moves what inventory.py decides; decides nothing itself. Every write names the
resourceVersion that was read, so that a second writer is noticed and not overwritten.
"""

import asyncio
import base64
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import AlreadyExists, ClusterError, Conflict, NotFound, NotLeader
from reconciler.cluster.follow import Listed
from reconciler.cluster.resource import CONFIG_MAPS, SECRETS
from reconciler.cluster.watch import WatchEvent
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.asked import with_token
from reconciler.sync.errors import RecordsTooNew, RecordsUnusable, TwoWriters
from reconciler.sync.inventory import Head, Inventory, Rewrite, ShardText, format_head, parse_head, read
from reconciler.sync.others import OtherProject
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

HEAD_TRIES: Final = 10  # each is one request of a person that came at the very moment of a write
_KEY_BYTES = 32
_ABSENT = ""  # resourceVersion of a part that is not in the cluster


@dataclass(slots=True)
class ProjectRecords:
    """What is known of one project's records, with the resourceVersion of each part."""

    project: str
    name: str
    """Of the head ConfigMap; the other parts' names begin with it."""
    owner: str
    """What the owner annotation of the objects says: `name`, or the id of an inventory taken over."""
    head: Head | None = None
    inventory: Inventory = field(default_factory=Inventory)
    approved: str = ""
    asked: str = ""
    """Requests for a run on the head, and below those that the status answers (asked.py)."""
    answered: str = ""
    status: Mapping[str, str] = field(default_factory=dict)
    status_unsure: bool = False
    """A write of the status went wrong: what lies there has to be read before the next one."""
    versions: dict[str, str] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)


class Records:
    """The records of one instance."""

    def __init__(self, cluster: Cluster, *, namespace: str, instance: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._instance = instance
        self._loaded: dict[str, ProjectRecords] | None = None
        self._loading = asyncio.Lock()
        self._stale: set[str] = set()
        self._too_new: dict[str, OtherProject] = {}

    async def key(self) -> bytes | None:
        """The key of the applied marks; None where there is none yet, or it was lost."""
        try:
            found = await self._cluster.get(SECRETS, self._namespace, marks.KEY_SECRET)
        except NotFound:
            return None
        return self._key_of(found)

    async def make_key(self) -> bytes:
        """Make the key, or take the one that another process has just made."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": marks.KEY_SECRET,
                "namespace": self._namespace,
                "labels": self._labels("key"),
            },
            "data": {"key": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()},
        }
        try:
            made = await self._cluster.create(
                SECRETS, self._namespace, body, field_manager=marks.RECORDS_MANAGER
            )
        except AlreadyExists:
            made = await self._cluster.get(SECRETS, self._namespace, marks.KEY_SECRET)
        return self._key_of(made)

    def _key_of(self, secret: Mapping[str, Any]) -> bytes:
        try:
            key = base64.b64decode(secret["data"]["key"], validate=True)
        except (KeyError, TypeError, ValueError):
            key = b""
        if len(key) < _KEY_BYTES:
            raise RecordsUnusable(
                what=f"Secret {marks.KEY_SECRET} holds no key of {_KEY_BYTES} bytes",
                where=f"namespace {self._namespace}",
                mend="delete it: a new one is made, and every object is applied once more",
            )
        return key

    async def _parts(self) -> dict[str, dict[str, Any]]:
        """All parts of all projects by name, in one LIST."""
        parts: dict[str, dict[str, Any]] = {}
        async for page in self._cluster.pages(
            CONFIG_MAPS,
            namespace=self._namespace,
            label_selector=f"{marks.RECORDS_LABEL}={self._instance}",
            metadata_only=False,
        ):
            parts.update({item["metadata"]["name"]: item for item in page.items})
        return parts

    async def _known(self) -> dict[str, ProjectRecords]:
        async with self._loading:
            if self._loaded is None:
                parts = await self._parts()
                names = {
                    name if _part(item) == "head" else name.rpartition("-")[0] for name, item in parts.items()
                }
                loaded: dict[str, ProjectRecords] = {}
                for name in sorted(names):
                    try:
                        loaded[name] = self._join(name, parts)
                    except RecordsTooNew as error:
                        # Whoever needs these meets it again in `of`; the other projects go on.
                        log.warning("%s", error)
                        self._stale.add(name)
                        self._too_new[name] = _unreadable(name, parts[name], error)
                self._loaded = loaded
        return self._loaded

    def _join(self, inventory: str, parts: Mapping[str, Mapping[str, Any]]) -> ProjectRecords:
        item = parts.get(inventory)
        head = None
        approved = asked = ""
        if item is not None:
            head = parse_head(item.get("data") or {}, where=f"ConfigMap {self._namespace}/{inventory}")
            if marks.inventory_id(self._instance, head.project) != inventory:
                head = replace(head, project="", damage="the head names another project")
            approved, asked = _notes_of(item)
        shards: dict[int, ShardText] = {}
        mine = {
            name: part
            for name, part in parts.items()
            if name == inventory or name.rpartition("-")[0] == inventory
        }
        for name, part in mine.items():
            number = name.rpartition("-")[2]
            data = part.get("data") or {}
            if number.isdigit() and _part(part) == "shard":
                shards[int(number)] = ShardText(
                    objects=data.get("objects", ""),
                    hash=data.get("hash", ""),
                    previous=data.get("previous", ""),
                )
        told = parts.get(f"{inventory}-status", {})
        status = told.get("data") or {}
        notes = [part["metadata"].get("annotations") or {} for part in mine.values()]
        names = [its.get(marks.PROJECT, "") for its in notes]
        return ProjectRecords(
            # Any part tells, and none can tell another project than the name was made of.
            project=next((n for n in names if marks.inventory_id(self._instance, n) == inventory), ""),
            name=inventory,
            owner=_owner(head, notes) or inventory,
            head=head,
            inventory=read(head, shards),
            approved=approved,
            asked=asked,
            answered=_answered_by(told),
            status=status,
            versions={name: part["metadata"]["resourceVersion"] for name, part in mine.items()},
            uids={name: part["metadata"]["uid"] for name, part in mine.items()},
        )

    async def all(self) -> tuple[ProjectRecords, ...]:
        """Every project that has records which this release can read, declared or not."""
        return tuple((await self._known()).values())

    async def of(self, project: str) -> ProjectRecords:
        """The records of one project as this process knows them; read on first use."""
        known = await self._known()
        inventory = marks.inventory_id(self._instance, project)
        if inventory in self._stale or inventory not in known:
            parts = await self._parts() if inventory in self._stale else {}
            known[inventory] = self._join(inventory, parts)
            self._stale.discard(inventory)
            self._too_new.pop(inventory, None)
        known[inventory].project = project
        return known[inventory]

    async def of_others(self, project: str) -> dict[ObjectRef, str]:
        """What other projects of this instance have in their inventories, by project id."""
        return {
            ref: records.project
            for records in (await self._known()).values()
            if records.project != project
            for ref in records.inventory.records
        }

    async def others(self, project: str) -> tuple[OtherProject, ...]:
        """The other projects of this instance, whether their records can be read or not."""
        known = await self._known()
        own = marks.inventory_id(self._instance, project)
        # Of what somebody else has written since nothing is known; its own project reads it again later.
        doubtful = self._stale - self._too_new.keys() - {own}
        parts = await self._parts() if doubtful else {}
        found = dict(self._too_new)
        for name in known.keys() | doubtful:
            try:
                its = self._join(name, parts) if name in doubtful else known[name]
            except RecordsTooNew as error:
                found[name] = _unreadable(name, parts[name], error)
            else:
                held = its.inventory
                found[name] = OtherProject(
                    project=its.project, owner=its.owner, records=held.records, unread=held.damage
                )
        return tuple(found[name] for name in sorted(found.keys() - {own}))

    def forget_all(self) -> None:
        """Others may have written everything since: read it anew on next use."""
        self._loaded = None
        self._stale.clear()
        self._too_new.clear()

    async def raise_epochs(self) -> None:
        """
        Write a higher epoch into the head of each project, before anything else is written.

        Whoever wrote before us names a resourceVersion that is no more with its next write of a
        head, and learns that it is not alone. A head that cannot be believed stays as it lies.
        """
        heads = [(its, its.head) for its in await self.all() if its.head and not its.inventory.damage]
        async with task_group() as tasks:
            for its, head in heads:
                higher = replace(head, epoch=head.epoch + 1)
                tasks.create_task(self._put_head(its, higher, approval_used=False))

    def forget(self, records: ProjectRecords) -> None:
        """Somebody else has written, or we do not know what we have: read them again on next use."""
        self._stale.add(records.name)

    async def reread_approval(self, records: ProjectRecords) -> str:
        """The plan hash that a person has approved, read now."""
        try:
            head = await self._cluster.get(CONFIG_MAPS, self._namespace, records.name)
        except NotFound:
            return ""
        # `approve` and `sync` touch only annotations; any other change of the head is a second writer.
        where = f"ConfigMap {self._namespace}/{records.name}"
        if parse_head(head.get("data") or {}, where=where) != records.head:
            self.forget(records)
            raise _two_writers(where)
        records.versions[records.name] = head["metadata"]["resourceVersion"]
        records.approved, records.asked = _notes_of(head)
        return records.approved

    async def approve(self, records: ProjectRecords, plan_hash: str) -> None:
        """Sign a plan hash; it is used up by the prune that it lets through."""
        if records.head is None:
            raise _no_inventory(records)
        await self._put(
            records, records.name, "head", format_head(records.head), _notes(plan_hash, records.asked)
        )

    async def write(
        self, records: ProjectRecords, head: Head, change: Rewrite, *, approval_used: bool = False
    ) -> None:
        """
        Write what changed: shards, head, then the deletes of emptied shards.

        The very first write begins with a head that names no shard: shards without any head are
        then never our own unfinished work.
        """
        if records.head is None and change.shards:
            await self._put_head(records, replace(head, shards={}, recent=()), approval_used=False)
        for number, shard in change.shards.items():
            data = {"objects": shard.objects, "hash": shard.hash, "previous": shard.previous}
            await self._put(records, f"{records.name}-{number}", "shard", data)
        if head != records.head or approval_used:
            await self._put_head(records, head, approval_used=approval_used)
        records.inventory = change.inventory
        for number in change.drop:
            await self._drop(records, f"{records.name}-{number}")

    async def remove(self, records: ProjectRecords) -> bool:
        """
        Delete all parts of a project whose inventory is empty, the head last; False where it is not.

        The head is what a run begins with: killed in between, the next one finds it and goes on.
        """
        if records.inventory.records or records.inventory.damage:
            return False
        try:
            for name in sorted(records.versions.keys() - {records.name}):
                await self._drop(records, name)
            await self._drop(records, records.name)
        except Conflict as error:
            self.forget(records)
            raise _two_writers(f"records of project {records.project}") from error
        self.forget(records)
        return True

    async def _put_head(self, records: ProjectRecords, head: Head, *, approval_used: bool) -> None:
        name = records.name
        for last_try in [*[False] * (HEAD_TRIES - 1), True]:
            approved = "" if approval_used else records.approved
            try:
                await self._put(records, name, "head", format_head(head), _notes(approved, records.asked))
                break
            except TwoWriters:
                # Persons may have approved and asked in the meantime: they are no second writer.
                if last_try or name not in records.versions:
                    self.forget(records)
                    raise
                await self.reread_approval(records)
        records.head = head
        records.approved = "" if approval_used else records.approved

    async def write_status(
        self, records: ProjectRecords, data: Mapping[str, str], *, answers: str = "", answer: str = ""
    ) -> None:
        """
        Write the status beside the inventory; nothing where it says the same already.

        `answers`: the requests that it answers, with what the record itself does not say.
        """
        name = f"{records.name}-status"
        if records.status_unsure:
            await self._reread_status(records, name)
        if dict(records.status) == dict(data) and answers in ("", records.answered):
            return
        answered = answers or records.answered
        notes = {marks.HANDLED: answered, marks.ANSWER: answer if answers else ""}
        try:
            await self._put(records, name, "status", data, notes)
        except RecordsUnusable:
            records.status_unsure = True
            raise
        records.status, records.answered = data, answered

    async def _reread_status(self, records: ProjectRecords, name: str) -> None:
        try:
            found = await self._cluster.get(CONFIG_MAPS, self._namespace, name)
        except NotFound:
            records.status, records.answered = {}, ""
            records.versions.pop(name, None)
        else:
            records.status, records.answered = found.get("data") or {}, _answered_by(found)
            records.versions[name] = found["metadata"]["resourceVersion"]
            records.uids[name] = found["metadata"]["uid"]
        records.status_unsure = False

    async def ask(self, records: ProjectRecords, token: str) -> None:
        """Put a request for a run onto the head; RecordsUnusable where there is none."""
        if records.head is None:
            raise _no_inventory(records)
        asked = with_token(records.asked, token, answered=records.answered)
        await self._put(
            records, records.name, "head", format_head(records.head), _notes(records.approved, asked)
        )

    def follow(
        self, part: str, *, metadata_only: bool
    ) -> AbstractAsyncContextManager[AsyncIterator[Listed | WatchEvent]]:
        """All records of one sort, `head` or `status`, as they are and as they change."""
        return self._cluster.follow(
            CONFIG_MAPS,
            namespace=self._namespace,
            label_selector=f"{marks.RECORDS_LABEL}={self._instance},{marks.PART_LABEL}={part}",
            metadata_only=metadata_only,
        )

    async def _put(
        self,
        records: ProjectRecords,
        name: str,
        part: str,
        data: Mapping[str, str],
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Write one part; `notes` are annotations, those without a text left out."""
        version = records.versions.get(name, _ABSENT)
        metadata: dict[str, Any] = {"name": name, "namespace": self._namespace, "labels": self._labels(part)}
        annotations = {marks.PROJECT: records.project, **(notes or {})}
        if records.owner != records.name:
            annotations[marks.OWNER] = records.owner
        metadata["annotations"] = {
            key: text for key, text in annotations.items() if text or key == marks.PROJECT
        }
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
        manager = marks.RECORDS_MANAGER
        try:
            if version == _ABSENT:
                written = await self._cluster.create(
                    CONFIG_MAPS, self._namespace, body, field_manager=manager
                )
            else:
                metadata["resourceVersion"] = version
                written = await self._cluster.update(
                    CONFIG_MAPS, self._namespace, name, body, field_manager=manager
                )
        except AlreadyExists as error:
            self._doubt(records, part)
            raise TwoWriters(
                what="exists already, but is not among the records that were read",
                where=f"ConfigMap {self._namespace}/{name}",
                mend=f"if it stays so, give it back its label {marks.RECORDS_LABEL}={self._instance}",
            ) from error
        except (Conflict, NotFound) as error:
            found = await self._as_sent(name, body)
            if found is None:
                if part != "head":
                    self._doubt(records, part)
                raise _two_writers(f"ConfigMap {self._namespace}/{name}") from error
            written = found
        except NotLeader:
            raise  # nothing was sent
        except ClusterError as error:
            # It may have been written all the same: read before the next try.
            self._doubt(records, part)
            raise RecordsUnusable(
                what=f"could not be written: {error.what}",
                where=f"ConfigMap {self._namespace}/{name}",
                mend=error.mend,
            ) from error
        records.versions[name] = written["metadata"]["resourceVersion"]
        records.uids[name] = written["metadata"]["uid"]

    def _doubt(self, records: ProjectRecords, part: str) -> None:
        # A status that got lost is no reason to doubt the inventory, which a run may be writing.
        if part != "status":
            self.forget(records)

    async def _as_sent(self, name: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """
        What lies there, if it is exactly what we sent; None otherwise, also where it cannot be read.

        An update whose answer got lost is sent again by the HTTP client, and then conflicts with
        itself; that is no second writer.
        """
        try:
            found = await self._cluster.get(CONFIG_MAPS, self._namespace, name)
        except ClusterError:
            return None
        metadata, sent = found["metadata"], body["metadata"]
        same = (found.get("data") or {}) == body["data"] and all(
            metadata.get(key, {}) == sent[key] for key in ("labels", "annotations")
        )
        return found if same else None

    async def _drop(self, records: ProjectRecords, name: str) -> None:
        version = records.versions.pop(name, _ABSENT)
        if version == _ABSENT:
            return
        await self._cluster.delete(
            CONFIG_MAPS, self._namespace, name, uid=records.uids.pop(name), resource_version=version
        )

    def _labels(self, part: str) -> dict[str, str]:
        return {marks.RECORDS_LABEL: self._instance, marks.PART_LABEL: part}


def _part(item: Mapping[str, Any]) -> str:
    return str((item["metadata"].get("labels") or {}).get(marks.PART_LABEL, ""))


def _owner(head: Head | None, annotations: Sequence[Mapping[str, str]]) -> str:
    """The owner as the head says it; that a head was lost must not change whose the objects are."""
    if head is not None and (head.owner or not head.damage):
        return head.owner
    return next((its[marks.OWNER] for its in annotations if its.get(marks.OWNER)), "")


def _unreadable(name: str, head: Mapping[str, Any], error: RecordsTooNew) -> OtherProject:
    annotations = head["metadata"].get("annotations") or {}
    return OtherProject(project=annotations.get(marks.PROJECT, ""), owner=name, unread=error.what)


def _notes(approved: str, asked: str) -> dict[str, str]:
    """What persons have put onto a head beside its data."""
    return {marks.APPROVED: approved, marks.ASKED: asked}


def _notes_of(head: Mapping[str, Any]) -> tuple[str, str]:
    annotations = head["metadata"].get("annotations") or {}
    return annotations.get(marks.APPROVED, ""), annotations.get(marks.ASKED, "")


def _answered_by(status: Mapping[str, Any]) -> str:
    return str((status.get("metadata", {}).get("annotations") or {}).get(marks.HANDLED, ""))


def _no_inventory(records: ProjectRecords) -> RecordsUnusable:
    return RecordsUnusable(
        what="has no inventory", where=f"project {records.project}", mend="let it be synced once"
    )


def _two_writers(where: str) -> TwoWriters:
    return TwoWriters(
        what="was written by somebody else in the meantime",
        where=where,
        mend="the next run reads it again; if it repeats, two services run with the same --instance",
    )
