"""
What a sync would do, of every project or of some: `reconciler plan`.

The runs are those of a sync, each told to preview; nothing is written anywhere but to the
local mirrors. What is compared is the ref that a project follows, another revision of its
repository, or a directory of this machine.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from reconciler.cluster.errors import ClusterError
from reconciler.config.models import Configuration, ManifestProject
from reconciler.errors import ReconcilerError
from reconciler.git.directory import HERE
from reconciler.git.errors import GitError, RefInvalid, RefNotFound
from reconciler.git.mirror import Revision
from reconciler.git.refs import OBJECT_ID, RefSpec
from reconciler.service.assembly import Assembled, assembled
from reconciler.service.onepass import chosen, read_configuration
from reconciler.service.options import Options, OptionsInvalid
from reconciler.service.signals import interruptible
from reconciler.sync.errors import SyncError
from reconciler.sync.keeper import why_idle
from reconciler.sync.outcome import ObjectReport, Outcome, ProjectReport, Reason, State
from reconciler.sync.preview import Action, Change, Preview
from reconciler.sync.request import Request
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

_ACTIONS: Final = {
    Outcome.CREATED: Action.CREATE,
    Outcome.UPDATED: Action.UPDATE,
    Outcome.HANDED_OVER: Action.HAND_OVER,
}
_LEFT_GIT: Final = {Action.PRUNE: Outcome.PRUNED, Action.HAND_OVER: Outcome.HANDED_OVER}
"""What a run would report of what left git, where it went ahead."""
_NOTHING: Final = Change(action=Action.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedObject:
    """One object: what would become of it, and what a run would do to that end."""

    report: ObjectReport
    change: Change

    @property
    def is_change(self) -> bool:
        """Whether the cluster would not be as it is now."""
        undone = self.report.outcome in (Outcome.HELD, Outcome.SKIPPED)
        return self.change.action is not Action.NONE and not undone


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProject:
    """What a sync would do with one project; `unseen` says what could not be found out."""

    report: ProjectReport
    objects: tuple[PlannedObject, ...] = ()
    unseen: tuple[str, ...] = ()
    incomplete: bool = False
    """Something could not be read at all, so that what is told may not be all."""
    directory: str = ""
    """Where the manifests were read instead of a revision."""

    @property
    def has_failed(self) -> bool:
        """Whether the plan may not be all, or a sync would fail."""
        return self.incomplete or any(its.report.outcome is Outcome.FAILED for its in self.objects)

    @property
    def is_settled(self) -> bool:
        """Whether a sync would do nothing, and nothing is left undone."""
        idle = all(
            its.change.action is Action.NONE and its.report.outcome is Outcome.UNCHANGED
            for its in self.objects
        )
        return idle and self.report.held is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What `plan` found."""

    projects: tuple[PlannedProject, ...]
    requests: Mapping[str, Any] = field(default_factory=dict)


async def plan_projects(
    options: Options, *, only: Sequence[str] = (), revision: str | None = None, path: Path | None = None
) -> Planned:
    """
    Preview every project (or those of `only`).

    `revision` is a branch, a tag or a whole commit id to read instead of what each project follows,
    `path` a directory to read instead of the one project's repository. Raises ReconcilerError where
    the configuration or the cluster cannot be used at all.
    """
    if revision is not None and path is not None:
        raise OptionsInvalid(
            what="--revision and --path are both given", where="plan", mend="a directory has no revisions"
        )
    readings = _readings(revision)
    async with assembled(options) as parts:
        configuration = await read_configuration(parts)
        parts.runner.know(configuration)
        projects = chosen(configuration, only)
        if path is not None and len(projects) != 1:
            raise OptionsInvalid(
                what=f"--path stands for one repository, and {len(projects)} projects would be read from it",
                where="plan",
                mend="name the one project that it is of",
            )
        planning = _Planning(parts, configuration, path=path)
        planned = await interruptible(planning.run(projects, readings))
        return Planned(projects=planned, requests=parts.cluster.requests.as_json())


class _Planning:
    def __init__(self, parts: Assembled, configuration: Configuration, *, path: Path | None) -> None:
        self._parts = parts
        self._configuration = configuration
        self._path = path
        self._found: dict[str, PlannedProject] = {}
        self._ended: dict[str, asyncio.Event] = {}

    async def run(
        self, projects: Sequence[ManifestProject], readings: Sequence[RefSpec]
    ) -> tuple[PlannedProject, ...]:
        self._parts.pause.configure(paused=self._configuration.paused)
        try:
            await self._parts.pause.know()
        except ReconcilerError as error:
            log.debug("looked at all the same: %s", error)
        active = [project for project in projects if not self._why_idle(project)]
        self._ended = {project.id: asyncio.Event() for project in projects}
        revisions, _ = await asyncio.gather(self._look(active, readings), self._prepare(active))
        async with task_group() as tasks:
            for project in projects:
                tasks.create_task(self._one(project, revisions.get(project.id)))
        return tuple(self._found[project.id] for project in projects)

    def _why_idle(self, project: ManifestProject) -> str:
        idle = why_idle(project, self._parts.pause)
        return f"{idle}; a sync does nothing" if idle else ""

    async def _prepare(self, projects: Sequence[ManifestProject]) -> None:
        try:
            if projects:
                await self._parts.runner.prepare(write=False, preview=Preview())
        except ReconcilerError as error:
            log.debug("the runs will meet this again, and report it: %s", error)

    async def _look(
        self, projects: Sequence[ManifestProject], readings: Sequence[RefSpec]
    ) -> Mapping[str, Revision | GitError]:
        if self._path is not None:
            return {project.id: HERE for project in projects}
        if not readings:
            return await self._parts.repositories.look_for(projects)
        found: dict[str, Revision | GitError] = {}
        for spec in readings:
            # The first reading that a repository has; where it has none, why it lacks the first.
            left = [p for p in projects if isinstance(found.get(p.id, _UNASKED), RefNotFound)]
            asked = await self._parts.repositories.look_for(replace(project, ref=spec) for project in left)
            better = {name: its for name, its in asked.items() if not isinstance(its, RefNotFound)}
            found = {**asked, **found, **better}
        return found

    async def _one(self, project: ManifestProject, revision: Revision | GitError | None) -> None:
        """In the order of a sync, since the first that declares an object has it."""
        for other in project.depends_on:
            if other in self._ended:
                await self._ended[other].wait()
        self._found[project.id] = await self._plan(project, revision)
        self._ended[project.id].set()

    async def _plan(self, project: ManifestProject, revision: Revision | GitError | None) -> PlannedProject:
        said = ProjectReport(project=project.id, state=State.SUSPENDED)
        if idle := self._why_idle(project):
            return PlannedProject(report=replace(said, reason=idle))
        if revision is None or isinstance(revision, GitError):
            return _unknown(replace(said, reason=str(revision)))
        said = replace(said, commit=revision.commit, ref=revision.ref)
        limits = self._configuration.limits
        repositories = self._parts.repositories
        preview = Preview()
        request = Request(
            # Whatever strategy a project has, this run is a dry one.
            project=replace(project, dry_run_strategy="server"),
            revision=revision,
            source=repositories.source(project, limits)
            if self._path is None
            else repositories.directory(self._path, limits),
            limits=limits,
            preview=preview,
        )
        try:
            report = await self._parts.runner.run(request)
        except (GitError, ClusterError, SyncError) as error:
            return _unknown(replace(said, reason=str(error)))
        except Exception as error:
            # As in a sync: what one project runs into must not take the others along.
            log.exception("project %s: defect in the service", project.id)
            return _unknown(
                replace(
                    said, reason=f"defect in the service ({type(error).__name__}); report it with the log"
                )
            )
        planned = _joined(report, preview, directory=str(self._path or ""))
        return replace(planned, report=replace(planned.report, notes=self._notes(project, planned.report)))

    def _notes(self, project: ManifestProject, report: ProjectReport) -> tuple[str, ...]:
        notes = list(report.notes)
        if project.dry_run_strategy != "none":
            notes.append(f"dry_run_strategy: {project.dry_run_strategy}; a sync writes nothing of this")
        notes += [
            f"a sync waits until project {other} is well"
            for other in project.depends_on
            if other in self._found and self._found[other].has_failed
        ]
        return tuple(notes)


_UNASKED: Final = RefNotFound(what="not asked yet", where="", mend="")


def _readings(revision: str | None) -> tuple[RefSpec, ...]:
    """What `--revision` may mean, the likeliest first; raises OptionsInvalid for what no ref can be."""
    if revision is None:
        return ()
    try:
        if revision == "HEAD":
            return (RefSpec(),)
        if OBJECT_ID.fullmatch(revision.lower()):
            return (RefSpec("commit", revision),)
        if revision.startswith("refs/heads/"):
            return (RefSpec("branch", revision.removeprefix("refs/heads/")),)
        if revision.startswith("refs/tags/"):
            return (RefSpec("tag", revision.removeprefix("refs/tags/")),)
        return RefSpec("branch", revision), RefSpec("tag", revision)
    except RefInvalid as error:
        raise OptionsInvalid(
            what=f"{revision[:80]!r} can be no revision",
            where="--revision",
            mend="give a branch, a tag or all digits of a commit id",
        ) from error


def _unknown(report: ProjectReport) -> PlannedProject:
    return PlannedProject(report=replace(report, state=State.UNKNOWN), incomplete=True)


def _joined(report: ProjectReport, preview: Preview, *, directory: str) -> PlannedProject:
    """What the run reported and what it saw, as one."""
    objects = tuple(_object(its, preview) for its in report.objects)
    unseen = []
    if preview.unrecorded:
        unseen.append(f"what would be pruned, as the records cannot be read: {preview.unrecorded}")
    if preview.unverified:
        unseen.append(
            f"which objects have changed in git, so each was compared: our marks cannot be verified: "
            f"{preview.unverified}"
        )
    unseen += [f"objects of {kind}" for kind in preview.unread]
    unseen += _by_reason(objects)
    reports = tuple(its.report for its in objects)
    return PlannedProject(
        report=replace(report, objects=reports),
        objects=objects,
        unseen=tuple(unseen),
        incomplete=bool(preview.unrecorded or preview.unread or preview.unclear),
        directory=directory,
    )


def _object(report: ObjectReport, preview: Preview) -> PlannedObject:
    change = preview.changes.get(report.ref, _NOTHING)
    if change.action in _LEFT_GIT:
        if report.reason == Reason.DRY_RUN:
            report = replace(report, outcome=_LEFT_GIT[change.action], reason="")
        return PlannedObject(report=report, change=change)
    action = _ACTIONS.get(report.outcome, Action.NONE)
    if change is _NOTHING or action is Action.NONE:
        change = Change(action=action, unseen=change.unseen)
    return PlannedObject(report=report, change=change)


def _by_reason(objects: Iterable[PlannedObject]) -> list[str]:
    """What could not be found out about single objects, each reason once for each kind."""
    kinds: dict[tuple[str, str], int] = {}
    for its in objects:
        if its.change.unseen:
            ref = its.report.ref
            key = f"{ref.kind}.{ref.group}" if ref.group else ref.kind, its.change.unseen
            kinds[key] = kinds.get(key, 0) + 1
    return [f"{count} of {kind}: {why}" for (kind, why), count in kinds.items()]
