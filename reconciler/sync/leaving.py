"""
What becomes of the objects that left git in one run: held, kept for now, or pruned.

All or nothing first (guard, approval, what could not be read), then object by object: one
that something new and unwell may stand in for stays until that is well. prune.py deletes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from reconciler.cluster.errors import ClusterError, DiscoveryIncomplete
from reconciler.cluster.resource import Resource
from reconciler.config.models import ManifestProject
from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import ManifestSet
from reconciler.sync import guard
from reconciler.sync.apply import Kinds
from reconciler.sync.compare import Comparison
from reconciler.sync.findings import Findings
from reconciler.sync.others import OtherProjects
from reconciler.sync.outcome import Held, Outcome, Reason
from reconciler.sync.plan import Candidate, Plan
from reconciler.sync.prune import PrunePass, prune_walk
from reconciler.sync.recording import Recording
from reconciler.sync.records import ProjectRecords, Records

MakePass = Callable[..., PrunePass]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`held` with nothing to prune, or the candidates that may go."""

    held: Held | None = None
    candidates: tuple[Candidate, ...] = ()


class Leaving:
    """One run's objects that left git."""

    def __init__(
        self,
        project: ManifestProject,
        manifests: ManifestSet,
        kept: ProjectRecords,
        *,
        records: Records,
        recording: Recording,
        kinds: Kinds,
        findings: Findings,
        make_pass: MakePass,
    ) -> None:
        self._project = project
        self._manifests = manifests
        self._kept = kept
        self._records = records
        self._recording = recording
        self._kinds = kinds
        self._findings = findings
        self._make_pass = make_pass

    async def decide(self, work: Plan, compared: Comparison, others: OtherProjects) -> Decision:
        """What may be pruned in this run, all or nothing."""
        if not work.candidates:
            return Decision()
        if not self._project.prune:
            stay = len(work.candidates)
            self._findings.notes.append(f"prune is false; objects that left git and stay: {stay}")
            return Decision()
        held = self._why_held(work, compared, others)
        approved = False
        if held and held.plan_hash:
            try:
                approved = await self.is_approved(held.plan_hash)
            except ClusterError as error:
                # What was applied is still to be recorded and told; the prune waits.
                unknown = f"whether it is approved cannot be read: {error.what}"
                held = replace(held, reason=f"{held.reason}; {unknown}")
        if held and not approved:
            for ref in held.objects:
                self._findings.note(ref, Outcome.HELD, Reason.PRUNE_HELD, "left git; " + held.reason)
            return Decision(held=held)
        if held is not None:
            self._recording.use_approval()
            # That nothing is pruned without approval is not true of this run.
            self._findings.notes.clear()
        return Decision(candidates=work.candidates)

    def _why_held(self, work: Plan, compared: Comparison, others: OtherProjects) -> Held | None:
        objects = tuple(candidate.ref for candidate in work.candidates)
        if unknown := self._unknown(compared):
            return Held(reason=unknown, plan_hash="", objects=objects)
        reason = guard.why_held(
            work.candidates,
            declared=len(self._manifests.claimed),
            recorded=len(self._kept.inventory.records) + len(compared.strays),
            limit=self._project.prune_limit,
            guarded_kinds=self._project.guarded_kinds,
        )
        if doubt := others.unknown():
            reason = f"another project may declare what left git here, and that is not known: {doubt}"
        if damage := self._kept.inventory.damage:
            reason = f"inventory not to be believed: {damage}"
        if reason is None:
            return None
        digest = guard.plan_hash(self._project.id, self._kept.owner, work.candidates)
        return Held(reason=reason, plan_hash=digest, objects=objects)

    def _unknown(self, compared: Comparison) -> str:
        """What was not read completely; no approval helps against not knowing."""
        if self._manifests.unread:
            unread = self._manifests.unread[0]
            return (
                f"{unread} cannot be read and may declare what seems to have left git; mend it to prune again"
            )
        if compared.unread:
            (group, kind), error = next(iter(compared.unread.items()))
            return f"{kind}{'.' + group if group else ''} cannot be read: {error.what}"
        return ""

    async def is_approved(self, plan_hash: str) -> bool:
        """Whether a person has approved just this."""
        if self._kept.head is None:
            return False
        return plan_hash in (self._kept.approved, await self._records.reread_approval(self._kept))

    async def prune(
        self,
        candidates: Sequence[Candidate],
        graph: order.Graph,
        *,
        staying: Iterable[Candidate],
        waited: bool,
    ) -> tuple[Candidate, ...]:
        """Prune those that nothing unwell may stand in for, and return the others; `staying` stay anyway."""
        standing = self._standing_in(candidates, waited=waited)
        kept = tuple(candidate for candidate in candidates if candidate.ref in standing)
        if going := [candidate for candidate in candidates if candidate.ref not in standing]:
            await self._delete(going, graph, staying=(*staying, *kept))
        return kept

    def report_kept(self, candidates: Iterable[Candidate], *, waited: bool) -> None:
        """Say of each that was kept which object it is kept for."""
        for ref, cause in self._standing_in(candidates, waited=waited).items():
            message = f"left git; kept until {cause}, which may take its place, is well"
            self._findings.note(ref, Outcome.HELD, Reason.PRUNE_HELD, message)

    def _standing_in(self, candidates: Iterable[Candidate], *, waited: bool) -> dict[ObjectRef, ObjectRef]:
        """
        For each candidate a declared object of the same name, or a new one of its kind, that is not well.

        It may be what became of the object that left: renamed, moved, or its kind misspelt. What was
        there before is not, and must not keep a whole kind from being pruned for as long as it fails.
        """
        unwell = self._findings.unwell(waited=waited)
        records = self._kept.inventory.records
        by_name = {ref.name: ref for ref in unwell}
        by_kind = {
            (ref.group, ref.kind): ref for ref in unwell if self._findings.is_new_or_changed(ref, records)
        }
        found = {
            candidate.ref: by_name.get(candidate.ref.name)
            or by_kind.get((candidate.ref.group, candidate.ref.kind))
            for candidate in candidates
        }
        return {ref: cause for ref, cause in found.items() if cause is not None}

    async def _delete(
        self, candidates: Sequence[Candidate], graph: order.Graph, *, staying: Sequence[Candidate]
    ) -> None:
        resources: dict[ObjectRef, tuple[Candidate, Resource]] = {}
        for candidate in candidates:
            try:
                resource = self._kinds.discovery.preferred(candidate.ref.group, candidate.ref.kind)
            except DiscoveryIncomplete as error:  # it could be asked when the plan was made
                message = f"left git and stays: {error.what}; {error.mend}"
                self._findings.note(candidate.ref, Outcome.SKIPPED, error.reason, message)
                continue
            if resource is not None:
                resources[candidate.ref] = (candidate, resource)
        walk = prune_walk([candidate for candidate, _ in resources.values()], graph, staying=staying)
        pruning = self._make_pass(walk, resources)
        await pruning.run()
        self._findings.reports.update(pruning.reports)
        for ref, cause in walk.blocked.items():
            message = f"left git, but {cause} still depends on it"
            self._findings.note(ref, Outcome.SKIPPED, Reason.DEPENDENCY, message)
        self._recording.gone(pruning.gone)
