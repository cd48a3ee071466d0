"""Fields that cannot be changed: what the report says, and what is replaced where git asks for it."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from localcluster import Api, ApiError
from reconciler.sync.outcome import ObjectReport, State
from reconciler.sync.replacing import REPLACE
from tests.fix_sync import Installation, of, outcomes
from tests.objects import Manifest, config_map, definition, deployment, manifest

CANARY = "c4n4ry-v4lue"


def job(image: str, **annotations: str) -> Manifest:
    container = {"name": "main", "image": image}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    return asking(manifest("batch/v1", "Job", "it", spec={"template": template}), **annotations)


def asking(it: Manifest, value: str = "") -> Manifest:
    """The manifest with the annotation that lets it be replaced."""
    if value:
        it["metadata"].setdefault("annotations", {})[REPLACE] = value
    return it


def with_selector(app: str) -> Manifest:
    it = deployment("it", replicas=0)
    labels = {"app": app}
    it["spec"]["selector"]["matchLabels"] = labels
    it["spec"]["template"]["metadata"]["labels"] = labels
    return it


def service(address: str) -> Manifest:
    return manifest("v1", "Service", "it", spec={"clusterIP": address, "ports": [{"port": 80}]})


def balanced(address: str) -> Manifest:
    it = service(address)
    it["spec"] |= {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    return it


def claim(mode: str) -> Manifest:
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}
    return manifest("v1", "PersistentVolumeClaim", "it", spec=spec)


def of_secret(value: str) -> Manifest:
    return manifest("v1", "Secret", "it", stringData={"token": value}, immutable=True)


def stateful(service_name: str) -> Manifest:
    labels = {"app": "it"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    spec = {
        "replicas": 0,
        "serviceName": service_name,
        "selector": {"matchLabels": labels},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("ReadWriteOnce")["spec"]}],
    }
    return manifest("apps/v1", "StatefulSet", "it", spec=spec)


CASES: dict[str, tuple[Manifest, Manifest, str, str, str]] = {
    "Job": (job("a:1"), job("a:2"), "batch/v1/jobs", "spec.template", "allowed"),
    "Deployment": (with_selector("a"), with_selector("b"), "apps/v1/deployments", "spec.selector", "allowed"),
    "Service": (service("10.0.0.203"), service("10.0.0.204"), "services", "spec.clusterIP", "allowed"),
    "LoadBalancer": (
        balanced("10.0.0.201"),
        balanced("10.0.0.202"),
        "services",
        "spec.clusterIP",
        "Service",
    ),
    "claim": (
        claim("ReadWriteOnce"),
        claim("ReadWriteMany"),
        "persistentvolumeclaims",
        "spec",
        "PersistentVolumeClaim",
    ),
    "StatefulSet": (stateful("a"), stateful("b"), "apps/v1/statefulsets", "spec", "StatefulSet"),
    "Secret": (of_secret(CANARY + "1"), of_secret(CANARY + "2"), "secrets", "data", "allowed"),
}


def refused(installation: Installation, after: Manifest, kind: str) -> ObjectReport:
    """Sync what cannot be changed: nothing is deleted, and the object is the same."""
    before = installation.get(kind, "it")["metadata"]["uid"]
    installation.commit({"a.yaml": [after, config_map("other", a=secrets.token_hex())]})
    with installation.recorded() as requests:
        report = installation.sync(wait=False)
    assert outcomes(report) == {"it": "failed", "other": "updated"}
    assert of(report, "it").reason == "Immutable", of(report, "it").message
    assert "delete" not in {asked.verb for asked in requests.writes}
    assert installation.get(kind, "it")["metadata"]["uid"] == before
    return of(report, "it")


@pytest.mark.parametrize("name", CASES)
def test_field_that_cannot_be_changed(installation: Installation, name: str) -> None:
    before, after, kind, field, wanted = CASES[name]
    installation.commit({"a.yaml": [before, config_map("other")]})
    assert installation.sync(wait=False).state is not State.FAILED
    report = refused(installation, after, kind)
    assert field in report.message
    assert f"set the annotation {REPLACE}: {wanted}" in report.message
    assert CANARY not in report.message
    if wanted != "allowed":
        refused(installation, asking(after, "allowed"), kind)
    old = installation.get(kind, "it")["metadata"]["uid"]
    installation.commit({"a.yaml": [asking(after, wanted), config_map("other")]})
    with installation.recorded() as requests:
        done = installation.sync(wait=False)
    assert outcomes(done)["it"] == "created", done
    assert "replaced" in of(done, "it").message
    new = installation.get(kind, "it")["metadata"]["uid"]
    assert new != old
    assert {ref.name: its.uid for ref, its in installation.inventory().items()}["it"] == new
    deletes = [asked for asked in requests.writes if asked.verb == "delete"]
    assert [asked.body["preconditions"]["uid"] for asked in deletes] == [old]
    assert CANARY not in str(done)
    with installation.recorded() as requests:
        installation.sync(wait=False)
    assert requests.of_objects == []


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@pytest.fixture
def group(api: Api, namespace: str) -> Iterator[str]:
    name = f"{namespace}.example.com"
    yield name
    path = f"{CRDS}/widgets.{name}"
    if api.exists(path):
        api.delete(path)


def of_definition(group: str, *, scope: str = "Namespaced", value: str = "", **field: Any) -> Manifest:
    """A definition whose objects have one field of the spec, `immutable`."""
    it = asking(definition(group, scope=scope), value)
    (version,) = it["spec"]["versions"]
    text = {"type": "string", "maxLength": 9}
    spec = {"type": "object", "properties": {"immutable": text}, **field}
    version["schema"]["openAPIV3Schema"]["properties"] = {"spec": spec}
    return it


def test_definition_is_replaced_only_by_name(installation: Installation, api: Api, group: str) -> None:
    path = f"{CRDS}/widgets.{group}"
    installation.commit({"a.yaml": definition(group)})
    assert installation.sync().state is State.SYNCED
    old = api.get(path)["metadata"]["uid"]
    for value in ("", "allowed"):
        installation.commit({"a.yaml": asking(definition(group, scope="Cluster"), value)})
        report = of(installation.sync(), f"widgets.{group}")
        assert report.reason == "Immutable"
        assert (
            f"all objects of its kind with it and created anew, set the annotation {REPLACE}: "
            in report.message
        )
    installation.commit({"a.yaml": asking(definition(group, scope="Cluster"), "CustomResourceDefinition")})
    assert installation.sync().state is State.SYNCED
    assert api.get(path)["metadata"]["uid"] != old
    assert [its["metadata"]["name"] for its in api.get(CRDS)["items"] if group in its["spec"]["group"]] == [
        f"widgets.{group}"
    ]


TYPO = [{"rule": "!has(oldSelf.immutable) || self == oldSelff"}]


@pytest.mark.parametrize(
    ("scope", "field", "says"),
    [
        pytest.param("Namespaced", {"x-kubernetes-validations": TYPO}, "compilation failed", id="rule"),
        pytest.param("Namespaced", {"x-kubernetes-map-type": "immutable"}, "Unsupported value", id="value"),
        pytest.param("immutable", {}, "Unsupported value", id="value of a field that cannot be changed"),
    ],
)
def test_definition_with_a_typo_is_not_deleted(
    installation: Installation, api: Api, group: str, scope: str, field: dict[str, Any], says: str
) -> None:
    """The annotation may be left in git for years, and the typo speak of what is immutable."""
    left = "CustomResourceDefinition"
    widget = manifest(f"{group}/v1", "Widget", "it", spec={"immutable": "yes"})
    installation.commit({"a.yaml": [of_definition(group, value=left), widget]})
    assert installation.sync().state is State.SYNCED
    old = installation.get(f"{group}/v1/widgets", "it")["metadata"]["uid"]
    installation.commit({"a.yaml": [of_definition(group, value=left, scope=scope, **field), widget]})
    with installation.recorded() as requests:
        report = of(installation.sync(), f"widgets.{group}")
    assert (report.outcome, report.reason) == ("failed", "Invalid")
    assert says in report.message
    assert "delete" not in {asked.verb for asked in requests.writes}
    assert installation.get(f"{group}/v1/widgets", "it")["metadata"]["uid"] == old


def probe(api: Api, group: str) -> None:
    """Raises ApiError as soon as the API server has heard of the policy."""
    for number in range(400):
        api.post(f"{CRDS}?dryRun=All", definition(f"probe-{number}.{group}"))


@pytest.fixture
def no_new_definitions(api: Api, namespace: str, group: str) -> Iterator[Callable[[], None]]:
    """A policy that lets nobody create definitions of this group, or below it."""

    def begin() -> None:
        rule = {
            "apiGroups": ["apiextensions.k8s.io"],
            "apiVersions": ["*"],
            "operations": ["CREATE"],
            "resources": ["customresourcedefinitions"],
        }
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": f"!object.spec.group.endsWith('{group}')"}],
        }
        api.post(POLICIES, {"metadata": {"name": namespace}, "spec": spec})
        binding = {"policyName": namespace, "validationActions": ["Deny"]}
        api.post(BINDINGS, {"metadata": {"name": namespace}, "spec": binding})
        with pytest.raises(ApiError, match="denied request"):
            probe(api, group)

    yield begin
    for path in (f"{BINDINGS}/{namespace}", f"{POLICIES}/{namespace}"):
        if api.exists(path):
            api.delete(path)


def test_definition_that_would_not_be_accepted_anew_is_not_deleted(
    installation: Installation, api: Api, group: str, no_new_definitions: Callable[[], None]
) -> None:
    installation.commit({"a.yaml": definition(group)})
    assert installation.sync().state is State.SYNCED
    old = api.get(f"{CRDS}/widgets.{group}")["metadata"]["uid"]
    no_new_definitions()
    installation.commit({"a.yaml": asking(definition(group, scope="Cluster"), "CustomResourceDefinition")})
    report = of(installation.sync(), f"widgets.{group}")
    assert report.reason == "Immutable"
    assert "not replaced: whether it would be accepted anew is not sure" in report.message
    assert api.get(f"{CRDS}/widgets.{group}")["metadata"]["uid"] == old


def test_what_the_server_would_not_accept_anew_is_not_deleted(installation: Installation, api: Api) -> None:
    """The quota has no room for another Job, and nobody can say whether it has when the old one is gone."""
    installation.commit({"a.yaml": [job("a:1"), config_map("other")]})
    installation.sync(wait=False)
    quotas = installation.path("resourcequotas")
    api.post(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"count/jobs.batch": "1"}}})
    api.until(f"{quotas}/q", lambda it: it and it.get("status", {}).get("used", {}).get("count/jobs.batch"))
    report = refused(installation, asking(job("a:2"), "allowed"), "batch/v1/jobs")
    assert "not replaced: whether it would be accepted anew is not sure" in report.message


def test_object_with_another_mistake_is_not_deleted(installation: Installation) -> None:
    installation.commit({"a.yaml": [job("a:1"), config_map("other")]})
    installation.sync(wait=False)
    wrong = asking(job("a:2"), "allowed")
    wrong["spec"]["parallelism"] = -1
    installation.commit({"a.yaml": wrong})
    with installation.recorded() as requests:
        report = installation.sync(wait=False)
    assert of(report, "it").reason == "Invalid"
    assert "correct spec.parallelism in the manifest; spec.template cannot" in of(report, "it").message
    assert REPLACE in of(report, "it").message
    assert "delete jobs/it" not in requests.of_objects


def test_object_that_another_hand_made_is_not_deleted(installation: Installation) -> None:
    """Adopted by policy, and not in our inventory yet."""
    path = installation.path("batch/v1/jobs")
    installation.api.post(path, job("a:1"))
    installation.configure(inventory_policy="adopt_all")
    installation.commit({"a.yaml": asking(job("a:2"), "allowed")})
    uid = installation.get("batch/v1/jobs", "it")["metadata"]["uid"]
    report = installation.sync(wait=False)
    assert "not ours by inventory and owner mark" in of(report, "it").message
    assert installation.get("batch/v1/jobs", "it")["metadata"]["uid"] == uid


def test_deletion_that_hangs_is_told_and_finished_by_the_next_run(installation: Installation) -> None:
    installation.configure(prune_timeout="1s", prune_propagation_policy="background")
    stuck = job("a:1")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    installation.commit({"a.yaml": [stuck, config_map("keep")]})
    installation.sync(wait=False)
    needs = f"batch/namespaces/{installation.namespace}/Job/it"
    installation.commit({"a.yaml": [asking(job("a:2"), "allowed"), config_map("user", after=needs)]})
    report = installation.sync(wait=False)
    assert (of(report, "it").outcome, of(report, "it").reason) == ("failed", "PruneTimeout")
    assert outcomes(report)["user"] == "blocked"
    report = installation.sync(wait=False)
    assert of(report, "it").reason == "Terminating"
    path = installation.path("batch/v1/jobs", "it")
    installation.api.patch(path, {"metadata": {"finalizers": None}})
    installation.api.until(path, lambda it: it is None)
    assert outcomes(installation.sync(wait=False))["it"] == "created"


def test_dry_run_replaces_nothing(installation: Installation) -> None:
    installation.commit({"a.yaml": job("a:1")})
    installation.sync(wait=False)
    installation.configure(dry_run_strategy="server")
    installation.commit({"a.yaml": asking(job("a:2"), "allowed")})
    with installation.recorded() as requests:
        report = installation.sync(wait=False)
    assert (of(report, "it").outcome, of(report, "it").reason) == ("held", "DryRun")
    assert "would be deleted and created anew" in of(report, "it").message
    assert all(asked.is_dry_run for asked in requests.writes)
