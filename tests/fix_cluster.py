"""
Fixtures around one real control plane for the whole test session.

Each test gets a namespace of its own, so tests share the cluster and nothing in it. A test
that kills or reconfigures the cluster starts one of its own with `localcluster.running`.
"""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ControlPlane, build, running


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is not cached before the first test, whose limit a build of minutes would break."""
    if any("binaries" in getattr(item, "fixturenames", ()) for item in session.items):
        build.ensure(say=session.config.get_terminal_writer().line)


@pytest.fixture(scope="session")
def binaries() -> build.Binaries:
    """The cluster's binaries; a test that starts a cluster of its own asks for them."""
    return build.ensure(say=print)


@pytest.fixture(scope="session")
def control_plane(binaries: build.Binaries) -> Iterator[ControlPlane]:
    """A running cluster with the audit log on, for the whole session."""
    with running(audit=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Api:
    """A synchronous client with all rights, to prepare and to check."""
    return control_plane.api()


LEASE_RIGHTS = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "list", "watch", "create", "update"],
}
"""What everybody needs who writes."""


@pytest.fixture
def grant(api: Api, control_plane: ControlPlane, namespace: str) -> Iterator[Callable[..., Path]]:
    """Give the user `nobody` exactly these rules of RBAC in all namespaces; gives its kubeconfig."""
    base, name = "/apis/rbac.authorization.k8s.io/v1", f"{namespace}-granted"
    group = "rbac.authorization.k8s.io"

    def give(*rules: dict[str, Any]) -> Path:
        api.post(f"{base}/clusterroles", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "nobody"}],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        }
        api.post(f"{base}/clusterrolebindings", binding)
        return control_plane.kubeconfig_for("nobody")

    yield give
    for kind in ("clusterrolebindings", "clusterroles"):
        if api.exists(f"{base}/{kind}/{name}"):
            api.delete(f"{base}/{kind}/{name}")


@pytest.fixture
def make_namespace(api: Api) -> Iterator[Callable[[], str]]:
    """Make fresh namespaces, in which pods can be created; nobody waits for their end."""
    made: list[str] = []

    def make() -> str:
        name = f"t-{uuid.uuid4().hex[:10]}"
        api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        made.append(name)
        # Admission refuses pods until the controllers have made these.
        api.until(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
        api.until(f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt", bool)
        return name

    yield make
    for name in made:
        api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(make_namespace: Callable[[], str]) -> str:
    """The name of a fresh namespace."""
    return make_namespace()
