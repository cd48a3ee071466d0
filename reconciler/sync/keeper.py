"""
One project, kept in sync: the loop that decides *when* to run, never what to do.

Wakes for a moved ref, a foreign change (found by comparing every `COMPARE` seconds), a
retry after a failure, a dependency that became synced. A newer revision ends the waiting
of the run before at once, never a write half-way. One pass is `run_once`.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from reconciler.cluster.errors import NotLeader
from reconciler.config.models import ManifestProject
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError, MirrorDamaged
from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Revision
from reconciler.sync.awaiting import Awaited, awaited_of
from reconciler.sync.backoff import Backoff
from reconciler.sync.outcome import Outcome, ProjectReport, State, left_alone
from reconciler.sync.pausing import Pause
from reconciler.sync.request import Request
from reconciler.sync.source import Source

log = logging.getLogger(__name__)

COMPARE: Final = 300.0
"""s between two comparisons with the cluster while git stands still; as the old agent's re-apply."""
HELD_AGAIN: Final = 30.0
"""s after which a project that is held as a whole is looked at again: what it waits for tells nobody."""
RETRY_FIRST: Final = 10.0
RETRY_CAP: Final = 300.0


CHANGE_PAUSE: Final = 1.0
"""s from the beginning of a run until what it waits for may begin the next one."""


class Runs(Protocol):
    """What a keeper needs of a runner."""

    async def run(self, request: Request) -> ProjectReport:
        """One run."""
        ...

    async def refresh(self) -> None:
        """Look at the kinds of the cluster anew."""
        ...

    async def is_approved(self, project: str, plan_hash: str) -> bool:
        """Whether a person has approved what is held."""
        ...

    async def await_change(self, project: ManifestProject, awaited: Awaited, told: set[str]) -> str:
        """Wait until something that a failed project waits for comes true."""
        ...


Publish = Callable[[ProjectReport], None]
Blocker = Callable[[ManifestProject], str]
"""Why the projects that this one depends on do not let it run; "" lets it run."""


class Keeper:
    """Owns one project's `latest` report and everything that is due."""

    def __init__(
        self,
        project: ManifestProject,
        *,
        runs: Runs,
        source: Source,
        limits: FileLimits,
        blocker: Blocker,
        pause: Pause,
        publish: Publish,
    ) -> None:
        self.project = project
        self.latest = ProjectReport(
            project=project.id, state=State.UNKNOWN, reason="not looked at yet", recorded=False
        )
        self._runs = runs
        self._source = source
        self._limits = limits
        self._blocker = blocker
        self._pause = pause
        self._publish = publish
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._suspended = asyncio.Event()
        self._ending = False
        self._revision: Revision | None = None
        self._done: Revision | None = None
        self._source_error: GitError | None = None
        self._unreadable = False
        self._backoff = Backoff(RETRY_FIRST, RETRY_CAP)
        self._due = 0.0
        self._asked = False
        self._retrying = False
        self._retry: asyncio.TimerHandle | None = None
        self._listening: asyncio.Task[None] | None = None
        self._told: set[str] = set()
        self._requests = ""
        self._answering = ""
        self.began = 0.0
        """When the last run began, by the loop's clock."""

    @property
    def revision(self) -> Revision | None:
        """The last good revision."""
        return self._revision

    def moved(self, revision: Revision) -> None:
        """The ref points at this now (again, or anew)."""
        recovered = self._source_error is not None
        self._source_error = None
        if self._unreadable:
            # The poll has just made sure of the mirror, and mended it where it was damaged.
            self._unreadable = False
            self._due = 0.0
            self._wake.set()
        if revision == self._revision and not recovered:
            return
        if revision != self._revision:
            log.info(
                "project %s: %s is at %s", self.project.id, revision.ref or "commit", revision.commit[:12]
            )
            self._revision = revision
            self._told.clear()
            self._backoff = self._backoff.succeeded()  # what an older commit failed at says nothing of this
            self._stop.set()
            self._due = 0.0
        elif self._done == revision:
            self._publish_source(self.latest)
        self._wake.set()

    def answer(self, requests: str) -> None:
        """Make a run for these requests, whatever else is known: git was looked at since they came."""
        self._requests = requests
        if self._source_error is not None:
            self._answering = requests
            self._publish_source(self.latest)
            return
        self._stop.set()  # what waits for objects since before would answer too late
        self.wake()

    def source_failed(self, error: GitError) -> None:
        """The repository could not be read; the last good revision stays in force."""
        if str(error) != str(self._source_error):
            log.warning("project %s: %s", self.project.id, error)
        self._source_error = error
        self._publish_source(self.latest)

    @property
    def is_behind(self) -> bool:
        """A newer revision is there than the last run was about."""
        return self._done != self._revision

    def wake(self) -> None:
        """Run once more as soon as may be: another project has let go of something."""
        self._asked = True
        self._due = 0.0
        self._wake.set()

    def nudge(self) -> None:
        """Something that this project waits for has changed."""
        if self.latest.state is State.PENDING:
            self._due = 0.0
            self._wake.set()

    def reconsider(self) -> None:
        """Writes were stopped, or may go on: what is being sent is finished, then it is looked at anew."""
        self._stop.set()
        self.wake()

    def end(self, *, suspended: bool = False) -> None:
        """
        Finish what was begun, start nothing more, return from `keep`.

        With `suspended` only what was sent is finished: requests that wait for their turn are dropped.
        """
        if suspended:
            self._suspended.set()
        self._ending = True
        self._stop.set()
        self._wake.set()

    async def keep(self) -> None:
        """Until `end`."""
        try:
            await self._keep()
        finally:
            await self._stop_listening()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._ending:
            self._wake.clear()
            if self._revision is not None and loop.time() >= self._due:
                await self.run_once()
                continue
            limit = self._due - loop.time() if self._revision is not None else None
            held = self.latest.held
            if held and held.plan_hash and limit is not None:
                limit = min(limit, self.project.interval)
            try:
                async with asyncio.timeout(limit):
                    await self._wake.wait()
            except TimeoutError:
                # Due: a retry or the periodic comparison; or time to look for an approval.
                if held and held.plan_hash and await self._approved(held.plan_hash):
                    self._due = 0.0

    async def _approved(self, plan_hash: str) -> bool:
        try:
            return await self._runs.is_approved(self.project.id, plan_hash)
        except ReconcilerError as error:
            log.warning("project %s: whether it is approved cannot be read: %s", self.project.id, error)
            return False

    async def run_once(self) -> None:
        """One pass: run, publish, and say when the next one is due."""
        revision = self._revision
        if revision is None:
            return
        await self._stop_listening()
        self._stop.clear()
        self._retrying = False
        self._asked = False
        self._answering = self._requests
        self.began = asyncio.get_running_loop().time()
        if self._ending:
            return
        periodic = self._done == revision and not self._backoff.failures
        # Objects that are long not ready must not keep drift and prunes waiting: compare again.
        compare = asyncio.get_running_loop().call_later(COMPARE, self._stop.set)
        try:
            report = await self._attempt(revision, refresh=periodic)
        finally:
            compare.cancel()
            if self._retry:
                self._retry.cancel()
                self._retry = None
            await self._stop_listening()
        self._done = revision
        current = self._revision == revision
        if report.state is State.PROGRESSING:
            if self._retrying and current:
                self._backoff = self._backoff.failed()
            self._publish_source(report)
            return  # it was stopped: due again at once
        good = report.state in (State.SYNCED, State.HELD, State.SUSPENDED, State.PENDING)
        self._backoff = self._backoff.succeeded() if good or not current else self._backoff.failed()
        now = asyncio.get_running_loop().time()
        if current and not self._ending:
            whole = report.held is not None and report.held.whole
            pause = HELD_AGAIN if whole else COMPARE
            pause = min(pause, report.due_in or pause)
            delay = pause if good else self._backoff.delay(random.random())  # noqa: S311
            self._due = now if self._asked else now + delay
            if report.state is State.FAILED:
                self._listen(awaited_of(report))
        self._publish_source(report)

    def _waits(self, report: ProjectReport) -> None:
        """
        All is sent, and the run waits for objects to become ready, maybe for an hour.

        What has failed must not wait as long: it is retried as if the run were over.
        """
        self._publish_source(report)
        if self._retry or not any(its.outcome is Outcome.FAILED for its in report.objects):
            return
        delay = self._backoff.failed().delay(random.random())  # noqa: S311
        self._retry = asyncio.get_running_loop().call_later(delay, self._try_again)
        self._listen(awaited_of(report, running=True))

    def _try_again(self) -> None:
        self._retrying = True
        self._stop.set()

    # -- what a failed project waits for -------------------------------------------------

    def _listen(self, awaited: Awaited) -> None:
        if awaited and not self._ending:
            self._listening = asyncio.create_task(self._hear(awaited))

    async def _hear(self, awaited: Awaited) -> None:
        try:
            what = await self._runs.await_change(self.project, awaited, self._told)
        except ReconcilerError as error:
            log.debug("project %s: what it waits for cannot be watched: %s", self.project.id, error)
            return
        except Exception:
            log.exception("project %s: defect in the service", self.project.id)
            return
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self.began + CHANGE_PAUSE - now)
        log.info("project %s: retried, %s", self.project.id, what)
        self._try_again()
        self.wake()

    async def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None

    async def _attempt(self, revision: Revision, *, refresh: bool) -> ProjectReport:
        project = self.project
        said = ProjectReport(
            project=project.id, state=State.PENDING, commit=revision.commit, ref=revision.ref
        )
        request = Request(
            project=project,
            revision=revision,
            source=self._source,
            limits=self._limits,
            waiting=self._waits,
            stop=self._stop,
            suspended=self._suspended,
        )
        idle = ""
        try:
            await self._pause.refresh()
            idle = why_idle(project, self._pause)
            if not idle and (blocked := self._blocker(project)):
                return replace(said, reason=blocked)
            if refresh:
                await self._runs.refresh()
            report = await self._runs.run(request.looking() if idle else request)
            if idle:
                report = left_alone(report, idle, recorded=not self._pause.reason)
        except NotLeader as error:
            log.info("project %s: stopped: %s", project.id, error)
            return replace(said, state=State.UNKNOWN, reason=str(error), recorded=False)
        except ReconcilerError as error:
            self._unreadable = isinstance(error, MirrorDamaged)
            if self._suspended.is_set():
                return replace(said, state=State.PROGRESSING, reason=str(error), recorded=False)
            if self._pause.reason and not idle:
                return replace(said, state=State.PROGRESSING, reason=self._pause.reason, recorded=False)
            log.warning("project %s: %s", project.id, error)
            if idle:
                reason = f"{idle}; how it differs from git is not known: {error}"
                recorded = not self._pause.reason
                return replace(said, state=State.SUSPENDED, reason=reason, recorded=recorded)
            return replace(said, state=State.FAILED, reason=str(error))
        except Exception as error:
            log.exception("project %s: defect in the service", project.id)
            reason = f"defect in the service ({type(error).__name__}); report it with the log"
            return replace(said, state=State.FAILED, reason=reason)
        _log_report(report)
        return report

    def _publish_source(self, report: ProjectReport) -> None:
        self.latest = report
        report = replace(report, answers=self._answering)
        if self._source_error is None:
            self._publish(report)
            return
        text = f"the repository cannot be read: {self._source_error}"
        if self._revision is not None:
            text = f"still at {self._revision.commit[:12]}; {text}"
        reason = "; ".join(part for part in (text, report.reason) if part)
        recorded = report.recorded or not report.commit
        self._publish(replace(report, reason=reason, recorded=recorded, unusable=True))


def why_idle(project: ManifestProject, pause: Pause) -> str:
    """Why nothing of the project may be written now; "" lets it be."""
    return pause.reason or ("suspend is set in the configuration" if project.suspend else "")


def _log_report(report: ProjectReport) -> None:
    counts = {name: count for name, count in report.counts().items() if count}
    quiet = report.state is State.SYNCED and not counts.keys() - {"unchanged", "ready"}
    calm = report.state in (State.SYNCED, State.SUSPENDED)
    level = logging.DEBUG if quiet else logging.INFO if calm else logging.WARNING
    numbers = " ".join(f"{name}={count}" for name, count in counts.items())
    tail = f": {report.reason}" if report.reason else ""
    log.log(
        level,
        "project %s %s at %s in %.2f s (%s)%s",
        report.project,
        report.state,
        report.commit[:12],
        report.duration,
        numbers,
        tail,
    )
