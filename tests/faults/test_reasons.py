"""Each way in which the API server refuses or fails: its word, a sentence that helps, and what goes on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ApiError
from reconciler.cluster.client import connect
from reconciler.service import assembly
from reconciler.sync.outcome import ObjectReport, State
from tests.faults.gateway import Gateway, Moment
from tests.faults.webhooks import Webhook
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, definition, manifest

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
CANARY = "c4n4ry-t0ken"


def with_user(installation: Installation, it: Mapping[str, Any]) -> list[Any]:
    """The object, one that needs it, and one that does not."""
    group = it["apiVersion"].rpartition("/")[0]
    needs = f"{group}/namespaces/{installation.namespace}/{it['kind']}/{it['metadata']['name']}"
    return [dict(it), config_map("user", after=needs), config_map("other")]


def refused(installation: Installation, it: Mapping[str, Any], **settings: Any) -> ObjectReport:
    """Sync an object that is refused: it fails alone, with what needs it."""
    installation.commit({"a.yaml": with_user(installation, it)})
    report = installation.sync(**settings)
    name = it["metadata"]["name"]
    assert outcomes(report) == {name: "failed", "user": "blocked", "other": "updated"}, report
    assert f"{it['kind']}" in of(report, "user").message
    assert of(report, "user").message.endswith(name)
    return of(report, name)


@pytest.fixture(autouse=True)
def installed(installation: Installation) -> None:
    """The service has its records, and one object."""
    installation.commit({"a.yaml": config_map("other", a="0")})
    assert installation.sync().state is State.SYNCED


# -- admission -----------------------------------------------------------------------------


def test_webhook_that_is_down(installation: Installation, webhook: Webhook) -> None:
    name = webhook.guard(installation.namespace, "secrets")
    webhook.broken = True
    secret = manifest("v1", "Secret", "s", stringData={"token": CANARY})
    with installation.recorded() as requests:
        report = refused(installation, secret)
    assert report.reason == "WebhookUnavailable"
    assert f"look at the webhook {name}" in report.message
    assert CANARY not in report.message
    assert [str(w) for w in requests.writes].count("patch secrets/s") == 1, "a slow webhook is asked once"
    webhook.broken = False
    assert installation.sync().state is State.SYNCED


def test_webhook_that_does_not_answer(installation: Installation, webhook: Webhook) -> None:
    webhook.guard(installation.namespace, "secrets", timeout=1)
    webhook.silent = True
    report = refused(installation, manifest("v1", "Secret", "s"))
    assert report.reason == "WebhookUnavailable"


def test_webhook_that_denies(installation: Installation, webhook: Webhook) -> None:
    name = webhook.guard(installation.namespace, "services")
    webhook.deny = "services of this name are not for you"
    report = refused(installation, manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]}))
    assert report.reason == "AdmissionDenied"
    assert webhook.deny in report.message
    assert f"so that {name} lets it pass" in report.message


def test_webhook_that_quotes_a_secret(installation: Installation, webhook: Webhook) -> None:
    name = webhook.guard(installation.namespace, "secrets")
    webhook.deny = f"token {CANARY} is too weak"
    report = refused(installation, manifest("v1", "Secret", "s", stringData={"token": CANARY}))
    assert report.reason == "AdmissionDenied"
    assert name in report.message
    assert CANARY not in report.message


@pytest.fixture
def policy(api: Api, namespace: str) -> Iterator[str]:
    """A policy that lets no ConfigMap with the key `forbidden` into the namespace."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [
            {"expression": "!has(object.data) || !('forbidden' in object.data)", "message": "is immutable"}
        ],
    }
    binding = {
        "policyName": namespace,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    }
    api.post(POLICIES, {"metadata": {"name": namespace}, "spec": spec})
    api.post(BINDINGS, {"metadata": {"name": namespace}, "spec": binding})
    yield namespace
    api.delete(f"{BINDINGS}/{namespace}")
    api.delete(f"{POLICIES}/{namespace}")


def probe(api: Api, path: str) -> None:
    """Raises ApiError as soon as the API server has heard of the policy."""
    for number in range(400):
        api.post(path, {"metadata": {"name": f"probe-{number}"}, "data": {"forbidden": "1"}})


def test_policy_that_denies(installation: Installation, api: Api, policy: str) -> None:
    with pytest.raises(ApiError, match="denied request"):
        probe(api, installation.path("configmaps"))
    report = refused(installation, config_map("a", forbidden="1"))
    assert report.reason == "AdmissionDenied"
    assert f"so that {policy} lets it pass" in report.message


def test_quota(installation: Installation, api: Api) -> None:
    quotas = installation.path("resourcequotas")
    api.post(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"count/services": "0"}}})
    api.until(f"{quotas}/q", lambda it: it and it.get("status", {}).get("hard"))
    report = refused(installation, manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]}))
    assert report.reason == "QuotaExceeded"
    assert "exceeded quota: q" in report.message
    assert "raise the ResourceQuota" in report.message
    api.delete(f"{quotas}/q")
    api.until(f"{quotas}/q", lambda it: it is None)


# -- rights, size, kinds -------------------------------------------------------------------


def test_size(installation: Installation, api: Api) -> None:
    """More than etcd takes, and less than the API server's own limit."""
    group = f"{installation.namespace}.example.com"
    name = f"widgets.{group}"
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.post(crds, definition(group))
    api.until(f"/apis/{group}/v1", bool)
    try:
        big = manifest(f"{group}/v1", "Widget", "w", spec={"text": "x" * 1_700_000})
        report = refused(installation, big)
        assert report.reason == "TooLarge"
        assert "smaller" in report.message
    finally:
        api.delete(f"{crds}/{name}")


def test_kind_that_nobody_serves(installation: Installation) -> None:
    report = refused(installation, manifest("example.org/v1", "Nothing", "n"))
    assert report.reason == "KindNotServed"
    assert "CustomResourceDefinition" in report.message


def test_typo(installation: Installation) -> None:
    report = refused(installation, manifest("v1", "Service", "s", spec={"portz": [{"port": 80}]}))
    assert report.reason == "Invalid"
    assert "correct .spec.portz in the manifest" in report.message


def test_conversion_webhook_that_is_down(installation: Installation, api: Api, webhook: Webhook) -> None:
    group = f"{installation.namespace}.example.com"
    crd = definition(group)
    (first,) = crd["spec"]["versions"]
    crd["spec"]["versions"] = [first, {**first, "name": "v2", "storage": False}]
    crd["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": webhook.client("convert"), "conversionReviewVersions": ["v1"]},
    }
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.post(crds, crd)
    api.until(f"/apis/{group}/v2", bool)
    try:
        webhook.broken = True
        report = refused(installation, manifest(f"{group}/v2", "Widget", "w", spec={"a": 1}))
        assert report.reason == "ConversionFailed"
        assert "spec.conversion" in report.message
    finally:
        webhook.broken = False
        api.delete(f"{crds}/widgets.{group}")


# -- the way to the server -----------------------------------------------------------------

FAILURES: dict[str, tuple[int, dict[str, Any], str, str]] = {
    "500": (500, {"message": "etcdserver: leader changed"}, "ServerFault", "tried again"),
    "504": (504, {"reason": "Timeout", "message": "request timed out"}, "ServerTimeout", "load"),
    "429 for longer than we wait": (429, {"message": "too many"}, "TooManyRequests", "tried again later"),
    "503 of an extension server": (503, {"message": "error trying to reach service"}, "ServerFault", "again"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_server_that_fails(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr("reconciler.cluster.requests.PATIENCE", 0.0)  # s
    code, status, reason, words = FAILURES[name]
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, **status}
    gateway.instead = lambda method, path: (
        (code, body) if method == "PATCH" and "/services/s" in path else None
    )
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    report = refused(installation, manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]}))
    assert report.reason == reason
    assert words in report.message


def test_server_that_does_not_answer_in_time(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for half a minute here; what was sent may have been done."""
    monkeypatch.setattr(assembly, "connect", partial(connect, request_limit=0.5))
    gateway.stall = lambda method, path: method == "PATCH" and "/services/s" in path
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    report = refused(installation, manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]}))
    assert report.reason == "RequestTimeout"
    assert "no full answer in time" in report.message


def test_overload_is_waited_out(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    """429 twice, then it is let in: nothing has failed."""
    left = [1, 2]

    def instead(method: str, path: str) -> tuple[int, Mapping[str, Any]] | None:
        return (429, {"kind": "Status", "code": 429}) if method == "PATCH" and left and left.pop() else None

    gateway.instead = instead
    installation.commit({"a.yaml": config_map("a")})
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    report = installation.sync()
    assert (report.state, outcomes(report), left) == (State.SYNCED, {"a": "created", "other": "pruned"}, [])


def test_connection_lost_after_the_write_was_committed(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    lost: list[bool] = []
    installation.commit({"a.yaml": config_map("a")})
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    gateway.arm(1, Moment.AFTER, lambda: lost.append(True), method="PATCH")
    with installation.recorded() as requests:
        report = installation.sync()
    assert lost
    assert report.state is State.SYNCED, report
    assert [asked.code for asked in requests.writes if asked.verb == "patch"] == [201, 200]
    assert (
        installation.inventory()[report.objects[0].ref].uid
        == installation.get("configmaps", "a")["metadata"]["uid"]
    )
