"""Prunes that wait for a person: what holds them, and what an approval lets through."""

import asyncio
from typing import Any

import pytest

from localcluster import Api
from reconciler.service import reading
from reconciler.sync.errors import NotApproved
from reconciler.sync.outcome import ProjectReport, State
from tests.fix_sync import PROJECT, Installation, outcomes
from tests.objects import config_map, definition, manifest


def maps(*numbers: int) -> list[dict[str, Any]]:
    return [config_map(f"c{n:02}") for n in numbers]


def approve(installation: Installation, plan_hash: str) -> int:
    return asyncio.run(reading.approve(installation.options, PROJECT, plan_hash)).objects


def held(installation: Installation) -> tuple[str, str, set[str]]:
    """Sync, see that nothing is deleted, and return what is held: reason, hash and names."""
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.HELD, []), report
    assert report.held
    return report.held.reason, report.held.plan_hash, {ref.name for ref in report.held.objects}


def test_git_that_declares_nothing_any_more_is_held(installation: Installation) -> None:
    installation.commit({"a.yaml": maps(1)})
    installation.sync()
    installation.commit({"a.yaml": None})
    reason, plan_hash, names = held(installation)
    assert (names, len(plan_hash)) == ({"c01"}, 64)
    assert "git declares nothing any more" in reason


@pytest.mark.parametrize(
    ("keys", "had", "left", "pruned"),
    [
        pytest.param({}, 24, 13, 11, id="by default 11 of 24 may go"),
        pytest.param({}, 16, 6, 10, id="by default 10 of 16 may go"),
        pytest.param({}, 16, 5, 0, id="by default 11 of 16 are held"),
        pytest.param({"prune_limit": 1}, 4, 3, 1, id="a number that is reached"),
        pytest.param({"prune_limit": 1}, 4, 2, 0, id="a number that is passed"),
        pytest.param({"prune_limit": "50%"}, 4, 2, 2, id="a part that is reached"),
        pytest.param({"prune_limit": "50%"}, 4, 1, 0, id="a part that is passed"),
        pytest.param({"prune_limit": 0}, 4, 3, 0, id="0 asks every time"),
    ],
)
def test_limit(installation: Installation, keys: dict[str, Any], had: int, left: int, pruned: int) -> None:
    installation.configure(**keys)
    installation.commit({"a.yaml": maps(*range(had))})
    installation.sync()
    installation.commit({"a.yaml": maps(*range(left))})
    report = installation.sync()
    counts = report.counts()
    assert (counts["pruned"], counts["held"]) == (pruned, had - left - pruned), report
    assert (report.state is State.HELD) == (pruned == 0)


@pytest.mark.parametrize("kind", ["Namespace", "PersistentVolume", "PersistentVolumeClaim", "Definition"])
def test_kinds_that_hold_other_things_are_always_held(
    installation: Installation, api: Api, namespace: str, kind: str
) -> None:
    name = f"{namespace}-guarded"
    size = {"storage": "1Mi"}
    volume = {"capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}, "storageClassName": ""}
    guarded, path = {
        "Namespace": (manifest("v1", kind, name), f"/api/v1/namespaces/{name}"),
        "PersistentVolume": (manifest("v1", kind, name, spec=volume), f"/api/v1/persistentvolumes/{name}"),
        "PersistentVolumeClaim": (
            manifest("v1", kind, name, spec=claim),
            installation.path("persistentvolumeclaims", name),
        ),
        "Definition": (
            definition(f"{name}.example.com"),
            f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{name}.example.com",
        ),
    }[kind]
    try:
        installation.commit({"keep.yaml": config_map("keep"), "a.yaml": guarded})
        installation.sync(wait=False)
        installation.commit({"a.yaml": None})
        _, _, names = held(installation)
        assert names == {guarded["metadata"]["name"]}
        assert api.exists(path)
    finally:
        api.delete(path)


@pytest.mark.parametrize("name", ["Lease", "Lease.coordination.k8s.io"])
def test_kinds_that_the_project_guards_are_held(installation: Installation, api: Api, name: str) -> None:
    """Guarded by its bare name or with its group; leases elsewhere than with our records may go."""
    other = f"{installation.namespace}-other"
    lease = manifest("coordination.k8s.io/v1", "Lease", "x", namespace=other, spec={})
    api.post("/api/v1/namespaces", {"metadata": {"name": other}})
    try:
        installation.configure(guarded_kinds=[name])
        installation.commit({"keep.yaml": config_map("keep"), "a.yaml": lease})
        installation.sync()
        installation.commit({"a.yaml": None})
        assert held(installation)[2] == {"x"}
    finally:
        api.delete(f"/api/v1/namespaces/{other}")


def test_held_prune_does_not_stop_applies(installation: Installation) -> None:
    installation.configure(prune_limit=0)
    installation.commit({"a.yaml": maps(1, 2)})
    installation.sync()
    installation.commit({"a.yaml": maps(1, 3)})
    assert outcomes(installation.sync()) == {"c01": "unchanged", "c02": "held", "c03": "created"}
    assert installation.recorded_names() == {"c01", "c02", "c03"}


def leave_one(installation: Installation) -> str:
    """Two objects of three leave git and are held; returns the hash."""
    installation.configure(prune_limit=1)
    installation.commit({"a.yaml": maps(1, 2, 3)})
    installation.sync()
    installation.commit({"a.yaml": maps(1)})
    return held(installation)[1]


def test_approval_lets_exactly_the_held_prune_through_once(installation: Installation) -> None:
    plan_hash = leave_one(installation)
    assert approve(installation, plan_hash) == 2
    assert outcomes(installation.sync()) == {"c01": "unchanged", "c02": "pruned", "c03": "pruned"}
    assert "annotations" in installation.record()["metadata"]
    assert plan_hash not in str(installation.record()["metadata"]), "the approval was not used up"
    installation.commit({"a.yaml": maps(1, 2, 3)})
    installation.sync()
    installation.commit({"a.yaml": maps(1)})
    assert held(installation)[1] != plan_hash, "the same names have other uids"


def test_unrelated_commit_does_not_void_an_approval(installation: Installation) -> None:
    approve(installation, leave_one(installation))
    installation.commit({"a.yaml": maps(1, 4)})
    assert outcomes(installation.sync()) == {
        "c01": "unchanged",
        "c02": "pruned",
        "c03": "pruned",
        "c04": "created",
    }


def test_changed_list_voids_an_approval(installation: Installation) -> None:
    approved = leave_one(installation)
    approve(installation, approved)
    installation.commit({"a.yaml": maps(5)})
    assert outcomes(installation.sync())["c05"] == "created"
    _, plan_hash, names = held(installation)
    assert (names, plan_hash != approved) == ({"c01", "c02", "c03"}, True)


def test_objects_that_come_back_to_git_end_the_hold(installation: Installation) -> None:
    leave_one(installation)
    installation.commit({"a.yaml": maps(1, 2, 3)})
    report = installation.sync()
    assert (report.state, report.held, report.counts()["unchanged"]) == (State.SYNCED, None, 3)


@pytest.mark.parametrize("wrong", ["0" * 12, "0" * 64])
def test_another_hash_is_refused_and_the_right_one_named(installation: Installation, wrong: str) -> None:
    right = leave_one(installation)
    with pytest.raises(NotApproved, match=right):
        approve(installation, wrong)
    assert installation.sync().state is State.HELD


def test_recreated_object_voids_an_approval(installation: Installation) -> None:
    approve(installation, leave_one(installation))
    path = installation.path("configmaps", "c02")
    body = installation.api.get(path)
    installation.api.delete(path)
    marked = {key: body["metadata"][key] for key in ("name", "labels", "annotations")}
    installation.api.post(installation.path("configmaps"), {"metadata": marked})
    report: ProjectReport = installation.sync()
    # One object is left, which the limit allows; the other one belongs to another hand.
    assert outcomes(report) == {"c01": "unchanged", "c02": "skipped", "c03": "pruned"}
