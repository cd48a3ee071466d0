"""Which objects a project may have, as a table."""

import pytest

from reconciler.cluster.errors import NotAllowed
from reconciler.cluster.reach import Reach
from reconciler.cluster.resource import CONFIG_MAPS
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.allowed import Allowed

ROLE = "rbac.authorization.k8s.io"
CONFIG_MAP = ObjectRef("", "ConfigMap", "shop", "a")
DEPLOYMENT = ObjectRef("apps", "Deployment", "shop", "web")
CLUSTER_ROLE = ObjectRef(ROLE, "ClusterRole", "", "all")
SHOP, OTHER = ObjectRef("", "Namespace", "", "shop"), ObjectRef("", "Namespace", "", "other")


@pytest.mark.parametrize(
    ("namespaces", "kinds", "ref", "says"),
    [
        pytest.param(None, None, CLUSTER_ROLE, "", id="nothing is confined"),
        pytest.param(("shop",), None, CONFIG_MAP, "", id="in an allowed namespace"),
        pytest.param(("shop",), None, ObjectRef("", "ConfigMap", "shop2", "a"), "shop2", id="in another"),
        pytest.param(("shop",), None, CLUSTER_ROLE, "no namespace", id="in no namespace"),
        pytest.param(("shop",), None, SHOP, "no namespace", id="the namespace itself"),
        pytest.param(("shop",), ("ClusterRole",), CLUSTER_ROLE, "", id="in no namespace, its kind is named"),
        pytest.param(("shop",), ("Namespace",), SHOP, "", id="the namespace itself, its kind is named"),
        pytest.param(("shop",), ("Namespace",), OTHER, "other", id="another namespace, its kind is named"),
        pytest.param(None, ("ConfigMap",), CONFIG_MAP, "", id="an allowed kind"),
        pytest.param(None, ("ConfigMap",), DEPLOYMENT, "Deployment.apps", id="another kind"),
        pytest.param(None, ("Deployment.apps",), DEPLOYMENT, "", id="kind with its group"),
        pytest.param(None, ("Deployment.x.io",), DEPLOYMENT, "Deployment.apps", id="kind of another group"),
        pytest.param(("shop",), ("Deployment",), CONFIG_MAP, "ConfigMap", id="right namespace, wrong kind"),
        pytest.param((), None, CONFIG_MAP, "shop", id="no namespace at all is allowed"),
        pytest.param(None, (), CONFIG_MAP, "ConfigMap", id="no kind at all is allowed"),
    ],
)
def test_allowed(namespaces, kinds, ref, says):
    why = Allowed(namespaces=namespaces, kinds=kinds).why_not(ref)
    assert (says in why) if says else (why == ""), why


@pytest.mark.parametrize(
    ("namespaces", "ref", "says"),
    [
        pytest.param(("shop",), CONFIG_MAP, "", id="in both"),
        pytest.param(("other",), CONFIG_MAP, "allowed_namespaces", id="in the installation's only"),
        pytest.param(None, CONFIG_MAP, "", id="the project says nothing"),
        pytest.param(None, ObjectRef("", "ConfigMap", "other", "a"), "--namespaces", id="in neither"),
        pytest.param(
            ("other",), ObjectRef("", "ConfigMap", "other", "a"), "--namespaces", id="in the project's only"
        ),
        pytest.param(None, CLUSTER_ROLE, "--namespaces", id="in no namespace"),
        pytest.param(None, SHOP, "--namespaces", id="the namespace itself"),
    ],
)
def test_the_installation_bounds_all_projects(namespaces, ref, says):
    why = Allowed(namespaces=namespaces, reach=Reach(("shop",))).why_not(ref)
    assert (says in why) if says else (why == ""), why


def test_write_that_is_not_allowed_raises():
    allowed = Allowed(namespaces=("shop",))
    allowed.check("delete", CONFIG_MAPS, "shop", "a")
    with pytest.raises(NotAllowed, match="delete ConfigMap other/a"):
        allowed.check("delete", CONFIG_MAPS, "other", "a")
