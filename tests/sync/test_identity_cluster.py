"""Projects that are applied as a ServiceAccount, and confined to namespaces and kinds."""

from collections.abc import Iterator

import pytest

from localcluster import Api
from reconciler.sync.outcome import State
from tests.fix_sync import Installation, Requests, of, outcomes
from tests.objects import config_map, manifest

RBAC = "/apis/rbac.authorization.k8s.io/v1"
VERBS = ["get", "list", "watch", "create", "patch", "delete"]


def allow(api: Api, namespace: str, *, resources: list[str], verbs: list[str] = VERBS) -> None:
    """ServiceAccount `tenant` may do these in its namespace, and list them everywhere."""
    api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "tenant"}})
    rules = [{"apiGroups": ["", "apps"], "resources": resources, "verbs": verbs}]
    api.post(f"{RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": "tenant"}, "rules": rules})
    reading = [{"apiGroups": ["", "apps"], "resources": resources, "verbs": ["list", "watch"]}]
    api.post(f"{RBAC}/clusterroles", {"metadata": {"name": namespace}, "rules": reading})
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}
    for path, kind, name in (
        (f"{RBAC}/namespaces/{namespace}/rolebindings", "Role", "tenant"),
        (f"{RBAC}/clusterrolebindings", "ClusterRole", namespace),
    ):
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        api.post(path, {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]})


@pytest.fixture
def tenant(installation: Installation, api: Api) -> Iterator[Installation]:
    """The installation's project, applied as a ServiceAccount that may have ConfigMaps."""
    allow(api, installation.namespace, resources=["configmaps"])
    installation.configure(service_account=f"{installation.namespace}/tenant")
    yield installation
    api.delete(f"{RBAC}/clusterrolebindings/{installation.namespace}")
    api.delete(f"{RBAC}/clusterroles/{installation.namespace}")


def as_ourselves(requests: Requests, name: str) -> list[str]:
    return [str(asked) for asked in requests.all if asked.name == name and not asked.impersonated]


def test_objects_are_read_and_written_as_the_service_account(tenant: Installation) -> None:
    tenant.commit({"a.yaml": [config_map("a"), config_map("b")]})
    with tenant.recorded() as requests:
        assert tenant.sync().state is State.SYNCED
        tenant.commit({"a.yaml": [config_map("a", a="2", b="3")]})
        assert outcomes(tenant.sync()) == {"a": "updated", "b": "pruned"}
    who = f"system:serviceaccount:{tenant.namespace}:tenant"
    of_objects = [asked for asked in requests.all if asked.name in ("a", "b")]
    assert {asked.impersonated for asked in of_objects} == {who}
    lists = {asked.impersonated for asked in requests.all if asked.verb == "list" and "instance" in asked.uri}
    assert lists == {who}


def test_records_are_the_services_own(tenant: Installation) -> None:
    tenant.commit({"a.yaml": config_map("a")})
    with tenant.recorded() as requests:
        tenant.sync()
    assert as_ourselves(requests, tenant.inventory_id)
    assert not any(asked.impersonated for asked in requests.all if asked.name.startswith("reconciler-"))


def test_what_the_service_account_may_not_do_fails_alone(tenant: Installation) -> None:
    """The service itself may do everything here; its rights must not shine through."""
    account = manifest("v1", "ServiceAccount", "mine")
    tenant.commit({"a.yaml": [config_map("a"), account]})
    report = tenant.sync()
    assert outcomes(report) == {"a": "created", "mine": "failed"}
    assert (of(report, "mine").reason, "serviceaccounts" in of(report, "mine").message) == ("Forbidden", True)
    assert not tenant.exists("serviceaccounts", "mine")


def test_service_account_that_does_not_exist_stops_the_project(installation: Installation) -> None:
    installation.configure(service_account=f"{installation.namespace}/gone")
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.FAILED, [])
    assert "gone does not exist" in report.reason


def test_object_outside_of_the_allowed_namespaces_is_refused(installation: Installation) -> None:
    installation.configure(allowed_namespaces=[installation.namespace])
    elsewhere = {**config_map("b"), "metadata": {"name": "b", "namespace": "default"}}
    installation.commit({"a.yaml": [config_map("a"), elsewhere, manifest("v1", "Namespace", "new-one")]})
    with installation.recorded() as requests:
        report = installation.sync()
    assert outcomes(report) == {"a": "created", "b": "failed", "new-one": "failed"}
    assert {of(report, name).reason for name in ("b", "new-one")} == {"NotAllowed"}
    assert requests.of_objects == ["patch configmaps/a"]
    assert installation.recorded_names() == {"a"}


def test_object_of_a_kind_that_is_not_allowed_is_refused(installation: Installation) -> None:
    installation.configure(allowed_kinds=["ConfigMap"])
    installation.commit({"a.yaml": [config_map("a"), manifest("v1", "Secret", "s")]})
    report = installation.sync()
    assert outcomes(report) == {"a": "created", "s": "failed"}
    assert not installation.exists("secrets", "s")


def test_what_is_not_allowed_any_more_is_not_pruned_either(installation: Installation) -> None:
    installation.configure(prune_limit="100%")
    installation.commit({"a.yaml": [config_map("a"), manifest("v1", "Secret", "s")]})
    installation.sync()
    installation.configure(allowed_kinds=["ConfigMap"])
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (outcomes(report)["s"], of(report, "s").reason) == ("failed", "NotAllowed")
    assert requests.of_objects == []
    assert installation.exists("secrets", "s")
