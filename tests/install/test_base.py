"""The base as text: what it asks of the cluster, and that its parts fit each other and the service."""

import re

import pytest
import typer

from reconciler import __version__
from reconciler.cli.app import app
from reconciler.service.options import DEFAULT_RECORDS_NAMESPACE
from tests.install.rendering import MANIFESTS, NAMESPACE, ROOT, documents, granted, of_kind, render

READ = {"get", "list", "watch"}
APPLY = {"create", "patch", "update", "delete"}


@pytest.fixture(scope="module")
def base():
    return render(MANIFESTS / "base")


@pytest.fixture(scope="module")
def pod(base):
    return of_kind(base, "Deployment")["reconciler"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    (only,) = pod["containers"]
    return only


def options_of_run():
    command = typer.main.get_command(app).commands["run"]
    return command, {option for parameter in command.params for option in parameter.opts}


def test_everything_is_labelled_and_lies_in_the_one_namespace():
    for its in (*render(MANIFESTS), *render(MANIFESTS / "secrets")):
        assert its["metadata"]["labels"]["app.kubernetes.io/name"] == "reconciler", its["metadata"]["name"]
        assert its["metadata"].get("namespace", NAMESPACE) == NAMESPACE
    assert NAMESPACE == DEFAULT_RECORDS_NAMESPACE


def test_every_file_is_part_of_a_kustomization():
    listed = {"kustomization.yaml"}
    for path in MANIFESTS.rglob("kustomization.yaml"):
        listed |= {name for name in documents(path.read_text())[0]["resources"] if name.endswith(".yaml")}
    assert {path.name for path in MANIFESTS.rglob("*.yaml")} == listed


def test_one_of_two_pods_works_at_any_time_and_has_time_to_stop(base, pod):
    spec = of_kind(base, "Deployment")["reconciler"]["spec"]
    assert spec["replicas"] == 2
    # A pod that stands by is ready: a new one has to be, before an old one goes.
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert of_kind(base, "PodDisruptionBudget")["reconciler"]["spec"]["maxUnavailable"] == 1
    assert pod["terminationGracePeriodSeconds"] >= 25, "the service takes up to 20 s, and its last words"


def test_selectors_choose_the_pod(base):
    labels = of_kind(base, "Deployment")["reconciler"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        of_kind(base, "Deployment")["reconciler"]["spec"]["selector"]["matchLabels"],
        of_kind(base, "Service")["reconciler"]["spec"]["selector"],
        of_kind(base, "NetworkPolicy")["reconciler"]["spec"]["podSelector"]["matchLabels"],
        of_kind(base, "PodDisruptionBudget")["reconciler"]["spec"]["selector"]["matchLabels"],
        of_kind(base, "Deployment")["reconciler"]["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ][0]["podAffinityTerm"]["labelSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()


def test_the_command_line_takes_the_arguments(container):
    command, _ = options_of_run()
    assert container["args"][0] == "run"
    parsed = command.make_context("run", container["args"][1:], resilient_parsing=False).params
    assert parsed["listen"] == f":{container['ports'][0]['containerPort']}"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(parsed["data_dir"]), str(parsed["config"].parent)} <= mounts


def test_the_alternatives_in_comments_are_options(container):
    text = (MANIFESTS / "base/deployment.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"# - (--[a-z-]+)", text))
    assert {"--config-repo", "--agent-name", "--credentials-dir"} <= named <= options_of_run()[1]


def test_what_may_be_written_is_bounded(pod, container):
    empty = {its["name"]: its["emptyDir"] for its in pod["volumes"] if "emptyDir" in its}
    assert all("sizeLimit" in its for its in empty.values())
    writable = {its["mountPath"] for its in container["volumeMounts"] if not its.get("readOnly")}
    assert writable == {"/data", "/tmp"}
    assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()


def test_the_root_file_system_is_read_only(container):
    # Pod Security's restricted level does not ask for it.
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_kubelet_asks_the_pages_of_the_service(container):
    probes = {name: container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    assert [port["name"] for port in container["ports"]] == ["http"]


def test_what_it_needs_is_reserved(container):
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert {"cpu", "memory", "ephemeral-storage"} <= requests.keys()
    assert "cpu" not in limits, "a throttled event loop answers probes too late"


def test_the_configuration_is_not_part_of_the_base(base, pod):
    # An upgrade would reset it.
    (config,) = [its["configMap"] for its in pod["volumes"] if its["name"] == "config"]
    assert config["optional"] is True
    assert not of_kind(base, "ConfigMap")


def test_the_image_has_the_version_of_the_service(container):
    assert container["image"] == f"reconciler:{__version__}"


def test_all_traffic_is_denied_but_what_is_listed(base):
    policies = of_kind(base, "NetworkPolicy")
    everyone = policies["default-deny"]["spec"]
    assert everyone == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    spec = policies["reconciler"]["spec"]
    (ingress,) = spec["ingress"]
    assert [port["port"] for port in ingress["ports"]] == ["http"]
    assert ingress["from"], "metrics would be open to every pod"
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 443, 6443, 22}


@pytest.mark.parametrize("directory", ["cluster-wide", "namespaced", "secrets"])
def test_no_role_has_a_wildcard_a_subresource_or_a_verb_that_leads_further(directory):
    objects = render(MANIFESTS / directory)
    found = [*of_kind(objects, "ClusterRole").values(), *of_kind(objects, "Role").values()]
    rules = [rule for role in found for rule in role.get("rules", ())]
    assert rules
    for rule in rules:
        words = {*rule["verbs"], *rule.get("apiGroups", ()), *rule.get("resources", ())}
        assert "*" not in words
        assert not words & {"escalate", "bind", "impersonate", "approve", "sign", "deletecollection"}
        assert not [word for word in words if "/" in word]


@pytest.mark.parametrize("verb", ["impersonate", "bind", "escalate"])
def test_a_verb_that_leads_further_is_granted_for_names_only(verb):
    objects = render(MANIFESTS / verb)
    (role,) = [its for its in objects if its["kind"] in ("Role", "ClusterRole")]
    (rule,) = role["rules"]
    assert rule["verbs"] == [verb]
    assert rule["resourceNames"]
    assert set(rule["resources"]) == {"serviceaccounts" if verb == "impersonate" else "clusterroles"}


def test_the_namespaced_installation_has_nothing_outside_of_its_namespace():
    objects = render(MANIFESTS / "namespaced")
    assert all(its["metadata"]["namespace"] == NAMESPACE for its in objects)
    pod = of_kind(objects, "Deployment")["reconciler"]["spec"]["template"]["spec"]["containers"][0]
    assert "--namespaces=$(POD_NAMESPACE)" in pod["args"]
    assert pod["env"] == [
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    ]
    policies = of_kind(objects, "NetworkPolicy")
    assert set(policies) == {"reconciler"}, "the other pods of the namespace would be cut off"
    assert policies["reconciler"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_the_namespaced_role_holds_what_the_cluster_wide_ones_hold_inside_of_namespaces():
    role = of_kind(render(MANIFESTS / "namespaced"), "Role")["reconciler-apply"]
    parts = of_kind(render(MANIFESTS / "cluster"), "ClusterRole")
    apply = set(granted(parts["reconciler-apply-builtin"]))
    read = {(kind, verb) for kind, _ in apply for verb in READ}
    assert set(granted(role)) == apply | read | {("leases.coordination.k8s.io", "list")}


def test_the_roles_are_documented():
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    roles = {
        its["metadata"]["name"]
        for its in (*render(MANIFESTS), *render(MANIFESTS / "secrets"))
        if its["kind"] in ("Role", "ClusterRole") and not its["metadata"]["name"].endswith("-builtin")
    }
    missing = {role for role in roles if f"| {'Cluster' * (role not in LOCAL)}Role `{role}`" not in text}
    assert not missing, f"docs/install.md has no row for {sorted(missing)}"


LOCAL = {"reconciler-records", "reconciler-credentials"}
