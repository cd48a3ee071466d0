"""
Writes each project's status beside its inventory, newest only, never in the way of a sync.

Level-triggered: a status that is replaced before it was written is never written. What
cannot be written now is tried again; the log has said it all already.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from reconciler.errors import ReconcilerError
from reconciler.sync.asked import answer_text
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.pausing import Pause
from reconciler.sync.records import Records
from reconciler.sync.status import status_data

log = logging.getLogger(__name__)

RETRY: Final = 10.0  # s
SETTLE: Final = 1.0
"""s that a status must hold before it is written: most syncs are over by then, and cost one write less."""


class StatusWriter:
    """One for an instance; `run` belongs to the service's task group."""

    def __init__(self, records: Records, pause: Pause) -> None:
        self._records = records
        self._pause = pause
        self._newest: dict[str, ProjectReport] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._answered: dict[str, str] = {}
        self._flushing = asyncio.Lock()

    def note(self, report: ProjectReport) -> None:
        """A project has a new report; a dry run's, and "not looked at yet", replace nothing."""
        if not report.recorded or self._pause.reason:
            return
        self._newest[report.project] = report
        self._wake.set()
        if report.state is not State.PROGRESSING and report.answers != self._answered.get(report.project, ""):
            self._answered[report.project] = report.answers
            self._hurry.set()  # a person waits for it

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE):
                    await self._hurry.wait()
            self._hurry.clear()
            self._wake.clear()
            if not await self.flush():
                await asyncio.sleep(RETRY)
                self._wake.set()

    async def flush(self) -> bool:
        """Write what is waiting; False if something could not be written and waits on."""
        async with self._flushing:
            return await self._flush()

    async def _flush(self) -> bool:
        if self._pause.reason:
            self._newest.clear()  # what is so when writes go on again is told then
        clean = True
        for project, report in tuple(self._newest.items()):
            try:
                await self._records.write_status(
                    await self._records.of(project),
                    status_data(report),
                    answers=report.answers,
                    answer=answer_text(report),
                )
            except ReconcilerError as error:
                log.warning("project %s: its status is not written: %s", project, error)
                clean = False
                continue
            if self._newest.get(project) is report:
                del self._newest[project]
        return clean
