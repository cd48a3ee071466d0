"""
One run of a manifest project: the list of steps, and what they found, as a report.

    read git -> compare with records and cluster -> record -> apply -> prune -> record -> report

Each step takes values and gives values; what may be done is decided in plan.py and
guard.py. A run that cannot read something completely does nothing for what that covers,
and prunes nothing at all.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from reconciler.cluster.resource import Resource
from reconciler.cluster.takeover import Heir
from reconciler.errors import ReconcilerError
from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.manifests.manifest import ManifestSet
from reconciler.sync import marks, rewind
from reconciler.sync.allowed import allowed_of
from reconciler.sync.apply import Applying, ApplyPass, Kinds, Standing
from reconciler.sync.compare import Comparison, compare
from reconciler.sync.departing import Around
from reconciler.sync.findings import Findings
from reconciler.sync.identities import Identity
from reconciler.sync.importer import Importer
from reconciler.sync.inventory import Record
from reconciler.sync.leaving import Decision, Leaving
from reconciler.sync.oldagent import OldAgent
from reconciler.sync.others import OtherProjects
from reconciler.sync.outcome import (
    BAD,
    ObjectReport,
    ProjectReport,
    State,
)
from reconciler.sync.ownership import SCALER, FieldOwnership, Scalers
from reconciler.sync.plan import Candidate, Live, Plan
from reconciler.sync.preview import Preview, PreviewPass
from reconciler.sync.prune import PrunePass, Pruning
from reconciler.sync.recording import Recording, between_projects, new_record
from reconciler.sync.records import ProjectRecords
from reconciler.sync.rendering import Rendering
from reconciler.sync.replacing import Owned, Replacing
from reconciler.sync.request import Parts, Request
from reconciler.sync.rewind import LookingBack
from reconciler.sync.substituting import Substituting, tainted
from reconciler.sync.walk import Walk

log = logging.getLogger(__name__)


class Run:
    """The steps of one run, and what they share."""

    def __init__(
        self,
        parts: Parts,
        who: Identity,
        request: Request,
        kinds: Kinds,
        key: bytes,
        manifests: ManifestSet,
        records: ProjectRecords,
        find_others: Callable[[Collection[ObjectRef]], Awaitable[OtherProjects]],
    ) -> None:
        self.parts = parts
        self.who = who
        self.request = request
        self.project = request.project
        self.kinds = kinds
        self.manifests = manifests
        self.records = records
        self.allowed = allowed_of(self.project, parts.cluster.reach)
        self.manager = marks.field_manager(self.project.id)
        self.heir = Heir(self.manager, marks.MANAGERS, frozenset(self.project.take_over))
        self.ownership = FieldOwnership(
            who.cluster,
            instance=parts.instance,
            heir=self.heir,
            scalers=Scalers(who.cluster, find=kinds.discovery.preferred, declared=self._declared_scalers),
        )
        self.declared = {m.ref: m for m in manifests.manifests}
        self.unusable = manifests.claimed - self.declared.keys()
        self.rendering = Rendering(
            key=key,
            instance=parts.instance,
            project=self.project.id,
            records=records,
            values=Substituting(who.cluster, kinds, request.source),
        )
        self.tainted = tainted(manifests.manifests)
        self.sent: ApplyPass | None = None
        self.claimed: Mapping[ObjectRef, str] = {}
        self.find_others = find_others
        self.around = Around(now=parts.wall(), grace=request.project.prune_grace)
        self.findings = Findings(
            self.project.id,
            manifests,
            revision=request.revision,
            dry_run=self.project.dry_run_strategy != "none",
            progress=parts.progress,
        )
        self.recording = Recording(
            parts.records,
            records,
            project=self.project.id,
            instance=parts.instance,
            active=self.project.dry_run_strategy == "none",
        )
        self.replacing = Replacing(
            who.cluster,
            instance=parts.instance,
            manager=self.manager,
            owned=self._owned,
            guarded_kinds=self.project.guarded_kinds,
            propagation=self.project.prune_propagation_policy,
            unsettle=self.recording.unsettle,
            secret=self.tainted,
            dry_run=request.preview is not None or self.project.dry_run_strategy != "none",
        )
        self.leaving = Leaving(
            self.project,
            manifests,
            records,
            records=parts.records,
            recording=self.recording,
            kinds=kinds,
            findings=self.findings,
            make_pass=self._prune_pass,
        )
        self.back = LookingBack(
            self.project,
            request.revision,
            records,
            recording=self.recording,
            moved_back=request.source.moved_back,
            is_approved=self.leaving.is_approved,
        )

    async def carry_out(self) -> ProjectReport:
        """All steps, in their order; raises what makes the run as a whole impossible."""
        try:
            return await self._carry_out()
        finally:
            await self.back.close()

    async def _carry_out(self) -> ProjectReport:
        unread = next(iter(self.manifests.unread), "")
        self.claimed = self.parts.claims.take(self.project.id, self.manifests.claimed, unread=unread)
        if held := await self._why_held():
            return self.findings.hold(held)
        held, plan_hash = await self.back.begin()
        if held:
            return self.findings.hold(held, plan_hash=plan_hash)
        await self._look_around()
        await self.rendering.look_up_values(self.manifests.manifests)
        missing = self.records.head is None and not self._are_records_unread
        everywhere = missing and await self.who.marked.names(self.records.owner, self.kinds.discovery)
        compared = await self._compare(everywhere=everywhere)
        if (damage := self._damage(compared)) and not everywhere:
            compared = await self._compare(everywhere=True)
        work = self._adopt_strays(compared, damage)
        nodes = [order.Node(m.ref, m.depends_on, m.defines) for m in self.declared.values()]
        # What is named but cannot be applied blocks those that need it; only a name that git does
        # not hold at all makes them invalid themselves.
        graph = order.build(nodes, known=_left_git(work) | self.unusable)
        self.findings.refusals(work, graph, compared, self.records.inventory.records)
        if self.project.strict and (self.manifests.problems or graph.invalid):
            return self.findings.report(
                None, reason_first="strict: nothing is applied while a manifest has an error"
            )
        if self.project.dry_run_strategy == "client":
            self.findings.dry_run(work)
            return self.findings.report(None)
        await self._record(work, compared)
        lost = await self._apply(work, graph, compared)
        decision = Decision()
        if not lost and not self._stopped:
            decision = await self.leaving.decide(work, compared, self.around.others)
        # What nothing new may stand in for goes at once, the rest when the new is well.
        kept = await self._prune(decision.candidates, graph, work.staying)
        if self._waits and not lost and not self._stopped:
            lost = await self._await_ready(compared.live)
            kept = await self._prune(kept, graph, work.staying)
        if not lost and not self._stopped:
            self.leaving.report_kept(kept, waited=self._waits)
        self.recording.gone(work.gone)
        self.recording.left(self.manifests, now=self.around.now)
        complete = not lost and not self._stopped
        settled = self.recording.approved or not (work.candidates or compared.strays or compared.unread)
        if not self._stopped and (note := await self.back.end()):
            self.findings.notes.append(note)
        report = self.findings.report(decision.held, stopped=self._stopped)
        rewound = rewind.told(self.recording.rewound)
        report = replace(report, due_in=max(0.0, work.due - self.around.now), rewound=rewound)
        await self.recording.after(report if complete else None, sound=complete and settled)
        if lost:
            raise lost
        return replace(report, released=self.recording.released)

    async def _why_held(self) -> str:
        """Why nothing at all may be written for the project; "" lets it go on."""
        importer = Importer(
            self.project,
            self.manifests,
            self.records,
            old=OldAgent(self.parts.cluster),
            neighbours=self.parts.neighbours,
            recording=self.recording,
            records=self.parts.records,
            live=self.who.live,
            kinds=self.kinds,
            instance=self.parts.instance,
            records_namespace=self.parts.records_namespace,
        )
        # Of records that could not be read nobody knows whether they are to be made.
        due = importer.is_due and not self._are_records_unread
        held = await importer.carry_out() if due else ""
        if not due and (unheard := importer.unheard()):
            self.findings.notes.append(unheard)
        self.findings.notes += importer.notes
        return held

    @property
    def _stopped(self) -> bool:
        return self.request.stop.is_set()

    @property
    def _waits(self) -> bool:
        """Nothing becomes ready of a dry-run."""
        return self.request.wait and self.project.dry_run_strategy == "none"

    @property
    def _are_records_unread(self) -> bool:
        """Only a preview goes on without them."""
        return self.request.preview is not None and bool(self.request.preview.unrecorded)

    async def _look_around(self) -> None:
        """What the other projects declare and own, as far as this run may touch it."""
        if self._are_records_unread:
            return  # nor can anybody else's be read
        recorded = self.records.inventory.records.keys()
        self.around = replace(self.around, others=await self.find_others(recorded))
        if any(ref.kind in _CONTAINERS for ref in recorded - self.manifests.claimed):
            elsewhere = await self.parts.records.of_others(self.project.id)
            self.around = replace(self.around, elsewhere=elsewhere)

    async def _record(self, work: Plan, compared: Comparison) -> None:
        """Write down what is about to be created, and what other projects have to know before."""
        records = self.records.inventory.records
        wanted = [step.wanted.manifest for step in work.steps]
        created = [m for m in wanted if m.ref not in compared.live or m.ref not in records]
        between = between_projects(
            work, records, self.manifests, prune=self.project.prune, now=self.around.now
        )
        await self.recording.before([*map(new_record, created), *between])

    # -- compare ---------------------------------------------------------------------

    async def _compare(self, *, everywhere: bool = False) -> Comparison:
        return await compare(
            self.manifests,
            self.records.inventory.records,
            live_objects=self.who.live,
            discovery=self.kinds.discovery,
            inventory=self.records.owner,
            policy=self.project.inventory_policy,
            mark=self.rendering.mark,
            records_namespace=self.parts.records_namespace,
            heir=self.heir,
            why_not=self.allowed.why_not,
            claimed=self.claimed,
            around=self.around,
            everywhere=await self.who.marked.kinds(self.kinds.discovery) if everywhere else {},
        )

    def _damage(self, compared: Comparison) -> str:
        """Why the records cannot be fully believed; "" if they can."""
        if self._are_records_unread:
            return ""  # which says nothing of what they hold
        marked = bool(compared.strays) or any(
            found.belongs_to(self.records.owner) for found in compared.live.values()
        )
        if self.records.head is None and marked:
            return "the inventory is missing while objects with our mark exist"
        return self.records.inventory.damage

    def _adopt_strays(self, compared: Comparison, damage: str) -> Plan:
        """
        The plan, with records that were lost: what carries our mark is recorded again, and held.

        A mark alone never proves ownership, so the damage stays noted until a person
        approves the very list, or nothing is left to be pruned.
        """
        work, lost = compared.plan, compared.stray_plan
        if not damage:
            return work
        self.findings.warn(f"inventory not to be believed: {damage}; nothing is pruned without approval")
        self.recording.adopt(compared.strays, damage=damage)
        return replace(
            work,
            candidates=(*work.candidates, *lost.candidates),
            staying=(*work.staying, *lost.staying),
            refusals=(*work.refusals, *lost.refusals),
        )

    # -- apply -------------------------------------------------------------------------

    async def _apply(self, work: Plan, graph: order.Graph, compared: Comparison) -> ReconcilerError | None:
        live = compared.live
        if self.request.preview is not None:
            return await self._look(self.request.preview, work, graph, compared)
        steps = {step.wanted.manifest.ref: step for step in work.steps}
        records = self.records.inventory.records
        standing = {
            ref: Standing(self._resource(ref), records[ref].uid, live[ref].resource_version)
            for ref in (*work.unchanged, *(ref for ref, step in steps.items() if step.settled))
        }
        applying = ApplyPass(
            self._walk(work, graph),
            steps,
            standing,
            cluster=self.who.cluster,
            kinds=self.kinds,
            readiness=self.who.readiness,
            settings=Applying(
                manager=self.manager,
                timeout=self.project.reconcile_timeout,
                wait=False,
                going=self.project.prune_timeout,
                dry_run=self.project.dry_run_strategy == "server",
                secret=self.tainted,
            ),
            ownership=self.ownership,
            replacing=self.replacing,
            declared=self.rendering.declared,
            mark=self.rendering.mark_of,
            render=self.rendering.render,
            since=partial(_since, compared),
            stop=self.request.stop,
            save=lambda: self._save(applying.applied.values(), (), applying.reports),
            timings=self.parts.timings,
            progress=self.findings.tell,
        )
        await applying.run()
        self.recording.applied(applying.applied.values())
        self.sent = applying
        for report in (*applying.reports.values(), *applying.blocked()):
            self.findings.take(report)
        return applying.lost

    def _walk(self, work: Plan, graph: order.Graph) -> Walk:
        """Everything that is applied or unchanged, in its order; what is not well blocks."""
        going = {*work.unchanged, *(step.wanted.manifest.ref for step in work.steps)} - graph.invalid.keys()
        acting = [ref for layer in graph.layers for ref in layer if ref in going]
        bad = [ref for ref in {*self.findings.reports, *graph.invalid, *self.unusable} if ref not in going]
        return Walk(acting, graph.needs, bad=[*bad, *_left_git(work)])

    async def _look(
        self, preview: Preview, work: Plan, graph: order.Graph, compared: Comparison
    ) -> ReconcilerError | None:
        """In place of the applies: find out what they would do."""
        looking = PreviewPass(
            self._walk(work, graph),
            {step.wanted.manifest.ref: step for step in work.steps},
            existing=compared.live.keys(),
            needs=graph.needs,
            cluster=self.who.cluster,
            kinds=self.kinds,
            manager=self.manager,
            ownership=self.ownership,
            declared=self.rendering.declared,
            plain=lambda step: self.request.source.body(step.wanted.manifest),
            tainted=self.tainted,
            replacing=self.replacing,
            mark=self.rendering.mark_of,
            render=self.rendering.render,
            readiness=self.who.readiness,
            stop=self.request.stop,
            timings=self.parts.timings,
            progress=self.findings.tell,
        )
        await looking.run()
        for report in (*looking.reports.values(), *looking.blocked()):
            self.findings.take(report)
        preview.take(looking.changes, work, compared)
        return looking.lost

    async def _await_ready(self, live: Mapping[ObjectRef, Live]) -> ReconcilerError | None:
        """Wait for all that was sent, or is as git has it, and of which nothing was heard yet."""
        sent = self.sent
        if sent is None:
            return None
        records = {**self.records.inventory.records, **sent.applied}
        waiting = {}
        for ref, report in sent.reports.items():
            if report.outcome in BAD or report.health:
                continue
            waiting[ref] = sent.sent.get(ref) or Standing(
                self._resource(ref), records[ref].uid, live[ref].resource_version
            )
        pending = ApplyPass(
            Walk(sorted(waiting), {}),
            {},
            waiting,
            so_far={ref: sent.reports[ref] for ref in waiting},
            cluster=self.who.cluster,
            kinds=self.kinds,
            readiness=self.who.readiness,
            settings=Applying(manager=self.manager, timeout=self.project.reconcile_timeout, wait=True),
            ownership=self.ownership,
            replacing=self.replacing,
            declared=self.rendering.declared,
            mark=self.rendering.mark_of,
            render=self.rendering.render,
            since=lambda _ref, _version: "",
            stop=self.request.stop,
            save=lambda: self._save((), (), pending.reports),
            timings=self.parts.timings,
            progress=self.findings.tell,
        )
        if sent.applied:
            pending.wrote()
        self.request.resting(True)
        try:
            await pending.run()
        finally:
            self.request.resting(False)
        for report in pending.reports.values():
            self.findings.take(report)
        return pending.lost

    async def _save(
        self,
        applied: Iterable[Record],
        gone: Iterable[ObjectRef],
        reports: Mapping[ObjectRef, ObjectReport],
    ) -> None:
        self.recording.applied(applied)
        self.recording.gone(gone)
        await self.recording.save()
        interim = self.findings.report(None, stopped=True, so_far=reports.values())
        released = self.recording.released
        self.request.waiting(replace(interim, state=State.PROGRESSING, released=released))

    def _owned(self, ref: ObjectRef) -> Owned:
        inventory = self.records.inventory
        return Owned(record=inventory.records.get(ref), inventory=self.records.owner, damage=inventory.damage)

    def _resource(self, ref: ObjectRef) -> Resource | None:
        manifest = self.declared[ref]
        return self.kinds.discovery.find(ref.group, split_api_version(manifest.api_version)[1], ref.kind)

    async def _declared_scalers(self, namespace: str) -> list[dict[str, Any]]:
        return [
            await self.request.source.body(m)
            for ref, m in self.declared.items()
            if (ref.group, ref.kind, ref.namespace) == (*SCALER, namespace)
        ]

    # -- prune -------------------------------------------------------------------------

    async def _prune(
        self, candidates: Sequence[Candidate], graph: order.Graph, staying: Iterable[Candidate]
    ) -> tuple[Candidate, ...]:
        if self._stopped:
            return tuple(candidates)
        return await self.leaving.prune(candidates, graph, staying=staying, waited=self._waits)

    def _prune_pass(
        self, walk: Walk, candidates: Mapping[ObjectRef, tuple[Candidate, Resource]]
    ) -> PrunePass:
        pruning = PrunePass(
            walk,
            candidates,
            cluster=self.who.cluster,
            readiness=self.who.readiness,
            settings=Pruning(
                instance=self.parts.instance,
                project=self.project.id,
                inventory=self.records.owner,
                propagation=self.project.prune_propagation_policy,
                timeout=self.project.prune_timeout,
                dry_run=self.project.dry_run_strategy == "server",
            ),
            stop=self.request.stop,
            save=lambda: self._save((), pruning.gone, pruning.reports),
            timings=self.parts.timings,
            progress=self.findings.tell,
        )
        return pruning


def _since(compared: Comparison, ref: ObjectRef, version: str) -> str:
    """The moment of the comparison, after which the object came to `version`; "" if it did before."""
    before = compared.live.get(ref)
    if before is not None and before.resource_version == version:
        return ""
    return compared.listed.get((ref.group, ref.kind), "")


_CONTAINERS = frozenset({"Namespace", "CustomResourceDefinition"})


def _left_git(work: Plan) -> set[ObjectRef]:
    """What is in the cluster still, but in git no more: nothing that needs it can be applied."""
    return {candidate.ref for candidate in (*work.candidates, *work.staying)}
