"""The addition `manifests/guard`: what comes from git stays out of the namespaces that hold keys."""

import json
import shutil
from dataclasses import dataclass

import pytest

from localcluster import ApiError
from reconciler.sync import marks
from tests import kubectl
from tests.fix_install import Identity, await_aggregated
from tests.install.rendering import MANIFESTS, moved, of_kind, render
from tests.localcluster.waiting import eventually

FROM_GIT = marks.field_manager("shop")
DIRECTORIES = ("cluster-wide", "secrets", "guard")
OWN = "its own"
"""Stands for the namespace of the service."""
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


@dataclass(frozen=True)
class Guarded:
    """The whole service in a namespace of its own, so that the policy is in nobody else's way."""

    namespace: str
    who: Identity

    def apply(self, path, its):
        return self.who.api.apply(path, its, field_manager=FROM_GIT)


def moved_by_tests(_):
    """No kubectl needed; names stay as they are, and so the ClusterRoles are those of everybody."""
    parts = [its for name in DIRECTORIES for its in render(MANIFESTS / name)]
    roles = of_kind(parts, "ClusterRole").values()
    others = [its for its in parts if its["kind"] != "ClusterRole"]
    return [*roles, *moved(others, namespace="reconciler-guarded")]


def moved_by_kustomize(directory):
    """As docs/install.md says it of a second installation."""
    shutil.copytree(MANIFESTS, directory / "manifests")
    resources = json.dumps([f"manifests/{name}" for name in DIRECTORIES])
    moves = "namespace: reconciler-second\nnameSuffix: -second\n"
    (directory / "kustomization.yaml").write_text(f"resources: {resources}\n{moves}")
    return kubectl.kustomize(directory)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((moved_by_tests, ""), id="first"),
        pytest.param((moved_by_kustomize, "-second"), id="second", marks=kubectl.needed),
    ],
)
def guarded(request, api, applier, identity, tmp_path_factory):
    make, suffix = request.param
    objects = [its for its in make(tmp_path_factory.mktemp("kustomize")) if its["kind"] != "Deployment"]
    (account,) = of_kind(objects, "ServiceAccount").values()
    name, namespace = account["metadata"]["name"], account["metadata"]["namespace"]
    outside = [its for its in objects if is_its_own(its, suffix)]
    applier.apply(objects)
    await_aggregated(api, suffix=suffix)
    who = identity(namespace, name)
    eventually(lambda: is_refused(who.api))  # the API server takes rights and a policy up a moment later
    yield Guarded(namespace, who)
    for its in reversed(outside):
        api.delete(applier.path(its))


def is_its_own(its, suffix):
    """Whether it has no namespace, and belongs to this installation alone; its Namespace stays."""
    shared = ("Namespace",) if suffix else ("Namespace", "ClusterRole")
    return its["kind"].startswith(("Cluster", "Validating")) and its["kind"] not in shared


def is_refused(own):
    try:
        own.apply(path("kube-public", "configmaps", "probe"), config("probe"))
    except ApiError as error:
        return "policy reconciler-guard" in str(error)
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
    namespace = guarded.namespace if where is OWN else where
    its = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **BODY[kind]}
    with pytest.raises(ApiError, match="policy reconciler-guard"):
        guarded.apply(path(namespace, f"{kind.lower()}s", name), its)


def test_git_does_not_relabel_a_guarded_namespace(guarded):
    own = guarded.namespace
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own, "labels": labels}}
    with pytest.raises(ApiError, match="policy reconciler-guard"):
        guarded.apply(f"/api/v1/namespaces/{own}?dryRun=All", namespace)


def test_git_does_not_take_the_label_off_by_which_the_guard_knows_the_service(guarded, api):
    accounts = f"/api/v1/namespaces/{guarded.namespace}/serviceaccounts"
    (account,) = [its for its in api.get(accounts)["items"] if its["metadata"]["name"] != "default"]
    labels = {"reconciler.dev/guard": None}
    with pytest.raises(ApiError, match="policy reconciler-guard"):
        guarded.who.api.patch(
            f"{accounts}/{account['metadata']['name']}?dryRun=All", {"metadata": {"labels": labels}}
        )


def test_everywhere_else_git_goes_on(guarded, namespace):
    assert guarded.apply(path(namespace, "configmaps", "a"), config("a"))


def test_others_are_not_held(guarded, api):
    assert api.apply(path("kube-system", "configmaps", "a"), config("a"), field_manager=FROM_GIT)
    assert api.apply(path(guarded.namespace, "configmaps", "a"), config("a"), field_manager=FROM_GIT)


def test_the_service_keeps_its_records(guarded, make_installation, namespace):
    """Key, head, shard and status are made and changed."""
    installation = make_installation(guarded.namespace, kubeconfig=guarded.who.kubeconfig)
    installation.configure(default_namespace=namespace)
    installation.commit({"a.yaml": [config("a"), config("b")]})
    assert installation.sync().state.value == "synced"
    installation.commit({"a.yaml": [config("b")]})
    assert installation.sync().state.value == "synced"
    assert installation.recorded_names() == {"b"}
