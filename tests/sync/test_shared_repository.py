"""Several projects on one repository: one mirror, one poll, and nothing at all while nothing moves."""

import asyncio
from collections.abc import Sequence

import pytest

from reconciler.service.assembly import Assembled
from reconciler.sync.outcome import State
from reconciler.sync.status import read_status
from tests.fix_git import Fault, HttpServer
from tests.fix_sync import Installation
from tests.objects import config_map
from tests.sync.inprocess import LIMIT, polls, running


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


def but_renewals(parts: Assembled) -> int:
    requests = parts.cluster.requests
    return requests.total - requests.by_verb_and_resource.get(("update", "leases.coordination.k8s.io"), 0)


async def test_nothing_but_ls_remote_while_nothing_moves(
    served: Installation, http_server: HttpServer
) -> None:
    async with running(served) as (parts, seen):
        await seen.until(lambda its: len(its) == 2 and all(r.state is State.SYNCED for r in its.values()))
        await status_is_written(parts, ["one", "two"])
        before, fetched = but_renewals(parts), http_server.counts["fetch"]
        await polls(http_server, 2)
        assert but_renewals(parts) == before
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
