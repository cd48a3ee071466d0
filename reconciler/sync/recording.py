"""
The inventory of one project while one run changes it.

Keeps the order that a crash must find: an object is written down before it is created,
and struck out after it was seen gone. records.py writes, inventory.py lays out.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import Manifest, ManifestSet
from reconciler.sync.inventory import Head, Record, rewrite, stamp
from reconciler.sync.outcome import ProjectReport
from reconciler.sync.plan import Plan
from reconciler.sync.records import ProjectRecords, Records


class Recording:
    """
    One run's view of the records; with `active` False (a dry run) nothing is ever written.

    `approved`: this run went ahead with what a person had approved.
    """

    def __init__(
        self, records: Records, kept: ProjectRecords, *, project: str, instance: str, active: bool
    ) -> None:
        self.approved = False
        self.rewound = ""
        """What the head is to say of a ref that moved back."""
        self._approval_on_head = False
        self._records = records
        self._kept = kept
        self._project = project
        self._instance = instance
        self.active = active
        self._pending = dict(kept.inventory.records)
        self._writing = asyncio.Lock()
        self._unsettled: set[ObjectRef] = set()

    async def before(self, new: Iterable[Record]) -> None:
        """
        Write down what is about to be created, and what a crash had left unfinished.

        Also what is created anew: with the uid of the object that is gone, a kill would leave one
        that we could not tell from another hand's.
        """
        fresh = {record.ref: record for record in new if self._pending.get(record.ref) != record}
        self._pending.update(fresh)
        if fresh or self._kept.inventory.healed:
            await self._write(self._head())

    async def begin_import(self, *, owner: str, uid: str) -> None:
        """
        Say in the head which inventory is about to be made ours, and which owner mark its objects carry.

        Until `import_all` the next run begins again; a dry run goes on from what would be written.
        """
        self._kept.owner = owner
        await self._write_head(replace(self._head(), importing=uid))

    async def import_all(self, records: Iterable[Record], *, uid: str, damage: str = "") -> None:
        """Record what that inventory lists; `damage` is why the result cannot be fully believed."""
        kept = self._kept
        if damage:
            kept.inventory = replace(kept.inventory, damage=damage)
        self._pending = {record.ref: record for record in records} | self._pending
        head = replace(self._head(), imported=uid)
        await self._write(head)
        if not self.active:
            kept.inventory = rewrite(kept.inventory, self._pending.values()).inventory
            kept.head = kept.head or head

    async def _write_head(self, head: Head) -> None:
        if self.active:
            nothing = rewrite(self._kept.inventory, self._kept.inventory.records.values())
            await self._records.write(self._kept, head, nothing)

    def applied(self, records: Iterable[Record]) -> None:
        """These were applied; nothing is written yet."""
        self._pending.update({record.ref: record for record in records})

    def adopt(self, records: Iterable[Record], *, damage: str) -> None:
        """Objects with our mark that the damaged records do not name."""
        self._kept.inventory = replace(self._kept.inventory, damage=damage)
        self._pending.update({record.ref: record for record in records if record.ref not in self._pending})

    def gone(self, refs: Iterable[ObjectRef]) -> None:
        """These were seen not to exist; nothing is written yet."""
        for ref in refs:
            self._pending.pop(ref, None)

    def left(self, manifests: ManifestSet, *, now: float) -> None:
        """What git surely does not declare any more, and is there still; nothing is written yet."""
        if not manifests.unread:  # a file that cannot be read may declare anything
            gone = self._pending.keys() - manifests.claimed
            self._pending.update({ref: _since(self._pending[ref], now) for ref in gone})

    @property
    def released(self) -> frozenset[ObjectRef]:
        """What other projects may take, as far as it is written down that they may."""
        records = self._kept.inventory.records if self.active else {}
        return frozenset(ref for ref, record in records.items() if record.left)

    def use_approval(self) -> None:
        """The next write of the head takes the approval off: it is good for one prune."""
        self.approved = True
        self.spend_approval()

    def spend_approval(self) -> None:
        """As `use_approval`, for what is no prune."""
        self._approval_on_head = True

    async def unsettle(self, ref: ObjectRef) -> None:
        """
        Write down that the object's uid is not known any more: it is about to be deleted and made anew.

        May be called by many at a time, which then share a write.
        """
        self._unsettled.add(ref)
        async with self._writing:
            if ref not in self._unsettled:
                return  # whoever wrote before us has written it
            self._pending.update({its: replace(self._pending[its], uid="") for its in self._unsettled})
            self._unsettled.clear()
            await self._write_now(self._head())

    async def save(self) -> None:
        """Write what is known so far: only waiting is left, and that may take long."""
        await self._write(self._head())

    async def after(self, report: ProjectReport | None, *, sound: bool) -> None:
        """Write the end of a run; `report` None: it was stopped early. `sound`: damage is settled."""
        head = self._head()
        if report is not None:
            # Commit and state in one write: nobody may read the new commit with the old state.
            head = replace(head, commit=report.commit, ref=report.ref, state=report.state.value)
        if sound:
            head = replace(head, damage="")
        await self._write(head)

    def _head(self) -> Head:
        head = self._kept.head or Head(project=self._project, instance=self._instance)
        owner = self._kept.owner if self._kept.owner != self._kept.name else ""
        return replace(
            head, owner=owner, importing="", rewound=self.rewound, damage=self._kept.inventory.damage
        )

    async def _write(self, head: Head) -> None:
        async with self._writing:
            await self._write_now(head)

    async def _write_now(self, head: Head) -> None:
        if not self.active:
            return
        change = rewrite(self._kept.inventory, self._pending.values())
        change = replace(change, inventory=replace(change.inventory, damage=head.damage))
        await self._records.write(
            self._kept,
            replace(head, shards=change.head_shards(), recent=change.recent),
            change,
            approval_used=self._approval_on_head,
        )
        self._approval_on_head = False


def new_record(manifest: Manifest) -> Record:
    """What is written before an object is created, or while another project has it still."""
    return Record(manifest.ref, manifest.api_version)


def between_projects(
    work: Plan,
    records: Mapping[ObjectRef, Record],
    manifests: ManifestSet,
    *,
    prune: bool,
    now: float,
) -> Iterator[Record]:
    """
    What other projects have to know before anything is done.

    That we want what another one has to let go first; and what they may take from now on, or no
    more. What is about to be pruned is not among it: it would cost every prune a write.
    """
    declared = {manifest.ref: manifest for manifest in manifests.manifests}
    for refusal in work.refusals:
        if refusal.by and refusal.ref in declared.keys() - records.keys():
            yield new_record(declared[refusal.ref])
    for ref in manifests.claimed & records.keys():
        if records[ref].left:
            yield replace(records[ref], left="")
    if manifests.unread:
        return  # a file that cannot be read may declare anything
    for candidate in (*work.staying, *(() if prune else work.candidates)):
        if (record := records.get(candidate.ref)) is not None:
            # Applied, then killed before the uid was written down: it is ours by record and mark.
            yield _since(replace(record, uid=record.uid or candidate.live.uid), now)


def _since(record: Record, now: float) -> Record:
    return record if record.left else replace(record, left=stamp(now))
