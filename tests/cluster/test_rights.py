"""What a SelfSubjectRulesReview says of a kind, as a table."""

import pytest

from reconciler.cluster.resource import CONFIG_MAPS, LEASES, SECRETS, Resource
from reconciler.cluster.rights import read_rights

DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)


def rule(groups, resources, verbs, **more):
    return {"apiGroups": groups, "resources": resources, "verbs": verbs, **more}


@pytest.mark.parametrize(
    ("rules", "resource", "may"),
    [
        pytest.param([], CONFIG_MAPS, False, id="no rule at all"),
        pytest.param([rule([""], ["configmaps"], ["get", "list"])], CONFIG_MAPS, True, id="just this"),
        pytest.param([rule([""], ["configmaps"], ["get"])], CONFIG_MAPS, False, id="another verb"),
        pytest.param([rule([""], ["configmaps"], ["list"])], SECRETS, False, id="another kind"),
        pytest.param([rule(["apps"], ["configmaps"], ["list"])], CONFIG_MAPS, False, id="another group"),
        pytest.param([rule(["*"], ["*"], ["*"])], LEASES, True, id="everything"),
        pytest.param([rule(["apps"], ["*"], ["list"])], DEPLOYMENTS, True, id="every kind of the group"),
        pytest.param([rule(["apps"], ["*/status"], ["list"])], DEPLOYMENTS, False, id="subresources"),
        pytest.param(
            [rule([""], ["secrets"], ["list"], resourceNames=["one"])], SECRETS, False, id="one name only"
        ),
        pytest.param(
            [rule([""], ["configmaps"], ["get"]), rule([""], ["configmaps"], ["list"])],
            CONFIG_MAPS, True, id="the second of two",
        ),
    ],
)  # fmt: skip
def test_may_list(rules, resource, may):
    assert read_rights({"resourceRules": rules, "incomplete": False}).may("list", resource) is may


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="no answer"),
        pytest.param({"resourceRules": None}, id="no rules"),
        pytest.param({"resourceRules": [], "incomplete": True}, id="a webhook decides as well"),
    ],
)
def test_what_is_not_known_is_asked_of_the_server(status):
    assert read_rights(status).may("list", SECRETS)
