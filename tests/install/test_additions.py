"""The additions that grant one further verb: for the named objects, and for no other."""

import pytest

from localcluster import ApiError
from tests.install.rendering import MANIFESTS, NAMESPACE, RBAC, of_kind, render
from tests.install.test_rights import CLUSTER_ROLES, may

BINDINGS = f"/apis/{RBAC}/v1/clusterrolebindings"


@pytest.fixture
def own(installed, identity):
    return identity(installed).api


@pytest.fixture
def with_addition(api, applier, own):
    """Apply an addition, wait until it counts, and take it away at the end."""
    applied = []

    def add(name, verb, what, *, granted, namespace=""):
        objects = render(MANIFESTS / name)
        applied.extend(objects)
        applier.apply(objects)
        api.until("/version", lambda _: may(own, verb, what, name=granted, namespace=namespace))

    yield add
    for its in applied:
        api.delete(applier.path(its))


def binding(role):
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"addition-{role}"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }


def cluster_role(name):
    rules = [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}]
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}


def refused(attempt):
    with pytest.raises(ApiError) as error:
        attempt()
    return error.value.status == 403


def test_bind_leads_to_the_named_role_only(api, own, with_addition):
    assert refused(lambda: own.apply(f"{BINDINGS}/addition-view", binding("view")))
    with_addition("bind", "bind", f"clusterroles.{RBAC}", granted="view")
    assert own.apply(f"{BINDINGS}/addition-view", binding("view"))["metadata"]["uid"]
    api.delete(f"{BINDINGS}/addition-view")
    for role in ("edit", "admin", "cluster-admin"):
        assert refused(lambda role=role: own.apply(f"{BINDINGS}/addition-{role}", binding(role)))


def test_escalate_widens_the_named_role_only(api, own, with_addition):
    role = f"{CLUSTER_ROLES}/shop-operator"
    assert refused(lambda: own.apply(role, cluster_role("shop-operator")))
    with_addition("escalate", "escalate", f"clusterroles.{RBAC}", granted="shop-operator")
    assert own.apply(role, cluster_role("shop-operator"))["metadata"]["uid"]
    assert refused(lambda: own.apply(f"{BINDINGS}/addition-shop-operator", binding("shop-operator")))
    api.delete(role)
    assert refused(lambda: own.apply(f"{CLUSTER_ROLES}/another", cluster_role("another")))
    wider = cluster_role("reconciler-apply-builtin")
    assert refused(lambda: own.apply(f"{CLUSTER_ROLES}/reconciler-apply-builtin", wider))


@pytest.fixture
def shop(api):
    """The namespace that the example names."""
    if not api.exists("/api/v1/namespaces/shop"):
        api.post("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    return "shop"


def test_impersonate_is_for_the_named_account_only(own, with_addition, shop):
    with_addition("impersonate", "impersonate", "serviceaccounts", granted="deployer", namespace=shop)
    assert not may(own, "impersonate", "serviceaccounts", namespace=shop)
    assert not may(own, "impersonate", "serviceaccounts", name="default", namespace=shop)
    assert not may(own, "impersonate", "serviceaccounts", name="deployer", namespace="kube-system")
    for what in ("users", "groups"):
        assert not may(own, "impersonate", what, name="system:masters")


def test_a_role_with_the_label_widens_what_may_be_applied(api, own, applier, installed):
    group = "aggregated.example.com"
    part = cluster_role("reconciler-aggregated-test")
    part["metadata"]["labels"] = {"reconciler.dev/aggregate-to-apply": "true"}
    part["rules"] = [{"apiGroups": [group], "resources": ["gizmos"], "verbs": ["create", "patch"]}]
    assert not may(own, "patch", f"gizmos.{group}", namespace="default")
    applier.apply([part])
    api.until("/version", lambda _: may(own, "patch", f"gizmos.{group}", namespace="default"))
    api.delete(f"{CLUSTER_ROLES}/reconciler-aggregated-test")
    api.until("/version", lambda _: not may(own, "patch", f"gizmos.{group}", namespace="default"))


def test_git_cannot_widen_what_may_be_applied(own):
    part = cluster_role("reconciler-wider-test")
    part["metadata"]["labels"] = {"reconciler.dev/aggregate-to-apply": "true"}
    assert refused(lambda: own.apply(f"{CLUSTER_ROLES}/reconciler-wider-test", part))


def test_only_the_additions_grant_these_verbs():
    roles = of_kind(render(MANIFESTS), "ClusterRole") | of_kind(render(MANIFESTS), "Role")
    verbs = {verb for role in roles.values() for rule in role.get("rules", ()) for verb in rule["verbs"]}
    assert not verbs & {"impersonate", "bind", "escalate"}
    assert {its["metadata"].get("namespace", NAMESPACE) for its in render(MANIFESTS)} == {NAMESPACE}
