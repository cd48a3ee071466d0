"""Waits that the watches do not end, and errors in the midst of a run: what was done is told."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.git.errors import GitError, LocalFailure, MirrorDamaged
from reconciler.manifests.manifest import Manifest
from reconciler.service.assembly import assembled
from reconciler.sync import apply, marks, passing
from reconciler.sync.outcome import ObjectReport, State
from reconciler.sync.source import Source
from tests.faults.gateway import Gateway
from tests.fix_sync import Installation, Requests, of, outcomes
from tests.objects import config_map, deployment, manifest
from tests.sync.test_long_lived_cluster import newest

NO_LABEL = {"metadata": {"labels": {marks.INSTANCE_LABEL: None}}}


async def run(installation: Installation, *, wait: bool = True) -> Any:
    async with assembled(installation.options) as parts:
        return await parts.runner.run(await newest(parts, wait=wait))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no watch tells of is looked at soon."""
    monkeypatch.setattr(passing, "LOOK_AGAIN", 0.3)


# -- waits -------------------------------------------------------------------------------


async def test_prune_has_a_clock_of_its_own(installation: Installation) -> None:
    """The object was waited for as long as its prune may take, before it left git."""
    installation.configure(reconcile_timeout="3s", prune_timeout="3s")
    web = deployment("web", behaviour="unready", deletion_takes="0.5s")
    installation.commit({"keep.yaml": config_map("keep"), "web.yaml": web})
    async with assembled(installation.options) as parts:
        report = await parts.runner.run(await newest(parts, wait=True))
        assert "not ready after 3 s" in of(report, "web").message
        installation.commit({"web.yaml": None})
        report = await parts.runner.run(await newest(parts, wait=True))
    assert outcomes(report)["web"] == "pruned"


@pytest.mark.parametrize("lost", ["before", "while waited for"])
@pytest.mark.usefixtures("impatient")
async def test_prune_of_an_object_without_our_label_ends_when_it_is_gone(
    installation: Installation, lost: str
) -> None:
    stuck = config_map("stuck")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    installation.configure(prune_timeout="3600s")
    installation.commit({"keep.yaml": config_map("keep"), "stuck.yaml": stuck})
    await run(installation)
    path = installation.path("configmaps", "stuck")
    if lost == "before":
        installation.api.patch(path, NO_LABEL)
    installation.commit({"stuck.yaml": None})
    task = asyncio.create_task(run(installation))
    await asyncio.to_thread(
        installation.api.until, path, lambda it: it and it["metadata"].get("deletionTimestamp")
    )
    if lost != "before":
        installation.api.patch(path, NO_LABEL)
    installation.api.patch(path, {"metadata": {"finalizers": None}})
    async with asyncio.timeout(10):
        report = await task
    assert outcomes(report)["stuck"] == "pruned"


def test_prune_is_looked_at_once_more_before_it_has_timed_out(installation: Installation) -> None:
    installation.configure(prune_timeout="2s")
    installation.commit({"keep.yaml": config_map("keep"), "w.yaml": deployment("w", deletion_takes="0.5s")})
    installation.sync()
    installation.api.patch(installation.path("apps/v1/deployments", "w"), NO_LABEL)
    installation.commit({"w.yaml": None})
    report = installation.sync()
    assert outcomes(report)["w"] == "pruned"


def test_object_that_loses_our_label_is_still_seen_to_become_ready(installation: Installation) -> None:
    installation.configure(reconcile_timeout="4s")
    installation.commit({"w.yaml": deployment("w", ready_after="1s")})

    def unlabel(_project: str, report: ObjectReport) -> None:
        if report.outcome == "created" and not report.health:
            installation.api.patch(installation.path("apps/v1/deployments", "w"), NO_LABEL)

    report = installation.sync(progress=unlabel)
    assert (report.state, of(report, "w").health) == (State.SYNCED, "Current")


# -- pods --------------------------------------------------------------------------------


def set_of(kind: str, name: str, **behaviour: str) -> dict[str, Any]:
    """A StatefulSet or ReplicaSet with the pods of `deployment`."""
    spec = deployment(name, **behaviour)["spec"]
    del spec["progressDeadlineSeconds"]
    return manifest("apps/v1", kind, name, spec=spec)


def looks(requests: Requests) -> list[str]:
    """LISTs of the pods of one object; the search for lost records lists those of all namespaces."""
    lists = [asked for asked in requests.all if (asked.verb, asked.resource) == ("list", "pods")]
    return [asked.uri for asked in lists if asked.namespace]


@pytest.mark.parametrize("kind", ["StatefulSet", "ReplicaSet"])
@pytest.mark.usefixtures("impatient")
async def test_object_whose_pods_fail_has_failed_itself(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its own status only ever says that it waits."""
    monkeypatch.setattr(apply, "PODS_AFTER", 0.5)
    installation.configure(reconcile_timeout="3600s")
    needs = f"apps/namespaces/{installation.namespace}/{kind}/broken"
    broken = set_of(kind, "broken", behaviour="crash-looping")
    installation.commit({"a.yaml": [broken, config_map("user", after=needs)]})
    async with assembled(installation.options) as parts:
        report = await parts.runner.run(await newest(parts, wait=True))
        assert outcomes(report) == {"broken": "created", "user": "blocked"}
        its = of(report, "broken")
        assert (report.state, its.health, its.reason) == (State.FAILED, "Failed", "PodsFailed")
        assert "1 pod has failed; broken-" in its.message
        assert "containers crash again and again: web" in its.message
        # The next run need not wait for what is known, nor for the next regular look.
        monkeypatch.setattr(passing, "LOOK_AGAIN", 3600.0)
        report = await parts.runner.run(await newest(parts, wait=True))
    assert of(report, "broken").reason == "PodsFailed"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("pod", ["fails on", "recovers"])
def test_failed_pods_are_told_until_the_object_is_well(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, pod: str
) -> None:
    """What the object says of itself, which only goes on waiting, takes nothing back."""
    monkeypatch.setattr(apply, "PODS_AFTER", 0.5)
    installation.configure(reconcile_timeout="3600s")
    broken = set_of("StatefulSet", "broken", behaviour="crash-looping")
    installation.commit({"a.yaml": [broken, set_of("StatefulSet", "slow", ready_after="3s")]})
    healths = []

    def note(_project: str, report: ObjectReport) -> None:
        if report.ref.name != "broken" or not report.health:
            return
        healths.append(report.health)
        if report.health == "Failed" and pod == "recovers":
            ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
            installation.api.patch(installation.path("pods", "broken-0/status"), ready)
        elif report.health == "Failed":
            touched = {"metadata": {"annotations": {"touched": "1"}}}
            installation.api.patch(installation.path("apps/v1/statefulsets", "broken"), touched)

    report = installation.sync(progress=note)
    assert of(report, "slow").health == "Current"
    end = ["Failed", "Current"] if pod == "recovers" else ["Failed"]
    assert healths[healths.index("Failed") :] == end


@pytest.mark.parametrize("kind", ["StatefulSet", "ReplicaSet"])
def test_pods_of_what_becomes_ready_are_never_asked_for(installation: Installation, kind: str) -> None:
    installation.commit({"a.yaml": set_of(kind, "web", ready_after="1s")})
    with installation.recorded() as requests:
        assert installation.sync().state is State.SYNCED
        assert installation.sync().state is State.SYNCED
    assert not looks(requests)


@pytest.mark.usefixtures("impatient")
def test_without_a_right_to_pods_the_object_tells_what_it_knows(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "PODS_AFTER", 0.5)
    refused = []

    def refuse(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        if f"/namespaces/{installation.namespace}/pods?" not in path:
            return None
        refused.append((method, path))
        return 403, {"kind": "Status", "reason": "Forbidden", "message": "pods is forbidden", "code": 403}

    gateway.instead = refuse
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    installation.configure(reconcile_timeout="2s")
    installation.commit({"a.yaml": set_of("StatefulSet", "broken", behaviour="crash-looping")})
    its = of(installation.sync(), "broken")
    assert refused
    assert (its.health, its.message) == ("InProgress", "not ready after 2 s: 0 of 1 replicas are ready")


# -- errors in the middle ----------------------------------------------------------------


@dataclass
class Broken:
    """A repository of which one object's content cannot be read (any more)."""

    source: Source
    name: str
    error: GitError

    async def body(self, manifest: Manifest) -> dict[str, Any]:
        if manifest.ref.name == self.name:
            raise self.error
        return await self.source.body(manifest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


async def run_broken(installation: Installation, error: GitError) -> Any:
    async with assembled(installation.options) as parts:
        request = await newest(parts, wait=True)
        broken: Any = Broken(request.source, "c05", error)
        return await parts.runner.run(replace(request, source=broken))


NAMES = {f"c{n:02}" for n in range(30)}


async def test_content_that_cannot_be_read_fails_its_object_alone(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map(name) for name in sorted(NAMES)]})
    error = LocalFailure(what="git could not be started", where="here", mend="make room")
    report = await run_broken(installation, error)
    assert {name for name, its in outcomes(report).items() if its == "created"} == NAMES - {"c05"}
    assert (of(report, "c05").outcome, of(report, "c05").reason) == ("failed", "SourceUnreadable")
    assert "git could not be started; make room" in report.reason
    assert (await run(installation)).state is State.SYNCED


async def test_damaged_mirror_ends_the_run_and_what_was_sent_is_recorded(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map(name) for name in sorted(NAMES)]})
    error = MirrorDamaged(what="an object is missing", where="mirror", mend="the next run fetches it")
    with pytest.raises(MirrorDamaged):
        await run_broken(installation, error)
    created = {name for name in NAMES if installation.exists("configmaps", name)}
    assert created
    recorded = {ref.name for ref, its in installation.inventory().items() if its.uid}
    assert recorded == created
    with installation.recorded() as requests:
        assert (await run(installation)).state is State.SYNCED
    assert len(requests.of_objects) == len(NAMES - created), "what was applied and recorded is not sent again"


async def test_approval_that_cannot_be_read_holds_the_prune_and_keeps_the_report(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    installation.configure(prune_limit=0)
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    await run(installation)
    installation.commit({"a.yaml": config_map("a", a="2")})
    head = installation.inventory_id
    gateway.instead = lambda method, path: (
        (500, {}) if (method, path[-len(head) :]) == ("GET", head) else None
    )
    through = replace(installation.options, kubeconfig=gateway_kubeconfig)
    async with assembled(through) as parts:
        report = await parts.runner.run(await newest(parts))
    assert (report.state, outcomes(report)) == (State.HELD, {"a": "updated", "b": "held"})
    assert report.held
    assert report.held.plan_hash
    assert "whether it is approved cannot be read" in report.reason
    with installation.recorded() as requests:
        await run(installation)
    assert requests.of_objects == [], "the apply was recorded"
