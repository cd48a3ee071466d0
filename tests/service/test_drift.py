"""Foreign changes are heard by watches and corrected at once, long before the next comparison."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.sync import marks
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.watching import MOST
from tests.fix_cluster import LEASE_RIGHTS
from tests.fix_sync import PROJECT, Installation, Requests, of
from tests.objects import config_map, deployment, manifest
from tests.sync.inprocess import LIMIT, running
from tests.web.exposition import series


async def until(holds: Callable[[], Any]) -> None:
    """Long before the comparison that every project makes every five minutes."""
    async with asyncio.timeout(LIMIT):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)  # asked of the API server


def listed(requests: Requests, resource: str) -> int:
    return sum(asked.verb == "list" and asked.resource == resource for asked in requests.all)


def data(installation: Installation, name: str) -> Any:
    return (installation.get("configmaps", name) or {}).get("data")


async def test_foreign_change_is_corrected(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a", a="1"), config_map("b")]})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        for value in ("2", "3"):
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": value}})
            await until(lambda: data(installation, "a") == {"a": "1"})


async def test_report_says_what_was_changed_by_whom_and_when(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    installation.commit({"a.yaml": [config_map("a", a="1", b="2"), config_map("b")]})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        path = installation.path("configmaps", "a")
        installation.api.patch(f"{path}?fieldManager=kubectl-edit", {"data": {"a": "theirs", "c": "theirs"}})
        await seen.until(lambda its: its[PROJECT].counts().get("updated") == 1)
        message = of(seen.reports[PROJECT], "a").message
        assert re.fullmatch(r"changed in the cluster; \.data\.a by kubectl-edit at [0-9T:-]+Z", message)
        assert f"ConfigMap {installation.namespace}/a is put right: {message}" in caplog.text
        installation.api.delete(path)
        await seen.until(lambda its: its[PROJECT].counts().get("created") == 1)
        assert of(seen.reports[PROJECT], "a").message == "deleted by another hand"
        assert series(seen.render()[0], "reconciler_drift_total") == {
            "kind=ConfigMap manager=kubectl-edit": 1,
            "kind=ConfigMap manager=unknown": 1,
        }


async def test_deleted_object_comes_back(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        for _ in range(2):
            installation.api.delete(installation.path("configmaps", "a"))
            await until(lambda: installation.exists("configmaps", "a"))


@pytest.mark.parametrize(
    "marks_off",
    [
        pytest.param({"labels": {marks.INSTANCE_LABEL: None}}, id="label"),
        pytest.param({"annotations": {marks.PROJECT: None}}, id="project"),
        pytest.param(
            {
                "labels": {marks.INSTANCE_LABEL: None},
                "annotations": {marks.PROJECT: None, marks.APPLIED: None},
            },
            id="all but the owner",
        ),
    ],
)
async def test_marks_that_are_taken_off_are_put_back(
    installation: Installation, marks_off: dict[str, Any]
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        before = installation.get("configmaps", "a")["metadata"]
        installation.api.patch(installation.path("configmaps", "a"), {"metadata": marks_off})

        def has_all() -> bool:
            its = installation.get("configmaps", "a")["metadata"]
            return all(its.get(key) == before[key] for key in ("labels", "annotations"))

        await until(has_all)


async def test_change_of_what_is_not_ours_makes_no_run(installation: Installation) -> None:
    """Three kinds of it, then one real change: that alone is compared, by one LIST."""
    installation.commit({"a.yaml": [config_map("a", a="1"), deployment("web", replicas=0)]})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        deployments = "apps/v1/deployments"
        with installation.recorded() as requests:
            path = installation.path(deployments, "web")
            installation.api.patch(path, {"metadata": {"labels": {"theirs": "1"}}})
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"theirs": "1"}})
            installation.api.patch(f"{path}/status", {"status": {"observedGeneration": 7}})
            await asyncio.sleep(0.5)
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "2"}})
            await until(lambda: data(installation, "a") == {"a": "1", "theirs": "1"})
        assert listed(requests, "configmaps") == 1


async def test_own_writes_make_no_run(installation: Installation) -> None:
    installation.configure(interval="1s")
    installation.commit({"a.yaml": [config_map("a", a="1"), config_map("b")]})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        with installation.recorded() as requests:
            commit = installation.commit(
                {"a.yaml": [config_map("a", a="2"), config_map("b"), config_map("c")]}
            )
            await seen.until(lambda its: (its[PROJECT].commit, its[PROJECT].state) == (commit, State.SYNCED))
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "7"}})
            await until(lambda: data(installation, "a") == {"a": "2"})
        assert listed(requests, "configmaps") == 2


async def test_object_that_is_fought_for_is_left_to_the_comparison(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installation.commit({"a.yaml": [config_map("a", a="1"), config_map("b", b="1")]})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        for value in range(MOST):
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": f"theirs {value}"}})
            await until(lambda: data(installation, "a") == {"a": "1"})
        installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "theirs"}})
        await until(lambda: "look who else writes it" in caplog.text)
        assert data(installation, "a") == {"a": "theirs"}
        # Others are heard as before, and the run that they cause corrects all.
        installation.api.patch(installation.path("configmaps", "b"), {"data": {"b": "2"}})
        await until(lambda: data(installation, "a") == {"a": "1"})


async def test_what_an_autoscaler_writes_makes_no_run(installation: Installation) -> None:
    """It is left to the comparison, which is seldom enough not to fight."""
    installation.commit({"a.yaml": [config_map("a", a="1"), deployment("web", replicas=1)]})
    scale = installation.path("apps/v1/deployments", "web") + "/scale"
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        with installation.recorded() as requests:
            installation.api.patch(scale, {"spec": {"replicas": 2}})
            await until(lambda: installation.get("apps/v1/deployments", "web")["status"].get("replicas") == 2)
            await asyncio.sleep(0.5)
        assert listed(requests, "deployments") == 0


async def test_what_else_is_changed_of_a_scaled_object_is_put_right(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), deployment("web", replicas=1)]})
    path = installation.path("apps/v1/deployments", "web")
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        installation.api.patch(f"{path}/scale", {"spec": {"replicas": 2}})
        installation.api.patch(path, {"spec": {"progressDeadlineSeconds": 7}})
        await until(
            lambda: installation.get("apps/v1/deployments", "web")["spec"]["progressDeadlineSeconds"] == 600
        )


async def test_own_deletes_are_nobody_elses(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """A finalizer keeps it for longer than a run needs to write down what it has done."""
    installation.configure(interval="1s", prune_limit="100%")
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    path = installation.path("configmaps", "b")
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        installation.api.patch(path, {"metadata": {"finalizers": ["example.com/wait"]}})
        installation.commit({"a.yaml": config_map("a")})
        await until(lambda: "deletionTimestamp" in installation.get("configmaps", "b")["metadata"])
        await asyncio.sleep(2.5)
        installation.api.patch(path, {"metadata": {"finalizers": None}})
        await seen.until(lambda its: its[PROJECT].counts().get("pruned") == 1)
        await asyncio.sleep(0.5)
    assert "another hand" not in caplog.text


async def test_secrets_are_not_watched(installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    installation.commit({"a.yaml": manifest("v1", "Secret", "s", data={"a": "eA=="})})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        await until(lambda: "secrets are not watched" in caplog.text)


async def test_kind_that_may_not_be_watched_is_said(
    installation: Installation, grant: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    kubeconfig = grant({"apiGroups": [""], "resources": ["*"], "verbs": verbs}, LEASE_RIGHTS)
    async with running(installation, kubeconfig=kubeconfig) as (_, seen):
        await seen.all_are(State.SYNCED)
        await until(lambda: "configmaps are not watched" in caplog.text)
        assert "may not watch configmaps" in caplog.text


def is_waiting(reports: dict[str, ProjectReport]) -> bool:
    """All is applied, and only one object is not ready."""
    its = reports.get(PROJECT)
    return its is not None and its.state is State.PROGRESSING and its.counts().get("created") == 2


async def test_drift_is_corrected_while_another_object_is_waited_for(installation: Installation) -> None:
    never = deployment("never", behaviour="unready")
    installation.commit({"a.yaml": [never, config_map("a", a="1")]})
    async with running(installation) as (_, seen):
        await seen.until(is_waiting)
        installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "2"}})
        await until(lambda: data(installation, "a") == {"a": "1"})
