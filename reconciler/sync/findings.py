"""
What one run has found so far: a report for each object, and the project's report out of them.

No I/O and no decisions about the cluster; run.py and leaving.py tell it what happened.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from reconciler.cluster.errors import KindNotServed
from reconciler.errors import with_mend
from reconciler.git.mirror import Revision
from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import FileProblem, ManifestSet
from reconciler.sync.compare import Comparison
from reconciler.sync.inventory import Record
from reconciler.sync.outcome import (
    BAD,
    CLIENT_NOTE,
    Held,
    ObjectReport,
    Outcome,
    ProjectReport,
    Reason,
    State,
    project_state,
)
from reconciler.sync.plan import Candidate, Plan

log = logging.getLogger(__name__)

NAMELESS_SHOWN: Final = 50
"""Problems of documents that name no object; the rest are counted in the reason."""
_CHANGED: Final = frozenset({Outcome.CREATED, Outcome.UPDATED})
_UNWRITTEN: Final = _CHANGED | {Outcome.HELD}


class Findings:
    """Reports by reference, notes, and what `progress` is told of each change."""

    def __init__(
        self,
        project: str,
        manifests: ManifestSet,
        *,
        revision: Revision,
        dry_run: bool,
        progress: Callable[[str, ObjectReport], None],
    ) -> None:
        self.reports: dict[ObjectRef, ObjectReport] = {}
        self.notes: list[str] = []
        self._project = project
        self._manifests = manifests
        self._origin = {m.ref: m.origin for m in manifests.manifests}
        self._revision = revision
        self._dry_run = dry_run
        self._progress = progress
        for problem in manifests.problems:
            if problem.ref is not None:
                self._broken(problem.ref, problem)

    def _broken(self, ref: ObjectRef, problem: FileProblem) -> None:
        report = ObjectReport(
            ref=ref,
            outcome=Outcome.FAILED,
            reason=KindNotServed.reason if problem.kind_unknown else Reason.MANIFEST_INVALID,
            message=with_mend(problem.what, problem.mend),
            path=problem.path,
            line=problem.line,
        )
        self.take(report)
        self.tell(report)

    def note(self, ref: ObjectRef, outcome: Outcome, reason: str = "", message: str = "") -> None:
        """One object's outcome, decided without sending anything."""
        report = ObjectReport(ref=ref, outcome=outcome, reason=reason, message=message)
        self.take(report)
        self.tell(report)

    def take(self, report: ObjectReport) -> None:
        """Keep a report, with file and line where git has the object."""
        self.reports[report.ref] = self._placed(report)

    def tell(self, report: ObjectReport) -> None:
        """Let whoever watches know."""
        self._progress(self._project, self._placed(report))

    def _placed(self, report: ObjectReport) -> ObjectReport:
        origin = self._origin.get(report.ref)
        if origin is None or report.path:
            return report
        return replace(report, path=origin.path, line=origin.line)

    def warn(self, note: str) -> None:
        """A sentence about the whole project, for its report and the log."""
        self.notes.append(note)
        log.warning("project %s: %s", self._project, note)

    def refusals(
        self, work: Plan, graph: order.Graph, compared: Comparison, records: Mapping[ObjectRef, Record]
    ) -> None:
        """All that the plan leaves alone, and why."""
        for refusal in work.refusals:
            self.note(refusal.ref, refusal.outcome, refusal.reason, refusal.message)
        for ref, why in graph.invalid.items():
            self.note(ref, Outcome.FAILED, Reason.DEPENDENCY_INVALID, why)
        for ref in self._origin:
            if error := compared.unread.get((ref.group, ref.kind)):
                message = f"not applied, what is there cannot be read: {error.what}; {error.mend}"
                self.note(ref, Outcome.FAILED, error.reason, message)
            elif error := compared.unkept.get((ref.group, ref.kind)):
                self.note(ref, Outcome.FAILED, error.reason, f"{error.what}; {error.mend}")
        for problem in self._manifests.problems:
            if problem.ref and problem.kind_unknown:
                self._unknown(problem.ref, compared)
        for ref in sorted(records.keys() - self._manifests.claimed):
            if error := compared.unread.get((ref.group, ref.kind)):
                message = f"left git and stays, what is there cannot be read: {error.what}; {error.mend}"
                self.note(ref, Outcome.SKIPPED, error.reason, message)

    def _unknown(self, ref: ObjectRef, compared: Comparison) -> None:
        """A kind is unknown also where its API does not answer: then nobody can say whether it is served."""
        if error := compared.unread.get((ref.group, ref.kind)):
            message = f"{error.what}; {error.mend}"
            self.take(replace(self.reports[ref], reason=error.reason, message=message))

    def dry_run(self, work: Plan) -> None:
        """What a run that writes nothing would have done."""
        for step in work.steps:
            self.note(step.wanted.manifest.ref, Outcome.HELD, Reason.DRY_RUN, f"would be applied: {step.why}")
        for ref in work.unchanged:
            self.note(ref, Outcome.UNCHANGED)
        for candidate in work.candidates:
            self.note(candidate.ref, Outcome.HELD, Reason.DRY_RUN, would_become(candidate))
        self.notes.append(CLIENT_NOTE)

    def unwell(self, *, waited: bool) -> list[ObjectRef]:
        """
        Declared objects that failed, or are new or changed and not well.

        `waited`: an object of which nothing was heard is not well; without waiting nobody asks.
        """
        return [
            ref
            for ref, report in self.reports.items()
            if ref in self._manifests.claimed
            and (
                report.outcome in BAD or (report.outcome in _CHANGED and not _is_well(report, waited=waited))
            )
        ]

    def is_new_or_changed(self, ref: ObjectRef, records: Mapping[ObjectRef, Record]) -> bool:
        """Whether this run made or changed it, or it was to be made and never was."""
        its, record = self.reports[ref], records.get(ref)
        if its.outcome in _CHANGED:
            return True
        # What is there and another's was not to be made.
        others = its.outcome is Outcome.SKIPPED or its.reason == Reason.OWNED_BY_ANOTHER
        return not others and (record is None or not record.uid)

    def report(
        self,
        held: Held | None,
        *,
        stopped: bool = False,
        reason_first: str = "",
        so_far: Iterable[ObjectReport] = (),
    ) -> ProjectReport:
        """The project's report; `so_far` are reports of a pass that still runs."""
        found = {**self.reports, **{report.ref: self._placed(report) for report in so_far}}
        reports = tuple(found[ref] for ref in sorted(found))
        state, reason = project_state(reports, held=held, waiting=stopped)
        nameless = [_told(problem) for problem in self._manifests.problems if problem.ref is None]
        if nameless or reason_first:
            state = State.FAILED
            more = f" (and {len(nameless) - 1} more)" if len(nameless) > 1 else ""
            first = nameless[0] + more if nameless else ""
            reason = "; ".join(part for part in (reason_first, first, reason) if part)
        elif stopped and state is State.SYNCED:
            state, reason = State.PROGRESSING, "stopped before the end"
        elif state is State.SYNCED and (unwritten := self._unwritten(reports)):
            state, reason = State.PENDING, f"dry run: objects that would change: {unwritten}"
        return ProjectReport(
            project=self._project,
            state=state,
            reason=reason,
            commit=self._revision.commit,
            ref=self._revision.ref,
            held=held,
            differing=self._unwritten(reports) if self._dry_run else None,
            recorded=not self._dry_run,
            objects=reports,
            # Objects have a report each; what has no name can only be told here.
            notes=(*self.notes, *nameless[:NAMELESS_SHOWN]),
        )

    def hold(self, reason: str, *, plan_hash: str = "") -> ProjectReport:
        """The report of a project that is held as a whole, before anything was written for it."""
        held = Held(reason=reason, plan_hash=plan_hash, whole=True)
        log.warning("project %s is held: %s", self._project, reason)
        return replace(self.report(held), state=State.HELD, reason=reason)

    def _unwritten(self, reports: Iterable[ObjectReport]) -> int:
        return sum(report.outcome in _UNWRITTEN for report in reports) if self._dry_run else 0


def would_become(candidate: Candidate) -> str:
    """What a run that writes would do with an object that left git."""
    keep = candidate.live.keep
    return f"left git; would be kept ({keep}) and no longer be ours" if keep else "would be pruned"


def _is_well(report: ObjectReport, *, waited: bool) -> bool:
    if report.outcome in BAD:
        return False
    if report.outcome not in _CHANGED or report.health == "Current":
        return True
    return not report.health and not waited


def _told(problem: FileProblem) -> str:
    return f"{problem.path}:{problem.line}: {with_mend(problem.what, problem.mend)}"
