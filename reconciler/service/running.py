"""
The service: one task group, until a signal; then 20 s to finish or cleanly abandon.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from functools import partial
from typing import Final, Protocol

from reconciler.config.models import ManifestProject
from reconciler.config.source import Reading, readings
from reconciler.config.state import Accepted, Nothing
from reconciler.config.state import State as ConfigState
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError
from reconciler.service.assembly import Assembled, assembled
from reconciler.service.configlog import ConfigurationLog, first_of
from reconciler.service.options import Options
from reconciler.service.signals import stopping
from reconciler.service.term import Term
from reconciler.service.turn import leader_of
from reconciler.sync import marks
from reconciler.sync.awaiting import Awaited
from reconciler.sync.backoff import Backoff
from reconciler.sync.credentials import ClusterCredentials
from reconciler.sync.lease import Claim, Role
from reconciler.sync.outcome import ProjectReport
from reconciler.sync.passing import Timings
from reconciler.sync.pausing import CONFIGURED
from reconciler.sync.request import Request
from reconciler.sync.runner import Runner
from reconciler.tasks import cancel

log = logging.getLogger(__name__)

CONFIG_INTERVAL: Final = 20.0
"""s between two looks at the configuration; a local file's change is noticed at once anyway."""
UPKEEP_AT: Final = "03:17"
UPKEEP_LOOK: Final = 60.0  # s between two looks at the clock
LEASE_RETRY_CAP: Final = 15.0  # s between two tries to take part in the election


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
        metrics.show_leading(service.leads)
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
        self._state: ConfigState = Nothing()
        self._said = ConfigurationLog()
        self._given_level = logging.getLogger("reconciler").getEffectiveLevel()
        self._tasks: list[asyncio.Task[None]] = []
        self._leader = leader_of(
            parts.cluster,
            parts.permit,
            parts.options,
            Role.SERVICE,
            waiting=_log_waiting,
            heard=self._hear_lease,
        )
        for its in (marks.CANNOT_ANSWER, marks.PAUSED):
            self._leader.note(its, "")  # whatever the last holder said of itself
        self._turn_for = asyncio.Event()
        self._notes: Mapping[str, str] = {}
        self._last: Reading | None = None
        self._reading = asyncio.Lock()
        self._trouble = "the lease was not looked for yet"
        self._term: Term | None = None
        self._working: asyncio.Task[None] | None = None
        # A file costs nothing to follow, and a replica that cannot read it should say so before it leads.
        self._follows_always = parts.options.config is not None

    def alive(self) -> str | None:
        """Why the process should be restarted; None while all of its tasks run."""
        dead = [task.get_name() for task in self._tasks if task.done()]
        return f"{dead[0]} has ended" if dead else None

    def ready(self) -> str | None:
        """Why no work can be done, or could not be if this replica led; None while all is well."""
        if not self._leader.leads and self._leader.holder is None:
            return self._trouble
        if self._state.ready or not (self._leader.leads or self._follows_always):
            return None
        return "; ".join(first_of(self._state.problems))

    def leads(self) -> bool:
        """Whether this replica holds the lease."""
        return self._leader.leads

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        group = self._parts.tasks
        self._tasks = [
            group.create_task(self._lead(), name="leadership"),
            group.create_task(self._upkeep(), name="upkeep"),
        ]
        if self._follows_always:
            self._tasks.append(group.create_task(self._follow_configuration(), name="configuration"))
        await stop.wait()
        log.info("stopping")
        leading, *others = self._tasks
        await cancel(*others)
        if self._term is not None:
            # The lease is renewed until nothing is written any more.
            await cancel(self._working)
            await self._term.close(leads=self._leader.leads)
        await cancel(leading)
        await self._leader.release()
        log.info("stopped")

    # -- leading -----------------------------------------------------------------------

    async def _lead(self) -> None:
        """One term after the other; standing by in between."""
        while True:
            await self._gain()
            self._turn_for.clear()
            if self._state.configuration is not None:
                self._leader.note(marks.CANNOT_ANSWER, "")
            self._term = Term(
                self._parts,
                runs=_CountedRuns(self._parts.runner, self._parts.repositories.credentials, self._observer),
                observe=self._observer.observe,
                polled=self._observer.observe_poll,
                reread=self._reread,
                taken_on=partial(self._leader.note, marks.HANDLED),
                deaf=partial(self._leader.note, marks.CANNOT_ANSWER),
            )
            self._term.requests.lease(self._notes)
            self._working = self._parts.tasks.create_task(self._work(self._term), name="work")
            await self._hold()
            self._term = None
            self._observer.retain([])

    async def _hold(self) -> None:
        """Until the lease is lost, or another process is to have a turn; then the term is over."""
        holding = asyncio.create_task(self._leader.hold())
        asked = asyncio.create_task(self._turn_for.wait())
        try:
            await asyncio.wait([holding, asked], return_when=asyncio.FIRST_COMPLETED)
            await cancel(self._working)
            if self._term is not None:
                await self._term.close(leads=self._leader.leads)
        finally:
            await cancel(holding, asked)
        await self._leader.release()

    async def _gain(self) -> None:
        backoff = Backoff(1.0, LEASE_RETRY_CAP)
        while True:
            try:
                await self._leader.gain()
            except ReconcilerError as error:
                log.warning("%s", error)
                self._trouble = str(error)
                backoff = backoff.failed()
                await asyncio.sleep(backoff.delay(random.random()))  # noqa: S311
            else:
                return

    async def _work(self, term: Term) -> None:
        await term.begin()
        if not self._follows_always:
            await self._follow_configuration()
        elif self._state.configuration is not None:
            await term.configure(self._state.configuration)

    def _hear_lease(self, notes: Mapping[str, str], _renewed: str) -> None:
        self._notes = notes
        if self._term is not None:
            self._term.requests.lease(notes)
        if self._leader.leads and (who := notes.get(marks.TURN_FOR)):
            log.info("%s is to have a turn: this replica stops writing, and lets the lease go", who)
            self._turn_for.set()

    # -- configuration -----------------------------------------------------------------

    async def _follow_configuration(self) -> None:
        newly = readings(self._parts.source, interval=CONFIG_INTERVAL)
        async with self._said.repeating(), aclosing(newly) as newest:
            async for reading in newest:
                async with self._reading:
                    await self._take(reading)

    async def _reread(self) -> None:
        """Look at the source now: a person waits for what it holds."""
        async with self._reading:
            await self._take(await self._parts.source.read())

    async def _take(self, reading: Reading) -> None:
        if reading == self._last and self._term is not None and self._term.configured:
            return
        before = self._state
        # A file full of mistakes takes half a second to explain.
        self._state = await asyncio.to_thread(self._parts.advance, before, reading)
        if reading != self._last:
            self._said.tell(self._state)
            self._observer.observe_configuration(isinstance(self._state, Accepted))
        self._last = reading
        if self._state.configuration is None:
            why = "; ".join(first_of(self._state.problems))
            self._leader.note(marks.CANNOT_ANSWER, f"it has no usable configuration: {why}")
        await self._take_in(self._state)

    async def _take_in(self, state: ConfigState) -> None:
        if state.configuration is None:
            return
        self._parts.pause.configure(paused=state.configuration.paused)
        self._leader.note(marks.PAUSED, CONFIGURED if state.configuration.paused else "")
        if isinstance(state, Accepted):
            self._set_log_level(_LEVELS[state.configuration.log_level])
        # A term that has just begun takes the last good one too.
        if self._term is not None and (isinstance(state, Accepted) or not self._term.configured):
            await self._term.configure(state.configuration)
            self._observer.retain([project.id for project in state.configuration.projects])

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
                    await self._parts.repositories.upkeep(self._term.in_use() if self._term else {})
                except GitError as error:
                    log.warning("upkeep of the mirrors: %s", error)


_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def _log_waiting(holder: Claim) -> None:
    log.info("standing by: %s holds the lease", holder.holder)
