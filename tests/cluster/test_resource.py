import pytest

from reconciler.cluster import errors
from reconciler.cluster.resource import (
    CONFIG_MAPS,
    NAMESPACES,
    Resource,
    collection_path,
    describe,
    object_path,
)

DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "want"),
    [
        pytest.param(CONFIG_MAPS, "shop", "a", "/api/v1/namespaces/shop/configmaps/a", id="core group"),
        pytest.param(
            DEPLOYMENTS, "shop", "web", "/apis/apps/v1/namespaces/shop/deployments/web", id="named group"
        ),
        pytest.param(NAMESPACES, "", "shop", "/api/v1/namespaces/shop", id="cluster scope"),
        pytest.param(
            ROLES,
            "",
            "system:a?b#c d",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Fb%23c%20d",
            id="RBAC names may hold nearly anything",
        ),
    ],
)
def test_path_of_an_object(resource: Resource, namespace: str, name: str, want: str) -> None:
    assert object_path(resource, namespace, name) == want


@pytest.mark.parametrize(
    ("resource", "namespace", "name"),
    [
        pytest.param(CONFIG_MAPS, "shop", "", id="an empty name would be the whole collection"),
        pytest.param(CONFIG_MAPS, "", "a", id="no namespace"),
        pytest.param(NAMESPACES, "shop", "a", id="a namespace for a kind that has none"),
        pytest.param(CONFIG_MAPS, "shop", "..", id="dots"),
        pytest.param(CONFIG_MAPS, "shop", "a/b", id="slash"),
        pytest.param(CONFIG_MAPS, "shop", "a%2fb", id="percent"),
        pytest.param(CONFIG_MAPS, "../x", "a", id="slash in the namespace"),
    ],
)
def test_a_part_that_would_make_another_path_is_refused(
    resource: Resource, namespace: str, name: str
) -> None:
    with pytest.raises(errors.Invalid):
        object_path(resource, namespace, name)


def test_paths_of_collections() -> None:
    assert collection_path(DEPLOYMENTS, "") == "/apis/apps/v1/deployments"
    assert collection_path(DEPLOYMENTS, "shop") == "/apis/apps/v1/namespaces/shop/deployments"


def test_descriptions_read_as_people_speak() -> None:
    assert describe("apply", DEPLOYMENTS, "shop", "web") == "apply Deployment.apps shop/web"
    assert describe("list", CONFIG_MAPS) == "list ConfigMap"
