"""The annotation that pauses everything: heard at once, respected by every write, and taken back."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ControlPlane
from reconciler.sync import marks
from reconciler.sync.outcome import ObjectReport, ProjectReport, State
from tests.faults.gateway import Gateway
from tests.fix_cluster import LEASE_RIGHTS
from tests.fix_sync import PROJECT, Installation, outcomes
from tests.objects import config_map
from tests.sync.inprocess import running
from tests.sync.test_waiting_cluster import run

SECONDS = 10.0


def pause(installation: Installation, value: str | None = "true") -> None:
    body = {"metadata": {"annotations": {marks.PAUSED: value}}}
    installation.api.patch(f"/api/v1/namespaces/{installation.namespace}", body)


def suspend(installation: Installation) -> None:
    installation.configure(suspend=True)


def is_suspended(reports: dict[str, ProjectReport]) -> bool:
    return PROJECT in reports and reports[PROJECT].state is State.SUSPENDED


@pytest.mark.parametrize("value", ["true", "yes", "1"])
def test_sync_respects_the_annotation(installation: Installation, value: str) -> None:
    installation.commit({"a.yaml": config_map("a")})
    pause(installation, value)
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, report.differing, requests.writes) == (State.SUSPENDED, 1, [])
    assert f"namespace {installation.namespace} has the annotation {marks.PAUSED}" in report.reason


@pytest.mark.parametrize("value", ["false", "", None])
def test_annotation_that_pauses_nothing(installation: Installation, value: str | None) -> None:
    installation.commit({"a.yaml": config_map("a")})
    pause(installation, value)
    assert installation.sync().state is State.SYNCED


async def test_service_hears_the_annotation_without_asking(installation: Installation) -> None:
    installation.configure(interval="1s")
    installation.commit({"a.yaml": config_map("a")})
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        pause(installation)
        async with asyncio.timeout(SECONDS):
            await seen.until(is_suspended)
        with installation.recorded() as requests:
            commit = installation.commit({"a.yaml": config_map("a", a="2")})
            await seen.until(lambda its: its[PROJECT].commit == commit and is_suspended(its))
            assert seen.reports[PROJECT].differing == 1
            page = seen.render()[0].decode()
            assert f'reconciler_project_differing_objects{{project="{PROJECT}"}} 1.0' in page
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "by hand"}})
        assert requests.writes == []
        pause(installation, None)
        await seen.until(lambda its: its[PROJECT].state is State.SYNCED)
        assert "differing_objects{" not in seen.render()[0].decode()
    assert installation.get("configmaps", "a")["data"] == {"a": "2"}


async def test_service_that_starts_paused_writes_nothing(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    pause(installation)
    with installation.recorded() as requests:
        async with running(installation) as (_, seen):
            await seen.until(is_suspended)
    assert requests.writes == []


async def test_service_that_starts_paused_compares_and_goes_on_later(installation: Installation) -> None:
    """Records are there: what begins to lead raises their epochs, but not while all is paused."""
    installation.commit({"a.yaml": config_map("a")})
    await run(installation)
    pause(installation)
    installation.commit({"a.yaml": config_map("a", a="2")})
    before = installation.record()
    async with running(installation) as (_, seen):
        await seen.until(is_suspended)
        assert seen.reports[PROJECT].differing == 1
        assert installation.record() == before
        pause(installation, None)
        await seen.all_are(State.SYNCED)
    assert int(installation.record()["data"]["epoch"]) == int(before["data"]["epoch"]) + 1


NAMES = sorted(f"c{n:03}" for n in range(200))


async def test_run_in_flight_sends_nothing_more(installation: Installation) -> None:
    """What was sent is finished; afterwards the run is made anew, and every object is there once."""
    installation.configure(interval="1s")
    installation.commit({"a.yaml": [config_map(name) for name in NAMES]})
    async with running(installation) as (_, seen):
        await asyncio.to_thread(installation.api.until, installation.path("configmaps", "c020"), bool)
        pause(installation)
        await seen.until(is_suspended)
        there = {name for name in NAMES if installation.exists("configmaps", name)}
        assert len(there) < len(NAMES), "the pause came too late to show anything"
        with installation.recorded() as requests:
            await asyncio.sleep(0.3)
        assert requests.writes == []
        assert (seen.reports[PROJECT].differing or 0) >= len(NAMES) - len(there)
        pause(installation, None)
        await seen.all_are(State.SYNCED)
    assert installation.recorded_names() == set(NAMES)


@pytest.mark.parametrize("stop", [pause, suspend], ids=["all is paused", "the project is suspended"])
async def test_write_that_waits_its_turn_is_not_sent_any_more_once(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    stop: Callable[[Installation], None],
) -> None:
    """The server refuses for load, and the request would be repeated after the pause."""
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()

    def instead(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        if method != "PATCH":
            return None
        loop.call_soon_threadsafe(refused.set)
        return 429, {"kind": "Status", "code": 429}

    gateway.instead = instead
    installation.commit({"a.yaml": config_map("a")})
    async with running(installation, kubeconfig=gateway_kubeconfig) as (_, seen):
        async with asyncio.timeout(SECONDS):
            await refused.wait()
        stop(installation)
        await seen.until(is_suspended)
        gateway.instead = lambda _method, _path: None
        with installation.recorded() as requests:
            await asyncio.sleep(1.5)  # longer than the pause after a refusal
    assert requests.of_objects == []
    assert not installation.exists("configmaps", "a")


@pytest.fixture
def without_watch(
    api: Api, namespace: str, control_plane: ControlPlane, tmp_path: Path
) -> Callable[[bool], Path]:
    """A kubeconfig of somebody who may do anything inside of the namespace, and see it or not."""

    def make(may_get: bool) -> Path:
        group = "/apis/rbac.authorization.k8s.io/v1"
        rules = [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]}, LEASE_RIGHTS]
        if may_get:
            only = {"resources": ["namespaces"], "resourceNames": [namespace], "verbs": ["get"]}
            rules.append({"apiGroups": [""], **only})  # type: ignore[dict-item]
        api.post(f"{group}/namespaces/{namespace}/roles", {"metadata": {"name": "r"}, "rules": rules})
        see = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
        api.post(f"{group}/clusterroles", {"metadata": {"name": namespace}, "rules": [see]})
        user = [{"kind": "User", "name": namespace, "apiGroup": "rbac.authorization.k8s.io"}]
        for kind, path, name in (
            ("Role", f"namespaces/{namespace}/rolebindings", "r"),
            ("ClusterRole", "clusterrolebindings", namespace),
        ):
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            api.post(f"{group}/{path}", {"metadata": {"name": name}, "roleRef": ref, "subjects": user})
        kubeconfig = json.loads(control_plane.kubeconfig.read_text())
        kubeconfig["users"][0]["user"]["as"] = namespace
        written = tmp_path / "impersonating.json"
        written.write_text(json.dumps(kubeconfig))
        return written

    return make


@pytest.mark.parametrize("may_get", [True, False], ids=["read", "not even read"])
async def test_annotation_that_may_not_be_watched(
    installation: Installation,
    without_watch: Callable[[bool], Path],
    caplog: pytest.LogCaptureFixture,
    may_get: bool,
) -> None:
    """It is read before each comparison, and the log says so; where it may not be read, that as well."""
    installation.configure(interval="1s")
    installation.commit({"a.yaml": config_map("a")})
    async with running(installation, kubeconfig=without_watch(may_get)) as (_, seen):
        await seen.all_are(State.SYNCED)
        pause(installation)
        commit = installation.commit({"a.yaml": config_map("a", a="2")})
        await seen.until(lambda its: its[PROJECT].commit == commit)
        await seen.until(lambda its: its[PROJECT].state is not State.PROGRESSING)
        assert is_suspended(seen.reports) is may_get
    told = "is read before each comparison" if may_get else "only the key paused stops writes"
    assert told in caplog.text


def test_pause_ends_a_pass_that_waits(installation: Installation) -> None:
    """The pass hears of it while it still sends, and says why it stopped."""
    installation.commit({"a.yaml": [config_map(name) for name in NAMES]})
    paused: list[int] = []

    def first(_project: str, report: ObjectReport) -> None:
        if not paused:
            paused.append(1)
            pause(installation)

    report = installation.sync(progress=first)
    # On a fast machine the pass is over before anybody could hear of it.
    assert report.state in (State.SYNCED, State.PROGRESSING), report
    if report.state is State.PROGRESSING:
        assert "annotation" in report.reason
    assert set(outcomes(report).values()) <= {"created"}
