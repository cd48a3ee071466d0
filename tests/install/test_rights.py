"""What the ServiceAccount may and may not do, asked of the real API server."""

import re

import pytest

from localcluster import ApiError
from tests.install.rendering import MANIFESTS, NAMESPACE, RBAC, ROOT, granted, of_kind, render

READ = {"get", "list", "watch"}
APPLY = {"create", "patch", "update", "delete"}
CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
def own(installed, identity):
    """A client with the token of the service."""
    return identity(installed).api


def may(api, verb, what, *, namespace="", name=""):
    """Ask the API server whether the caller may; `what` is `plural[/sub][.group]`."""
    plural, _, group = what.partition(".")
    plural, _, subresource = plural.partition("/")
    asked = {
        "verb": verb,
        "resource": plural,
        "subresource": subresource,
        "group": group,
        "namespace": namespace,
        "name": name,
    }
    review = {"spec": {"resourceAttributes": asked}}
    return api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)["status"]["allowed"]


def kinds(role):
    return {resource for resource, _ in granted(role)}


def left_out():
    """The resources in the first column of the table "What is left out"."""
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    section = text.partition("\n## What is left out\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def served(api):
    """Every resource of Kubernetes itself that could be applied from git."""
    found = set()
    for root in ("/api", "/apis"):
        for group in api.get(root, accept=AGGREGATED)["items"]:
            name = group["metadata"].get("name", "")
            if name and "." in name and not name.endswith(".k8s.io"):
                continue  # custom resources of other tests
            for version in group["versions"]:
                for its in version["resources"]:
                    if {"get", "list", "patch"} <= set(its["verbs"]):
                        found.add(f"{its['resource']}.{name}" if name else its["resource"])
    return found


def test_every_kind_is_granted_or_left_out_on_purpose(api):
    roles = of_kind(render(MANIFESTS / "cluster"), "ClusterRole")
    apply = kinds(roles["reconciler-apply-builtin"]) | kinds(roles["reconciler-apply-cluster-builtin"])
    known = apply | left_out()
    assert not apply & left_out(), "granted, and said to be left out"
    assert not served(api) - known, "neither granted nor in the table of docs/install.md"
    assert not known - served(api), "named, but Kubernetes does not serve it"


def test_what_may_be_applied_may_be_read_and_nothing_else_but_leases():
    roles = of_kind(render(MANIFESTS / "cluster"), "ClusterRole")
    read = roles["reconciler-read-builtin"]
    apply = [roles["reconciler-apply-builtin"], roles["reconciler-apply-cluster-builtin"]]
    kinds_to_apply = set().union(*map(kinds, apply))
    agentk_runs = {("leases.coordination.k8s.io", "list")}
    assert set(granted(read)) == {(kind, verb) for kind in kinds_to_apply for verb in READ} | agentk_runs
    got = {pair for role in apply for pair in granted(role)}
    assert got == {(kind, verb) for kind in kinds_to_apply for verb in APPLY}


@pytest.mark.parametrize(
    ("verb", "what", "where"),
    [
        pytest.param("list", "configmaps", {}, id="list what it compares"),
        pytest.param("patch", "deployments.apps", {"namespace": "default"}, id="apply in any namespace"),
        pytest.param("create", "namespaces", {}, id="create namespaces"),
        pytest.param("update", "configmaps", {"namespace": NAMESPACE}, id="write its records"),
        pytest.param("get", "secrets", {"namespace": NAMESPACE, "name": "gitlab"}, id="read a credential"),
        pytest.param("create", "secrets", {"namespace": NAMESPACE}, id="make its key"),
    ],
)
def test_may(own, verb, what, where):
    assert may(own, verb, what, **where)


@pytest.mark.parametrize(
    ("verb", "what", "where"),
    [
        pytest.param("get", "secrets", {"namespace": "kube-system"}, id="read another's Secret"),
        pytest.param("list", "secrets", {}, id="list Secrets"),
        pytest.param("watch", "secrets", {}, id="watch Secrets"),
        pytest.param("list", "secrets", {"namespace": NAMESPACE}, id="list Secrets of its own namespace"),
        pytest.param("delete", "secrets", {"namespace": NAMESPACE}, id="delete a credential"),
        pytest.param("patch", "secrets", {"namespace": NAMESPACE}, id="change a credential"),
        pytest.param("create", "secrets", {"namespace": "default"}, id="create a Secret elsewhere"),
        pytest.param("impersonate", "users", {}, id="impersonate a user"),
        pytest.param("impersonate", "groups", {"name": "system:masters"}, id="impersonate a group"),
        pytest.param("impersonate", "serviceaccounts", {}, id="impersonate a ServiceAccount"),
        pytest.param("create", "serviceaccounts/token", {"namespace": "kube-system"}, id="make a token"),
        pytest.param(
            "create", "serviceaccounts/token", {"namespace": NAMESPACE}, id="make a token of its own"
        ),
        pytest.param("escalate", f"roles.{RBAC}", {}, id="escalate roles"),
        pytest.param("escalate", f"clusterroles.{RBAC}", {}, id="escalate cluster roles"),
        pytest.param("bind", f"roles.{RBAC}", {}, id="bind roles"),
        pytest.param("bind", f"clusterroles.{RBAC}", {}, id="bind cluster roles"),
        pytest.param("delete", "nodes", {}, id="delete nodes"),
        pytest.param("patch", "nodes", {}, id="change nodes"),
        pytest.param("get", "nodes/proxy", {}, id="reach the kubelet"),
        pytest.param("create", "pods/exec", {}, id="run a command in a pod"),
        pytest.param("get", "pods/exec", {}, id="run a command in a pod by websocket"),
        pytest.param("create", "pods/attach", {}, id="attach to a pod"),
        pytest.param("create", "pods/portforward", {}, id="reach a pod's ports"),
        pytest.param("patch", "pods/ephemeralcontainers", {}, id="add a container to a pod"),
        pytest.param("get", "pods/log", {}, id="read logs"),
        pytest.param("get", "services/proxy", {}, id="reach services through the API server"),
        pytest.param("deletecollection", "configmaps", {}, id="delete collections"),
        pytest.param("update", "namespaces/finalize", {}, id="finalize namespaces"),
        pytest.param(
            "create", "mutatingwebhookconfigurations.admissionregistration.k8s.io", {}, id="add webhooks"
        ),
        pytest.param(
            "delete", "validatingadmissionpolicies.admissionregistration.k8s.io", {}, id="remove a policy"
        ),
        pytest.param("create", "apiservices.apiregistration.k8s.io", {}, id="replace an API"),
        pytest.param("create", "certificatesigningrequests.certificates.k8s.io", {}, id="ask for a user"),
        pytest.param("update", "leases.coordination.k8s.io", {"namespace": "kube-system"}, id="take a lock"),
        pytest.param("list", "widgets.example.com", {}, id="read kinds that nobody has granted"),
    ],
)
def test_may_not(own, verb, what, where):
    assert not may(own, verb, what, **where)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}, id="reads Secrets"),
        pytest.param({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, id="may do everything"),
        pytest.param(
            {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}, id="runs commands"
        ),
        pytest.param(
            {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["escalate"]}, id="escalates"
        ),
    ],
)
def test_a_role_that_holds_more_than_the_service_is_refused(own, rule):
    role = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "more-than-allowed"},
        "rules": [rule],
    }
    with pytest.raises(ApiError) as refused:
        own.apply(f"{CLUSTER_ROLES}/more-than-allowed", role)
    assert refused.value.status == 403
    assert "attempting to grant RBAC permissions not currently held" in str(refused.value)


def test_the_service_cannot_widen_its_own_role(own):
    role = own.get(f"{CLUSTER_ROLES}/reconciler-apply")
    role["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]})
    with pytest.raises(ApiError) as refused:
        own.put(f"{CLUSTER_ROLES}/reconciler-apply", role)
    assert refused.value.status == 403


@pytest.mark.parametrize("role", ["cluster-admin", "admin", "view"])
def test_a_binding_to_a_role_that_holds_more_is_refused(own, role):
    name = f"more-than-allowed-{role}"
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "reconciler", "namespace": NAMESPACE}],
    }
    with pytest.raises(ApiError) as refused:
        own.apply(f"/apis/{RBAC}/v1/clusterrolebindings/{name}", binding)
    assert refused.value.status == 403


def test_a_role_within_the_services_rights_is_taken(own, namespace):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "update"]}]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "editor"}, "rules": rules}
    assert own.apply(f"/apis/{RBAC}/v1/namespaces/{namespace}/roles/editor", role)["metadata"]["uid"]
