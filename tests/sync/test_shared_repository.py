"""Several projects on one repository: one mirror, one poll, and nothing at all while nothing moves."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reconciler.service.assembly import Assembled, assembled
from reconciler.service.running import Service
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.status import read_status
from reconciler.web.metrics import Metrics
from tests.fix_git import Fault, HttpServer
from tests.fix_sync import Installation
from tests.objects import config_map

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
async def running(installation: Installation) -> Any:
    """The service in this process."""
    seen = Seen()
    stop = asyncio.Event()
    async with assembled(installation.options) as parts:
        service = Service(parts, seen)
        task = asyncio.create_task(service.run(stop))
        yield parts, seen
        stop.set()
        await task


@pytest.fixture
def served(installation: Installation, http_server: HttpServer) -> Installation:
    """Two projects on one repository that is served over http."""
    installation.commit({"one/a.yaml": config_map("a"), "two/b.yaml": config_map("b")})
    url = f"{http_server.url}/repo.git"
    common = {"url": url, "interval": "1s"}
    installation.configure_projects(
        [
            {"id": "one", "paths": [{"glob": "one/*.yaml"}], **common},
            {"id": "two", "paths": [{"glob": "two/*.yaml"}], **common},
        ]
    )
    return installation


async def polls(http_server: HttpServer, count: int) -> None:
    """Wait until the server has been asked for its refs so many times more."""
    target = http_server.counts["ls-refs"] + count
    async with asyncio.timeout(LIMIT):
        while http_server.counts["ls-refs"] < target:  # noqa: ASYNC110 - counted in the server's own thread
            await asyncio.sleep(0.05)


async def status_is_written(parts: Assembled, projects: Sequence[str]) -> None:
    """Wait until the last status of each project lies in the cluster: after it nothing more is due."""
    async with asyncio.timeout(LIMIT):
        for project in projects:
            records = await parts.records.of(project)
            while read_status(records.status, records.head).state != State.SYNCED:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)


async def test_two_projects_share_one_fetch(served: Installation, http_server: HttpServer) -> None:
    async with running(served) as (_, seen):
        await seen.all_are(State.SYNCED)
    assert http_server.counts["fetch"] == 1


async def test_nothing_but_ls_remote_while_nothing_moves(
    served: Installation, http_server: HttpServer
) -> None:
    async with running(served) as (parts, seen):
        await seen.until(lambda its: len(its) == 2 and all(r.state is State.SYNCED for r in its.values()))
        await status_is_written(parts, ["one", "two"])
        before, fetched = parts.cluster.requests.total, http_server.counts["fetch"]
        await polls(http_server, 2)
        assert parts.cluster.requests.total == before
        assert http_server.counts["fetch"] == fetched


async def test_commit_that_touches_one_project_is_applied_by_it(
    served: Installation, http_server: HttpServer
) -> None:
    async with running(served) as (_, seen):
        await seen.until(lambda its: len(its) == 2 and all(r.state is State.SYNCED for r in its.values()))
        sha = served.commit({"two/b.yaml": config_map("b", k="new")})
        await seen.until(lambda its: all(r.commit == sha and r.state is State.SYNCED for r in its.values()))
        assert seen.reports["two"].counts()["updated"] == 1
        assert seen.reports["one"].counts()["updated"] == 0


async def test_server_that_fails_leaves_the_last_revision_in_force(
    served: Installation, http_server: HttpServer
) -> None:
    async with running(served) as (_, seen):
        await seen.until(lambda its: len(its) == 2 and all(r.state is State.SYNCED for r in its.values()))
        http_server.fault = Fault("status", code=500)
        await seen.until(lambda its: all("cannot be read" in r.reason for r in its.values()))
        assert all(r.state is State.SYNCED for r in seen.reports.values())
        http_server.fault = None
        await seen.until(lambda its: all(not r.reason for r in its.values()))
