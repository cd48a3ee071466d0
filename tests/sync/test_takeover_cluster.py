"""What other tools left becomes ours: no field stays behind, nothing restarts, two requests an object."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from localcluster import Api
from reconciler.cluster.client import Cluster
from reconciler.cluster.managed import LAST_APPLIED
from reconciler.sync.outcome import State
from tests.fix_sync import PROJECT, Installation, of, outcomes
from tests.fix_takeover import KUBECTL, Predecessor, client_side, managers
from tests.objects import config_map, definition, deployment, manifest

US = f"reconciler:{PROJECT}"


@pytest.fixture
def adopting(installation: Installation) -> Installation:
    installation.configure(inventory_policy="adopt_all")
    return installation


@pytest.fixture
def predecessor(adopting: Installation) -> Predecessor:
    return Predecessor(adopting)


def take_over(
    installation: Installation, name: str = "a", *, kind: str = "configmaps", patches: int = 2
) -> Any:
    """Sync twice: the object is updated with so many requests, then nothing is written; returns it."""
    with installation.recorded() as requests:
        report = installation.sync()
    assert outcomes(report)[name] == "updated", report
    assert report.state is State.SYNCED, report
    of_object = [asked for asked in requests.of_objects if asked.endswith(f"/{name}")]
    assert len(of_object) == patches, requests.of_objects
    with installation.recorded() as requests:
        installation.sync()
    assert requests.writes == []
    return installation.get(kind, name)


def test_what_agentk_applied_and_git_no_longer_has_goes(
    adopting: Installation, predecessor: Predecessor
) -> None:
    before = predecessor.applied("configmaps", config_map("a", kept="1", gone="1"))
    adopting.commit({"a.yaml": config_map("a", kept="2")})
    found = take_over(adopting)
    assert found["data"] == {"kept": "2"}
    assert found["metadata"]["uid"] == before["metadata"]["uid"]
    assert managers(found) == {US: "Apply"}


def test_what_kubectl_applied_goes_with_its_annotation(
    adopting: Installation, predecessor: Predecessor
) -> None:
    predecessor.created("configmaps", config_map("a", kept="1", gone="1"))
    adopting.commit({"a.yaml": config_map("a", kept="1")})
    found = take_over(adopting)
    assert found["data"] == {"kept": "1"}
    assert LAST_APPLIED not in found["metadata"]["annotations"]
    assert managers(found) == {US: "Apply"}


def test_agentk_and_kubectl_on_one_object_are_both_taken_over(
    adopting: Installation, predecessor: Predecessor
) -> None:
    predecessor.applied("configmaps", config_map("a", kept="1", one="1", both="1"))
    predecessor.edited("configmaps", config_map("a", kept="1", two="1", both="1"))
    adopting.commit({"a.yaml": config_map("a", kept="1")})
    found = take_over(adopting)
    assert found["data"] == {"kept": "1"}
    assert managers(found) == {US: "Apply"}


def test_fields_of_others_stay(adopting: Installation, predecessor: Predecessor) -> None:
    predecessor.applied("configmaps", config_map("a", ours="1"))
    predecessor.applied("configmaps", config_map("a", theirs="1"), manager="kubectl", owner="")
    adopting.commit({"a.yaml": config_map("a", ours="1")})
    found = take_over(adopting)
    assert found["data"] == {"ours": "1", "theirs": "1"}
    assert managers(found) == {US: "Apply", "kubectl": "Apply"}


@pytest.mark.parametrize("before", ["applied", "created"])
def test_deployment_does_not_restart_its_pods(
    adopting: Installation, predecessor: Predecessor, before: str
) -> None:
    body = deployment("web")
    body["spec"]["template"]["metadata"].pop("annotations")
    getattr(predecessor, before)("apps/v1/deployments", body)
    path = adopting.path("apps/v1/deployments", "web")
    first = adopting.api.until(path, lambda found: found.get("status", {}).get("readyReplicas") == 1)
    adopting.commit({"web.yaml": body})
    found = take_over(adopting, "web", kind="apps/v1/deployments")
    sets = adopting.api.get(adopting.path("apps/v1/replicasets"))["items"]
    assert len(sets) == 1, "a second ReplicaSet means that pods were restarted"
    assert found["spec"] == first["spec"]
    assert found["metadata"]["uid"] == first["metadata"]["uid"]
    assert managers(found) == {US: "Apply"}


def test_container_that_git_renames_rolls_out_once(adopting: Installation, predecessor: Predecessor) -> None:
    """Were the old and the new template live for a moment, a rollout would begin with both containers."""
    body = deployment("web")
    predecessor.applied("apps/v1/deployments", body)
    path = adopting.path("apps/v1/deployments", "web")
    adopting.api.until(path, lambda found: found.get("status", {}).get("readyReplicas") == 1)
    body["spec"]["template"]["spec"]["containers"][0]["name"] = "app"
    adopting.commit({"web.yaml": body})
    found = take_over(adopting, "web", kind="apps/v1/deployments")
    assert [its["name"] for its in found["spec"]["template"]["spec"]["containers"]] == ["app"]
    assert len(adopting.api.get(adopting.path("apps/v1/replicasets"))["items"]) == 2


def test_what_the_server_has_given_a_service_stays(adopting: Installation, predecessor: Predecessor) -> None:
    spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}
    body = manifest("v1", "Service", "web", spec=spec)
    before = predecessor.created("services", body)
    adopting.commit({"web.yaml": body})
    assert take_over(adopting, "web", kind="services")["spec"] == before["spec"]


def test_claim_whose_spec_cannot_change_is_taken_over(
    adopting: Installation, predecessor: Predecessor
) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    body = manifest("v1", "PersistentVolumeClaim", "data", spec=spec)
    before = predecessor.created("persistentvolumeclaims", body)
    adopting.commit({"data.yaml": body})
    report = adopting.sync(wait=False)
    assert outcomes(report) == {"data": "updated"}, report
    assert adopting.get("persistentvolumeclaims", "data")["spec"] == before["spec"]


POD = {"containers": [{"name": "web", "image": "web:1"}]}
APP = {"app": "x"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(
            "apps/v1/statefulsets",
            manifest(
                "apps/v1",
                "StatefulSet",
                "x",
                spec={
                    "serviceName": "x",
                    "selector": {"matchLabels": APP},
                    "template": {"metadata": {"labels": APP}, "spec": POD},
                },
            ),
            id="StatefulSet",
        ),
        pytest.param(
            "batch/v1/jobs",
            manifest("batch/v1", "Job", "x", spec={"template": {"spec": {**POD, "restartPolicy": "Never"}}}),
            id="Job",
        ),
        pytest.param("pods", manifest("v1", "Pod", "x", spec=POD), id="Pod"),
        pytest.param(
            "policy/v1/poddisruptionbudgets",
            manifest(
                "policy/v1",
                "PodDisruptionBudget",
                "x",
                spec={"minAvailable": 1, "selector": {"matchLabels": APP}},
            ),
            id="PodDisruptionBudget",
        ),
    ],
)
def test_defaults_that_client_side_apply_owned_stay(
    adopting: Installation, predecessor: Predecessor, kind: str, body: dict[str, Any]
) -> None:
    """They leave with the take-over and are set to the same by the server, also where they may not change."""
    predecessor.created(kind, body)
    before = adopting.api.until(
        adopting.path(kind, "x"),
        lambda found: bool(found.get("status")) and (kind != "pods" or "nodeName" in found["spec"]),
    )
    adopting.commit({"x.yaml": body})
    report = adopting.sync(wait=False)
    after = adopting.get(kind, "x")
    assert outcomes(report) == {"x": "updated"}, report
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("generation") == before["metadata"].get("generation") or kind == "pods"
    assert KUBECTL not in managers(after)


def scaler(version: str, **spec: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
    whole = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9, **spec}
    return manifest(f"autoscaling/{version}", "HorizontalPodAutoscaler", "x", spec=whole)


def test_what_was_applied_in_another_version_is_taken_over(
    adopting: Installation, predecessor: Predecessor
) -> None:
    """Its entry is renamed as it is; the server compares the two versions itself."""
    old = scaler("v1", maxReplicas=7)
    old["metadata"]["labels"] = {"gone": "1"}
    predecessor.applied("autoscaling/v1/horizontalpodautoscalers", old)
    adopting.commit({"x.yaml": scaler("v2")})
    found = take_over(adopting, "x", kind="autoscaling/v2/horizontalpodautoscalers")
    assert found["spec"]["maxReplicas"] == 9
    assert "gone" not in found["metadata"]["labels"]
    assert managers(found) == {US: "Apply"}


def test_owners_in_two_versions_are_not_mixed(adopting: Installation, predecessor: Predecessor) -> None:
    predecessor.applied("autoscaling/v2/horizontalpodautoscalers", scaler("v2"))
    predecessor.edited("autoscaling/v1/horizontalpodautoscalers", scaler("v1", maxReplicas=7))
    adopting.commit({"x.yaml": scaler("v2", maxReplicas=5)})
    found = take_over(adopting, "x", kind="autoscaling/v2/horizontalpodautoscalers")
    assert found["spec"]["maxReplicas"] == 5
    assert managers(found) == {US: "Apply", KUBECTL: "Update"}


@pytest.mark.parametrize(
    ("manager", "before"),
    [("kustomize-controller", "applied"), ("argocd-controller", "created"), ("helm", "created")],
)
def test_further_managers_are_taken_over_only_if_named(
    adopting: Installation, predecessor: Predecessor, manager: str, before: str
) -> None:
    body = config_map("a", kept="1", gone="1")
    if before == "applied":
        predecessor.applied("configmaps", body, manager=manager, owner="")
    else:
        predecessor.created("configmaps", body, manager=manager)
    adopting.commit({"a.yaml": config_map("a", kept="1")})
    assert take_over(adopting, patches=1)["data"] == {"kept": "1", "gone": "1"}
    adopting.configure(take_over=[manager])
    found = take_over(adopting)
    assert found["data"] == {"kept": "1"}
    assert managers(found) == {US: "Apply"}
    assert LAST_APPLIED not in found["metadata"]["annotations"]


def test_object_of_ours_that_somebody_applies_with_kubectl_is_taken_back(
    adopting: Installation, predecessor: Predecessor
) -> None:
    adopting.commit({"a.yaml": config_map("a", ours="1")})
    adopting.sync()
    predecessor.edited("configmaps", config_map("a", ours="1", more="1"))
    found = take_over(adopting)
    assert found["data"] == {"ours": "1"}
    assert LAST_APPLIED not in found["metadata"]["annotations"]


def test_project_that_was_renamed_removes_what_it_applied_under_its_old_name(
    adopting: Installation, predecessor: Predecessor
) -> None:
    predecessor.applied("configmaps", config_map("a", kept="1", gone="1"), manager="reconciler:old", owner="")
    adopting.commit({"a.yaml": config_map("a", kept="1")})
    found = take_over(adopting)
    assert (found["data"], managers(found)) == ({"kept": "1"}, {US: "Apply"})


def test_report_names_from_whom_fields_were_taken_over(
    adopting: Installation, predecessor: Predecessor
) -> None:
    predecessor.applied("configmaps", config_map("a"))
    adopting.commit({"a.yaml": config_map("a")})
    assert of(adopting.sync(), "a").message == "adopted; fields taken over from agentk"


def test_object_that_is_not_ours_to_adopt_keeps_its_managers(
    installation: Installation, predecessor: Predecessor
) -> None:
    installation.configure(inventory_policy="must_match")
    predecessor.applied("configmaps", config_map("a"))
    installation.commit({"a.yaml": config_map("a", a="2")})
    with installation.recorded() as requests:
        assert outcomes(installation.sync()) == {"a": "skipped"}
    assert requests.of_objects == []
    assert managers(installation.get("configmaps", "a")) == {"agentk": "Apply"}


@pytest.mark.parametrize("strategy", ["client", "server"])
def test_dry_run_leaves_ownership_alone(
    adopting: Installation, predecessor: Predecessor, strategy: str
) -> None:
    predecessor.applied("configmaps", config_map("a"))
    adopting.configure(dry_run_strategy=strategy)
    adopting.commit({"a.yaml": config_map("a", a="2")})
    with adopting.recorded() as requests:
        adopting.sync()
    assert all(asked.is_dry_run for asked in requests.writes)
    assert managers(adopting.get("configmaps", "a")) == {"agentk": "Apply"}


@pytest.fixture
def elsewhere(api: Api, adopting: Installation) -> Iterator[str]:
    """Another namespace for the objects: beside its records the service takes no Secret over."""
    name = f"{adopting.namespace}-objects"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    adopting.configure(default_namespace=name)
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


def test_secret_is_taken_over_and_nothing_shows_its_values(
    adopting: Installation, api: Api, elsewhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "Y2FuYXJ5"
    path = f"/api/v1/namespaces/{elsewhere}/secrets"
    body = client_side(manifest("v1", "Secret", "s", data={"kept": canary, "gone": canary}))
    api.post(f"{path}?fieldManager={KUBECTL}", body)
    adopting.commit({"s.yaml": manifest("v1", "Secret", "s", data={"kept": canary})})
    report = adopting.sync()
    found = api.get(f"{path}/s")
    assert found["data"] == {"kept": canary}, report
    assert canary not in str(found["metadata"])
    assert canary not in f"{report} {caplog.text} {adopting.record('-status')}"


@pytest.fixture
def widgets(api: Api, namespace: str) -> Iterator[dict[str, Any]]:
    """A CustomResourceDefinition of this test alone, not applied yet; removed afterwards."""
    body = definition(f"{namespace}.example.org")
    yield body
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{body['metadata']['name']}"
    if api.exists(path):
        api.delete(path)


def test_definition_and_custom_resource_are_taken_over(
    adopting: Installation, predecessor: Predecessor, api: Api, widgets: dict[str, Any]
) -> None:
    group = widgets["spec"]["group"]
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{widgets['metadata']['name']}"
    api.apply(path, widgets, field_manager="agentk")
    api.until(
        path,
        lambda found: any(
            c["type"] == "Established" for c in (found.get("status") or {}).get("conditions") or ()
        ),
    )
    api.until(f"/apis/{group}/v1", bool)
    widget = manifest(f"{group}/v1", "Widget", "w", spec={"kept": 1, "gone": 1})
    before = predecessor.applied(f"{group}/v1/widgets", widget)
    adopting.commit({"all.yaml": [widgets, {**widget, "spec": {"kept": 1}}]})
    found = take_over(adopting, "w", kind=f"{group}/v1/widgets")
    assert (found["spec"], found["metadata"]["uid"]) == ({"kept": 1}, before["metadata"]["uid"])
    assert managers(found) == {US: "Apply"}
    assert managers(api.get(path)) == {US: "Apply"}


def test_cluster_scoped_object_with_a_colon_in_its_name_is_taken_over(
    adopting: Installation, api: Api, namespace: str
) -> None:
    name = f"{namespace}:reader"
    body = manifest("rbac.authorization.k8s.io/v1", "ClusterRole", name)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"
    api.apply(path, {**body, "rules": rules, "aggregationRule": None}, field_manager="agentk")
    adopting.commit({"role.yaml": {**body, "rules": rules}})
    try:
        assert adopting.sync().state is State.SYNCED
        assert managers(api.get(path)) == {US: "Apply"}
    finally:
        api.delete(path)


def scale(installation: Installation) -> None:
    """What a controller may do at any time."""
    installation.api.patch(installation.path("configmaps", "a"), {"metadata": {"labels": {"x": "1"}}})


def annotate(installation: Installation) -> None:
    """What kubectl does when it takes its own annotation off."""
    body = {"metadata": {"annotations": {LAST_APPLIED: None}}}
    installation.api.patch(installation.path("configmaps", "a"), body)


@pytest.mark.parametrize("between", [scale, annotate])
def test_write_in_between_is_seen_and_decided_again(
    adopting: Installation,
    predecessor: Predecessor,
    monkeypatch: pytest.MonkeyPatch,
    between: Callable[[Installation], None],
) -> None:
    before_patch(monkeypatch, lambda: between(adopting))
    predecessor.created("configmaps", config_map("a", kept="1", gone="1"))
    adopting.commit({"a.yaml": config_map("a", kept="1")})
    found = take_over(adopting, patches=3)
    assert found["data"] == {"kept": "1"}
    assert managers(found).get(US) == "Apply"
    assert KUBECTL not in managers(found)


def test_object_that_another_hand_replaces_in_between_is_left_to_the_next_run(
    adopting: Installation, predecessor: Predecessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace() -> None:
        adopting.api.delete(adopting.path("configmaps", "a"))
        predecessor.created("configmaps", config_map("a", theirs="1"), manager="someone")

    before_patch(monkeypatch, replace)
    predecessor.created("configmaps", config_map("a"))
    adopting.commit({"a.yaml": config_map("a")})
    its = of(adopting.sync(), "a")
    assert (its.outcome.value, its.reason) == ("failed", "Conflict")
    assert adopting.get("configmaps", "a")["data"] == {"theirs": "1"}


def before_patch(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have `act` done once, right before the first take-over is sent."""
    send = Cluster.json_patch
    left = [act]

    async def json_patch(self: Cluster, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if left:
            left.pop()()
        return await send(self, *args, **kwargs)

    monkeypatch.setattr(Cluster, "json_patch", json_patch)
