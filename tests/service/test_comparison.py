"""What the running service does between commits: it compares, and corrects what others changed."""

import asyncio
import time
from collections.abc import Callable

import pytest

from reconciler.service.assembly import assembled
from reconciler.service.running import Service
from reconciler.sync import keeper
from reconciler.sync.outcome import State
from reconciler.web.metrics import Metrics
from tests.fix_sync import Installation
from tests.objects import config_map, deployment, manifest

PATIENCE = 10.0  # s


async def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:g} s"
        await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons and retries every half second, not every five minutes."""
    monkeypatch.setattr(keeper, "COMPARE", 0.5)
    monkeypatch.setattr(keeper, "RETRY_FIRST", 0.2)


@pytest.mark.parametrize("how", ["edited", "deleted"])
async def test_foreign_change_is_corrected_without_a_commit(installation: Installation, how: str) -> None:
    installation.commit({"a.yaml": config_map("a")})
    path = installation.path("configmaps", "a")
    async with assembled(installation.options) as parts:
        stop = asyncio.Event()
        running = asyncio.create_task(Service(parts, Metrics()).run(stop))
        await until(lambda: installation.exists("configmaps", "a"), "the first apply")
        uid = installation.get("configmaps", "a")["metadata"]["uid"]
        if how == "edited":
            installation.api.patch(path, {"data": {"a": "2"}})
        else:
            installation.api.delete(path)
        await until(
            lambda: (
                installation.exists("configmaps", "a")
                and installation.get("configmaps", "a")["data"] == {"a": "1"}
            ),
            "the correction",
        )
        assert (installation.get("configmaps", "a")["metadata"]["uid"] == uid) == (how == "edited")
        stop.set()
        await running


async def test_comparison_that_finds_nothing_writes_nothing(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    async with assembled(installation.options) as parts:
        stop = asyncio.Event()
        running = asyncio.create_task(Service(parts, Metrics()).run(stop))
        await until(
            lambda: (installation.record("-status") or {}).get("data", {}).get("state") == State.SYNCED,
            "status",
        )
        before = parts.cluster.requests.by_verb["list"]
        with installation.recorded() as requests:
            await until(lambda: parts.cluster.requests.by_verb["list"] >= before + 3, "three comparisons")
        assert requests.writes == []
        stop.set()
        await running


async def test_failed_run_is_tried_again_until_its_cause_is_gone(
    installation: Installation, namespace: str
) -> None:
    other = f"{namespace}-later"
    path = f"/api/v1/namespaces/{other}"
    installation.commit({"a.yaml": [config_map("a", namespace=other), manifest("v1", "Secret", "s")]})
    async with assembled(installation.options) as parts:
        stop = asyncio.Event()
        running = asyncio.create_task(Service(parts, Metrics()).run(stop))
        await until(lambda: installation.exists("secrets", "s"), "the first run")
        installation.api.post("/api/v1/namespaces", {"metadata": {"name": other}})
        try:
            await until(lambda: installation.api.exists(f"{path}/configmaps/a"), "the retry")
        finally:
            installation.api.delete(path)
        stop.set()
        await running


async def test_comparisons_do_not_start_the_wait_for_an_object_over(installation: Installation) -> None:
    installation.configure(reconcile_timeout="2s")
    installation.commit({"web.yaml": deployment("web", behaviour="unready")})
    async with assembled(installation.options) as parts:
        stop = asyncio.Event()
        running = asyncio.create_task(Service(parts, Metrics()).run(stop))
        await until(
            lambda: (
                "not ready after 2 s"
                in (installation.record("-status") or {}).get("data", {}).get("objects", "")
            ),
            "the end of the wait",
        )
        stop.set()
        await running
