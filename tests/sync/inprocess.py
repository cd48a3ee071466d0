"""The service in the test's own process: what it reports, as it reports it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from reconciler.service.assembly import Assembled, assembled
from reconciler.service.running import Service
from reconciler.sync.outcome import ProjectReport, State
from reconciler.web.metrics import Metrics
from tests.fix_git import HttpServer
from tests.fix_sync import Installation

LIMIT = 10.0  # s


class Seen(Metrics):
    """Reports as the service publishes them."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: dict[str, ProjectReport] = {}
        self.changed = asyncio.Event()

    def observe(self, report: ProjectReport) -> None:
        super().observe(report)
        self.reports[report.project] = report
        self.changed.set()

    async def until(self, holds: Callable[[dict[str, ProjectReport]], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not holds(self.reports):
                self.changed.clear()
                await self.changed.wait()

    async def all_are(self, state: State) -> None:
        await self.until(lambda its: bool(its) and all(r.state is state for r in its.values()))


@asynccontextmanager
async def running(installation: Installation, **options: Any) -> AsyncIterator[tuple[Assembled, Seen]]:
    """The service in this process; `options` replace some of the installation's."""
    seen = Seen()
    stop = asyncio.Event()
    async with assembled(replace(installation.options, **options), timings=seen) as parts:
        service = Service(parts, seen)
        task = asyncio.create_task(service.run(stop))
        yield parts, seen
        stop.set()
        await task


async def polls(http_server: HttpServer, count: int) -> None:
    """Wait until the server has been asked for its refs so many times more."""
    target = http_server.counts["ls-refs"] + count
    async with asyncio.timeout(LIMIT):
        while http_server.counts["ls-refs"] < target:  # noqa: ASYNC110 - counted in the server's own thread
            await asyncio.sleep(0.05)
