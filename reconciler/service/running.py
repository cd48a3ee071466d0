"""
The service: one task group, until a signal; then 20 s to finish or cleanly abandon.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from reconciler.config.models import ManifestProject
from reconciler.config.source import readings
from reconciler.config.state import Accepted, Nothing
from reconciler.config.state import State as ConfigState
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError
from reconciler.service.assembly import Assembled, assembled
from reconciler.service.configlog import ConfigurationLog, first_of
from reconciler.service.options import Options
from reconciler.service.signals import stopping
from reconciler.sync.awaiting import Awaited
from reconciler.sync.credentials import ClusterCredentials
from reconciler.sync.fleet import Fleet
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.passing import Timings
from reconciler.sync.run import Request
from reconciler.sync.runner import Runner
from reconciler.sync.statuswriter import StatusWriter

log = logging.getLogger(__name__)

CONFIG_INTERVAL: Final = 20.0
"""s between two looks at the configuration; a local file's change is noticed at once anyway."""
UPKEEP_AT: Final = "03:17"
UPKEEP_LOOK: Final = 60.0  # s between two looks at the clock
LAST_WORDS: Final = 3.0  # s for the last status at the end


class Observer(Timings, Protocol):
    """Whoever measures: the metrics."""

    def observe(self, report: ProjectReport) -> None:
        """A project has a new report."""
        ...

    def retain(self, projects: Collection[str]) -> None:
        """These are all projects there are now."""
        ...

    def observe_error(self, cause: ReconcilerError | str) -> None:
        """A run failed as a whole."""
        ...

    def observe_poll(self, repository_ok: bool) -> None:
        """A repository was looked at."""
        ...

    def observe_configuration(self, good: bool) -> None:
        """The configuration was read anew."""
        ...


class _CountedRuns:
    """A runner whose failures are counted by cause, and whose comparisons renew the credentials."""

    def __init__(self, runner: Runner, credentials: ClusterCredentials, observer: Observer) -> None:
        self._runner = runner
        self._credentials = credentials
        self._observer = observer

    async def run(self, request: Request) -> ProjectReport:
        try:
            return await self._runner.run(request)
        except ReconcilerError as error:
            self._observer.observe_error(error)
            raise

    async def refresh(self) -> None:
        # With the comparison, not beside it: between two of them the API server hears nothing of us.
        await self._runner.refresh()
        await self._credentials.renew()

    async def is_approved(self, project: str, plan_hash: str) -> bool:
        return await self._runner.is_approved(project, plan_hash)

    async def await_change(self, project: ManifestProject, awaited: Awaited, told: set[str]) -> str:
        return await self._runner.await_change(project, awaited, told)


async def serve(options: Options, *, listening: Callable[[str], None] = lambda _address: None) -> None:
    """
    Run until SIGTERM or SIGINT, then finish or cleanly abandon what is in flight within 20 s.

    `listening` is told the address of health and metrics. Raises ReconcilerError where
    nothing can be started at all.
    """
    from reconciler.web.metrics import Metrics  # noqa: PLC0415 - one pass needs neither
    from reconciler.web.server import serving  # noqa: PLC0415

    stop = asyncio.Event()
    metrics = Metrics()
    async with assembled(options, timings=metrics) as parts:
        metrics.count_requests(parts.cluster.requests)
        service = Service(parts, metrics)
        with stopping(stop):
            async with serving(
                options.listen, alive=service.alive, ready=service.ready, metrics=metrics
            ) as at:
                listening(str(at))
                await service.run(stop)


class Service:
    """What runs beside each other in one process, and whether it is well."""

    def __init__(self, parts: Assembled, observer: Observer) -> None:
        self._parts = parts
        self._observer = observer
        self._statuses = StatusWriter(parts.records, parts.pause)
        self._state: ConfigState = Nothing()
        self._said = ConfigurationLog()
        self._given_level = logging.getLogger("reconciler").getEffectiveLevel()
        self._tasks: list[asyncio.Task[None]] = []
        self._fleet = Fleet(
            runs=_CountedRuns(parts.runner, parts.repositories.credentials, observer),
            repositories=parts.repositories,
            pause=parts.pause,
            tasks=parts.tasks,
            observer=self._observe,
            polled=observer.observe_poll,
        )

    def alive(self) -> str | None:
        """Why the process should be restarted; None while all of its tasks run."""
        dead = [task.get_name() for task in self._tasks if task.done()]
        return f"{dead[0]} has ended" if dead else None

    def ready(self) -> str | None:
        """Why no work can be done; None when a configuration is in force."""
        return None if self._state.ready else "; ".join(first_of(self._state.problems))

    def _observe(self, report: ProjectReport) -> None:
        self._observer.observe(report)
        self._statuses.note(report)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        group = self._parts.tasks
        self._tasks = [
            group.create_task(self._follow_configuration(), name="configuration"),
            group.create_task(self._statuses.run(), name="status"),
            group.create_task(self._upkeep(), name="upkeep"),
        ]
        await stop.wait()
        log.info("stopping")
        for task in self._tasks[:1]:
            task.cancel()
        await self._fleet.close()
        await self._flush_statuses()
        for task in self._tasks:
            task.cancel()
        log.info("stopped")

    async def _flush_statuses(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._statuses.flush()
        except TimeoutError:
            log.warning("the last status was not written in time; the next start writes it")

    async def _follow_configuration(self) -> None:
        newly = readings(self._parts.source, interval=CONFIG_INTERVAL)
        async with self._said.repeating(), aclosing(newly) as newest:
            async for reading in newest:
                before = self._state
                # A file full of mistakes takes half a second to explain.
                self._state = await asyncio.to_thread(self._parts.advance, before, reading)
                self._said.tell(self._state)
                self._observer.observe_configuration(isinstance(self._state, Accepted))
                if isinstance(self._state, Accepted):
                    self._set_log_level(_LEVELS[self._state.configuration.log_level])
                    self._parts.runner.know(self._state.configuration)
                    await self._fleet.configure(self._state.configuration)
                    await self._retain([p.id for p in self._state.configuration.projects])

    async def _retain(self, projects: Sequence[str]) -> None:
        """Let go of projects that left the configuration; their status says so, their objects stay."""
        self._observer.retain(projects)
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

    def _set_log_level(self, configured: int) -> None:
        # The more talkative of the two: whoever asked for debug on the command line wants it.
        logging.getLogger("reconciler").setLevel(min(configured, self._given_level))

    async def _upkeep(self) -> None:
        """Mirrors are cleaned at night, by the wall clock."""
        import schedule  # noqa: PLC0415 - only the service has nights

        due = asyncio.Event()
        timetable = schedule.Scheduler()
        timetable.every().day.at(UPKEEP_AT).do(due.set)
        while True:
            await asyncio.sleep(UPKEEP_LOOK)
            timetable.run_pending()
            if due.is_set():
                due.clear()
                try:
                    await self._parts.repositories.upkeep(self._fleet.in_use())
                except GitError as error:
                    log.warning("upkeep of the mirrors: %s", error)


_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
