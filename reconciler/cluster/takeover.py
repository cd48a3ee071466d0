"""
Rewrite `managedFields` so that other managers' fields become one manager's own.

Pure. What a server-side apply no longer names is removed only if its manager owned it
alone, so that whoever follows another tool has to become the owner of what that tool
applied *before* its first apply. Entries are renamed or united, never dropped: a field that
nobody owns stays for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.cluster import fieldsets
from reconciler.cluster.fieldsets import Fields
from reconciler.cluster.managed import APPLY, LAST_APPLIED, UPDATE, Owner, owner_of

Entry = Mapping[str, Any]

RELEASED: Final = "reconciler-released"
"""Manager of fields that left git and whose live value stays."""
_ALWAYS: Final = frozenset(
    {
        ("agentk", APPLY),
        ("kubectl-client-side-apply", UPDATE),
        ("kubectl-last-applied", APPLY),  # what kubectl leaves of the annotation when it changes over
    }
)
_KUBECTL: Final = "kubectl"
_ANNOTATES: Final = frozenset({"kubectl-client-side-apply", "kubectl-last-applied"})


@dataclass(frozen=True, slots=True)
class Heir:
    """
    Who follows whom: `manager` takes what its predecessors own.

    These are the old agent, kubectl's client-side apply, managers of our own family (names
    that begin with `family`), and the further ones in `names`, by Apply and Update.
    """

    manager: str
    family: str
    names: frozenset[str] = field(default=frozenset())

    def follows(self, owner: Owner) -> bool:
        """Whether an entry is to become ours."""
        if owner.manager == RELEASED or (owner.manager, owner.operation) == (self.manager, APPLY):
            return False
        return (
            owner.manager in self.names
            or (owner.manager, owner.operation) in _ALWAYS
            # Until 1.20 kubectl applied under its plain name; only the annotation tells it from an edit.
            or (owner.manager == _KUBECTL and owner.client_side)
            or (owner.operation == APPLY and owner.manager.startswith(self.family))
        )


def predecessors(owners: Sequence[Owner], heir: Heir) -> tuple[Owner, ...]:
    """
    Those whose fields `heir` is to take over.

    Entries are united in one version only: a set of fields means something within its version,
    and there can be no second Apply entry of our name. Our own entry says which; without one the
    first of those that are followed, appliers first. The others stay owners beside us.
    """
    followed = [owner for owner in owners if heir.follows(owner)]
    ours = [o for o in owners if (o.manager, o.operation) == (heir.manager, APPLY)]
    first = next(iter([*ours, *sorted(followed, key=lambda owner: owner.operation != APPLY)]), None)
    return tuple(owner for owner in followed if first and owner.api_version == first.api_version)


@dataclass(frozen=True, slots=True)
class Ownership:
    """The entries of an object as they are, or as they are to be."""

    entries: tuple[Entry, ...]

    @property
    def owners(self) -> tuple[Owner, ...]:
        """Of the object itself; writers of subresources are left out."""
        return tuple(owner_of(entry) for entry in self.entries if not entry.get("subresource"))

    def fields_of(self, manager: str) -> Fields:
        """What a manager has applied; empty if nothing."""
        return next((_fields(entry) for entry in self.entries if _is_apply_of(entry, manager)), {})

    def version_of(self, manager: str) -> str:
        """The API version in which a manager applies; "" if it does not."""
        return next((str(e.get("apiVersion")) for e in self.entries if _is_apply_of(e, manager)), "")

    def others(self, manager: str) -> Iterable[tuple[str, Fields]]:
        """Whoever owns fields beside our applies; writers of subresources too."""
        for entry in self.entries:
            if not _is_apply_of(entry, manager):
                yield str(entry.get("manager") or ""), _fields(entry)

    def writers(self, manager: str) -> Iterable[Entry]:
        """The entries beside our applies, but for those of who writes the status."""
        return (
            entry
            for entry in self.entries
            if not _is_apply_of(entry, manager) and entry.get("subresource") != "status"
        )


def taken_over(now: Ownership, heir: Heir) -> Ownership:
    """The entries with all predecessors' fields in our own one; equal to `now` if there are none."""
    taking = frozenset(predecessors(now.owners, heir))
    parts = [entry for entry in now.entries if _is_apply_of(entry, heir.manager) or _is_among(entry, taking)]
    if not taking:
        return now
    fields: Fields = {}
    for entry in parts:
        fields = fieldsets.unite(fields, _fields(entry))
    united = {**parts[0], "manager": heir.manager, "operation": APPLY, "fieldsV1": fields}
    united["time"] = max((entry["time"] for entry in parts if entry.get("time")), default=None)
    kept = [entry for entry in now.entries if not any(entry is part for part in parts)]
    return Ownership((united, *kept))


def updated(now: Ownership, heir: Heir) -> Fields:
    """What predecessors own who wrote it without a server-side apply."""
    taking = frozenset(owner for owner in predecessors(now.owners, heir) if owner.operation == UPDATE)
    fields: Fields = {}
    for entry in now.entries:
        if _is_among(entry, taking):
            fields = fieldsets.unite(fields, _fields(entry))
    return fields


def released(now: Ownership, manager: str, fields: Fields) -> Ownership:
    """The entries with `fields` given from our own to `RELEASED`, beside what that has already."""
    if not fields:
        return now
    entries: list[Entry] = []
    had = now.fields_of(RELEASED)
    for entry in now.entries:
        if _is_apply_of(entry, manager):
            rest = fieldsets.minus(_fields(entry), fields)
            given = {**entry, "manager": RELEASED, "fieldsV1": fieldsets.unite(had, fields)}
            entries += [given, {**entry, "fieldsV1": rest}]
        elif not _is_apply_of(entry, RELEASED):
            entries.append(entry)
    return Ownership(tuple(entries))


def operations(
    before: Ownership, after: Ownership, *, resource_version: str, last_applied: bool
) -> list[dict[str, Any]]:
    """
    The JSON patch from one to the other; a write in between makes it a Conflict.

    `last_applied`: kubectl's annotation is there. It goes when nobody is left who wrote it:
    kubectl would take it for what it had applied, and it may hold the values of a Secret.
    """
    ops: list[dict[str, Any]] = [
        {"op": "replace", "path": "/metadata/managedFields", "value": list(after.entries)},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
    ]
    if last_applied and _writes_annotation(before) and not _writes_annotation(after):
        ops.append({"op": "remove", "path": f"/metadata/annotations/{LAST_APPLIED.replace('/', '~1')}"})
    return ops


def _writes_annotation(ownership: Ownership) -> bool:
    return any(
        entry.get("manager") in _ANNOTATES or owner_of(entry).client_side for entry in ownership.entries
    )


def _is_among(entry: Entry, owners: frozenset[Owner]) -> bool:
    return not entry.get("subresource") and owner_of(entry) in owners


def _is_apply_of(entry: Entry, manager: str) -> bool:
    its = (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "")
    return its == (manager, APPLY, "")


def _fields(entry: Entry) -> Fields:
    fields = entry.get("fieldsV1")
    return fields if isinstance(fields, dict) else {}
