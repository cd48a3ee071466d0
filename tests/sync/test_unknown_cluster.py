"""What could not be read completely is never taken for empty: nothing is pruned, and it is said."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api
from reconciler.service import reading
from reconciler.sync.errors import NotApproved
from reconciler.sync.outcome import State
from tests.fix_cluster import LEASE_RIGHTS
from tests.fix_sync import PROJECT, Installation, of, outcomes
from tests.objects import config_map, definition, manifest

KEEP = config_map("keep")


def take_out_a(installation: Installation, **more: Any) -> None:
    installation.commit({"keep.yaml": KEEP, "a.yaml": config_map("a"), **more})
    installation.sync()
    installation.commit({"a.yaml": None})


def test_unreadable_file_holds_the_prune(installation: Installation) -> None:
    take_out_a(installation)
    installation.commit({"broken.yaml": "kind: [\n"})
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.of_objects == []
    assert report.state is State.FAILED
    assert "broken.yaml" in report.reason
    assert report.held
    assert (report.held.plan_hash, [ref.name for ref in report.held.objects]) == ("", ["a"])
    assert "broken.yaml" in report.held.reason
    installation.commit({"broken.yaml": None})
    assert outcomes(installation.sync())["a"] == "pruned"


def test_unreadable_file_does_not_stop_the_other_files(installation: Installation) -> None:
    installation.commit({"keep.yaml": KEEP, "broken.yaml": "\t- x\n"})
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.FAILED, {"keep": "created"})


def test_file_over_the_size_limit_is_not_an_empty_one(installation: Installation) -> None:
    take_out_a(installation)
    installation.configure_projects([{}], limits={"max_file_size": "1KiB"})
    installation.commit({"big.yaml": config_map("big", text="x" * 2000)})
    result = installation.run()
    assert result.unusable
    assert "big.yaml" in result.reports[0].reason
    assert installation.exists("configmaps", "a")


@pytest.fixture
def broken_service(api: Api, namespace: str) -> Iterator[str]:
    """An API group whose server cannot be reached, so that discovery is incomplete."""
    group = f"{namespace}.broken.example.com"
    body = {
        "metadata": {"name": f"v1.{group}"},
        "spec": {
            "group": group,
            "version": "v1",
            "service": {"namespace": namespace, "name": "nowhere"},
            "groupPriorityMinimum": 1,
            "versionPriority": 1,
            "insecureSkipTLSVerify": True,
        },
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    api.post(path, body)
    api.until(f"{path}/v1.{group}", lambda it: bool(it.get("status", {}).get("conditions")))
    yield group
    api.delete(f"{path}/v1.{group}")


def test_group_that_cannot_be_asked_fails_only_its_own_objects(
    installation: Installation, broken_service: str
) -> None:
    thing = manifest(f"{broken_service}/v1", "Thing", "t")
    installation.commit({"keep.yaml": KEEP, "t.yaml": thing})
    report = installation.sync()
    assert outcomes(report) == {"keep": "created", "t": "failed"}
    assert report.state is State.FAILED


def test_group_that_cannot_be_asked_holds_the_prune(installation: Installation, broken_service: str) -> None:
    thing = manifest(f"{broken_service}/v1", "Thing", "t")
    take_out_a(installation, **{"t.yaml": thing})
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.of_objects == []
    assert installation.exists("configmaps", "a")
    assert report.held
    assert f"Thing.{broken_service} cannot be read" in report.held.reason


def test_broken_group_that_the_project_does_not_use_is_no_harm(
    installation: Installation, broken_service: str
) -> None:
    take_out_a(installation)
    report = installation.sync()
    assert (report.state, outcomes(report)["a"]) == (State.SYNCED, "pruned"), broken_service


@pytest.fixture
def without_services(grant: Callable[..., Path]) -> Path:
    """A kubeconfig of somebody who may do all in the namespace, but not list its Services."""
    verbs = ["get", "create", "update", "patch", "delete", "watch"]
    return grant(
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": [*verbs, "list"]},
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": verbs},
        LEASE_RIGHTS,
    )


def test_kind_that_may_not_be_listed_holds_the_prune(
    make_installation: Callable[..., Installation], namespace: str, without_services: Path
) -> None:
    whole = make_installation(namespace)
    service = manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]})
    take_out_a(whole, **{"s.yaml": service})
    less = make_installation(namespace, kubeconfig=without_services)
    with less.recorded() as requests:
        report = less.sync()
    assert requests.of_objects == []
    assert (of(report, "s").outcome.value, of(report, "s").reason) == ("failed", "Forbidden")
    assert of(report, "keep").outcome.value == "unchanged"
    assert report.held
    assert (report.held.plan_hash, "Service cannot be read" in report.held.reason) == ("", True)
    assert outcomes(whole.sync())["a"] == "pruned"


# -- the inventory -----------------------------------------------------------------------


def delete_head(installation: Installation) -> None:
    installation.api.delete(installation.path("configmaps", installation.inventory_id))


def delete_shard(installation: Installation) -> None:
    installation.api.delete(installation.path("configmaps", installation.inventory_id + "-0"))


def delete_all(installation: Installation) -> None:
    delete_shard(installation)
    delete_head(installation)


def edit_shard(installation: Installation) -> None:
    path = installation.path("configmaps", installation.inventory_id + "-0")
    lines = installation.api.get(path)["data"]["objects"].splitlines(keepends=True)
    installation.api.patch(path, {"data": {"objects": "".join(lines[:-1])}})


def garble_shard(installation: Installation) -> None:
    path = installation.path("configmaps", installation.inventory_id + "-0")
    installation.api.patch(path, {"data": {"objects": "what is this\n"}})


def garble_head(installation: Installation) -> None:
    path = installation.path("configmaps", installation.inventory_id)
    installation.api.patch(path, {"data": {"shards": "what is this\n"}})


def add_shard(installation: Installation) -> None:
    path = installation.path("configmaps", installation.inventory_id + "-0")
    body = installation.api.get(path)
    metadata = {
        "name": installation.inventory_id + "-7",
        **{key: body["metadata"][key] for key in ("labels", "annotations")},
    }
    line = f"v1 ConfigMap {installation.namespace}/foreign uid=x fields= at=\n"
    data = {"objects": line, "hash": "0", "previous": "0"}
    installation.api.post(installation.path("configmaps"), {"metadata": metadata, "data": data})


DAMAGE = [delete_head, delete_shard, delete_all, edit_shard, garble_shard, garble_head, add_shard]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_inventory_holds_the_prune_until_it_is_approved(
    installation: Installation, damage: Callable[[Installation], None]
) -> None:
    take_out_a(installation)
    damage(installation)
    with installation.recorded() as requests:
        report = installation.sync()
    assert [w for w in requests.of_objects if w.startswith("delete")] == []
    assert installation.exists("configmaps", "a")
    assert any("inventory not to be believed" in note for note in report.notes), report
    assert report.state is State.HELD
    assert report.held
    assert [ref.name for ref in report.held.objects] == ["a"]
    assert installation.sync().state is State.HELD, "one pass more must not heal it"
    asyncio.run(reading.approve(installation.options, PROJECT, report.held.plan_hash))
    healed = installation.sync()
    assert (healed.state, outcomes(healed)["a"]) == (State.SYNCED, "pruned")
    with installation.recorded() as requests:
        assert installation.sync().notes == ()
    assert requests.writes == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_inventory_heals_by_itself_where_nothing_would_be_pruned(
    installation: Installation, damage: Callable[[Installation], None]
) -> None:
    installation.commit({"keep.yaml": [KEEP, config_map("a")]})
    installation.sync()
    damage(installation)
    report = installation.sync()
    assert report.state is State.SYNCED, report
    assert report.notes, "damage was not said"
    assert installation.recorded_names() >= {"a", "keep"}
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, report.notes, requests.writes) == (State.SYNCED, (), [])


def test_approval_cannot_be_given_for_what_is_not_known(installation: Installation) -> None:
    take_out_a(installation)
    installation.commit({"broken.yaml": "kind: [\n"})
    report = installation.sync()
    assert report.held
    with pytest.raises(NotApproved, match="no hash is given"):
        asyncio.run(reading.approve(installation.options, PROJECT, ""))


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        pytest.param("authorization.k8s.io/v1", "SubjectAccessReview", id="only asked"),
        pytest.param("v1", "Binding", id="only created"),
        pytest.param("v1", "ComponentStatus", id="only read, and without uid"),
    ],
)
def test_kind_that_is_not_kept_fails_alone_and_stops_no_prune(
    installation: Installation, api_version: str, kind: str
) -> None:
    take_out_a(installation)
    installation.commit({"odd.yaml": manifest(api_version, kind, "scheduler")})
    report = installation.sync()
    assert outcomes(report) == {"keep": "unchanged", "a": "pruned", "scheduler": "failed"}
    odd = of(report, "scheduler")
    assert odd.reason == "KindNotKept"
    assert "remove it from the repository" in odd.message


def test_lost_shard_does_not_lose_an_object_whose_kind_left_git(installation: Installation) -> None:
    secret = manifest("v1", "Secret", "token", stringData={"a": "1"})
    installation.commit({"keep.yaml": KEEP, "secret.yaml": secret})
    installation.sync()
    installation.api.delete(installation.path("configmaps", f"{installation.inventory_id}-0"))
    # Neither git nor the records name its kind any more.
    installation.commit({"secret.yaml": None})
    for _ in range(2):
        report = installation.sync()
        assert report.state is State.HELD
        assert outcomes(report)["token"] == "held"
    assert report.held
    asyncio.run(reading.approve(installation.options, PROJECT, report.held.plan_hash))
    assert outcomes(installation.sync())["token"] == "pruned"


def test_lost_records_do_not_lose_objects_of_kinds_that_left_git(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), manifest("v1", "Secret", "s")]})
    installation.sync()
    delete_all(installation)
    installation.commit({"a.yaml": None, "keep.yaml": manifest("v1", "ServiceAccount", "x")})
    report = installation.sync()
    assert report.state is State.HELD, report
    assert installation.recorded_names() == {"a", "s", "x"}


def test_object_whose_definition_serves_no_version_is_not_forgotten(
    installation: Installation, namespace: str
) -> None:
    group = f"{namespace}.hidden.example.com"
    crd = definition(group)
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    installation.api.post(base, crd)
    path = f"{base}/{crd['metadata']['name']}"

    def served(value: bool) -> None:
        versions = [{**crd["spec"]["versions"][0], "served": value}]
        installation.api.patch(path, {"spec": {"versions": versions}})
        deadline = time.monotonic() + 10
        while (group in installation.api.text("/apis")) is not value:
            assert time.monotonic() < deadline, f"{group} is still {'not ' if value else ''}served"

    served(value=True)
    installation.commit({"keep.yaml": KEEP, "w.yaml": manifest(f"{group}/v1", "Widget", "w")})
    assert installation.sync().state is State.SYNCED
    served(value=False)
    installation.commit({"w.yaml": None})
    report = installation.sync()
    assert outcomes(report) == {"keep": "unchanged", "w": "skipped"}
    assert of(report, "w").reason == "KindNotServed"
    served(value=True)
    installation.configure(prune_propagation_policy="background")  # the collector may not know the kind yet
    deadline = time.monotonic() + 10
    while outcomes(report := installation.sync())["w"] != "pruned":
        # Its storage is made anew, which refuses requests for a moment.
        assert time.monotonic() < deadline, report
    installation.api.delete(path)
