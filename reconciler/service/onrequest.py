"""
Takes what persons ask for to the projects: the configuration is read anew, then git, then a run.

Whoever asks for a project that has no records yet asks by the Lease, for all such projects at
once, and is told which of them there are. Neighbours: sync/answering.py hears, term.py owns
this, sync/asked.py has the words.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

from reconciler.config.models import Configuration
from reconciler.sync.asked import is_open
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.records import Records


class Projects(Protocol):
    """What it needs of a fleet."""

    def request(self, project: str, requests: str) -> bool:
        """Whether the project runs, and is asked."""
        ...


class OnRequest:
    """
    `reread` reads the configuration; `configuration` gives the one in force; `tell` takes the
    answer for a project that does not run, `taken_on` what is written on the Lease.
    """

    def __init__(
        self,
        projects: Projects,
        records: Records,
        *,
        reread: Callable[[], Awaitable[None]],
        configuration: Callable[[], Configuration],
        tell: Callable[[ProjectReport], None],
        taken_on: Callable[[str], None],
    ) -> None:
        self._projects = projects
        self._records = records
        self._reread = reread
        self._configuration = configuration
        self._tell = tell
        self._taken_on = taken_on
        self._waiting: dict[str, str] = {}
        self._for_new = ""
        self._done_for_new = ""
        self._wake = asyncio.Event()

    def project(self, project: str, requests: str) -> None:
        """These requests are on the project's head."""
        self._waiting[project] = requests
        self._wake.set()

    def lease(self, notes: Mapping[str, str]) -> None:
        """These annotations are on the Lease."""
        requests = is_open(notes)
        if requests and requests != self._done_for_new:
            self._for_new = requests
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, {}
            for_new, self._for_new = self._for_new, ""
            await self._reread()
            for project, requests in waiting.items():
                self._ask(project, requests)
            if for_new:
                await self._ask_new(for_new)

    def _ask(self, project: str, requests: str) -> None:
        if self._projects.request(project, requests):
            return
        reason = "is not in the configuration of the service; its objects stay as they are"
        report = ProjectReport(project=project, state=State.UNKNOWN, reason=reason, unusable=True)
        self._tell(replace(report, answers=requests))

    async def _ask_new(self, requests: str) -> None:
        new = [
            its
            for project in self._configuration().projects
            if (its := await self._records.of(project.id)).head is None
        ]
        for its in new:
            self._ask(its.project, requests)
        self._done_for_new = requests
        self._taken_on(" ".join([requests, *(its.name for its in new)]))
