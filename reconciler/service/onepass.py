"""
Every project once, in the order of their dependencies: `reconciler sync`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.cluster.errors import ClusterError
from reconciler.config.models import Configuration, ManifestProject
from reconciler.config.state import Accepted, Nothing
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError
from reconciler.git.mirror import Revision
from reconciler.service.assembly import Assembled, assembled, quiet
from reconciler.service.options import ConfigUnusable, Options, OptionsInvalid
from reconciler.service.signals import stopping
from reconciler.service.turn import Say, nothing_said
from reconciler.sync.asking import Asking
from reconciler.sync.errors import SyncError
from reconciler.sync.fleet import why_blocked
from reconciler.sync.keeper import why_idle
from reconciler.sync.outcome import ProjectReport, State, can_take, left_alone
from reconciler.sync.pausing import hearing
from reconciler.sync.request import Progress, Request
from reconciler.sync.statuswriter import StatusWriter
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""s after Ctrl-C or --timeout for requests that were sent; an API server that hangs gets no more."""
ABANDONED: Final = "stopped while the API server did not answer; what was sent may have been done"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """What one pass over the projects found."""

    reports: tuple[ProjectReport, ...]
    requests: dict[str, Any]
    unusable: bool
    """A source could not be read: exit code 2, not 1."""


async def read_configuration(parts: Assembled) -> Configuration:
    """Read it once; raises ConfigUnusable with every problem."""
    reading = await parts.source.read()
    state = parts.advance(Nothing(), reading)
    if not isinstance(state, Accepted):
        raise ConfigUnusable(state.problems)
    return state.configuration


async def one_pass(
    options: Options,
    *,
    only: Sequence[str] = (),
    wait: bool = True,
    timeout: float | None = None,
    progress: Progress = quiet,
    started: Callable[[Configuration], None] = lambda _configuration: None,
    finished: Callable[[ProjectReport], None] = lambda _report: None,
    say: Say = nothing_said,
) -> PassResult:
    """
    Every project (or those of `only`) once, in the order of their dependencies.

    `timeout` in seconds ends the waiting, never a write. `say` is told what is waited for before
    anything can begin. Raises ReconcilerError where the configuration, the lease or the cluster
    cannot be used at all.
    """
    async with assembled(options, progress=progress) as parts:
        configuration = await read_configuration(parts)
        parts.runner.know(configuration)
        projects = chosen(configuration, only)
        started(configuration)
        stop = asyncio.Event()
        with stopping(stop, timeout=timeout):
            single = _SinglePass(parts, configuration, wait=wait, stop=stop, finished=finished)
            paused = await single.is_paused()
            writing = [] if paused else [p for p in projects if p.dry_run_strategy == "none"]
            if writing:
                asking = Asking(writing, parts.unfenced_records(), wait=wait, finished=finished)
                async with parts.turn(stop=stop, insist=False, say=say, heard=asking.hear_lease) as its:
                    if its.served:
                        async with hearing(parts.pause, at_once=True):
                            await its.while_served(asking.run(its.leader))
                    if not its.ours:
                        single.know(asking.unanswered() if its.served else map(_not_begun, writing))
                    single.know(asking.reports.values())
                    await single.run(projects, record=its.ours)
            else:
                await single.run(projects, record=False)
        return PassResult(
            reports=single.reports(projects),
            requests=parts.cluster.requests.as_json(),
            unusable=single.unusable,
        )


def chosen(configuration: Configuration, only: Sequence[str]) -> tuple[ManifestProject, ...]:
    """The projects of `only`, or all if that is empty; raises OptionsInvalid for a name there is not."""
    known = {project.id: project for project in configuration.projects}
    for name in only:
        if name not in known:
            raise OptionsInvalid(
                what=f"the configuration has no project {name}",
                where="PROJECT",
                mend=f"it has {', '.join(sorted(known)) or 'none'}",
            )
    return tuple(p for p in configuration.projects if not only or p.id in only)


def _not_begun(project: ManifestProject) -> ProjectReport:
    reason = "stopped while another process held the lease; nothing was looked at"
    return ProjectReport(project=project.id, state=State.PENDING, reason=reason)


class _SinglePass:
    def __init__(
        self,
        parts: Assembled,
        configuration: Configuration,
        *,
        wait: bool,
        stop: asyncio.Event,
        finished: Callable[[ProjectReport], None],
    ) -> None:
        self._parts = parts
        self._configuration = configuration
        self._wait = wait
        self._stop = stop
        self._finished = finished
        self._statuses = StatusWriter(parts.records, parts.pause)
        self._pause = parts.pause
        self._reports: dict[str, ProjectReport] = {}
        self._chosen: set[str] = set()
        self._ended: dict[str, asyncio.Event] = {}
        self.unusable = False

    def know(self, reports: Iterable[ProjectReport]) -> None:
        """What was found in another way; these projects are not run here."""
        for report in reports:
            self._reports[report.project] = report
            self.unusable = self.unusable or report.unusable

    def reports(self, projects: Sequence[ManifestProject]) -> tuple[ProjectReport, ...]:
        """All of them, in this order."""
        return tuple(self._reports[project.id] for project in projects)

    async def is_paused(self) -> bool:
        """Whether nothing may be written; if that changes later, the pass is stopped."""
        self._pause.configure(paused=self._configuration.paused)
        try:
            await self._pause.know()
        except ReconcilerError as error:
            log.debug("the runs will meet this again, and report it: %s", error)
        self._pause.on_change = self._stop.set
        return bool(self._pause.reason)

    async def run(self, chosen: Sequence[ManifestProject], *, record: bool) -> None:
        """Each once that is not known yet; with `record` their status is written."""
        self._chosen = {project.id for project in chosen}
        projects = [project for project in chosen if project.id not in self._reports]
        self._ended = {project.id: asyncio.Event() for project in projects}
        revisions, _ = await asyncio.gather(
            self._parts.repositories.look_for(projects), self._prepare(projects)
        )
        async with hearing(self._pause):
            await self._rounds(projects, revisions)
        if record:
            await self._statuses.flush()

    async def _rounds(
        self, projects: Sequence[ManifestProject], revisions: Mapping[str, Revision | GitError]
    ) -> None:
        await self._round(projects, revisions)
        if (again := self._released(projects)) and not self._stop.is_set():
            self._ended = {project.id: asyncio.Event() for project in again}
            await self._round(again, revisions)

    async def _round(
        self, projects: Sequence[ManifestProject], revisions: Mapping[str, Revision | GitError]
    ) -> None:
        async with task_group() as tasks:
            for project in projects:
                tasks.create_task(self._one(project, revisions.get(project.id)))

    def _released(self, projects: Sequence[ManifestProject]) -> tuple[ManifestProject, ...]:
        """Those for which another project of this pass let go of something, and what waits for them."""
        found: set[str] = set()
        for project in projects:
            mine = self._reports[project.id]
            if any(can_take(mine, other) for other in self._reports.values()):
                found.add(project.id)
        while waiting := {
            project.id
            for project in projects
            if project.id not in found
            and self._reports[project.id].state is State.PENDING
            and not found.isdisjoint(project.depends_on)
        }:
            found |= waiting
        return tuple(project for project in projects if project.id in found)

    async def _prepare(self, projects: Sequence[ManifestProject]) -> None:
        """Ask the cluster what every run needs while git is asked where the refs are."""
        wanting = [project for project in projects if not why_idle(project, self._pause)]
        writing = any(project.dry_run_strategy == "none" for project in wanting)
        try:
            if projects:
                await self._parts.runner.prepare(write=writing)
        except ReconcilerError as error:
            log.debug("the runs will meet this again, and report it: %s", error)

    async def _one(self, project: ManifestProject, revision: Revision | GitError | None) -> None:
        for other in project.depends_on:
            if other in self._ended:
                await self._ended[other].wait()
        report = await self._report(project, revision)
        self._reports[project.id] = report
        self._statuses.note(report)
        self._finished(report)
        self._ended[project.id].set()

    async def _bounded(self, run: Coroutine[Any, Any, ProjectReport]) -> ProjectReport | None:
        """Carry out a run; None if it was stopped and a request is without an answer for `PATIENCE` since."""
        task = asyncio.create_task(run)
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait([task], timeout=PATIENCE)
            return await task if task.done() else None
        finally:
            for one in (task, stopped):
                one.cancel()
            await asyncio.wait([task, stopped])

    async def _report(self, project: ManifestProject, revision: Revision | GitError | None) -> ProjectReport:
        said = ProjectReport(project=project.id, state=State.UNKNOWN)
        if isinstance(revision, Revision):
            said = replace(said, commit=revision.commit, ref=revision.ref)
        idle = why_idle(project, self._pause)
        try:
            await self._pause.know()
            idle = why_idle(project, self._pause)
            return await self._carry_out(said, project, revision, idle)
        except GitError as error:
            self.unusable = self.unusable or not idle
            return self._failed(replace(said, reason=str(error)), idle)
        except (ClusterError, SyncError) as error:
            return self._failed(replace(said, state=State.FAILED, reason=str(error)), idle)
        except Exception as error:
            # As in the service: what one project runs into must not take the others along.
            log.exception("project %s: defect in the service", project.id)
            reason = f"defect in the service ({type(error).__name__}); report it with the log"
            return replace(said, state=State.FAILED, reason=reason)

    async def _carry_out(
        self,
        said: ProjectReport,
        project: ManifestProject,
        revision: Revision | GitError | None,
        idle: str,
    ) -> ProjectReport:
        if not isinstance(revision, Revision):
            raise revision or RuntimeError("a project was not looked at")
        others = tuple(other for other in project.depends_on if other in self._chosen)
        if not idle and (blocked := why_blocked(replace(project, depends_on=others), self._reports)):
            return replace(said, state=State.PENDING, reason=blocked)
        limits = self._configuration.limits
        request = Request(
            project=project,
            revision=revision,
            source=self._parts.repositories.source(project, limits),
            limits=limits,
            wait=self._wait,
            stop=self._stop,
        )
        report = await self._bounded(self._parts.runner.run(request.looking() if idle else request))
        if report is None:
            return replace(said, state=State.PROGRESSING, reason=ABANDONED)
        return left_alone(report, idle, recorded=not self._pause.reason) if idle else report

    def _failed(self, said: ProjectReport, idle: str) -> ProjectReport:
        """What could not be done, or not be compared; `idle` is why nothing was to be written."""
        recorded = not self._pause.reason
        if idle:
            reason = f"{idle}; how it differs from git is not known: {said.reason}"
            return replace(said, state=State.SUSPENDED, reason=reason, recorded=recorded)
        if self._pause.reason:
            reason = f"{self._pause.reason}; stopped before the end"
            return replace(said, state=State.PROGRESSING, reason=reason, recorded=recorded)
        return said
