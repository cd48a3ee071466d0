"""
All projects of a configuration: a keeper each, a poller for each repository.

Takes a new configuration in by difference: what is equal is left alone, what is gone is
stopped and nothing of it is deleted (gitlab-agent.md 2.4). Tasks belong to the group that
it is given; one project's trouble never reaches another.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from reconciler.cluster.errors import ClusterError
from reconciler.config.models import Configuration, ManifestProject
from reconciler.git.mirror import Revision
from reconciler.sync.backoff import Backoff
from reconciler.sync.keeper import Keeper, Runs
from reconciler.sync.outcome import ProjectReport, State, can_take
from reconciler.sync.pausing import Pause
from reconciler.sync.repositories import Place, Repositories, place_of

log = logging.getLogger(__name__)

GRACE: Final = 12.0
"""s for a run to end by itself; requests have a limit of their own, and SIGTERM leaves 20 s."""
SOURCE_RETRY_CAP: Final = 300.0

Observer = Callable[[ProjectReport], None]


@dataclass(slots=True)
class _Kept:
    keeper: Keeper
    task: asyncio.Task[None]


class Fleet:
    """The running projects of one instance."""

    def __init__(
        self,
        *,
        runs: Runs,
        repositories: Repositories,
        pause: Pause,
        tasks: asyncio.TaskGroup,
        observer: Observer,
        polled: Callable[[bool], None],
    ) -> None:
        self._runs = runs
        self._repositories = repositories
        self._pause = pause
        self._pausing: asyncio.Task[None] | None = None
        self._tasks = tasks
        self._observer = observer
        self._polled = polled
        self._configuration = Configuration()
        self._kept: dict[str, _Kept] = {}
        self._pollers: dict[Place, asyncio.Task[None]] = {}
        self._pokes: dict[Place, asyncio.Event] = {}
        self._requests: dict[str, str] = {}
        self._published: dict[str, float] = {}
        self.reports: dict[str, ProjectReport] = {}

    async def configure(self, configuration: Configuration) -> None:
        """Make the running projects those of `configuration`."""
        self._pause.configure(paused=configuration.paused)
        await self._follow_pause()
        wanted = {p.id: p for p in configuration.projects}
        same_limits = configuration.limits == self._configuration.limits
        leaving = [
            name
            for name, kept in self._kept.items()
            if not same_limits or wanted.get(name) != kept.keeper.project
        ]
        await self._end(leaving, suspended={p.id for p in configuration.projects if p.suspend})
        self._configuration = configuration
        self.reports = {p.id: self.reports[p.id] for p in configuration.projects if p.id in self.reports}
        for project in configuration.projects:
            if project.id not in self._kept:
                self._start(project)
        self._set_pollers()

    async def _follow_pause(self) -> None:
        """Know whether all is paused before anything is written, and hear of it from then on."""
        if self._pausing is not None:
            return
        self._pause.on_change = self._reconsider
        try:
            await self._pause.refresh()
        except ClusterError as error:
            log.warning("%s", error)  # each run asks again before it begins
        self._pausing = self._tasks.create_task(self._pause.follow())

    def _reconsider(self) -> None:
        for kept in self._kept.values():
            kept.keeper.reconsider()

    def _start(self, project: ManifestProject) -> None:
        keeper = Keeper(
            project,
            runs=self._runs,
            source=self._repositories.source(project, self._configuration.limits),
            limits=self._configuration.limits,
            blocker=self.blocker,
            pause=self._pause,
            publish=self._publish,
        )
        self._publish(keeper.latest)
        self._kept[project.id] = _Kept(keeper, self._tasks.create_task(keeper.keep()))
        log.debug("project %s: started", project.id)

    async def _end(self, names: Iterable[str], *, suspended: Collection[str] = ()) -> None:
        leaving = [self._kept.pop(name) for name in names]
        for kept in leaving:
            kept.keeper.end(suspended=kept.keeper.project.id in suspended)
        if leaving:
            _, slow = await asyncio.wait([kept.task for kept in leaving], timeout=GRACE)
            for task in slow:
                task.cancel()
            if slow:
                await asyncio.wait(slow)  # a project has one keeper at a time

    async def close(self) -> None:
        """End all projects: what is being sent is finished within `GRACE`, the rest is abandoned cleanly."""
        for poller in self._pollers.values():
            poller.cancel()
        self._pollers.clear()
        if self._pausing is not None:
            self._pausing.cancel()
        await self._end(list(self._kept))

    def in_use(self) -> dict[str, set[str]]:
        """The commits in force, by URL of the repository."""
        commits: dict[str, set[str]] = {}
        for kept in self._kept.values():
            if kept.keeper.revision is not None:
                commits.setdefault(kept.keeper.project.url, set()).add(kept.keeper.revision.commit)
        return commits

    def drifted(self, project: str) -> None:
        """Something of the project is not as it was applied any more: compare and correct it at once."""
        if kept := self._kept.get(project):
            kept.keeper.reconsider()

    # -- requests ----------------------------------------------------------------------

    def request(self, project: str, requests: str) -> bool:
        """Look at git at once, then make a run that answers these; False where the project does not run."""
        kept = self._kept.get(project)
        if kept is None:
            return False
        self._requests[project] = requests
        self._pokes[place_of(kept.keeper.project)].set()
        return True

    # -- reports -----------------------------------------------------------------------

    def _publish(self, report: ProjectReport) -> None:
        self.reports[report.project] = report
        self._observer(report)
        for kept in self._kept.values():
            if report.project in kept.keeper.project.depends_on:
                kept.keeper.nudge()
            if can_take(kept.keeper.latest, report):
                kept.keeper.wake()
        self._look_again(report)

    def _look_again(self, report: ProjectReport) -> None:
        """What others let go of while this project ran, it could not see."""
        now = asyncio.get_running_loop().time()
        self._published[report.project] = now
        kept = self._kept.get(report.project)
        if kept is not None and any(
            can_take(report, other) and self._published.get(name, now) >= kept.keeper.began
            for name, other in self.reports.items()
        ):
            kept.keeper.wake()

    def blocker(self, project: ManifestProject) -> str:
        """Why `project` must wait for those that it depends on; "" where it need not."""
        for other in project.depends_on:
            # Synced, but at the commit before: what this project needs of the new one is not there yet.
            if (kept := self._kept.get(other)) and kept.keeper.is_behind:
                return f"waiting for project {other}, which is {State.PROGRESSING}"
        return why_blocked(project, self.reports)

    # -- polling -----------------------------------------------------------------------

    def _set_pollers(self) -> None:
        places = {place_of(kept.keeper.project) for kept in self._kept.values()}
        for place in self._pollers.keys() - places:
            self._pollers.pop(place).cancel()
            del self._pokes[place]
        for place in places - self._pollers.keys():
            self._pokes[place] = asyncio.Event()
            self._pollers[place] = self._tasks.create_task(self._poll(place, self._pokes[place]))
        for kept in self._kept.values():
            if kept.keeper.revision is None:
                # New beside others on a repository that was just polled: it does not wait its turn.
                self._pokes[place_of(kept.keeper.project)].set()

    def _following(self, place: Place) -> list[Keeper]:
        return [kept.keeper for kept in self._kept.values() if place_of(kept.keeper.project) == place]

    async def _poll(self, place: Place, poke: asyncio.Event) -> None:
        backoff = Backoff(1.0, SOURCE_RETRY_CAP)
        while True:
            poke.clear()
            try:
                failed = await self.look(place)
            except Exception:
                log.exception("repository %s: defect in the service", place.url)
                failed = True
            self._polled(not failed)
            keepers = self._following(place)
            interval = min((keeper.project.interval for keeper in keepers), default=20.0)
            backoff = backoff.failed() if failed else backoff.succeeded()
            # A broken server is asked less often, never more often than a healthy one.
            delay = max(interval, backoff.delay(random.random())) if failed else interval  # noqa: S311
            try:
                async with asyncio.timeout(delay):
                    await poke.wait()
            except TimeoutError:
                continue  # the interval is over

    async def look(self, place: Place) -> bool:
        """One poll; returns whether anything failed."""
        keepers = self._following(place)
        known = {k.project.ref: k.revision for k in keepers if k.revision is not None}
        # What comes while git is being looked at may be about something newer.
        asked = {k: self._requests.pop(k.project.id) for k in keepers if k.project.id in self._requests}
        found = await self._repositories.look(place, [k.project.ref for k in keepers], known)
        failed = False
        for keeper in keepers:
            match found[keeper.project.ref]:
                case Revision() as revision:
                    keeper.moved(revision)
                case error:
                    failed = True
                    keeper.source_failed(error)
            if keeper in asked:
                keeper.answer(asked[keeper])
        return failed


def why_blocked(project: ManifestProject, reports: dict[str, ProjectReport]) -> str:
    """A project runs only when all that it depends on are synced (or suspended on purpose)."""
    for other in project.depends_on:
        report = reports.get(other)
        state = report.state if report else State.UNKNOWN
        if state not in (State.SYNCED, State.SUSPENDED):
            word = "blocked by" if state in (State.FAILED, State.HELD) else "waiting for"
            return f"{word} project {other}, which is {state}"
    return ""
