"""Objects that take values from others when they are applied, on a real API server."""

from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import Api
from reconciler.sync.outcome import State
from tests.faults.gateway import Gateway
from tests.fix_sync import Installation, of, outcomes
from tests.objects import Manifest, config_map, manifest

ANNOTATION = "config.kubernetes.io/apply-time-mutation"


def service(name: str = "web", port: int = 80) -> Manifest:
    return manifest("v1", "Service", name, spec={"ports": [{"port": port}], "selector": {"app": "web"}})


def taker(name: str = "taker", *, source: str = "web", path: str = "$.spec.ports[0].port") -> Manifest:
    """A ConfigMap that takes a field of a Service."""
    body = config_map(name, url="http://web:${port}")
    substitution = (
        f"- sourceRef: {{apiVersion: v1, kind: Service, name: {source}}}\n"
        f"  sourcePath: {path}\n"
        "  targetPath: $.data.url\n"
        "  token: ${port}\n"
    )
    metadata = {**body["metadata"], "annotations": {ANNOTATION: substitution}}
    return {**body, "metadata": metadata}


def url(installation: Installation, name: str = "taker") -> str:
    return str(installation.get("configmaps", name)["data"]["url"])


def test_value_of_another_object_of_the_commit_arrives(installation: Installation) -> None:
    installation.commit({"a.yaml": [taker(), service()]})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, url(installation)) == (State.SYNCED, "http://web:80")
    assert requests.of_objects == ["patch services/web", "patch configmaps/taker"]


def test_value_that_only_the_cluster_knows_arrives(installation: Installation) -> None:
    installation.commit({"a.yaml": [taker(path="$.spec.clusterIP"), service()]})
    installation.sync()
    assert url(installation) == f"http://web:{installation.get('services', 'web')['spec']['clusterIP']}"


def test_unchanged_value_is_not_applied_again(installation: Installation) -> None:
    installation.commit({"a.yaml": [taker(), service()]})
    installation.sync()
    with installation.recorded() as requests:
        report = installation.sync()
    assert (outcomes(report), requests.writes) == ({"taker": "unchanged", "web": "unchanged"}, [])


def test_changed_value_arrives_in_the_same_run(installation: Installation) -> None:
    installation.commit({"a.yaml": [taker(), service()]})
    installation.sync()
    installation.commit({"a.yaml": [taker(), service(port=81)]})
    report = installation.sync()
    assert (outcomes(report), url(installation)) == ({"taker": "updated", "web": "updated"}, "http://web:81")


def test_change_of_the_source_that_leaves_the_value_alone_costs_no_write(installation: Installation) -> None:
    installation.commit({"a.yaml": [taker(), service()]})
    installation.sync()
    changed = service()
    changed["metadata"] = {**changed["metadata"], "labels": {"x": "1"}}
    installation.commit({"a.yaml": [taker(), changed]})
    with installation.recorded() as requests:
        report = installation.sync()
    assert outcomes(report) == {"taker": "unchanged", "web": "updated"}
    assert requests.of_objects == ["patch services/web"]


def test_value_that_others_changed_arrives_with_the_next_comparison(installation: Installation) -> None:
    installation.commit({"a.yaml": [taker(path="$.metadata.labels.by"), service()]})
    assert outcomes(installation.sync())["taker"] == "failed"
    path = installation.path("services", "web")
    installation.api.patch(path, {"metadata": {"labels": {"by": "hand"}}})
    assert outcomes(installation.sync()) == {"taker": "created", "web": "unchanged"}
    installation.api.patch(path, {"metadata": {"labels": {"by": "foot"}}})
    assert outcomes(installation.sync()) == {"taker": "updated", "web": "unchanged"}
    assert url(installation) == "http://web:foot"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        pytest.param(taker(path="$.none"), "matches no field", id="no such field"),
        pytest.param(taker(source="gone"), "external dependency", id="source is not in the set"),
        pytest.param(taker(path="spec"), "is no JSONPath", id="bad path"),
    ],
)
def test_object_that_cannot_take_its_value_fails_alone(
    installation: Installation, broken: Manifest, says: str
) -> None:
    installation.commit({"a.yaml": [broken, service(), config_map("other")]})
    report = installation.sync()
    assert outcomes(report) == {"taker": "failed", "web": "created", "other": "created"}
    assert says in of(report, "taker").message
    assert of(report, "taker").path == "a.yaml"
    assert not installation.exists("configmaps", "taker")


def test_several_values_of_one_source_are_fetched_once(installation: Installation) -> None:
    body = taker()
    body["data"]["ip"] = ""
    more = taker(path="$.spec.clusterIP")["metadata"]["annotations"][ANNOTATION]
    more = more.replace("$.data.url", "$.data.ip").replace("  token: ${port}\n", "")
    body["metadata"]["annotations"][ANNOTATION] += more
    installation.commit({"a.yaml": [body, service()]})
    assert installation.sync().state is State.SYNCED
    found = installation.get("configmaps", "taker")["data"]
    assert found == {"url": "http://web:80", "ip": installation.get("services", "web")["spec"]["clusterIP"]}
    with installation.recorded() as requests:
        installation.sync()
    assert requests.count()["get services"] == 1


def test_source_and_target_may_have_no_namespace(installation: Installation, api: Api) -> None:
    """The same reference from an object that has one."""
    name = installation.namespace
    source = manifest("scheduling.k8s.io/v1", "PriorityClass", name, value=7)
    without = manifest("rbac.authorization.k8s.io/v1", "ClusterRole", name, rules=[])
    within = config_map("within")
    substitution = (
        f"- sourceRef: {{group: scheduling.k8s.io, kind: PriorityClass, name: {name}}}\n"
        "  sourcePath: $.value\n"
        "  targetPath: $.metadata.labels.level\n"
        "  token: ${value}\n"
    )
    for target in (without, within):
        target["metadata"] |= {"labels": {"level": "is-${value}"}, "annotations": {ANNOTATION: substitution}}
    installation.commit({"a.yaml": [within, without, source]})
    role = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"
    report = installation.sync()
    try:
        assert report.state is State.SYNCED, report
        for found in (api.get(role), installation.get("configmaps", "within")):
            assert found["metadata"]["labels"]["level"] == "is-7"
    finally:
        for path in (role, f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}"):
            if api.exists(path):
                api.delete(path)


def versioned(version: str) -> Manifest:
    """A taker that names the source's kind in a version of its own."""
    body = taker()
    text = body["metadata"]["annotations"][ANNOTATION]
    body["metadata"]["annotations"][ANNOTATION] = text.replace("apiVersion: v1", f"apiVersion: {version}")
    return body


@pytest.mark.parametrize(
    ("body", "strategy", "deleted", "why"),
    [
        pytest.param(taker(), "none", True, "object not found", id="deleted before it is read"),
        pytest.param(taker(), "server", False, "object not found", id="dry run, which has not created it"),
        pytest.param(
            versioned("v9"),
            "none",
            False,
            "its kind is not served",
            id="named in a version that is not served",
        ),
    ],
)
def test_object_whose_source_is_missing_fails_alone_and_names_it(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    body: Manifest,
    strategy: str,
    deleted: bool,
    why: str,
) -> None:
    where = installation.path("services", "web")

    def instead(method: str, path: str) -> None:
        if deleted and (method, path) == ("GET", where) and installation.api.exists(where):
            installation.api.delete(where)

    gateway.instead = instead
    installation.configure(dry_run_strategy=strategy)
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    installation.commit({"a.yaml": [body, service(), config_map("other")]})
    report = installation.sync()
    assert outcomes(report) == {"taker": "failed", "web": "created", "other": "created"}
    source = f"Service {installation.namespace}/web"
    assert f"failed to get source object ({source}): {why}" in of(report, "taker").message
    assert not installation.exists("configmaps", "taker")


def test_object_cannot_take_a_value_from_itself(installation: Installation) -> None:
    body = taker()
    text = body["metadata"]["annotations"][ANNOTATION]
    body["metadata"]["annotations"][ANNOTATION] = text.replace("Service, name: web", "ConfigMap, name: taker")
    installation.commit({"a.yaml": body})
    report = installation.sync()
    assert "invalid self-reference" in of(report, "taker").message


def test_values_go_through_several_objects(installation: Installation) -> None:
    second = taker("second")
    text = second["metadata"]["annotations"][ANNOTATION]
    text = text.replace("Service, name: web", "ConfigMap, name: taker").replace(
        "$.spec.ports[0].port", "$.data.url"
    )
    second["metadata"]["annotations"][ANNOTATION] = text
    installation.commit({"a.yaml": [second, taker(), service()]})
    installation.sync()
    assert url(installation, "second") == "http://web:http://web:80"
    installation.commit({"a.yaml": [second, taker(), service(port=81)]})
    installation.sync()
    assert url(installation, "second") == "http://web:http://web:81"


def test_refusal_of_an_object_that_took_a_value_of_a_secret_does_not_tell_it(
    installation: Installation,
) -> None:
    body = manifest(
        "v1", "Service", "taker", spec={"ports": [{"port": 80}], "externalName": "", "type": "${port}"}
    )
    substitution = (
        "- sourceRef: {apiVersion: v1, kind: Secret, name: s}\n"
        "  sourcePath: $.data.a\n"
        "  targetPath: $.spec.type\n"
        "  token: ${port}\n"
    )
    body["metadata"]["annotations"] = {ANNOTATION: substitution}
    installation.commit({"a.yaml": [body, manifest("v1", "Secret", "s", stringData={"a": "canary-1"})]})
    report = installation.sync()
    assert of(report, "taker").reason == "Invalid"
    assert "Y2FuYXJ5" not in repr(report)
    assert "not shown" in of(report, "taker").message


def test_no_value_of_a_secret_is_ever_told(installation: Installation) -> None:
    secret = manifest("v1", "Secret", "web", stringData={"a": "canary-1", "b": "canary-2"})
    body = taker(path="$.data.*")
    text = body["metadata"]["annotations"][ANNOTATION]
    body["metadata"]["annotations"][ANNOTATION] = text.replace("Service", "Secret")
    installation.commit({"a.yaml": [body, secret]})
    report = installation.sync()
    assert "more than one field" in of(report, "taker").message
    assert "canary" not in repr(report)
    assert "Y2FuYXJ5" not in repr(report)
