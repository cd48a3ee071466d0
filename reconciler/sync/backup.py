"""
All records of an instance and its key as one file, and whether such a file may be put back.

Pure. The file is JSON with a schema and a hash over all of it: that guards against accidents, not
against somebody who may write it. It holds the key of the applied marks. What was approved is left
out: an approval is good for one prune, and may have been used since. saving.py reads and writes.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconciler.sync import marks
from reconciler.sync.errors import BackupUnusable, RecordsTooNew
from reconciler.sync.inventory import Head, Inventory, ShardText, parse_head, read

SCHEMA: Final = "reconciler-backup/v1"
LIMIT: Final = 256 * 1024 * 1024
"""Bytes of a file: a hundred times the records of 10,000 objects."""
KEY_BYTES: Final = 32
_NAME: Final = re.compile(r"(reconciler-[0-9a-f]{12})(?:-([0-9]{1,9}|status))?")
_KEPT: Final = (marks.PROJECT, marks.OWNER)
_MEMBERS: Final = {"schema": str, "instance": str, "taken": str, "parts": list, "key": str, "sha256": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One ConfigMap: a head, a shard or a status; `kind` says which."""

    name: str
    kind: str
    annotations: Mapping[str, str]
    data: Mapping[str, str]

    @property
    def inventory(self) -> str:
        """Name of the head that it belongs to."""
        return _split(self.name)[0]

    @property
    def epoch(self) -> int:
        """Of a head; 0 where there is none."""
        text = self.data.get("epoch", "")
        return int(text) if self.kind == "head" and re.fullmatch(r"[0-9]{1,18}", text) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One project in a backup."""

    project: str
    inventory: Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a file holds; `key` is base64, "" where there was none."""

    instance: str
    taken: str
    parts: tuple[Part, ...] = ()
    key: str = ""

    def __repr__(self) -> str:
        """Without the key."""
        return f"Backup(instance={self.instance!r}, taken={self.taken!r}, parts={len(self.parts)})"


def part_of(item: Mapping[str, Any]) -> Part:
    """A ConfigMap of the records, as the API server gives it."""
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    return Part(
        name=metadata["name"],
        kind=str((metadata.get("labels") or {}).get(marks.PART_LABEL, "")),
        annotations={name: annotations[name] for name in _KEPT if name in annotations},
        data=dict(item.get("data") or {}),
    )


def render(backup: Backup) -> bytes:
    """The text of the file."""
    parts = [
        {"name": its.name, "kind": its.kind, "annotations": dict(its.annotations), "data": dict(its.data)}
        for its in sorted(backup.parts, key=lambda its: its.name)
    ]
    content = {
        "schema": SCHEMA,
        "instance": backup.instance,
        "taken": backup.taken,
        "key": backup.key,
        "parts": parts,
    }
    return orjson.dumps({**content, "sha256": _hash(content)}, option=_FORM) + b"\n"


_FORM: Final = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def parse(text: bytes, *, where: str) -> Backup:
    """
    Read a file; raises BackupUnusable for anything that `render` does not write.

    No message quotes the file: it holds a key.
    """
    if len(text) > LIMIT:
        raise _unusable(f"is larger than {LIMIT >> 20} MiB", where)
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _unusable("is no JSON document", where) from None
    if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
        raise _unusable("is no backup of records", where)
    if found["schema"] != SCHEMA:
        known = f"has another schema than {SCHEMA}"
        raise _unusable(known, where, mend="restore it with the release that made it, or a later one")
    odd = sorted(name for name, its in _MEMBERS.items() if not isinstance(found.get(name), its))
    if odd or found.keys() != _MEMBERS.keys():
        raise _unusable("has missing, unknown or misshapen members", where)
    try:
        digest = _hash({name: its for name, its in found.items() if name != "sha256"})
    except TypeError:  # nested more deeply than anything that we write
        digest = ""
    if digest != found["sha256"]:
        raise _unusable("was changed or cut since it was made: its hash does not match", where)
    return Backup(
        instance=found["instance"],
        taken=found["taken"],
        parts=tuple(_part(its, where) for its in found["parts"]),
        key=_key(found["key"], where),
    )


def _part(found: object, where: str) -> Part:
    if not isinstance(found, dict) or found.keys() != {"name", "kind", "annotations", "data"}:
        raise _unusable("holds a part that is no record", where)
    name, kind, annotations, data = (found[key] for key in ("name", "kind", "annotations", "data"))
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _unusable("holds a part whose name no record has", where)
    if kind != _split(name)[1] or not (_are_texts(annotations) and _are_texts(data)):
        raise _unusable(f"holds a part {name} that is no record", where)
    if not annotations.keys() <= set(_KEPT):
        raise _unusable(f"holds a part {name} with annotations that are not kept", where)
    return Part(name=name, kind=kind, annotations=annotations, data=data)


def _split(name: str) -> tuple[str, str]:
    """`reconciler-0123456789ab-3` -> the head's name, and what the part is."""
    found = _NAME.fullmatch(name)
    if found is None:
        return "", ""
    tail = found[2]
    return found[1], "head" if tail is None else "status" if tail == "status" else "shard"


def _are_texts(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def _key(text: str, where: str) -> str:
    try:
        fits = not text or len(base64.b64decode(text, validate=True)) >= KEY_BYTES
    except ValueError:
        fits = False
    if not fits:
        raise _unusable("holds no usable key", where)
    return text


def check(backup: Backup, *, instance: str, where: str) -> tuple[Kept, ...]:
    """
    The projects in it, sorted; raises BackupUnusable where they are not this instance's.

    The head of a project names its shards by their hashes; where they do not fit, the records are
    damaged, as they were when the backup was made.
    """
    if backup.instance != instance:
        raise _unusable(
            f"is a backup of instance {backup.instance[:63]!r}, and this is {instance!r}",
            where,
            mend="name that one with --instance, or take this one's file",
        )
    names = [part.name for part in backup.parts]
    if len(set(names)) != len(names):
        raise _unusable("holds a part twice", where)
    return tuple(
        _kept(inventory, backup.parts, instance, where)
        for inventory in sorted({part.inventory for part in backup.parts})
    )


def _kept(inventory: str, parts: Iterable[Part], instance: str, where: str) -> Kept:
    mine = [part for part in parts if part.inventory == inventory]
    head: Head | None = None
    shards: dict[int, ShardText] = {}
    for part in mine:
        if part.kind == "head":
            try:
                head = parse_head(part.data, where=where)
            except RecordsTooNew as error:
                raise _unusable(f"{part.name}: {error.what}", where, mend=error.mend) from error
        elif part.kind == "shard":
            data = part.data
            shards[int(part.name.rpartition("-")[2])] = ShardText(
                objects=data.get("objects", ""), hash=data.get("hash", ""), previous=data.get("previous", "")
            )
    names = {part.annotations.get(marks.PROJECT, "") for part in mine} | ({head.project} if head else set())
    project = next((name for name in names if marks.inventory_id(instance, name) == inventory), "")
    if not project or (head and head.instance != instance):
        raise _unusable(f"{inventory} is no inventory of instance {instance!r}", where)
    return Kept(project=project, inventory=read(head, shards))


def _unusable(
    what: str, where: str, mend: str = "take another backup; nothing was written"
) -> BackupUnusable:
    return BackupUnusable(what=what, where=where, mend=mend)
