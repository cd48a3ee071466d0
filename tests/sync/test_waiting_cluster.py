"""Waits that the watches do not end, and errors in the midst of a run: what was done is told."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.git.errors import GitError, LocalFailure, MirrorDamaged
from reconciler.manifests.manifest import Manifest
from reconciler.service.assembly import assembled
from reconciler.sync import marks, passing
from reconciler.sync.outcome import ObjectReport, State
from reconciler.sync.source import Source
from tests.faults.gateway import Gateway
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, deployment
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
