"""
Decide what one run of a manifest project does to the cluster.

Pure: no I/O, no clock, no log. run.py calls it with what git holds, with our records and
with what the cluster's metadata shows; apply.py and prune.py carry the `Plan` out. In which
order is `manifests.order`'s business, whether a prune is allowed at all `guard`'s.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from reconciler.cluster.errors import NotAllowed
from reconciler.cluster.managed import Owner
from reconciler.cluster.takeover import Heir, predecessors
from reconciler.config.models import InventoryPolicy
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import Manifest
from reconciler.sync.inventory import Record
from reconciler.sync.marks import is_inventory_id, is_record
from reconciler.sync.others import NOBODY, OtherProjects
from reconciler.sync.outcome import Outcome, Reason

_ADOPTED: Final = "adopted"
_CHANGED: Final = "changed in the cluster"
_DELETED: Final = "deleted by another hand"
_REMADE: Final = "re-created by another hand"
_NO_LABEL: Final = "our label was removed"
_NO_MARKS: Final = "our marks were removed"
_DRIFT: Final = frozenset({_CHANGED, _DELETED, _REMADE, _NO_LABEL, _NO_MARKS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the metadata of an object in the cluster tells; `entry` and `time` as in `Record`."""

    uid: str
    resource_version: str = ""
    owner: str | None = None
    """Inventory id in the owner annotation."""
    project: str = ""
    applied: str = ""
    entry: str = ""
    time: str = ""
    api_version: str = ""
    """Of our managedFields entry."""
    labelled: bool = True
    elsewhere: str = ""
    """Another instance, whose label it carries."""
    terminating: bool = False
    depends_on: str = ""
    keep: str = ""
    """The annotation that keeps it in the cluster when it leaves git, as `key: value`."""
    owners: tuple[Owner, ...] = ()
    """Of the object's fields, by managedFields."""
    last_applied: bool = False
    """It carries kubectl's annotation."""
    managed: bytes = b""
    """managedFields as JSON, where the object is to be applied; else b""."""

    def belongs_to(self, inventory: str) -> bool:
        """Whether its marks say so: an inventory id that git gives may be another instance's as well."""
        return self.owner == inventory and (not self.elsewhere or is_inventory_id(inventory))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A manifest and the `reconciler.dev/applied` mark that it would get."""

    manifest: Manifest
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One apply, and why it is needed."""

    wanted: Wanted
    why: str
    live: Live | None = None
    """What it is applied to; None where nothing is there."""
    settled: str = ""
    """The object's mark where all else agrees: nothing is sent if its values turn out to be the same."""

    @property
    def adopts(self) -> bool:
        """It makes another hand's object ours."""
        return self.why == _ADOPTED

    @property
    def corrects(self) -> bool:
        """Git says what it said, and somebody has changed the cluster."""
        return self.why in _DRIFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An object that this run leaves alone, and what to tell about it."""

    ref: ObjectRef
    outcome: Outcome
    reason: str
    message: str
    by: str = ""
    """The other project of this instance that keeps us from it, and may let it go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An object that left git; it would be pruned, or let go where `live.keep` says that it stays."""

    ref: ObjectRef
    live: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a run would send to the cluster, and nothing else."""

    steps: tuple[Step, ...] = ()
    unchanged: tuple[ObjectRef, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    staying: tuple[Candidate, ...] = ()
    """Left git and stay, each with a refusal; what they need stays as well."""
    gone: tuple[ObjectRef, ...] = ()
    """In the inventory, not in git, and seen not to exist or to be another's: only to be forgotten."""
    due: float = 0.0
    """When what is kept for a time may go, seconds since the epoch; 0 where nothing is."""


def unseen(
    wanted: Collection[ObjectRef], records: Mapping[ObjectRef, Record], live: Mapping[ObjectRef, Live]
) -> tuple[ObjectRef, ...]:
    """
    References that the LIST by our label did not show, and about which the plan must know.

    It shows only what carries the label; the object may still be there without it.
    """
    return tuple(ref for ref in sorted({*wanted, *records}) if ref not in live)


def plan(
    wanted: Iterable[Wanted],
    *,
    records: Mapping[ObjectRef, Record],
    live: Mapping[ObjectRef, Live],
    inventory: str,
    policy: InventoryPolicy,
    records_namespace: str,
    heir: Heir,
    why_not: Callable[[ObjectRef], str] = lambda _ref: "",
    claimed: Mapping[ObjectRef, str] = MappingProxyType({}),
    others: OtherProjects = NOBODY,
) -> Plan:
    """
    Compare what git declares with our records and with the cluster; departing.py adds what left git.

    `live` must be complete for `wanted`: a missing reference does not exist. `inventory` is our
    inventory id, `heir` says whose fields become ours; the service's own records are in
    `records_namespace`. `why_not` says why the project may not have an object ("" if it may).
    `claimed` are references that other projects of this process declare first, by project;
    `others` are all other projects, as their records show them.
    """
    wanted = tuple(wanted)
    steps: list[Step] = []
    unchanged: list[ObjectRef] = []
    refusals: list[Refusal] = []
    for want in wanted:
        if is_record(want.manifest.ref, namespace=records_namespace):
            refusals.append(_own_record(want.manifest.ref))
            continue
        if why := why_not(want.manifest.ref):
            refusals.append(_not_allowed(want.manifest.ref, why))
            continue
        there = live.get(want.manifest.ref)
        ours = there is not None and there.belongs_to(inventory)
        if not ours and (other := claimed.get(want.manifest.ref)):
            owner = others.owning(want.manifest.ref, there.owner) if there else ""
            # Told alike in every run, whichever of the two was first in this one.
            refusals.append(_owned(want.manifest.ref, owner) if owner else _claimed(want.manifest.ref, other))
            continue
        decision = _decide(want, records.get(want.manifest.ref), there, inventory, policy, heir, others)
        if isinstance(decision, Step) and decision.adopts and _may_hold_keys(want, records_namespace):
            decision = _keys(want.manifest.ref)
        match decision:
            case Step():
                steps.append(decision)
            case Refusal():
                refusals.append(decision)
            case None:
                unchanged.append(want.manifest.ref)
    _follow_sources(wanted, steps, unchanged, live)
    return Plan(steps=tuple(steps), unchanged=tuple(unchanged), refusals=tuple(refusals))


def applies_to(
    want: Wanted,
    record: Record | None,
    live: Live,
    *,
    inventory: str,
    policy: InventoryPolicy,
    heir: Heir,
    others: OtherProjects = NOBODY,
) -> bool:
    """Whether the plan may hold an apply to this object: what else a run needs of it is to be kept."""
    return isinstance(_decide(want, record, live, inventory, policy, heir, others), Step)


def _follow_sources(
    wanted: Iterable[Wanted], steps: list[Step], unchanged: list[ObjectRef], live: Mapping[ObjectRef, Live]
) -> None:
    """Look again at objects that take values from what is about to be applied."""
    changing = {step.wanted.manifest.ref for step in steps}
    waiting = [want for want in wanted if want.manifest.substitutions and want.manifest.ref not in changing]
    found = True
    while found:
        found = False
        for want in tuple(waiting):
            ref = want.manifest.ref
            source = next((s.source for s in want.manifest.substitutions if s.source in changing), None)
            if source is None or ref not in unchanged:
                continue
            unchanged.remove(ref)
            waiting.remove(want)
            steps.append(
                Step(wanted=want, why=f"takes values of {source}", live=live[ref], settled=live[ref].applied)
            )
            changing.add(ref)
            found = True


def _decide(
    want: Wanted,
    record: Record | None,
    live: Live | None,
    inventory: str,
    policy: InventoryPolicy,
    heir: Heir,
    others: OtherProjects,
) -> Step | Refusal | None:
    if live is None:
        return Step(wanted=want, why=_DELETED if record and record.uid else "not in the cluster")
    ref = want.manifest.ref
    if live.terminating:
        return Refusal(
            ref=ref,
            outcome=Outcome.BLOCKED,
            reason=Reason.TERMINATING,
            message="is being deleted and created again when it is gone; if it stays, look at its finalizers",
        )
    if live.belongs_to(inventory):
        why = _why_apply(want, record, live, heir)
        return Step(wanted=want, why=why, live=live) if why else None
    # Without marks, only the uid that we were given tells ours from one made anew by another hand.
    if live.owner is None and record is not None and record.uid == live.uid:
        return Step(wanted=want, why=_NO_MARKS, live=live)
    if giver := others.releasing(ref, live.uid, live.owner):
        return Step(wanted=want, why=f"handed over by project {giver}", live=live)
    if project := others.owning(ref, live.owner):
        return _owned(ref, project)
    return _foreign(want, live, policy, others)


def _why_apply(want: Wanted, record: Record | None, live: Live, heir: Heir) -> str:
    """Why an object of ours has to be applied again; "" when everything agrees."""
    if record is None or not record.uid:
        # What was imported with the old agent's inventory carries its owner mark, and none of ours.
        return "applied but not recorded" if live.applied else "taken over with its inventory"
    if record.uid != live.uid:
        return _REMADE
    if live.applied != want.mark:
        return "changed in git"
    if not live.labelled:
        return _NO_LABEL
    if (record.entry, record.time, record.api_version) != (live.entry, live.time, want.manifest.api_version):
        return _CHANGED
    return told_predecessors(predecessors(live.owners, heir))


def told_predecessors(owners: Iterable[Owner]) -> str:
    """`fields taken over from agentk, kubectl`; "" where there is nobody."""
    names = sorted({owner.manager for owner in owners})
    return f"fields taken over from {', '.join(names)}" if names else ""


def _foreign(want: Wanted, live: Live, policy: InventoryPolicy, others: OtherProjects) -> Step | Refusal:
    # Table of gitlab-agent.md 3.8, apply rows.
    adopt = policy == "adopt_all" or (policy == "adopt_if_no_inventory" and live.owner is None)
    if adopt:
        return Step(wanted=want, why=_ADOPTED, live=live)
    if live.owner is None:
        return Refusal(
            ref=want.manifest.ref,
            outcome=Outcome.SKIPPED,
            reason=Reason.NOT_OURS,
            message="exists and was not made by this project; "
            "to take it over set inventory_policy: adopt_if_no_inventory",
        )
    owner = f"project {live.project}" if live.project else f"inventory {live.owner}"
    if live.elsewhere:
        owner += f" of instance {live.elsewhere}"
    mend = "remove it from one of the two"
    if departed := others.departed(live.owner):
        owner = f"project {departed}, which has left the configuration"
        mend = f"run `reconciler delete-project {departed}`, which hands it over"
    return Refusal(
        ref=want.manifest.ref,
        outcome=Outcome.BLOCKED if live.project else Outcome.SKIPPED,
        reason=Reason.OWNED_BY_ANOTHER,
        message=f"belongs to {owner}; {mend}, or set inventory_policy: adopt_all",
    )


def _not_allowed(ref: ObjectRef, why: str) -> Refusal:
    return Refusal(ref=ref, outcome=Outcome.FAILED, reason=NotAllowed.reason, message=why)


def _owned(ref: ObjectRef, project: str) -> Refusal:
    return _disputed(ref, project, f"belongs to project {project}, which declares it as well")


def _claimed(ref: ObjectRef, other: str) -> Refusal:
    return _disputed(ref, other, f"project {other} declares it too")


def _disputed(ref: ObjectRef, by: str, how: str) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=Outcome.BLOCKED,
        reason=Reason.OWNED_BY_ANOTHER,
        message=f"{how}; remove it from one of the two",
        by=by,
    )


def _may_hold_keys(want: Wanted, namespace: str) -> bool:
    """Credentials for git are Secrets beside the records, and say themselves where they may be sent."""
    ref = want.manifest.ref
    return not ref.group and ref.kind == "Secret" and ref.namespace == namespace


def _keys(ref: ObjectRef) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=Outcome.SKIPPED,
        reason=Reason.PROTECTED,
        message="is a Secret beside the service's credentials that another hand made, "
        "which no project may take over; give it another name",
    )


def _own_record(ref: ObjectRef) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=Outcome.SKIPPED,
        reason=Reason.PROTECTED,
        message="is a record of the service itself, which no project may write; give it another name",
    )
