"""Who gets into a cluster: TLS, tokens, RBAC, and what is written down about it."""

import json
import ssl
from typing import Any

import pytest

from localcluster import Api, ApiError, ControlPlane
from tests.localcluster.waiting import eventually

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def user(api: Api) -> Any:
    review = api.post(WHO_AM_I, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    return review["status"]["userInfo"]


def test_the_server_is_not_trusted_without_its_ca(control_plane: ControlPlane) -> None:
    stranger = Api(control_plane.url, ca_file=None, token=control_plane.tokens["admin"])
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.get("/version")


def test_the_server_is_also_localhost(control_plane: ControlPlane) -> None:
    url = control_plane.url.replace("127.0.0.1", "localhost")
    api = Api(url, ca_file=control_plane.ca_file, token=control_plane.tokens["admin"])
    assert api.get("/version")["major"] == "1"


def test_a_wrong_token_is_refused(control_plane: ControlPlane) -> None:
    with pytest.raises(ApiError) as refused:
        Api(control_plane.url, ca_file=control_plane.ca_file, token="wrong").get("/api/v1/namespaces")
    assert refused.value.status == 401


@pytest.mark.parametrize("identity", ["nobody", "reader", "kwok"])
def test_an_identity_has_no_rights_of_its_own(control_plane: ControlPlane, identity: str) -> None:
    api = control_plane.api(identity)
    assert user(api)["username"] == identity
    with pytest.raises(ApiError) as refused:
        api.get("/api/v1/secrets")
    assert refused.value.status == 403


def test_rbac_can_give_an_identity_rights(control_plane: ControlPlane, api: Api, namespace: str) -> None:
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "reader-views"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "reader"}],
    }
    api.post(f"/apis/{group}/v1/namespaces/{namespace}/rolebindings", binding)
    ask = {"spec": {"resourceAttributes": {"namespace": namespace, "verb": "list", "resource": "configmaps"}}}
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    reader = control_plane.api("reader")
    # The authorizer hears of the binding through a watch.
    eventually(lambda: reader.post(review, ask)["status"]["allowed"])
    maps = reader.get(f"/api/v1/namespaces/{namespace}/configmaps")
    assert [item["metadata"]["name"] for item in maps["items"]] == ["kube-root-ca.crt"]


def test_a_service_account_token_works(control_plane: ControlPlane, api: Api, namespace: str) -> None:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = api.post(path, request)["status"]["token"]
    account = Api(control_plane.url, ca_file=control_plane.ca_file, token=token)
    assert user(account)["username"] == f"system:serviceaccount:{namespace}:default"


def test_pods_are_given_the_same_ca(control_plane: ControlPlane, api: Api, namespace: str) -> None:
    published = api.get(f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt")
    assert published["data"]["ca.crt"] == control_plane.ca_file.read_text()


@pytest.mark.parametrize("identity", ["admin", "nobody"])
def test_a_kubeconfig_names_server_ca_and_token(control_plane: ControlPlane, identity: str) -> None:
    path = control_plane.kubeconfig_for(identity)
    assert path.stat().st_mode & 0o077 == 0, "others can read it"
    config = json.loads(path.read_text())
    assert config["clusters"][0]["cluster"] == {
        "server": control_plane.url,
        "certificate-authority": str(control_plane.ca_file),
    }
    assert config["users"][0]["user"] == {"token": control_plane.tokens[identity]}


def test_no_secret_is_in_a_command_line(control_plane: ControlPlane) -> None:
    for role in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"):
        with open(f"/proc/{control_plane.pid(role)}/cmdline") as file:
            line = file.read()
        assert not [name for name, token in control_plane.tokens.items() if token in line]


def test_the_audit_log_says_who_asked(control_plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(ApiError):
        control_plane.api("nobody").get(f"/api/v1/namespaces/{namespace}/secrets")
    uris = [event["requestURI"] for event in control_plane.audit_events("nobody")]
    assert f"/api/v1/namespaces/{namespace}/secrets" in uris


def test_requests_are_counted_by_the_server(control_plane: ControlPlane, api: Api, namespace: str) -> None:
    key = ("APPLY", "configmaps", "201", "")
    before = control_plane.request_counts().get(key, 0)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}}
    api.apply(f"/api/v1/namespaces/{namespace}/configmaps/a", body)
    assert control_plane.request_counts()[key] == before + 1


def test_discovery_is_aggregated(control_plane: ControlPlane) -> None:
    assert control_plane.api().get("/apis")["kind"] == "APIGroupList"
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = control_plane.api().get("/apis", accept=aggregated)
    assert groups["kind"] == "APIGroupDiscoveryList"
