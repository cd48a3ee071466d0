"""
The inventory of one project while one run changes it.

Keeps the order that a crash must find: an object is written down before it is created,
and struck out after it was seen gone. records.py writes, inventory.py lays out.
"""

from collections.abc import Iterable
from dataclasses import replace

from reconciler.manifests.identity import ObjectRef
from reconciler.sync.inventory import Head, Record, rewrite
from reconciler.sync.outcome import ProjectReport
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
        self._approval_on_head = False
        self._records = records
        self._kept = kept
        self._project = project
        self._instance = instance
        self.active = active
        self._pending = dict(kept.inventory.records)

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

    def use_approval(self) -> None:
        """The next write of the head takes the approval off: it is good for one prune."""
        self.approved = self._approval_on_head = True

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
        return replace(head, owner=owner, importing="", damage=self._kept.inventory.damage)

    async def _write(self, head: Head) -> None:
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
