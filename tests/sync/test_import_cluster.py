"""A project takes over what agentk left: its inventory, its objects, and never more than that."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ControlPlane
from reconciler.sync import keeper, marks
from reconciler.sync.outcome import State
from tests.agentk import Agentk, key_of
from tests.fix_cluster import LEASE_RIGHTS
from tests.fix_sync import PROJECT, Installation, of, outcomes
from tests.objects import config_map, deployment, manifest
from tests.sync.inprocess import running


@pytest.fixture
def agentk(api: Api, namespace: str) -> Agentk:
    return Agentk(api, namespace=namespace)


def uids(installation: Installation, *names: str) -> dict[str, str]:
    return {name: installation.get("configmaps", name)["metadata"]["uid"] for name in names}


def owner(installation: Installation, name: str) -> str | None:
    return marks.owner_of(installation.get("configmaps", name)["metadata"])


def held(installation: Installation) -> str:
    """Sync, see that nothing but its status is written for the project, and return the reason."""
    with installation.recorded() as requests:
        report = installation.sync()
    status = f"configmaps/{installation.inventory_id}-status"
    written = [str(asked) for asked in requests.writes if "secrets" not in asked.resource]
    assert {text.split()[1] for text in written} <= {status}, written
    assert (report.state, report.held is not None and report.held.whole) == (State.HELD, True), report
    assert report.objects == ()
    return report.reason


# -- taken over ----------------------------------------------------------------------------


def test_objects_and_inventory_of_agentk_become_the_projects(
    installation: Installation, agentk: Agentk
) -> None:
    before = agentk.run(config_map("a"), config_map("b"))
    installation.commit({"a.yaml": [config_map("a"), config_map("b"), config_map("new")]})
    report = installation.sync()
    assert report.state is State.SYNCED, report.reason
    assert outcomes(report) == {"a": "updated", "b": "updated", "new": "created"}
    assert any(agentk.name in note for note in report.notes)
    assert uids(installation, "a", "b") == before
    assert {owner(installation, name) for name in ("a", "b", "new")} == {agentk.id}
    assert installation.recorded_names() == {"a", "b", "new"}
    old, head = agentk.inventory(), installation.record()["data"]
    assert (head["owner"], head["imported"]) == (agentk.id, old["metadata"]["uid"])
    assert old["metadata"]["annotations"] == {marks.IMPORTED_BY: f"{installation.namespace}/{PROJECT}"}
    assert len(old["data"]) == 2, "it is left in place"


def test_second_run_looks_no_more_and_writes_nothing(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("a"))
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    with installation.recorded() as requests:
        assert installation.sync().state is State.SYNCED
    assert requests.writes == []
    assert not [asked for asked in requests.all if "inventory-id" in asked.uri or "agent-" in asked.uri]


def test_nothing_left_by_agentk_costs_one_list(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        installation.sync()
    assert len([asked for asked in requests.all if "inventory-id" in asked.uri]) == 1
    assert not [asked for asked in requests.all if "agent-" in asked.uri]


def test_what_left_git_while_agentk_was_gone_is_pruned(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("a"), config_map("gone"))
    installation.commit({"a.yaml": config_map("a")})
    assert outcomes(installation.sync()) == {"a": "updated", "gone": "pruned"}
    assert installation.recorded_names() == {"a"}


def test_prune_of_what_agentk_made_sees_it_go_though_no_watch_of_ours_shows_it(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.apply(config_map("a"), installation.path("configmaps"))
    slow = deployment("slow", deletion_takes="0.5s")
    agentk.apply(slow, installation.path("apps/v1/deployments"))
    agentk.record(key_of(its, namespace=agentk.namespace) for its in (config_map("a"), slow))
    installation.api.until(
        installation.path("apps/v1/deployments", "slow"), lambda it: it["status"].get("readyReplicas")
    )
    installation.commit({"a.yaml": config_map("a")})
    assert outcomes(installation.sync()) == {"a": "updated", "slow": "pruned"}


def test_what_is_listed_without_agentks_mark_is_never_deleted(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(config_map("a"))
    foreign, other = config_map("foreign"), config_map("other")
    other["metadata"]["annotations"] = {marks.OWNING_INVENTORY: "7-7"}
    for body in (foreign, other):
        installation.api.post(installation.path("configmaps"), body)
    keys = [key_of(its, namespace=agentk.namespace) for its in (config_map("a"), foreign, other)]
    path = installation.path("configmaps", agentk.name)
    installation.api.patch(path, {"data": dict.fromkeys(keys, "")})
    installation.commit({"a.yaml": config_map("a")})
    assert outcomes(installation.sync()) == {"a": "updated", "foreign": "skipped", "other": "handed_over"}
    assert installation.exists("configmaps", "foreign")
    assert installation.exists("configmaps", "other")


def test_more_than_the_limit_of_an_imported_inventory_is_held(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(*(config_map(f"c{n:02}") for n in range(20)))
    installation.commit({"a.yaml": config_map("c00")})
    with installation.recorded() as requests:
        report = installation.sync()
    assert report.state is State.HELD
    assert report.held
    assert len(report.held.objects) == 19
    assert not [asked for asked in requests.writes if asked.verb == "delete"]


def test_listed_object_of_a_kind_that_is_gone_is_forgotten(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.apply(config_map("a"), installation.path("configmaps"))
    gone = manifest("gone.example.com/v1", "Widget", "w")
    agentk.record(key_of(its, namespace=agentk.namespace) for its in (config_map("a"), gone))
    installation.commit({"a.yaml": config_map("a")})
    assert installation.sync().state is State.SYNCED
    assert installation.recorded_names() == {"a"}


def test_names_with_colons_are_taken_over(installation: Installation, agentk: Agentk, api: Api) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    role = manifest("rbac.authorization.k8s.io/v1", "Role", "team:reader", rules=rules)
    agentk.apply(role, installation.path("rbac.authorization.k8s.io/v1/roles"))
    name = f"{agentk.namespace}:node:reader"
    cluster_role = manifest("rbac.authorization.k8s.io/v1", "ClusterRole", name, rules=rules)
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    try:
        uid = agentk.apply(cluster_role, roles, namespace="")["metadata"]["uid"]
        agentk.record([key_of(role, namespace=agentk.namespace), key_of(cluster_role, namespace="")])
        installation.commit({"a.yaml": [role, cluster_role]})
        assert outcomes(installation.sync()) == {"team:reader": "updated", name: "updated"}
        assert api.get(f"{roles}/{name}")["metadata"]["uid"] == uid
    finally:
        api.delete(f"{roles}/{name}")


# -- which one -----------------------------------------------------------------------------


def test_each_project_takes_its_own(installation: Installation, agentk: Agentk) -> None:
    second = Agentk(agentk.api, namespace=agentk.namespace, project=2)
    agentk.run(config_map("a"))
    second.run(config_map("b"))
    # `later` waits for `shop`, which must know all the same what is not `shop`'s.
    later = {"id": "later", "paths": [{"glob": "/later/*.yaml"}], "depends_on": [PROJECT]}
    installation.configure_projects([{"paths": [{"glob": "/*.yaml"}]}, later])
    installation.commit({"a.yaml": config_map("a"), "later/b.yaml": config_map("b")})
    first, later_report = installation.run().reports
    assert (first.state, later_report.state) == (State.SYNCED, State.SYNCED), (first, later_report)
    assert (owner(installation, "a"), owner(installation, "b")) == (agentk.id, second.id)


def test_one_that_lists_objects_of_two_projects_is_decided_by_the_key(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(config_map("a"), config_map("b"))
    other = {"id": "other", "paths": [{"glob": "/other/*.yaml"}]}
    installation.configure_projects([{"paths": [{"glob": "/*.yaml"}]}, other])
    installation.commit({"a.yaml": config_map("a"), "other/b.yaml": config_map("b")})
    for report in installation.run().reports:
        assert report.state is State.HELD
        assert f"{agentk.id} (ConfigMap {agentk.namespace}/{agentk.name})" in report.reason
        assert "inventory_id" in report.reason
    named = {"paths": [{"glob": "/*.yaml"}], "inventory_id": agentk.id, "prune": False}
    installation.configure_projects([named, other | {"inventory_id": ""}])
    report = next(its for its in installation.run().reports if its.project == PROJECT)
    assert outcomes(report)["a"] == "updated"


def test_project_that_cannot_be_read_may_have_it(
    installation: Installation, agentk: Agentk, tmp_path: Path
) -> None:
    agentk.run(config_map("a"))
    other = {"id": "other", "url": str(tmp_path / "nothing"), "suspend": True}
    installation.configure_projects([{}, other])
    installation.commit({"a.yaml": config_map("a")})
    report = next(its for its in installation.run().reports if its.project == PROJECT)
    assert report.state is State.HELD
    assert "other" in report.reason
    assert owner(installation, "a") == agentk.id
    assert installation.record() is None


def test_key_names_one_that_has_nothing_in_common(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("old"))
    installation.commit({"a.yaml": config_map("a")})
    assert agentk.id in held(installation)
    installation.configure(inventory_id=agentk.id)
    assert outcomes(installation.sync()) == {"a": "created", "old": "pruned"}


def test_key_may_say_that_none_is_taken(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("old"))
    installation.configure(inventory_id="")
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        assert outcomes(installation.sync()) == {"a": "created"}
    assert not [asked for asked in requests.all if "inventory-id" in asked.uri]
    assert owner(installation, "a") == installation.inventory_id
    assert installation.exists("configmaps", "old")


def test_key_that_names_nothing_holds(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("a"))
    installation.configure(inventory_id="1-9999")
    installation.commit({"a.yaml": config_map("a")})
    assert f"no inventory 1-9999 in namespace {agentk.namespace}" in held(installation)


def test_key_is_heard_while_all_was_refused_so_far(
    installation: Installation, agentk: Agentk, make_namespace: Callable[[], str]
) -> None:
    """The inventory lies in another namespace: found by nobody until default_namespace is corrected."""
    agentk.run(config_map("a"))
    elsewhere = make_namespace()
    here = manifest("v1", "ConfigMap", "a", namespace=agentk.namespace, data={"a": "1"})
    installation.configure(default_namespace=elsewhere)
    installation.commit({"a.yaml": here})
    assert outcomes(installation.sync()) == {"a": "skipped"}
    installation.configure(default_namespace=agentk.namespace, inventory_id=agentk.id)
    assert outcomes(installation.sync()) == {"a": "updated"}
    assert installation.record()["data"]["owner"] == agentk.id


def test_key_that_comes_too_late_is_answered(installation: Installation, agentk: Agentk) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    agentk.run(config_map("b"))
    installation.configure(inventory_id=agentk.id)
    report = installation.sync()
    assert report.state is State.SYNCED
    assert any(f"inventory {agentk.id} is named, but" in note for note in report.notes)
    assert "annotations" not in agentk.inventory()["metadata"]


def test_malformed_keys_are_named_and_nothing_is_guessed(installation: Installation, agentk: Agentk) -> None:
    agentk.apply(config_map("a"), installation.path("configmaps"))
    agentk.record([key_of(config_map("a"), namespace=agentk.namespace), "my_odd_key", "_a__ConfigMap"])
    installation.commit({"a.yaml": config_map("a")})
    reason = held(installation)
    assert "my_odd_key" in reason
    assert "_a__ConfigMap" in reason, "a ConfigMap has a namespace"


def test_two_of_one_id_hold(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("a"))
    agentk.record([], name="copy")
    installation.commit({"a.yaml": config_map("a")})
    assert f"found 2 inventory objects with inventory id {agentk.id}" in held(installation)


def test_one_that_another_instance_took_is_not_taken_again(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(config_map("a"))
    note = {"metadata": {"annotations": {marks.IMPORTED_BY: "east/shop"}}}
    installation.api.patch(installation.path("configmaps", agentk.name), note)
    installation.commit({"a.yaml": config_map("a")})
    assert "was taken over by east/shop" in held(installation)


# -- an inventory object in git ------------------------------------------------------------


def inventory_object(agentk: Agentk) -> dict[str, Any]:
    body = config_map(agentk.name, namespace=agentk.namespace)
    body["metadata"]["labels"] = {"cli-utils.sigs.k8s.io/inventory-id": agentk.id}
    return body


def test_inventory_object_in_git_names_the_one_to_take(
    installation: Installation, agentk: Agentk, make_namespace: Callable[[], str]
) -> None:
    """Also where it lies in another namespace than the default one, and it is never applied."""
    agentk.run(config_map("old"))
    installation.configure(default_namespace=make_namespace())
    installation.commit({"a.yaml": config_map("a"), "inventory.yaml": inventory_object(agentk)})
    before = agentk.inventory()
    report = installation.sync()
    assert outcomes(report) == {"a": "created", "old": "pruned"}, report
    after = agentk.inventory()
    assert after["data"] == before["data"]
    assert {entry["manager"] for entry in after["metadata"]["managedFields"]} >= {marks.RECORDS_MANAGER}
    assert not any(m["manager"].startswith("reconciler:") for m in after["metadata"]["managedFields"])


def test_inventory_object_without_one_in_the_cluster_gives_its_id(
    installation: Installation, agentk: Agentk
) -> None:
    installation.commit({"a.yaml": config_map("a"), "inventory.yaml": inventory_object(agentk)})
    assert outcomes(installation.sync()) == {"a": "created"}
    assert owner(installation, "a") == agentk.id
    assert not installation.exists("configmaps", agentk.name)
    with installation.recorded() as requests:
        installation.sync()
    assert requests.writes == []
    installation.commit({"inventory.yaml": None, "a.yaml": config_map("a", a="2")})
    assert outcomes(installation.sync()) == {"a": "updated"}
    assert owner(installation, "a") == agentk.id, "it stays what it was"


def test_two_instances_with_one_inventory_object_leave_each_others_objects_alone(
    installation: Installation, agentk: Agentk
) -> None:
    """The owner mark is the same; the label tells whose they are, when they are applied and pruned."""
    installation.commit(
        {"a.yaml": config_map("a"), "b.yaml": config_map("b"), "inventory.yaml": inventory_object(agentk)}
    )
    assert installation.sync().state is State.SYNCED
    installation.options = replace(installation.options, instance="another")
    with installation.recorded() as requests:
        report = installation.sync()
    assert outcomes(report) == {"a": "blocked", "b": "blocked"}
    assert f"project {PROJECT} of instance {installation.namespace}" in of(report, "a").message
    installation.commit({"b.yaml": None})
    with installation.recorded() as more:
        installation.sync()
    assert [*requests.of_objects, *more.of_objects] == []


def test_two_projects_cannot_have_one_id(installation: Installation, agentk: Agentk) -> None:
    other = {"id": "other", "paths": [{"glob": "/other/*.yaml"}], "depends_on": [PROJECT]}
    installation.configure_projects([{"paths": [{"glob": "/*.yaml"}]}, other])
    body = inventory_object(agentk)
    installation.commit(
        {"a.yaml": [config_map("a"), body], "other/b.yaml": [config_map("b"), body | {"data": {}}]}
    )
    first, second = installation.run().reports
    assert (first.state, second.state) == (State.SYNCED, State.HELD)
    assert f"inventory {agentk.id} is project {PROJECT}'s" in second.reason


def test_two_inventory_objects_hold_a_new_project(installation: Installation, agentk: Agentk) -> None:
    body = inventory_object(agentk)
    copy = {**body, "metadata": {**body["metadata"], "name": "copy"}}
    installation.commit({"a.yaml": [config_map("a"), body, copy]})
    assert "found 2" in held(installation)


# -- while agentk runs ---------------------------------------------------------------------


def test_project_waits_while_agentk_runs(installation: Installation, agentk: Agentk) -> None:
    agentk.run(config_map("a"))
    agentk.hold_lease(agentk.namespace)
    installation.commit({"a.yaml": config_map("a")})
    reason = held(installation)
    assert "agentk still runs" in reason
    assert f"{agentk.namespace}/agent-{agentk.agent}-lock" in reason
    assert "annotations" not in agentk.inventory()["metadata"]


def test_lease_that_was_not_renewed_for_a_minute_holds_nothing(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(config_map("a"))
    agentk.hold_lease(agentk.namespace, ago=90, stamped=False)
    installation.commit({"a.yaml": config_map("a")})
    assert outcomes(installation.sync()) == {"a": "updated"}


@pytest.fixture
def limited(
    api: Api,
    control_plane: ControlPlane,
    namespace: str,
    make_installation: Callable[..., Installation],
) -> Iterator[Callable[[list[dict[str, Any]]], Installation]]:
    """An installation that may do in all namespaces what the test gives, beside what each one needs."""
    base = "/apis/rbac.authorization.k8s.io/v1"

    def make(rules: list[dict[str, Any]]) -> Installation:
        needed = [
            {"apiGroups": [""], "resources": ["secrets", "namespaces"], "verbs": ["get", "create", "list"]},
            # Enough for its own turn, and not for those of others.
            {**LEASE_RIGHTS, "verbs": ["get", "create", "update"]},
        ]
        api.post(f"{base}/clusterroles", {"metadata": {"name": namespace}, "rules": [*needed, *rules]})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
        user = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}
        binding = {"metadata": {"name": namespace}, "subjects": [user], "roleRef": role}
        api.post(f"{base}/clusterrolebindings", binding)
        return make_installation(namespace, kubeconfig=control_plane.kubeconfig_for("nobody"))

    yield make
    api.delete(f"{base}/clusterrolebindings/{namespace}")
    api.delete(f"{base}/clusterroles/{namespace}")


MAPS = {
    "apiGroups": [""],
    "resources": ["configmaps"],
    "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
}


def test_lease_that_may_not_be_seen_holds_until_the_key_decides(
    limited: Callable[..., Installation], agentk: Agentk
) -> None:
    installation = limited([MAPS])
    agentk.run(config_map("a"))
    installation.commit({"a.yaml": config_map("a")})
    reason = held(installation)
    assert "cannot be seen" in reason
    assert f"inventory_id: {agentk.id}" in reason
    installation.configure(inventory_id=agentk.id)
    report = installation.sync()
    assert outcomes(report) == {"a": "updated"}
    assert any("cannot be seen" in note for note in report.notes)


def test_lease_that_is_seen_holds_whatever_the_key_says(
    limited: Callable[..., Installation], agentk: Agentk, make_namespace: Callable[[], str]
) -> None:
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}
    installation = limited([MAPS, leases])
    agentk.run(config_map("a"))
    agentk.hold_lease(make_namespace())
    installation.configure(inventory_id=agentk.id)
    installation.commit({"a.yaml": config_map("a")})
    assert "agentk still runs" in held(installation)


def test_inventories_that_may_not_be_listed_stop_the_project(
    limited: Callable[..., Installation], agentk: Agentk, make_namespace: Callable[[], str], api: Api
) -> None:
    """Not to see one is not to have none; whoever knows that there is none may say so."""
    elsewhere = make_namespace()
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maps"}
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{agentk.namespace}"
    api.post(f"{base}/roles", {"metadata": {"name": "maps"}, "rules": [MAPS]})
    user = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}
    api.post(f"{base}/rolebindings", {"metadata": {"name": "maps"}, "subjects": [user], "roleRef": role})
    services = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "create", "patch"]}
    installation = limited([services])
    installation.configure(default_namespace=elsewhere)
    spec = {"clusterIP": "None", "ports": [{"port": 80}]}
    installation.commit({"a.yaml": manifest("v1", "Service", "a", spec=spec)})
    report = installation.sync()
    assert (report.state, report.objects) == (State.FAILED, ())
    assert f"grant list on configmaps in namespace {elsewhere}" in report.reason
    installation.configure(inventory_id="")
    assert outcomes(installation.sync()) == {"a": "created"}


def test_inventory_that_may_not_be_marked_is_not_taken(
    limited: Callable[..., Installation], agentk: Agentk
) -> None:
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}
    verbs = [verb for verb in MAPS["verbs"] if verb != "patch"]
    installation = limited([{**MAPS, "verbs": verbs}, leases])
    agentk.run(config_map("a"))
    installation.commit({"a.yaml": config_map("a")})
    report = installation.sync()
    assert (report.state, report.objects) == (State.FAILED, ())
    assert agentk.name in report.reason
    assert "patch" in report.reason
    assert installation.record("-0") is None
    assert installation.sync().state is State.FAILED, "nor in the run after it"


# -- in a service that goes on -------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "HELD_AGAIN", 0.2)


@pytest.mark.usefixtures("soon")
async def test_service_goes_on_by_itself_when_agentk_has_stopped(
    installation: Installation, agentk: Agentk
) -> None:
    await asyncio.to_thread(agentk.run, config_map("a"))
    await asyncio.to_thread(agentk.hold_lease, agentk.namespace)
    await asyncio.to_thread(installation.commit, {"a.yaml": config_map("a")})
    async with running(installation) as (_, seen):
        await seen.all_are(State.HELD)
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{agentk.namespace}/leases"
        await asyncio.to_thread(agentk.api.delete, f"{lease}/agent-{agentk.agent}-lock")
        await seen.all_are(State.SYNCED)
    assert owner(installation, "a") == agentk.id


@pytest.mark.usefixtures("soon")
async def test_projects_that_start_together_take_each_its_own(
    installation: Installation, agentk: Agentk
) -> None:
    agents = [Agentk(agentk.api, namespace=agentk.namespace, project=n) for n in range(5)]
    files = {}
    for n, its in enumerate(agents):
        await asyncio.to_thread(its.run, config_map(f"o{n}"))
        files[f"p{n}/a.yaml"] = config_map(f"o{n}")
    installation.configure_projects(
        [{"id": f"p{n}", "paths": [{"glob": f"/p{n}/*.yaml"}]} for n in range(len(agents))]
    )
    await asyncio.to_thread(installation.commit, files)
    async with running(installation) as (_, seen):
        await seen.until(
            lambda its: len(its) == len(agents) and all(r.state is State.SYNCED for r in its.values())
        )
    assert [owner(installation, f"o{n}") for n in range(len(agents))] == [its.id for its in agents]


async def test_dry_run_of_a_service_leaves_nothing_behind(installation: Installation, agentk: Agentk) -> None:
    """What it would have taken over is not taken for taken when the project becomes a real one."""
    await asyncio.to_thread(agentk.run, config_map("a"))
    installation.configure(dry_run_strategy="client")
    await asyncio.to_thread(installation.commit, {"a.yaml": config_map("a")})
    async with running(installation) as (_, seen):
        await seen.all_are(State.PENDING)
        installation.configure(dry_run_strategy="none")
        await seen.all_are(State.SYNCED)
    note = agentk.inventory()["metadata"]["annotations"]
    assert note == {marks.IMPORTED_BY: f"{installation.namespace}/{PROJECT}"}
    assert installation.record()["data"]["imported"] == agentk.inventory()["metadata"]["uid"]


# -- dry runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["client", "server"])
def test_dry_run_shows_what_would_be_taken_over_also_while_agentk_runs(
    installation: Installation, agentk: Agentk, strategy: str
) -> None:
    agentk.run(config_map("a"), config_map("gone"))
    agentk.hold_lease(agentk.namespace)
    installation.configure(dry_run_strategy=strategy)
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        report = installation.sync()
    assert not [asked for asked in requests.writes if not asked.is_dry_run]
    want = {"client": "held", "server": "updated"}[strategy]
    assert outcomes(report) == {"a": want, "gone": "held"}
    assert any("agentk still runs" in note for note in report.notes)
    assert any(agentk.id in note for note in report.notes)
    assert "annotations" not in agentk.inventory()["metadata"]


# -- killed --------------------------------------------------------------------------------


def test_records_and_old_inventory_that_are_both_lost_are_made_again_by_an_inventory_object(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(config_map("a"), config_map("gone"))
    installation.configure(prune=False)
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    for name in (installation.inventory_id, installation.inventory_id + "-0", agentk.name):
        installation.api.delete(installation.path("configmaps", name))
    installation.configure(prune=True)
    assert outcomes(installation.sync()) == {"a": "blocked"}
    installation.api.delete(installation.path("configmaps", installation.inventory_id))
    installation.commit({"inventory.yaml": inventory_object(agentk)})
    assert outcomes(installation.sync())["a"] == "updated"
    assert installation.record()["data"]["owner"] == agentk.id


def test_lost_records_are_made_again_and_their_prune_asks_first(
    installation: Installation, agentk: Agentk
) -> None:
    agentk.run(config_map("a"), config_map("gone"))
    installation.configure(prune=False)
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    for suffix in ("", "-0"):
        installation.api.delete(installation.path("configmaps", installation.inventory_id + suffix))
    installation.configure(prune=True)
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.HELD, {"a": "updated", "gone": "held"})
    assert installation.record()["data"]["owner"] == agentk.id
