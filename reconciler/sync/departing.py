"""
Decide what becomes of the objects that left git: pruned, let go, handed over, or kept for a reason.

Pure: no I/O, no clock. Adds to the plan of what git declares (plan.py); the filters are those
of gitlab-agent.md 3.8, in their order, after the two of ours that a move between projects
needs. Whether so many may go is the guard's business.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from reconciler.manifests.identity import ObjectRef
from reconciler.sync import containers
from reconciler.sync.containers import DefinitionOf
from reconciler.sync.inventory import Record, moment, stamp
from reconciler.sync.others import NOBODY, OtherProjects
from reconciler.sync.outcome import Outcome, Reason
from reconciler.sync.plan import Candidate, Live, Plan, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a project that gives objects up has to know of the rest."""

    elsewhere: Mapping[ObjectRef, str] = field(default_factory=dict)
    """What other projects have in their inventories."""
    others: OtherProjects = NOBODY
    definition_of: DefinitionOf = lambda _ref: ""
    """Names the CustomResourceDefinition that an object's kind would come from."""
    now: float = 0.0
    """Seconds since the epoch."""
    grace: float = 0.0
    """`prune_grace`, s."""


def depart(
    work: Plan,
    *,
    declared: Collection[ObjectRef],
    records: Mapping[ObjectRef, Record],
    live: Mapping[ObjectRef, Live],
    inventory: str,
    records_namespace: str,
    around: Around,
) -> Plan:
    """
    `work`, and what becomes of what left git.

    `declared` are all references that git names, those that cannot be applied included;
    `live` must be complete for `records`: a missing reference does not exist. The service's
    own records, namespace and Leases are in `records_namespace`.
    """
    there: dict[ObjectRef, Live] = {}
    why_not: dict[ObjectRef, Refusal] = {}
    gone: list[ObjectRef] = []
    handed_over: list[Refusal] = []
    due = 0.0
    used = containers.users(declared, around.elsewhere, around.definition_of)
    uids = {live[ref].uid for ref in declared if ref in live}
    for ref in sorted(records.keys() - set(declared)):
        found, record = live.get(ref), records[ref]
        if found is None or _is_another(record, found) or found.uid in uids:
            gone.append(ref)  # the last: the same object, which git declares through another group
            continue
        if found.owner not in (None, inventory):
            if record.uid:
                handed_over.append(_handed_over(ref, found))
            gone.append(ref)
            continue
        there[ref] = found
        protected = containers.is_protected(ref, records_namespace)
        project = around.others.declaring(ref)
        if project and record.uid in ("", found.uid):
            why_not[ref] = _kept_for(ref, project)
        elif around.now < (until := _grace_ends(record, around)):
            why_not[ref] = _in_grace(ref, until)
            due = min(due or until, until)
        elif not found.keep and (
            why := _why_not_prunable(ref, record, found, inventory, used.get(ref, ""), protected)
        ):
            why_not[ref] = why
    _keep_what_would_go_along(there, why_not, around.definition_of)
    candidates = {ref: Candidate(ref=ref, live=found) for ref, found in there.items()}
    return replace(
        work,
        candidates=tuple(its for ref, its in candidates.items() if ref not in why_not),
        staying=tuple(its for ref, its in candidates.items() if ref in why_not),
        refusals=(*work.refusals, *why_not.values(), *handed_over),
        gone=tuple(gone),
        due=due,
    )


def _grace_ends(record: Record, around: Around) -> float:
    """Seconds since the epoch; whole, as what is recorded, so that it is told alike in every run."""
    return moment(record.left or stamp(around.now)) + around.grace if around.grace else 0.0


def _keep_what_would_go_along(
    there: Mapping[ObjectRef, Live], why_not: dict[ObjectRef, Refusal], definition_of: DefinitionOf
) -> None:
    """
    A container that left git stays while something in it is to stay.

    What an annotation keeps is let go only where its container stays as well: once it is in no
    inventory, nobody knows any more that the delete of the container would take it along.
    """
    for ref, found in there.items():
        if not found.keep and ref not in why_not:
            continue
        for container in containers.containers_of(ref, definition_of):
            if container not in there or there[container].keep:
                continue
            passing = ref in why_not and why_not[ref].outcome is not Outcome.SKIPPED
            outcome = Outcome.HELD if passing else Outcome.SKIPPED
            why_not.setdefault(container, _in_use(container, f"{ref} stays", outcome))
            if found.keep:
                why_not.setdefault(ref, _kept_within(ref, found, container))


def _is_another(record: Record, live: Live) -> bool:
    """
    Somebody else made what has the name, and it says nothing of us.

    Ours is gone, or never came to be: a record without uid is written before the first apply, and an
    object that the apply did not reach carries no mark.
    """
    return live.owner is None and record.uid != live.uid


def _handed_over(ref: ObjectRef, live: Live) -> Refusal:
    owner = f"project {live.project}" if live.project else f"inventory {live.owner}"
    return Refusal(
        ref=ref,
        outcome=Outcome.HANDED_OVER,
        reason=Reason.OWNED_BY_ANOTHER,
        message=f"left git and belongs to {owner} now; kept",
    )


def _why_not_prunable(
    ref: ObjectRef, record: Record, live: Live, inventory: str, user: str, protected: bool
) -> Refusal | None:
    reason, message = None, ""
    if protected:
        reason, message = Reason.PROTECTED, "left git, but the service needs it and never prunes it"
    elif not live.belongs_to(inventory):
        reason = Reason.NOT_OURS
        message = "left git, but does not carry our owner mark; delete it by hand if it may go"
    elif record.uid and record.uid != live.uid:
        reason = Reason.NOT_OURS
        message = "left git, but was re-created by another hand since; delete it by hand if it may go"
    elif user:
        return _in_use(ref, user)
    if not reason:
        return None
    return Refusal(ref=ref, outcome=Outcome.SKIPPED, reason=reason, message=message)


def _in_use(ref: ObjectRef, user: str, outcome: Outcome = Outcome.SKIPPED) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=outcome,
        reason=Reason.IN_USE,
        message=f"left git, but is still in use: {user}",
    )


def _kept_within(ref: ObjectRef, live: Live, container: ObjectRef) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=Outcome.HELD,
        reason=Reason.KEPT,
        message=f"left git and is to be kept ({live.keep}), but {container} left git as well "
        "and would take it along; annotate that too, or take the annotation off this one",
    )


def _kept_for(ref: ObjectRef, project: str) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=Outcome.HANDED_OVER,
        reason=Reason.OWNED_BY_ANOTHER,
        message=f"left git; kept for project {project}, which declares it",
    )


def _in_grace(ref: ObjectRef, until: float) -> Refusal:
    return Refusal(
        ref=ref,
        outcome=Outcome.HELD,
        reason=Reason.PRUNE_GRACE,
        message=f"left git; kept until {stamp(until)} (prune_grace), so that another project can declare it",
    )
