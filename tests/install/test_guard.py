"""The addition `manifests/guard`: what comes from git stays out of the namespaces that hold keys."""

from http import HTTPStatus

import pytest

from localcluster import ApiError
from reconciler.sync import marks
from tests.install.rendering import MANIFESTS, moved, render
from tests.localcluster.waiting import eventually

FROM_GIT = marks.field_manager("shop")
OWN = "reconciler-guarded"
BODY = {
    "ConfigMap": {"data": {"a": "1"}},
    "Secret": {"stringData": {"key": "1"}},
    "Pod": {
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "web",
                    "image": "web:1",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        }
    },
}
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture(scope="module")
def guarded(api, applier, identity):
    """The whole service in another namespace, so that the policy is in nobody else's way."""
    parts = moved([*render(MANIFESTS), *render(MANIFESTS / "secrets")], namespace=OWN)
    applier.apply(its for its in parts if its["kind"] not in ("Deployment", "ClusterRole"))
    roles = [*render(MANIFESTS), *render(MANIFESTS / "secrets")]
    applier.apply(its for its in roles if its["kind"] == "ClusterRole")
    applier.apply(moved(render(MANIFESTS / "guard"), namespace=OWN))
    api.until(f"/api/v1/namespaces/{OWN}/serviceaccounts/reconciler", bool)
    own = identity(OWN).api
    eventually(lambda: is_refused(own))  # the API server takes a policy up a moment later
    yield own
    api.delete(f"{ADMISSION}/validatingadmissionpolicybindings/reconciler-guard")
    api.delete(f"{ADMISSION}/validatingadmissionpolicies/reconciler-guard")
    for name in ("read", "apply", "apply-cluster", "secrets"):
        binding = f"reconciler-{name}-{OWN}"
        api.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{binding}")


def is_refused(own):
    try:
        own.apply(path("kube-public", "configmaps", "probe"), config("probe"))
    except ApiError as error:
        return error.status == HTTPStatus.FORBIDDEN
    return False


def config(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}}


def path(namespace, resource, name):
    return f"/api/v1/namespaces/{namespace}/{resource}/{name}?dryRun=All"


@pytest.mark.parametrize(
    ("where", "kind", "name"),
    [
        pytest.param("kube-system", "Pod", "a", id="a pod beside the cluster's controllers"),
        pytest.param("kube-system", "ConfigMap", "a", id="anything else there"),
        pytest.param(OWN, "Pod", "a", id="a pod beside the service"),
        pytest.param(OWN, "ConfigMap", "reconciler-0123456789ab", id="a record"),
        pytest.param(OWN, "Secret", "reconciler-key", id="the key"),
    ],
)
def test_git_stays_out_of(guarded, where, kind, name):
    metadata = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    with pytest.raises(ApiError, match="policy reconciler-guard"):
        guarded.apply(
            path(where, f"{kind.lower()}s", name), {**metadata, **BODY[kind]}, field_manager=FROM_GIT
        )


def test_git_does_not_relabel_a_guarded_namespace(guarded):
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN, "labels": labels}}
    with pytest.raises(ApiError, match="policy reconciler-guard"):
        guarded.apply(f"/api/v1/namespaces/{OWN}?dryRun=All", namespace, field_manager=FROM_GIT)


def test_everywhere_else_git_goes_on(guarded, namespace):
    assert guarded.apply(path(namespace, "configmaps", "a"), config("a"), field_manager=FROM_GIT)


def test_the_service_keeps_its_records(guarded, make_installation, identity, namespace):
    """Key, head, shard and status are made and changed."""
    installation = make_installation(OWN, kubeconfig=identity(OWN).kubeconfig)
    installation.configure(default_namespace=namespace)
    installation.commit({"a.yaml": [config("a"), config("b")]})
    assert installation.sync().state.value == "synced"
    installation.commit({"a.yaml": [config("b")]})
    assert installation.sync().state.value == "synced"
    assert installation.recorded_names() == {"b"}
