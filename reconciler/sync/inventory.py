"""
The inventory of a project as text in ConfigMaps, and whether what was read can be believed.

Pure. One head names the shards with their hash; a shard holds one line per object and
the hash that the head had named for it when it was written. So a crash between two of
our own writes can be told from a foreign hand: the first heals, the second is `damage`,
and damage means that nothing is pruned. It guards against accidents, not against somebody
who may write the records and computes hashes. While few objects have a newer line than
their shard, the head holds it, so that an ordinary commit costs one write. records.py
moves the parts to and from the cluster.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.sync.errors import RecordsTooNew

SCHEMA: Final = 2
_READABLE: Final = frozenset({1, SCHEMA})
"""1 knew no `owner`, `imported`, `importing`, `recent` and `left`; the next write of the head makes it 2."""
SHARD_BYTES: Final = 256 * 1024
_FILL_BYTES = 248 * 1024  # of new lines; the rest is room for keys and metadata
_FULL_LINE = 116  # bytes that uid, hash and times add to a line once the object exists, and leaves git
_RECENT: Final = 64
"""Objects whose newest line may stand in the head: 16 KiB at most of what every run writes anyway."""
_UNPROVEN = "-"
"""`previous` of what is written on top of damage: no head names it, so that no crash makes damage heal."""
_DAMAGE_LENGTH = 1000  # characters; a head that is garbage throughout must not outgrow its ConfigMap

_UNSAFE = re.compile(r"[\s%/\x00-\x1f\x7f]")
"""What would end a word or a line; RBAC allows names with blanks in them."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_NAMED_SHARD = re.compile(r"([0-9]{1,9}) ([0-9]{1,9}) ([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Record:
    """
    One object in the inventory.

    `uid` is "" from the moment before its creation until it was seen; `entry` (16 hex) and
    `time` are of our managedFields entry after the last apply. `left` is since when git does
    not declare it any more ("" while it does): from then on another project may take it.
    """

    ref: ObjectRef
    api_version: str
    uid: str = ""
    entry: str = ""
    time: str = ""
    left: str = ""

    def line(self) -> str:
        """`apps/v1 Deployment shop/web uid=… fields=… at=…`, and `left=…` if it did; blanks as `%20`."""
        ref = self.ref
        words: Sequence[str] = (ref.kind, ref.namespace, ref.name, self.uid, self.entry, self.time)
        api_version = self.api_version
        # One search for all: nearly no line has anything to quote, and there may be 10,000.
        if _UNSAFE.search("".join(words)) or _UNSAFE.search(api_version.replace("/", "", 1)):
            words = [*map(_quoted, words)]
            api_version = "/".join(map(_quoted, api_version.split("/")))
        kind, namespace, name, uid, entry, time = words
        where = f"{namespace}/{name}" if namespace else name
        line = f"{api_version} {kind} {where} uid={uid} fields={entry} at={time}"
        return f"{line} left={self.left}" if self.left else line


def parse_line(line: str) -> Record:
    """The inverse of `Record.line`; ValueError where the text is not one of ours."""
    api_version, kind, where, *fields = line.split(" ")
    namespace, _, name = where.rpartition("/")
    uid, entry, time, *left = (text.partition("=")[2] for text in fields)
    words: Sequence[str] = (api_version, kind, namespace, name, uid, entry, time)
    if "%" in line:
        words = [*map(unquote, words)]
    api_version, kind, namespace, name, uid, entry, time = words
    group, version = split_api_version(api_version)
    record = Record(ObjectRef(group, kind, namespace, name), api_version, uid, entry, time, "".join(left))
    if not (version and kind and name and _is_moment(record.left)) or record.line() != line:
        raise ValueError("not a line that we write")
    return record


def stamp(seconds: float) -> str:
    """A moment as records have it: whole seconds, as the API server writes them."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def moment(text: str) -> float:
    """The inverse of `stamp`; ValueError where the text is none."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()


def _is_moment(text: str) -> bool:
    try:
        return not text or bool(moment(text))
    except ValueError:
        return False


def _quoted(text: str) -> str:
    return _UNSAFE.sub(lambda found: quote(found[0], safe=""), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardText:
    """A shard as it is stored: its lines, their hash, and the hash that the head named before."""

    objects: str
    hash: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A project's head as it is stored."""

    project: str
    instance: str
    owner: str = ""
    """What the objects' owner annotation says, where that is not the head's own name."""
    imported: str = ""
    """Uid of the old agent's inventory that this one was made of."""
    importing: str = ""
    """The same while it is not all recorded yet."""
    rewound: str = ""
    """`<from> <to>`: the ref moved back from a commit to its ancestor, which went on."""
    commit: str = ""
    """Of the last run that was carried out whole, and `state` is what it found."""
    ref: str = ""
    state: str = ""
    epoch: int = 1
    shards: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    """Number of each shard to how many objects it holds and the hash of its lines."""
    recent: tuple[Record, ...] = ()
    """What is newer than the line of the same object in its shard, sorted."""
    damage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What we know to be ours. `damage` says why the records cannot be fully believed ("" = they can)."""

    records: Mapping[ObjectRef, Record] = field(default_factory=dict)
    shard_of: Mapping[ObjectRef, int] = field(default_factory=dict)
    hidden: Mapping[ObjectRef, Record] = field(default_factory=dict)
    """What the shards still hold of objects for which the head has a newer line."""
    committed: Mapping[int, str] = field(default_factory=dict)
    """Hash of each shard as the head in the cluster names it; "" for a shard that it does not name."""
    damage: str = ""
    healed: bool = False
    """A crash between two of our writes was found: the head has to be written again."""
    stale: frozenset[int] = frozenset()
    """Shards that hold other lines than the head names, by a crash or a foreign hand."""


def hash_of(text: str) -> str:
    """Short enough to read, long enough that no accident matches."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(head: Head | None, shards: Mapping[int, ShardText]) -> Inventory:
    """
    Join the parts.

    All that can be read is in `records`, whatever else is wrong: more entries never delete
    more by themselves (that takes our mark on the object too), fewer would lose track.
    """
    named = head.shards if head else {}
    damage: list[str] = []
    healed: set[int] = set()
    stale: set[int] = set()
    records: dict[ObjectRef, Record] = {}
    shard_of: dict[ObjectRef, int] = {}
    for number in sorted(named.keys() | shards.keys()):
        count, wanted = named.get(number, (0, ""))
        if (shard := shards.get(number)) is None:
            damage.append(f"inventory shard {number} ({count} objects) is missing")
            continue
        found, bad_line = _parse(shard.objects)
        sound = hash_of(shard.objects) == wanted
        if not sound and head is not None and _is_ours(shard, wanted):
            healed.add(number)
        elif not sound and not wanted:
            damage.append(f"inventory shard {number} is named by no head")
        elif not sound:
            damage.append(f"inventory shard {number} is not the one that the head names")
        if bad_line:
            damage.append(f"inventory shard {number}: line {bad_line} cannot be read")
        elif sound and len(found) != count:
            damage.append(f"inventory shard {number} holds {len(found)} objects, the head says {count}")
        if twice := [record.ref for record in found if record.ref in shard_of]:
            damage.append(f"{twice[0]} is in two inventory shards, {shard_of[twice[0]]} and {number}")
            stale.update(shard_of[ref] for ref in twice)
        if not sound or bad_line or twice:
            stale.add(number)
        records.update((record.ref, record) for record in found)
        shard_of.update((record.ref, number) for record in found)
    recent = {record.ref: record for record in (head.recent if head else ())}
    hidden = {ref: records[ref] for ref in recent if ref in records}
    records.update(recent)
    return Inventory(
        records=records,
        shard_of=shard_of,
        hidden=hidden,
        committed={number: named.get(number, (0, ""))[1] for number in sorted(named.keys() | shards.keys())},
        damage=_add_damage(head.damage if head else "", damage),
        healed=bool(healed),
        stale=frozenset(stale),
    )


def _add_damage(known: str, found: Iterable[str]) -> str:
    """What is known already is not said again, however often the same parts are read."""
    text = "; ".join(part for part in (known, *(one for one in found if one not in known)) if part)
    return text[:_DAMAGE_LENGTH]


def _is_ours(shard: ShardText, wanted: str) -> bool:
    """Whether a crash between our own writes explains a shard that the head does not name."""
    # Written on top of what the head names: we died before the head was written.
    unfinished = hash_of(shard.objects) == shard.hash and shard.previous == wanted
    # Emptied, and struck from the head: we died before deleting it.
    left_over = not shard.objects and not wanted
    return unfinished or left_over


def _parse(text: str) -> tuple[list[Record], int]:
    records, bad = [], 0
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        try:
            records.append(parse_line(line))
        except ValueError:
            bad = bad or number
    return records, bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What has to be written, in this order: shards, then the head, then the deletes."""

    shards: Mapping[int, ShardText]
    inventory: Inventory
    """As it will stand once all is written; its `committed` is what the new head names."""
    counts: Mapping[int, int]
    recent: tuple[Record, ...] = ()
    drop: tuple[int, ...] = ()

    def head_shards(self) -> dict[int, tuple[int, str]]:
        """`Head.shards` of the new head."""
        return {n: (self.counts[n], h) for n, h in self.inventory.committed.items()}


def rewrite(inventory: Inventory, records: Iterable[Record]) -> Rewrite:
    """
    Lay `records` out over the shards, touching only those in which objects come, go or get a uid.

    An object stays in its shard, so that one change rewrites one shard, and no crash
    between the writes of two shards can lose it. New lines of objects that were only changed
    stand in the head while they are few.
    """
    wanted = {record.ref: record for record in records}
    shard_of = {ref: n for ref, n in inventory.shard_of.items() if ref in wanted}
    touched = {
        n for ref, n in inventory.shard_of.items() if _uid(wanted.get(ref)) != _uid(_held(inventory, ref))
    }
    last = max(inventory.committed, default=0)
    fresh = [wanted[ref] for ref in sorted(wanted.keys() - shard_of.keys())]
    used = sum(_size(wanted[ref]) for ref, n in shard_of.items() if n == last) if fresh else 0
    for ref, number in _allot(fresh, last, used):
        shard_of[ref] = number
        touched.add(number)
    members: defaultdict[int, list[ObjectRef]] = defaultdict(list)
    for ref, number in shard_of.items():
        members[number].append(ref)
    touched |= {n for n in inventory.stale if n in members}
    late = {ref for ref, n in shard_of.items() if n not in touched and wanted[ref] != _held(inventory, ref)}
    if inventory.damage or len(late) > _RECENT:
        touched |= {shard_of[ref] for ref in late}
        late = set()
    shards = {}
    committed = {n: h for n, h in inventory.committed.items() if n in members}
    for n in sorted(touched):
        text = "".join(sorted(wanted[ref].line() + "\n" for ref in members.get(n, ())))
        previous = _UNPROVEN if inventory.damage else inventory.committed.get(n, "")
        shards[n] = ShardText(objects=text, hash=hash_of(text), previous=previous)
        if n in members:
            committed[n] = shards[n].hash
    return Rewrite(
        shards=shards,
        counts={n: len(members[n]) for n in committed},
        recent=tuple(wanted[ref] for ref in sorted(late)),
        drop=tuple(n for n in sorted(inventory.committed) if n not in members),
        inventory=replace(
            inventory,
            records=wanted,
            shard_of=shard_of,
            hidden={ref: held for ref in late if (held := _held(inventory, ref))},
            committed=committed,
            healed=False,
            stale=frozenset(),
        ),
    )


def _held(inventory: Inventory, ref: ObjectRef) -> Record | None:
    """The line of an object as its shard has it."""
    return inventory.hidden.get(ref) or inventory.records.get(ref)


def _uid(record: Record | None) -> str | None:
    return record.uid if record else None


def _allot(fresh: Iterable[Record], number: int, used: int) -> Iterator[tuple[ObjectRef, int]]:
    """Fill up the last shard, of which `used` bytes are taken, then begin others."""
    for record in fresh:
        size = _size(record)
        if used + size > _FILL_BYTES:
            number, used = number + 1, 0
        used += size
        yield record.ref, number


def _size(record: Record) -> int:
    """Bytes that a record may come to take, its end of line included."""
    return len(record.line().encode()) + _FULL_LINE


def format_head(head: Head) -> dict[str, str]:
    """The `data` of the head ConfigMap."""
    return {
        "schema": str(SCHEMA),
        "project": head.project,
        "instance": head.instance,
        **({"owner": head.owner} if head.owner else {}),
        **({"imported": head.imported} if head.imported else {}),
        **({"importing": head.importing} if head.importing else {}),
        **({"rewound": head.rewound} if head.rewound else {}),
        "commit": head.commit,
        "ref": head.ref,
        "state": head.state,
        "epoch": str(head.epoch),
        "shards": "".join(f"{n} {count} {h}\n" for n, (count, h) in sorted(head.shards.items())),
        **({"recent": "".join(record.line() + "\n" for record in head.recent)} if head.recent else {}),
        **({"damage": head.damage} if head.damage else {}),
    }


def parse_head(data: Mapping[str, str], *, where: str) -> Head:
    """
    The inverse of `format_head`.

    Raises RecordsTooNew for a schema of a later release; what cannot be read in a
    known schema becomes `damage`.
    """
    try:
        schema = int(data.get("schema", ""))
    except ValueError:
        schema = 0
    if schema > SCHEMA:
        raise RecordsTooNew(
            what=f"records have schema {schema}, this release knows {SCHEMA}",
            where=where,
            mend="run the release that wrote them, or a later one",
        )
    epoch, shards = 1, {}
    recent: tuple[Record, ...] = ()
    damage = data.get("damage", "")
    try:
        epoch = int(data["epoch"])
        shards = _named_shards(data["shards"])
        recent = tuple(map(parse_line, data.get("recent", "").split("\n")[:-1]))
    except (KeyError, ValueError):
        damage = _add_damage(damage, ["the head cannot be read"])
    if schema not in _READABLE:
        damage = _add_damage(damage, ["the head has no schema that this release knows"])
    return Head(
        project=data.get("project", ""),
        instance=data.get("instance", ""),
        owner=data.get("owner", ""),
        imported=data.get("imported", ""),
        importing=data.get("importing", ""),
        rewound=data.get("rewound", ""),
        commit=data.get("commit", ""),
        ref=data.get("ref", ""),
        state=data.get("state", ""),
        epoch=epoch,
        shards=shards,
        recent=recent,
        damage=damage,
    )


def _named_shards(text: str) -> dict[int, tuple[int, str]]:
    shards: dict[int, tuple[int, str]] = {}
    for line in text.splitlines():
        found = _NAMED_SHARD.fullmatch(line)
        if found is None or int(found[1]) in shards:
            raise ValueError("not a list that we write")
        shards[int(found[1])] = (int(found[2]), found[3])
    return shards
