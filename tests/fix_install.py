"""
The install manifests in the shared cluster, and identities that have exactly their rights.

Applied once a session and left there: a namespace that is being deleted would stand in the
way of whoever needs it next.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ControlPlane
from tests.install.rendering import MANIFESTS, NAMESPACE, RBAC, Applier, moved, of_kind, render


@dataclass(frozen=True)
class Identity:
    """A token of a ServiceAccount."""

    token: str
    kubeconfig: Path
    api: Api
    control_plane: ControlPlane

    def requests(self) -> list[dict[str, Any]]:
        """What was asked with exactly this token, from the audit log."""
        payload = self.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        key, wanted = "authentication.kubernetes.io/credential-id", [f"JTI={claims['jti']}"]
        events = self.control_plane.audit_events(claims["sub"])
        return [event for event in events if event["user"]["extra"][key] == wanted]


@pytest.fixture(scope="session")
def applier(api: Api) -> Applier:
    return Applier(api)


@pytest.fixture(scope="session")
def installed(api: Api, applier: Applier) -> str:
    """`manifests` are applied; gives the namespace of the service."""
    applier.apply(render(MANIFESTS))
    api.until(f"/api/v1/namespaces/{NAMESPACE}/configmaps/kube-root-ca.crt", bool)
    await_aggregated(api)
    return NAMESPACE


def await_aggregated(api: Api, *, suffix: str = "") -> None:
    """Wait until the controller manager has put the rights together; `suffix` is kustomize's nameSuffix."""
    for role in ("reconciler-read", "reconciler-apply", "reconciler-apply-cluster"):
        parts = api.get(f"/apis/{RBAC}/v1/clusterroles/{role}-builtin{suffix}")["rules"]
        api.until(
            f"/apis/{RBAC}/v1/clusterroles/{role}{suffix}",
            lambda its, parts=parts: all(rule in (its.get("rules") or ()) for rule in parts),
        )


@pytest.fixture
def install(api: Api, applier: Applier, namespace: str) -> Iterator[Callable[..., str]]:
    """
    Apply directories of `manifests` for a namespace of their own, and take them away at the end.

    Gives that namespace. No pod runs in it, so that whoever has its token is alone; `shop` is what the
    additions' namespace of this name is called.
    """
    own, around = f"{namespace}-own", list[dict[str, Any]]()

    def apply(*directories: str, shop: str = "") -> str:
        parts = [its for name in directories for its in render(MANIFESTS / name)]
        # The ClusterRoles are the same for all installations.
        applier.apply(of_kind(parts, "ClusterRole").values())
        await_aggregated(api)
        for its in moved(parts, namespace=own):
            if its["kind"] in ("Deployment", "ClusterRole"):
                continue
            if its["metadata"].get("namespace") == "shop":
                its["metadata"]["namespace"] = shop
            if "namespace" not in its["metadata"]:
                around.append(its)
            applier.apply([its])
        api.until(f"/api/v1/namespaces/{own}/serviceaccounts/reconciler", bool)
        return own

    yield apply
    for its in reversed(around):
        api.delete(applier.path(its))


@pytest.fixture(scope="session")
def identity(
    control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Identity]:
    """Get a new token for a ServiceAccount of a namespace, `reconciler` by default, as a pod would."""

    def get(namespace: str, account: str = "reconciler") -> Identity:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        token = api.post(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        kubeconfig = json.loads(control_plane.kubeconfig.read_text())
        kubeconfig["users"][0]["user"] = {"token": token}
        written = tmp_path_factory.mktemp("identity") / "kubeconfig"
        written.write_text(json.dumps(kubeconfig))
        written.chmod(0o600)
        own = Api(control_plane.url, ca_file=control_plane.ca_file, token=token)
        return Identity(token, written, own, control_plane)

    return get
