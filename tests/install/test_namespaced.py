"""The overlay for one namespace, run with exactly its ServiceAccount's token."""

import asyncio
from dataclasses import replace

import pytest

from localcluster import ApiError
from reconciler.service.doctor import Diagnosis, examine
from reconciler.sync.outcome import State
from tests.agentk import Agentk
from tests.fix_sync import of, outcomes
from tests.install.rendering import MANIFESTS, RBAC, arguments, moved, render
from tests.install.test_rights import may
from tests.install.test_run import started, synced, takes_over
from tests.objects import config_map, definition, deployment, manifest


@pytest.fixture
def installation(api, applier, identity, make_installation, namespace):
    """The overlay is applied in a namespace of its own; gives the installation and who it is."""
    parts = moved(render(MANIFESTS / "namespaced"), namespace=namespace)
    applier.apply(its for its in parts if its["kind"] != "Deployment")
    api.until(f"/api/v1/namespaces/{namespace}/serviceaccounts/reconciler", bool)
    who = identity(namespace)
    installation = make_installation(namespace, kubeconfig=who.kubeconfig)
    installation.options = replace(installation.options, namespaces=(namespace,))
    return installation, who


def objects(namespace, *, value="1"):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    return [
        config_map("settings", a=value),
        deployment("web"),
        manifest("v1", "Service", "web", spec={"ports": [{"port": 80}]}),
        manifest(f"{RBAC}/v1", "Role", "editor", rules=rules),
    ]


@pytest.mark.timeout(60)
def test_a_full_run_asks_for_nothing_that_is_refused(installation, namespace):
    shop, who = installation
    shop.commit({"all.yaml": [*objects(namespace), config_map("spare")]})
    first = shop.sync()
    assert first.state is State.SYNCED, first.reason
    assert set(outcomes(shop.sync()).values()) == {"unchanged"}
    shop.commit({"all.yaml": objects(namespace, value="2")})
    after = shop.sync()
    assert (of(after, "settings").outcome, of(after, "spare").outcome) == ("updated", "pruned")
    beyond = {
        "beyond.yaml": [
            config_map("far", namespace="default"),
            manifest("v1", "Namespace", "more"),
            definition("namespaced.example.com"),
        ]
    }
    shop.commit(beyond)
    refused = shop.sync()
    assert of(refused, "far").reason == of(refused, "more").reason == "NotAllowed"
    shop.commit({"beyond.yaml": None})
    assert shop.sync().state is State.SYNCED

    requests = who.requests()
    codes = {its["responseStatus"]["code"] for its in requests}
    assert not codes & {401, 403}, [its["requestURI"] for its in requests]
    refs = [its["objectRef"] for its in requests if "objectRef" in its]
    assert {ref.get("namespace", "") for ref in refs} <= {namespace, ""}
    outside = {ref["resource"] for ref in refs if not ref.get("namespace")}
    assert outside <= {"selfsubjectrulesreviews"}


@pytest.mark.timeout(90)
def test_the_service_with_the_overlays_arguments_asks_for_nothing_that_is_refused(
    api, installation, namespace, tmp_path
):
    """Takes over what agentk left, creates, changes and prunes; sees no other namespace."""
    shop, who = installation
    agentk = Agentk(api, namespace=namespace)
    left = agentk.run(config_map("settings"), config_map("spare"))
    # No Lease of another namespace can be looked at, so somebody has to say that agentk is to be replaced.
    shop.configure(interval="1s", inventory_id=agentk.id)
    overlay = moved(render(MANIFESTS / "namespaced"), namespace=namespace)
    given = arguments(overlay, config=shop.config_file, data_dir=tmp_path / "data", listen="127.0.0.1:0")
    assert f"--namespaces={namespace}" in given
    given += [f"--instance={namespace}", "--allow-local-repositories"]
    given += [f"--records-namespace={namespace}", f"--kubeconfig={who.kubeconfig}"]  # as in the pod

    with started(tmp_path, given) as service:
        first = shop.commit({"all.yaml": [*objects(namespace), config_map("spare")]})
        synced(api, namespace, namespace, first)
        assert shop.get("configmaps", "settings")["metadata"]["uid"] == left["settings"]
        synced(api, namespace, namespace, shop.commit({"all.yaml": objects(namespace, value="2")}))
        service.stop()

    assert shop.get("configmaps", "settings")["data"] == {"a": "2"}
    assert not shop.exists("configmaps", "spare")
    requests = who.requests()
    refused = [its["requestURI"] for its in requests if its["responseStatus"]["code"] in (401, 403)]
    assert not refused
    assert takes_over(requests, agentk)
    refs = [its["objectRef"] for its in requests if "objectRef" in its]
    assert {ref.get("namespace", "") for ref in refs} <= {namespace, ""}
    assert {ref["resource"] for ref in refs if not ref.get("namespace")} <= {"selfsubjectrulesreviews"}


def looked_over(installation, *namespaces):
    """The checks of doctor by name, with these --namespaces."""
    options = replace(installation.options, namespaces=namespaces)
    return {its.name: its for its in asyncio.run(examine(options)).checks}


def test_doctor_misses_no_right_and_asks_for_nothing_beyond(installation, namespace):
    shop, who = installation
    shop.commit({"all.yaml": objects(namespace)})
    assert shop.sync().state is State.SYNCED
    beyond = [config_map("far", namespace="default"), manifest("v1", "Namespace", "more")]
    shop.commit({"beyond.yaml": beyond})
    found = looked_over(shop, namespace)
    assert {name: (its.findings, its.unknown) for name, its in found.items() if its.result != "fine"} == {}

    requests = who.requests()
    refused = [its for its in requests if its["responseStatus"]["code"] in (401, 403)]
    # Orphans are looked for among all kinds, and those that may not be listed can have none.
    assert {(its["verb"], its["objectRef"]["namespace"]) for its in refused} <= {("list", namespace)}
    assert not {its["objectRef"]["resource"] for its in refused} & {"configmaps", "leases", "deployments"}
    refs = [its["objectRef"] for its in requests if "objectRef" in its]
    outside = {ref["resource"] for ref in refs if ref.get("namespace", "") != namespace}
    assert outside <= {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}


def test_doctor_names_each_namespace_whose_rights_are_missing(installation, namespace):
    shop, _ = installation
    shop.commit({"a.yaml": [config_map("a"), config_map("far", namespace="default")]})
    found = looked_over(shop, namespace, "default")
    assert [its.what for its in found["rights of the projects"].findings] == [
        "project shop may not list, watch, create, delete, get, patch configmaps in namespace default"
    ]


def test_without_the_watch_of_the_annotation_a_pause_is_only_later(installation):
    shop, _ = installation
    found = looked_over(shop)["pause"]
    assert (found.result, [its.minor for its in found.findings]) == ("minor", [True])
    assert Diagnosis(checks=(found,)).is_well


@pytest.mark.parametrize(
    ("verb", "what", "elsewhere"),
    [
        pytest.param("get", "secrets", True, id="read a Secret of another namespace"),
        pytest.param("list", "configmaps", True, id="list another namespace"),
        pytest.param("create", "pods", True, id="start a pod in another namespace"),
        pytest.param("list", "secrets", False, id="list the Secrets of its own"),
        pytest.param("create", "pods/exec", False, id="run a command in a pod"),
        pytest.param("create", "serviceaccounts/token", False, id="make a token"),
        pytest.param("impersonate", "serviceaccounts", False, id="impersonate"),
        pytest.param("escalate", f"roles.{RBAC}", False, id="escalate"),
        pytest.param("bind", f"roles.{RBAC}", False, id="bind"),
        pytest.param("bind", f"clusterroles.{RBAC}", False, id="bind ClusterRoles"),
    ],
)
def test_may_not(installation, namespace, verb, what, elsewhere):
    _, who = installation
    assert not may(who.api, verb, what, namespace="kube-system" if elsewhere else namespace)


@pytest.mark.parametrize("what", ["namespaces", "nodes", f"clusterroles.{RBAC}", "persistentvolumes"])
def test_may_not_even_see_what_has_no_namespace(installation, what):
    _, who = installation
    assert not may(who.api, "list", what)


def test_the_worst_is_refused_when_it_is_tried(installation, namespace):
    _, who = installation
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "c:1"}]}}
    wider = {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    role = who.api.get(f"/apis/{RBAC}/v1/namespaces/{namespace}/roles/reconciler-apply")
    attempts = [
        lambda: who.api.get("/api/v1/namespaces/kube-system/secrets"),
        lambda: who.api.get("/api/v1/secrets"),
        lambda: who.api.post("/api/v1/namespaces/kube-system/pods", pod),
        lambda: who.api.put(
            f"/apis/{RBAC}/v1/namespaces/{namespace}/roles/reconciler-apply", {**role, **wider}
        ),
        lambda: who.api.post(f"/api/v1/namespaces/{namespace}/pods/p/exec?command=id", {}),
    ]
    for attempt in attempts:
        with pytest.raises(ApiError) as refused:
            attempt()
        assert refused.value.status == 403
