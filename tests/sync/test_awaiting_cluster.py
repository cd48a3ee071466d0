"""A failed project is retried at once when what it waits for changes by another hand."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import Api
from reconciler.sync import keeper
from reconciler.sync.outcome import ProjectReport, State
from tests.fix_sync import PROJECT, Installation, of, outcomes
from tests.objects import config_map, definition, deployment, manifest
from tests.sync.inprocess import Seen, running
from tests.sync.test_waiting_cluster import run

LIMIT = 8.0  # s; the retry itself would come after a quarter of an hour


@pytest.fixture(autouse=True)
def late_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RETRY_FIRST", 900.0)
    monkeypatch.setattr(keeper, "RETRY_CAP", 900.0)


async def failed(seen: Seen) -> ProjectReport:
    await seen.until(lambda its: PROJECT in its and its[PROJECT].state is State.FAILED)
    return seen.reports[PROJECT]


async def synced(seen: Seen) -> ProjectReport:
    async with asyncio.timeout(LIMIT):
        await seen.all_are(State.SYNCED)
    return seen.reports[PROJECT]


def delete(api: Api, path: str) -> None:
    if api.exists(path):
        api.delete(path)


@pytest.fixture
def other(api: Api, namespace: str) -> Iterator[str]:
    """The name of a namespace that is not there yet."""
    name = f"{namespace}-other"
    yield name
    delete(api, f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("meanwhile", ["nothing else", "another object is waited for"])
async def test_namespace_that_appears(
    installation: Installation, api: Api, other: str, meanwhile: str
) -> None:
    installation.configure(reconcile_timeout="3600s")
    objects = [config_map("a"), config_map("b", namespace=other)]
    if meanwhile != "nothing else":
        objects.append(deployment("slow", behaviour="unready"))
    installation.commit({"a.yaml": objects})
    async with running(installation) as (_, seen):
        await seen.until(
            lambda its: PROJECT in its and any(o.reason == "NotFound" for o in its[PROJECT].objects)
        )
        api.post("/api/v1/namespaces", {"metadata": {"name": other}})
        async with asyncio.timeout(LIMIT):
            await asyncio.to_thread(api.until, f"/api/v1/namespaces/{other}/configmaps/b", bool)


async def test_object_that_recovers_lets_go_on_what_needs_it(installation: Installation) -> None:
    installation.configure(reconcile_timeout="1s")
    needs = f"apps/namespaces/{installation.namespace}/Deployment/base"
    base = deployment("base", ready_after="3s")
    installation.commit({"a.yaml": [base, config_map("user", after=needs)]})
    async with running(installation) as (_, seen):
        report = await failed(seen)
        assert outcomes(report)["user"] == "blocked"
        assert "Deployment" in of(report, "user").message
        report = await synced(seen)
    assert outcomes(report)["user"] in ("created", "unchanged")


async def test_object_that_is_gone_at_last_is_created_anew(installation: Installation) -> None:
    stuck = config_map("stuck")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    installation.commit({"a.yaml": stuck})
    await run(installation)
    path = installation.path("configmaps", "stuck")
    installation.api.delete(path)
    async with running(installation) as (_, seen):
        report = await failed(seen)
        assert of(report, "stuck").reason == "Terminating"
        installation.api.patch(path, {"metadata": {"finalizers": None}})
        report = await synced(seen)
    assert outcomes(report) == {"stuck": "created"}


@pytest.fixture
def group(api: Api, namespace: str) -> Iterator[str]:
    name = f"{namespace}.example.com"
    yield name
    delete(api, f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{name}")


async def test_definition_that_appears(installation: Installation, api: Api, group: str) -> None:
    installation.commit({"a.yaml": manifest(f"{group}/v1", "Widget", "w", spec={})})
    async with running(installation) as (_, seen):
        report = await failed(seen)
        assert of(report, "w").reason == "KindNotServed"
        api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(group))
        report = await synced(seen)
    assert outcomes(report) == {"w": "created"}


async def test_what_does_not_help_is_not_tried_again_and_again(
    installation: Installation, api: Api, other: str
) -> None:
    """The namespace is there, but nothing may be created in it."""
    installation.commit({"a.yaml": config_map("b", namespace=other)})
    quota: dict[str, Any] = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "0"}}}
    async with running(installation) as (parts, seen):
        await failed(seen)
        api.post("/api/v1/namespaces", {"metadata": {"name": other}})
        api.post(f"/api/v1/namespaces/{other}/resourcequotas", quota)
        await seen.until(lambda its: its[PROJECT].objects[0].reason != "NotFound")
        before = parts.cluster.requests.total
        await asyncio.sleep(2.5)
        assert parts.cluster.requests.total - before < 30
