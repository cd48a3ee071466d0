"""Which recorded objects are deleted, and what a delete that fails or is not needed comes to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api
from reconciler.cluster.client import Cluster
from reconciler.sync.outcome import State
from tests.faults.gateway import Gateway
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, definition, manifest


def settle(installation: Installation, had: str, has: str) -> None:
    """Sync ConfigMaps named by letters, then let git hold others."""
    installation.commit({"all.yaml": [config_map(name) for name in had]})
    assert installation.sync().state is State.SYNCED
    left: Any = [config_map(name) for name in has] or "# nothing\n"
    installation.commit({"all.yaml": left})


@pytest.mark.parametrize(
    ("had", "has", "deleted", "state"),
    [
        pytest.param("ab", "ab", [], State.SYNCED, id="stored = applied"),
        pytest.param("ab", "a", ["b"], State.SYNCED, id="1 apply, 1 prune"),
        pytest.param("abc", "a", ["b", "c"], State.SYNCED, id="stored is more than applied"),
        pytest.param("ab", "", [], State.HELD, id="nothing applied (ours: held, not everything deleted)"),
    ],
)
def test_what_is_pruned(
    installation: Installation, had: str, has: str, deleted: list[str], state: State
) -> None:
    settle(installation, had, has)
    with installation.recorded() as requests:
        report = installation.sync()
    assert report.state is state
    assert sorted(asked.name for asked in requests.writes if asked.verb == "delete") == deleted


def test_prune_object_gets_no_entry_where_prune_is_off(installation: Installation) -> None:
    """Ours: it stays recorded, so that it is pruned when prune is switched on."""
    installation.configure(prune=False)
    settle(installation, "ab", "a")
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"a": "unchanged"})
    assert not any(asked.verb == "delete" for asked in requests.writes)
    assert installation.recorded_names() == {"a", "b"}


@pytest.fixture
def group(api: Api, namespace: str) -> Iterator[str]:
    """An API group of the test's own; its definition is gone afterwards."""
    name = f"{namespace}.example.com"
    yield name
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{name}"
    if api.exists(path):
        api.delete(path)


def test_recorded_object_of_an_unknown_kind_is_left_out_without_an_error(
    installation: Installation, api: Api, group: str
) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.post(definitions, definition(group))
    api.until(
        f"{definitions}/widgets.{group}",
        lambda it: any(c["type"] == "Established" for c in it.get("status", {}).get("conditions") or ()),
    )
    widget = manifest(f"{group}/v1", "Widget", "w", spec={})
    installation.commit({"w.yaml": widget, "a.yaml": config_map("a")})
    assert installation.sync().state is State.SYNCED
    api.delete(f"{definitions}/widgets.{group}")
    api.until(f"{definitions}/widgets.{group}", lambda it: not it)
    installation.commit({"w.yaml": None})
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"a": "unchanged"})
    assert installation.recorded_names() == {"a"}


def test_object_that_is_gone_when_it_is_to_be_deleted_is_a_success(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(installation, "ab", "b")
    send = Cluster.delete

    async def late(cluster: Cluster, *where: Any, **how: Any) -> None:
        installation.api.delete(installation.path("configmaps", "a"))
        await send(cluster, *where, **how)

    monkeypatch.setattr(Cluster, "delete", late)
    report = installation.sync()
    assert (report.state, outcomes(report)["a"]) == (State.SYNCED, "pruned")


@pytest.mark.parametrize(
    ("had", "has", "refused", "final"),
    [
        pytest.param("ab", "b", "a", {"a", "b"}, id="1 prune failed, P it"),
        pytest.param("abcd", "cd", "ab", {"a", "b", "c", "d"}, id="applied 2, 2 prunes failed, P all"),
        pytest.param("abc", "c", "a", {"a", "c"}, id="one fails, the other object goes on"),
    ],
)
def test_delete_that_is_refused_fails_its_object_alone(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    had: str,
    has: str,
    refused: str,
    final: set[str],
) -> None:
    settle(installation, had, has)
    paths = {installation.path("configmaps", name) for name in refused}
    status = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403}
    gateway.instead = lambda method, path: (403, status) if method == "DELETE" and path in paths else None
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    report = installation.sync()
    assert {name for name, its in outcomes(report).items() if its == "failed"} == set(refused)
    assert of(report, refused[0]).reason == "Forbidden"
    assert installation.recorded_names() == final


@pytest.mark.parametrize("strategy", ["client", "server"])
def test_dry_run_tells_what_it_would_delete_and_asks_for_nothing(
    installation: Installation, strategy: str
) -> None:
    settle(installation, "ab", "b")
    installation.configure(dry_run_strategy=strategy)
    with installation.recorded() as requests:
        report = installation.sync()
    assert (outcomes(report)["a"], of(report, "a").message) == ("held", "would be pruned")
    assert [asked for asked in requests.writes if not asked.is_dry_run] == []
    assert not any(asked.verb == "delete" for asked in requests.all)


def test_apply_object_that_depends_on_a_prune_object_stops_both(installation: Installation) -> None:
    settle(installation, "ab", "b")
    needs = f"/namespaces/{installation.namespace}/ConfigMap/a"
    installation.commit({"all.yaml": config_map("b", after=needs, b="2")})
    report = installation.sync()
    assert outcomes(report) == {"a": "skipped", "b": "blocked"}
    assert of(report, "a").reason == "Dependency"
    assert installation.recorded_names() == {"a", "b"}


def test_policy_comes_before_the_dependency(installation: Installation) -> None:
    installation.api.post(installation.path("configmaps"), {"metadata": {"name": "a"}})
    needs = f"/namespaces/{installation.namespace}/Service/bad"
    bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
    installation.commit({"all.yaml": [bad, config_map("a", after=needs)]})
    report = installation.sync()
    assert outcomes(report) == {"bad": "failed", "a": "skipped"}


def test_prune_object_that_depends_on_an_apply_object_goes(installation: Installation) -> None:
    needs = f"/namespaces/{installation.namespace}/ConfigMap/a"
    installation.commit({"all.yaml": [config_map("a"), config_map("b", after=needs)]})
    installation.sync()
    installation.commit({"all.yaml": config_map("a", a="2")})
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"a": "updated", "b": "pruned"})


def test_object_that_git_declares_through_another_group_is_not_deleted(installation: Installation) -> None:
    """Events are served in two groups; the server shows the same object, with the same uid, in both."""
    about = {"kind": "ConfigMap", "name": "a", "namespace": installation.namespace}
    core = manifest("v1", "Event", "e", involvedObject=about, reason="Tested", type="Normal")
    other = manifest(
        "events.k8s.io/v1",
        "Event",
        "e",
        regarding=about,
        reason="Tested",
        type="Normal",
        eventTime="2026-01-01T00:00:00.000000Z",
        action="Test",
        reportingController="example.com/test",
        reportingInstance="test-1",
    )
    installation.commit({"e.yaml": core, "a.yaml": config_map("a")})
    assert installation.sync().state is State.SYNCED
    uid = installation.get("events", "e")["metadata"]["uid"]
    installation.commit({"e.yaml": other})
    with installation.recorded() as requests:
        installation.sync()
    assert not any(asked.verb == "delete" for asked in requests.writes)
    assert installation.get("events", "e")["metadata"]["uid"] == uid
    (recorded,) = [ref.group for ref in installation.inventory() if ref.kind == "Event"]
    assert recorded == "events.k8s.io"
