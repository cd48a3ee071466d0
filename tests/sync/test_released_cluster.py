"""Fields that leave git: they go, or stay for a reason that the report gives."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ControlPlane
from reconciler.cluster.takeover import RELEASED
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.fix_cluster import LEASE_RIGHTS
from tests.fix_sync import PROJECT, Installation, Requests, of
from tests.fix_takeover import Predecessor, managers
from tests.objects import config_map, deployment, manifest

US = f"reconciler:{PROJECT}"
DEPLOYMENTS = "apps/v1/deployments"
SCALERS = "horizontalpodautoscalers"


def web(*, replicas: int | None = 3, ignore: str = "") -> dict[str, Any]:
    """A Deployment whose pods never come up, so that nothing but its spec counts."""
    body = deployment("web", replicas=replicas or 1)
    if replicas is None:
        del body["spec"]["replicas"]
    if ignore:
        body["metadata"]["annotations"] = {marks.IGNORE: ignore}
    return body


def scaler(kind: str = "Deployment", name: str = "web") -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9}
    return manifest("autoscaling/v2", "HorizontalPodAutoscaler", "web-scaler", spec=spec)


def scale(installation: Installation) -> None:
    path = installation.path(DEPLOYMENTS, "web")
    installation.api.patch(f"{path}/scale", {"spec": {"replicas": 5}})


def replicas(installation: Installation) -> int:
    found: int = installation.get(DEPLOYMENTS, "web")["spec"]["replicas"]
    return found


def drop(installation: Installation, *files: Any, **how: Any) -> Any:
    """Take the number of replicas out of git, with more files; returns our requests and the report."""
    installation.commit({"web.yaml": [web(replicas=None, **how), *files]})
    with installation.recorded() as requests:
        report = installation.sync(wait=False)
    return requests, of(report, "web")


@pytest.fixture
def three(installation: Installation) -> Installation:
    """Three replicas by git."""
    installation.commit({"web.yaml": web()})
    installation.sync(wait=False)
    return installation


def test_number_of_replicas_falls_to_the_default_when_nobody_scales(three: Installation) -> None:
    requests, _ = drop(three)
    assert replicas(three) == 1
    assert requests.count()[f"list {SCALERS}"] == 1
    assert requests.of_objects == ["patch deployments/web"]


def done(requests: Requests) -> list[str]:
    """Writes of objects that were carried out; one that a controller was quicker than is tried again."""
    writes = [asked for asked in requests.writes if not asked.name.startswith("reconciler-")]
    return [str(asked) for asked in writes if asked.code == 200]


def test_number_of_replicas_stays_when_an_autoscaler_targets_the_object(three: Installation) -> None:
    three.api.post(three.path(f"autoscaling/v2/{SCALERS}"), scaler())
    requests, its = drop(three)
    assert replicas(three) == 3
    assert done(requests) == ["patch deployments/web"] * 2
    assert ".spec.replicas left git, live value kept: a HorizontalPodAutoscaler scales it" in its.message
    assert managers(three.get(DEPLOYMENTS, "web"))[RELEASED] == "Apply"
    scale(three)
    with three.recorded() as requests:
        three.sync(wait=False)
    assert (requests.writes, replicas(three)) == ([], 5)


def test_autoscaler_that_the_same_commit_brings_counts(three: Installation) -> None:
    drop(three, scaler())
    assert replicas(three) == 3


@pytest.mark.parametrize("target", [{"kind": "StatefulSet"}, {"name": "other"}])
def test_autoscaler_of_another_object_does_not_count(three: Installation, target: dict[str, str]) -> None:
    three.api.post(three.path(f"autoscaling/v2/{SCALERS}"), scaler(**target))
    drop(three)
    assert replicas(three) == 1


def test_autoscalers_are_not_read_while_the_number_stays_in_git(three: Installation) -> None:
    three.commit({"web.yaml": web(replicas=4)})
    with three.recorded() as requests:
        three.sync(wait=False)
    assert requests.count()[f"list {SCALERS}"] == 0
    assert replicas(three) == 4


def test_number_of_replicas_that_comes_back_to_git_counts_again(three: Installation) -> None:
    three.api.post(three.path(f"autoscaling/v2/{SCALERS}"), scaler())
    drop(three)
    three.commit({"web.yaml": web(replicas=2)})
    three.sync(wait=False)
    assert replicas(three) == 2


def test_field_that_is_ignored_keeps_its_live_value(three: Installation) -> None:
    requests, its = drop(three, ignore="/spec/replicas")
    assert replicas(three) == 3
    assert requests.count()[f"list {SCALERS}"] == 0
    assert f".spec.replicas left git, live value kept: {marks.IGNORE} names it" in its.message
    three.sync(wait=False)
    assert replicas(three) == 3


def test_field_of_a_container_is_ignored_by_its_place_in_git(three: Installation) -> None:
    body = web(ignore="/spec/template/spec/containers/0/command\n/spec/replicas")
    body["spec"]["template"]["spec"]["containers"][0]["command"] = ["run"]
    three.commit({"web.yaml": body})
    three.sync(wait=False)
    del body["spec"]["template"]["spec"]["containers"][0]["command"]
    three.commit({"web.yaml": body})
    three.sync(wait=False)
    found = three.get(DEPLOYMENTS, "web")["spec"]
    assert found["template"]["spec"]["containers"][0]["command"] == ["run"]


def test_field_that_is_ignored_and_in_git_is_applied(three: Installation) -> None:
    three.commit({"web.yaml": web(replicas=7, ignore="/spec/replicas")})
    three.sync(wait=False)
    assert replicas(three) == 7


def test_what_was_released_before_stays_when_more_is_released(installation: Installation) -> None:
    ignore = {"annotations": {marks.IGNORE: "/data/one, /data/two"}}
    for data in ({"one": "1", "two": "2", "k": "3"}, {"two": "2", "k": "3"}, {"k": "3"}):
        body = config_map("a", **data)
        body["metadata"] |= ignore
        installation.commit({"a.yaml": body})
        installation.sync()
    found = installation.get("configmaps", "a")
    assert found["data"] == {"one": "1", "two": "2", "k": "3"}


def test_secret_keeps_a_key_that_is_ignored_without_its_value_being_read(installation: Installation) -> None:
    body = manifest("v1", "Secret", "s", data={"kept": "a2VwdA==", "k": "eA=="})
    body["metadata"]["annotations"] = {marks.IGNORE: "/data/kept"}
    installation.commit({"s.yaml": body})
    installation.sync()
    del body["data"]["kept"]
    installation.commit({"s.yaml": body})
    with installation.recorded() as requests:
        report = installation.sync()
    assert installation.get("secrets", "s")["data"] == {"kept": "a2VwdA==", "k": "eA=="}
    assert "a2VwdA==" not in f"{report}"
    reads = [asked for asked in requests.all if asked.verb == "get" and asked.name == "s"]
    assert reads == []


def test_annotation_that_is_no_pointer_fails_the_object_and_changes_nothing(three: Installation) -> None:
    requests, its = drop(three, ignore=".spec.replicas")
    assert (its.outcome.value, its.reason) == ("failed", "Invalid")
    assert "'.spec.replicas' is not a JSON pointer; write /spec/replicas" in its.message
    assert (requests.of_objects, replicas(three)) == ([], 3)


def test_field_that_another_manager_owns_too_is_named(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", kept="1", shared="1", gone="1")})
    installation.sync()
    predecessor = Predecessor(installation)
    predecessor.applied("configmaps", config_map("a", shared="1"), manager="someone", owner="")
    installation.commit({"a.yaml": config_map("a", kept="1")})
    with installation.recorded() as requests:
        report = installation.sync()
    its = of(report, "a")
    assert installation.get("configmaps", "a")["data"] == {"kept": "1", "shared": "1"}
    assert (report.state, its.outcome.value) == (State.SYNCED, "updated")
    assert its.message == "changed in git; .data.shared not removed: also owned by someone"
    assert requests.of_objects == ["patch configmaps/a"]
    assert requests.count()["get configmaps"] == 0


def test_old_agents_number_of_replicas_stays_for_the_autoscaler(installation: Installation) -> None:
    """Take-over and release are one request, so that there are two an object at most."""
    installation.configure(inventory_policy="adopt_all")
    Predecessor(installation).applied(DEPLOYMENTS, web())
    installation.api.post(installation.path(f"autoscaling/v2/{SCALERS}"), scaler())
    requests, its = drop(installation)
    assert replicas(installation) == 3
    assert done(requests) == ["patch deployments/web"] * 2
    assert "fields taken over from agentk" in its.message


@pytest.fixture
def without_scalers(api: Api, control_plane: ControlPlane, namespace: str) -> Iterator[Path]:
    """A kubeconfig of somebody who may do all with the core's and apps' kinds, and nothing more."""
    base = "/apis/rbac.authorization.k8s.io/v1"
    role = f"{namespace}-most"
    rules = [{"apiGroups": ["", "apps"], "resources": ["*"], "verbs": ["*"]}, LEASE_RIGHTS]
    api.post(f"{base}/clusterroles", {"metadata": {"name": role}, "rules": rules})
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    binding = {"metadata": {"name": role}, "subjects": [subject], "roleRef": reference}
    api.post(f"{base}/clusterrolebindings", binding)
    yield control_plane.kubeconfig_for("nobody")
    api.delete(f"{base}/clusterrolebindings/{role}")
    api.delete(f"{base}/clusterroles/{role}")


def test_number_of_replicas_stays_where_autoscalers_may_not_be_read(
    make_installation: Callable[..., Installation], namespace: str, three: Installation, without_scalers: Path
) -> None:
    less = make_installation(namespace, kubeconfig=without_scalers)
    _, its = drop(less)
    assert its.outcome.value == "updated", its
    assert "may not be read; grant list" in its.message
    assert replicas(three) == 3
