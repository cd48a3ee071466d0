"""What a cluster does with workloads: the controllers are real, only the containers are not."""

from typing import Any

import pytest

from localcluster import Api

ANNOTATION = "localcluster.reconciler.dev/"


def template(labels: dict[str, str] | None = None, *, restart: str = "Always", **annotations: str) -> Any:
    """A pod template; keywords are the annotations that choose a behaviour."""
    marks = {ANNOTATION + name.replace("_", "-"): value for name, value in annotations.items()}
    return {
        "metadata": {"labels": labels or {}, "annotations": marks},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "restartPolicy": restart},
    }


def condition(body: Any, kind: str) -> str | None:
    """The status of one condition of an object; None where it is not set."""
    return next((c["status"] for c in body["status"].get("conditions", ()) if c["type"] == kind), None)


def waiting_reason(pod: Any) -> str | None:
    state = pod["status"].get("containerStatuses", [{}])[0].get("state", {})
    reason: str | None = state.get("waiting", {}).get("reason")
    return reason


def make_pod(api: Api, namespace: str, body: Any) -> str:
    """Create a pod and return its path."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, {**body, "metadata": {**body["metadata"], "name": "one"}})
    return f"{path}/one"


def test_a_deployment_becomes_available(api: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"app": "web"}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template(labels)}
    api.post(path, {"metadata": {"name": "web"}, "spec": spec})
    body = api.until(f"{path}/web", lambda d: condition(d, "Available") == "True")
    assert body["status"]["readyReplicas"] == 3


def test_a_job_completes(api: Api, namespace: str) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    spec = {"template": template(restart="Never"), "backoffLimit": 0}
    api.post(path, {"metadata": {"name": "once"}, "spec": spec})
    body = api.until(f"{path}/once", lambda j: condition(j, "Complete") == "True")
    assert body["status"]["succeeded"] == 1


def test_a_job_fails_when_its_pods_do(api: Api, namespace: str) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    spec = {"template": template(restart="Never", behaviour="failing"), "backoffLimit": 0}
    api.post(path, {"metadata": {"name": "once"}, "spec": spec})
    body = api.until(f"{path}/once", lambda j: condition(j, "Failed") == "True")
    assert body["status"]["failed"] == 1


def test_a_deleted_namespace_ends_with_what_is_in_it(api: Api, namespace: str) -> None:
    path = "/api/v1/namespaces"
    name = f"{namespace}-gone"
    api.post(path, {"metadata": {"name": name}})
    api.post(f"{path}/{name}/configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
    api.delete(f"{path}/{name}")
    assert api.until(f"{path}/{name}", lambda body: body is None) is None


@pytest.mark.parametrize(
    ("behaviour", "phase", "waiting"),
    [
        pytest.param("pending", "Pending", "ContainerCreating", id="pending"),
        pytest.param("image-pull-stuck", "Pending", "ImagePullBackOff", id="image pull stuck"),
        pytest.param("unready", "Running", None, id="unready"),
        pytest.param("crash-looping", "Running", "CrashLoopBackOff", id="crash looping"),
        pytest.param("failing", "Failed", None, id="failing"),
        pytest.param("evicted", "Failed", None, id="evicted"),
    ],
)
def test_a_pod_misbehaves_as_its_annotation_says(
    api: Api, namespace: str, behaviour: str, phase: str, waiting: str | None
) -> None:
    path = make_pod(api, namespace, template(behaviour=behaviour))
    pod = api.until(path, lambda p: p["status"].get("containerStatuses"))
    assert (pod["status"]["phase"], waiting_reason(pod)) == (phase, waiting)
    assert condition(pod, "Ready") == "False"


def test_a_stuck_pod_can_be_deleted(api: Api, namespace: str) -> None:
    path = make_pod(api, namespace, template(behaviour="image-pull-stuck"))
    api.until(path, waiting_reason)
    api.delete(path)
    api.until(path, lambda p: p is None)


def test_a_slow_pod_becomes_ready_late(api: Api, namespace: str) -> None:
    path = make_pod(api, namespace, template(ready_after="1s"))
    scheduled = api.until(path, lambda p: condition(p, "PodScheduled") == "True")
    assert scheduled["status"]["phase"] == "Pending"
    api.until(path, lambda p: condition(p, "Ready") == "True")


def test_a_slow_pod_can_be_deleted_before_it_is_ready(api: Api, namespace: str) -> None:
    path = make_pod(api, namespace, template(ready_after="1h"))
    api.until(path, lambda p: condition(p, "PodScheduled") == "True")
    api.delete(path)
    api.until(path, lambda p: p is None)


def test_a_pod_can_take_its_time_to_go(api: Api, namespace: str) -> None:
    path = make_pod(api, namespace, template(deletion_takes="1s"))
    api.until(path, lambda p: condition(p, "Ready") == "True")
    api.delete(path)
    assert api.get(path)["metadata"]["deletionTimestamp"]
    api.until(path, lambda p: p is None)
