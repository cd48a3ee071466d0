"""
Reads all records of an instance for a backup, and puts a backup back.

Of each project the shards are written first and the head that names them last: a restore that
was cut off leaves records that are not believed, and can be carried out again. What is there
already as it was saved is left alone; every write names the version that was read.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import AlreadyExists, Conflict, NotFound
from reconciler.cluster.resource import CONFIG_MAPS, SECRETS, Resource
from reconciler.sync import marks
from reconciler.sync.backup import Backup, Kept, Part, check, part_of
from reconciler.sync.errors import RecordsExist, TwoWriters
from reconciler.sync.inventory import stamp
from reconciler.sync.records import Records

_SHOWN: Final = 5
_ORDER: Final = {"shard": 0, "head": 1, "status": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The projects of the file, and how many parts had to be written or deleted."""

    projects: tuple[Kept, ...]
    written: int
    key: str
    """What became of the key: a few words."""


class Saving:
    """One instance's records, as a whole."""

    def __init__(self, cluster: Cluster, records: Records, *, namespace: str, instance: str) -> None:
        self._cluster = cluster
        self._records = records
        self._namespace = namespace
        self._instance = instance

    async def backup(self) -> tuple[Backup, tuple[Kept, ...]]:
        """All there is, as of one moment; SyncError where it is no complete set of records."""
        items = await self._items()
        key = await self._records.key()
        backup = Backup(
            instance=self._instance,
            taken=stamp(self._cluster.now().timestamp()),
            parts=tuple(map(part_of, items.values())),
            key=base64.b64encode(key).decode() if key else "",
        )
        return backup, check(backup, instance=self._instance, where=f"namespace {self._namespace}")

    async def restore(self, backup: Backup, *, where: str, force: bool) -> Restored:
        """
        Make the records of the file's projects what the file says; those of other projects stay.

        Raises RecordsExist where others are there and `force` is not given.
        """
        projects = check(backup, instance=self._instance, where=where)
        items = await self._items()
        inventories = {part.inventory for part in backup.parts}
        wanted = {part.name: _not_lowered(part, items.get(part.name)) for part in backup.parts}
        theirs = {name: item for name, item in items.items() if part_of(item).inventory in inventories}
        changed = [its for its in wanted.values() if its.name not in items or its != part_of(items[its.name])]
        surplus = sorted(theirs.keys() - wanted.keys())
        in_the_way = sorted({*surplus, *(its.name for its in changed if its.name in items)})
        key = await self._key_item()
        key_differs = bool(backup.key and key and (key.get("data") or {}).get("key") != backup.key)
        if not force and (in_the_way or key_differs):
            raise RecordsExist(
                what=f"other records are there already: {_some([*in_the_way, *_KEY[:key_differs]])}",
                where=f"namespace {self._namespace}",
                mend="if the file is to replace them, give --force",
            )
        said = await self._put_key(backup.key, key)
        for part in sorted(changed, key=lambda its: (its.inventory, _ORDER[its.kind], its.name)):
            await self._put(CONFIG_MAPS, self._body(part), items.get(part.name))
        for name in surplus:
            await self._delete(name, items[name])
        return Restored(projects=projects, written=len(changed) + len(surplus), key=said)

    async def _items(self) -> dict[str, dict[str, Any]]:
        found = await self._cluster.list(
            CONFIG_MAPS,
            namespace=self._namespace,
            label_selector=f"{marks.RECORDS_LABEL}={self._instance}",
            metadata_only=False,
        )
        return {item["metadata"]["name"]: item for item in found.items}

    async def _key_item(self) -> dict[str, Any] | None:
        try:
            return await self._cluster.get(SECRETS, self._namespace, marks.KEY_SECRET)
        except NotFound:
            return None

    async def _put_key(self, key: str, found: Mapping[str, Any] | None) -> str:
        if not key:
            return "the file holds no key"
        if found is not None and (found.get("data") or {}).get("key") == key:
            return "the key was there already"
        labels = {marks.RECORDS_LABEL: self._instance, marks.PART_LABEL: "key"}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": marks.KEY_SECRET, "namespace": self._namespace, "labels": labels},
            "data": {"key": key},
        }
        await self._put(SECRETS, body, found)
        return "the key was restored"

    def _body(self, part: Part) -> dict[str, Any]:
        labels = {marks.RECORDS_LABEL: self._instance, marks.PART_LABEL: part.kind}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": part.name,
                "namespace": self._namespace,
                "labels": labels,
                "annotations": dict(part.annotations),
            },
            "data": dict(part.data),
        }

    async def _put(self, resource: Resource, body: dict[str, Any], found: Mapping[str, Any] | None) -> None:
        name, manager = body["metadata"]["name"], marks.RECORDS_MANAGER
        try:
            if found is None:
                await self._cluster.create(resource, self._namespace, body, field_manager=manager)
            else:
                body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
                await self._cluster.update(resource, self._namespace, name, body, field_manager=manager)
        except (AlreadyExists, Conflict, NotFound) as error:
            raise self._raced(f"{body['kind']} {self._namespace}/{name}") from error

    async def _delete(self, name: str, found: Mapping[str, Any]) -> None:
        metadata = found["metadata"]
        version = metadata["resourceVersion"]
        try:
            await self._cluster.delete(
                CONFIG_MAPS, self._namespace, name, uid=metadata["uid"], resource_version=version
            )
        except Conflict as error:
            raise self._raced(f"ConfigMap {self._namespace}/{name}") from error

    def _raced(self, where: str) -> TwoWriters:
        return TwoWriters(
            what="was written by somebody else in the meantime",
            where=where,
            mend="restore again; records that are half restored are not believed",
        )


_KEY: Final = (f"Secret {marks.KEY_SECRET}",)


def _not_lowered(part: Part, found: Mapping[str, Any] | None) -> Part:
    """The part with the epoch that is in the cluster, where that is higher: it only ever rises."""
    epoch = part_of(found).epoch if found else 0
    return part if epoch <= part.epoch else replace(part, data={**part.data, "epoch": str(epoch)})


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
