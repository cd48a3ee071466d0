"""
What runs while this replica holds the lease, and is gone when it does not: the projects, and
the writer of their status.

A term begins with what another process may have left: records and kinds are read anew, and
the epoch of every project is raised before anything else is written. Neighbours: running.py
says when a term begins and ends, sync/leader.py holds the lease.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from reconciler.config.models import Configuration, ManifestProject
from reconciler.errors import ReconcilerError
from reconciler.service.assembly import Assembled
from reconciler.service.onrequest import OnRequest
from reconciler.sync.answering import Ear
from reconciler.sync.awaiting import Awaited
from reconciler.sync.backoff import Backoff
from reconciler.sync.fleet import Fleet
from reconciler.sync.keeper import Runs
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.request import Request
from reconciler.sync.statuswriter import StatusWriter
from reconciler.sync.watching import Watching
from reconciler.tasks import cancel

log = logging.getLogger(__name__)

RETRY_FIRST: Final = 1.0
RETRY_CAP: Final = 15.0
LAST_WORDS: Final = 3.0  # s for the last status at the end


class _TermRuns:
    """The runs of a term: epochs are raised before the first that may write; `watching` knows of all."""

    def __init__(self, runs: Runs, fence: Callable[[], Awaitable[None]], watching: Watching) -> None:
        self._runs = runs
        self._fence = fence
        self._watching = watching

    async def run(self, request: Request) -> ProjectReport:
        await self._fence()
        project = request.project.id

        def resting(rests: bool) -> None:
            if rests:
                self._watching.waits(project)
            else:
                self._watching.begins(project)

        self._watching.begins(project)
        try:
            return await self._runs.run(replace(request, resting=resting))
        finally:
            await self._watching.ends(project)

    async def refresh(self) -> None:
        await self._runs.refresh()

    async def is_approved(self, project: str, plan_hash: str) -> bool:
        return await self._runs.is_approved(project, plan_hash)

    async def await_change(self, project: ManifestProject, awaited: Awaited, told: set[str]) -> str:
        return await self._runs.await_change(project, awaited, told)


class Term:
    """From one gain of the lease to its end; `observe` is told of every report."""

    def __init__(
        self,
        parts: Assembled,
        *,
        runs: Runs,
        observe: Callable[[ProjectReport], None],
        polled: Callable[[bool], None],
        reread: Callable[[], Awaitable[None]],
        taken_on: Callable[[str], None],
        deaf: Callable[[str], None],
    ) -> None:
        self._deaf = deaf
        self._parts = parts
        self._tell = observe
        self._statuses = StatusWriter(parts.records, parts.pause)
        self._configuration: Configuration | None = None
        self._begun = False
        self._fenced = False
        self._fencing = asyncio.Lock()
        self._configuring = asyncio.Lock()
        self._beside: list[asyncio.Task[None]] = []
        self._watching = Watching(
            parts.identities.own.live,
            parts.records,
            find=parts.runner.endpoint,
            drifted=self._drifted,
            tasks=parts.tasks,
        )
        self._fleet = Fleet(
            runs=_TermRuns(runs, self._fence, self._watching),
            repositories=parts.repositories,
            pause=parts.pause,
            tasks=parts.tasks,
            observer=self._observe,
            polled=polled,
        )
        self.requests = OnRequest(
            self._fleet,
            parts.records,
            reread=reread,
            configuration=lambda: self._configuration or Configuration(),
            tell=self._statuses.note,
            taken_on=taken_on,
        )

    async def begin(self) -> None:
        """Read the records anew and raise every epoch, however often it takes; later, if all is paused."""
        backoff = Backoff(RETRY_FIRST, RETRY_CAP)
        while not self._begun:
            self._parts.runner.forget()
            try:
                await self._parts.pause.know()
                await self._fence()
            except ReconcilerError as error:
                backoff = backoff.failed()
                log.warning("nothing is synced until the records can be read and written: %s", error)
                await asyncio.sleep(backoff.delay(random.random()))  # noqa: S311
                continue
            self._begun = True
            self._beside.append(self._parts.tasks.create_task(self._statuses.run(), name="status"))

    def _drifted(self, project: str) -> None:
        self._fleet.drifted(project)

    async def _fence(self) -> None:
        async with self._fencing:
            if not (self._fenced or self._parts.pause.reason):
                await self._parts.records.raise_epochs()
                self._fenced = True

    async def configure(self, configuration: Configuration) -> None:
        """Run what a configuration lists, once the term has begun."""
        async with self._configuring:
            if not self._begun:
                return
            first, self._configuration = self._configuration is None, configuration
            self._parts.runner.know(configuration)
            self._watching.retain(configuration.projects)
            await self._fleet.configure(configuration)
            await self._retain([project.id for project in configuration.projects])
            if first:
                ear = Ear(self._parts.records, asked=self.requests.project, deaf=self._deaf)
                self._beside.append(self._parts.tasks.create_task(ear.listen(), name="ear"))
                self._beside.append(self._parts.tasks.create_task(self.requests.run(), name="requests"))

    @property
    def configured(self) -> bool:
        """Whether there was a configuration since the term began."""
        return self._configuration is not None

    def in_use(self) -> dict[str, set[str]]:
        """The commits in force, by URL of the repository."""
        return self._fleet.in_use()

    async def close(self, *, leads: bool) -> None:
        """End all runs within the fleet's grace; the last status is written where we still lead."""
        self._begun = False
        writing, others = self._beside[:1], self._beside[1:]
        await cancel(*others)
        await self._fleet.close()
        await self._watching.close()
        if leads:
            await self._flush()
        await cancel(*writing)

    def _observe(self, report: ProjectReport) -> None:
        self._tell(report)
        self._statuses.note(report)

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._statuses.flush()
        except TimeoutError:
            log.warning("the last status was not written in time; the next start writes it")

    async def _retain(self, projects: Sequence[str]) -> None:
        """Let go of projects that left the configuration; their status says so, their objects stay."""
        self._parts.runner.retain(projects)
        try:
            recorded = await self._parts.records.all()
        except ReconcilerError as error:
            log.warning("which projects have left the configuration cannot be read: %s", error)
            return
        for its in recorded:
            if its.project and its.project not in projects:
                self._statuses.note(
                    ProjectReport(
                        project=its.project,
                        state=State.UNKNOWN,
                        reason="is not in the configuration; its objects stay as they are",
                        commit=its.head.commit if its.head else "",
                        ref=its.head.ref if its.head else "",
                    )
                )
