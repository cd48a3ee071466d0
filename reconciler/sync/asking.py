"""
Asks the running service for a run of some projects, and waits for its answers.

Writes a token onto the projects' heads (and onto the Lease for projects that have none yet),
nothing else; the service writes the answers into the status records. Neighbours: asked.py
has the words, answering.py the other side.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from reconciler.cluster.follow import Listed
from reconciler.cluster.watch import EventKind, WatchEvent
from reconciler.config.models import ManifestProject
from reconciler.sync import asked, marks
from reconciler.sync.errors import TwoWriters
from reconciler.sync.leader import Leader
from reconciler.sync.lease import Role
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.records import Records
from reconciler.tasks import task_group

WRITE_TRIES: Final = 5  # a service that works writes the head, too
NO_ANSWER: Final = "the running service was asked and has not answered yet; it goes on"


class Asking:
    """
    One request; `reports` are the answers so far, `finished` is told of each final one.

    `records` must be of a client that no lease fences: a request is no second writer.
    """

    def __init__(
        self,
        projects: Sequence[ManifestProject],
        records: Records,
        *,
        wait: bool,
        finished: Callable[[ProjectReport], None],
    ) -> None:
        self.reports: dict[str, ProjectReport] = {}
        self._projects = {project.id: project for project in projects}
        self._records = records
        self._wait = wait
        self._finished = finished
        self._token = secrets.token_hex(8)
        self._said: dict[str, ProjectReport] = {}
        self._new: dict[str, str] = {}
        self._all = asyncio.Event()
        self._renewed = ""

    async def run(self, leader: Leader) -> None:
        """Ask, and return when all have answered, or none will. Raises ReconcilerError."""
        if self._all.is_set():
            return
        async with task_group() as tasks:
            for name in self._projects:
                tasks.create_task(self._ask(name))
        if self._new:
            await leader.ask_holder(
                marks.ASKED,
                lambda notes: asked.with_token(
                    notes.get(marks.ASKED, ""), self._token, answered=notes.get(marks.HANDLED, "")
                ),
            )
        async with self._records.follow("status", metadata_only=False) as stream:
            listening = asyncio.ensure_future(self._listen(stream))
            done = asyncio.ensure_future(self._all.wait())
            try:
                await asyncio.wait([listening, done], return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    listening.result()
            finally:
                listening.cancel()
                done.cancel()
                await asyncio.wait([listening, done])

    def unanswered(self) -> tuple[ProjectReport, ...]:
        """How things are with the projects of which nothing final was heard."""
        return tuple(
            self._said.get(name, ProjectReport(project=name, state=State.PROGRESSING, reason=NO_ANSWER))
            for name in self._projects
            if name not in self.reports
        )

    def hear_lease(self, notes: Mapping[str, str], renewed: str) -> None:
        """The annotations of the Lease: whether the service answers, and which new projects it has."""
        # Of a holder that is dead nothing is believed: its Lease runs out, and is ours then.
        lives = self._renewed not in ("", renewed)
        self._renewed = renewed
        if lives and notes.get(marks.ROLE) == Role.SERVICE and (why := notes.get(marks.CANNOT_ANSWER)):
            for project in self._projects.keys() - self._said.keys():
                reason = f"the running service cannot be asked: {why}"
                self._take(ProjectReport(project=project, state=State.UNKNOWN, reason=reason, unusable=True))
        handled = notes.get(marks.HANDLED, "").split()
        if self._token not in handled:
            return
        for project, name in self._new.items():
            if name not in handled and project not in self._said:
                reason = "the running service has no such project in its configuration"
                self._take(ProjectReport(project=project, state=State.UNKNOWN, reason=reason, unusable=True))

    async def _ask(self, project: str) -> None:
        for last_try in [*[False] * (WRITE_TRIES - 1), True]:
            its = await self._records.of(project)
            if its.head is None:
                self._new[project] = its.name
                return
            try:
                await self._records.ask(its, self._token)
            except TwoWriters:
                self._records.forget(its)
                if last_try:
                    raise
            else:
                return

    async def _listen(self, stream: Any) -> None:
        async for news in stream:
            match news:
                case Listed(items=found):
                    for status in found:
                        self._hear(status)
                case WatchEvent(kind=kind, object=status) if kind is not EventKind.DELETED:
                    self._hear(status)

    def _hear(self, status: Mapping[str, Any]) -> None:
        notes = status["metadata"].get("annotations") or {}
        project = notes.get(marks.PROJECT, "")
        if project in self._projects and asked.holds(notes.get(marks.HANDLED, ""), self._token):
            self._take(asked.report_of(project, status.get("data") or {}, notes.get(marks.ANSWER, "")))

    def _take(self, report: ProjectReport) -> None:
        self._said[report.project] = report
        self._settle()

    def _settle(self) -> None:
        """What is final may make others final: those that depend on it."""
        found = True
        while found:
            found = False
            for name, report in self._said.items():
                if name not in self.reports and self._is_final(report):
                    self.reports[name] = asked.as_asked(report, wait=self._wait)
                    self._finished(self.reports[name])
                    found = True
        if self.reports.keys() == self._projects.keys():
            self._all.set()

    def _is_final(self, report: ProjectReport) -> bool:
        needed = [other for other in self._projects[report.project].depends_on if other in self._projects]
        states = [self.reports[other].state for other in needed if other in self.reports]
        # Once all that it waits for are well, it runs, and tells.
        going = len(states) < len(needed) or all(state is State.SYNCED for state in states)
        return asked.is_final(report, wait=self._wait, open_dependencies=bool(needed) and going)
