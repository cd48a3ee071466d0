from typing import Any

import pytest

from reconciler.cluster import errors
from reconciler.cluster.discovery import Discovery, read_aggregated, read_plain


def version(name: str, *resources: dict[str, Any], freshness: str = "Current") -> dict[str, Any]:
    return {"version": name, "freshness": freshness, "resources": list(resources)}


def resource(plural: str, kind: str, scope: str = "Namespaced") -> dict[str, Any]:
    return {"resource": plural, "scope": scope, "verbs": ["get", "list"], "responseKind": {"kind": kind}}


def group(name: str, *versions: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name} if name else {}, "versions": list(versions)}


def document(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "APIGroupDiscoveryList", "items": list(groups)}


@pytest.fixture
def found() -> Discovery:
    core = document(group("", version("v1", resource("pods", "Pod"), resource("nodes", "Node", "Cluster"))))
    groups = document(
        group(
            "apps",
            version("v1", resource("deployments", "Deployment")),
            version("v1beta1", resource("deployments", "Deployment"), resource("old", "Old")),
        ),
        group(
            "metrics.k8s.io",
            version("v1", resource("pods", "PodMetrics"), freshness="Stale"),
            version("v1beta1", freshness="Stale"),
        ),
    )
    return read_aggregated((core, groups))


def test_a_kind_is_found_in_the_version_asked_for_and_in_the_preferred_one(found: Discovery) -> None:
    exact, preferred = found.find("apps", "v1beta1", "Deployment"), found.preferred("apps", "Deployment")
    assert exact is not None
    assert preferred is not None
    assert (exact.api_version, preferred.api_version) == ("apps/v1beta1", "apps/v1")
    assert preferred.verbs == {"get", "list"}


def test_scope_is_known(found: Discovery) -> None:
    pods, nodes = found.find("", "v1", "Pod"), found.find("", "v1", "Node")
    assert pods is not None
    assert nodes is not None
    assert (pods.namespaced, nodes.namespaced) == (True, False)


@pytest.mark.parametrize("asked", [("apps", "v1", "Old"), ("apps", "v2", "Deployment"), ("x", "v1", "Y")])
def test_a_kind_that_is_not_served_is_none(found: Discovery, asked: tuple[str, str, str]) -> None:
    assert found.find(*asked) is None


def test_a_kind_of_a_group_that_could_not_be_asked_is_unknown_and_not_absent(found: Discovery) -> None:
    assert found.incomplete == ("metrics.k8s.io/v1", "metrics.k8s.io/v1beta1")
    with pytest.raises(errors.DiscoveryIncomplete, match=r"metrics\.k8s\.io/v1beta1"):
        found.find("metrics.k8s.io", "v1beta1", "NodeMetrics")
    with pytest.raises(errors.DiscoveryIncomplete):
        found.preferred("metrics.k8s.io", "NodeMetrics")


def test_what_a_stale_group_still_lists_can_be_used(found: Discovery) -> None:
    assert found.find("metrics.k8s.io", "v1", "PodMetrics") is not None
    assert found.find("metrics.k8s.io", "v2", "PodMetrics") is None


def test_a_resource_of_an_old_server_is_read_without_its_subresources() -> None:
    answer = {
        "resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["get"]},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": True, "verbs": ["get"]},
        ]
    }
    assert [found.plural for found in read_plain("apps", "v1", answer)] == ["deployments"]


def test_a_resource_without_a_kind_of_its_own_is_left_out() -> None:
    odd = {"resource": "things", "scope": "Namespaced", "verbs": [], "responseKind": None}
    assert read_aggregated([document(group("g", version("v1", odd)))]).resources == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("widgets", "Widget"),
        ("widget", "Widget"),
        ("WIDGET", "Widget"),
        ("wd", "Widget"),
        ("widgets.example.com", "Widget"),
        ("wd.v1.example.com", "Widget"),
        ("pods", "Pod"),
        ("pods.v1", "Pod"),
        ("pods.metrics.k8s.io", "PodMetrics"),
        ("po", None),
        ("widgets.other", None),
        ("", None),
        (".example.com", None),
    ],
)
def test_a_kind_is_found_by_the_names_that_people_use(text: str, kind: str | None) -> None:
    widgets = resource("widgets", "Widget") | {"singularResource": "widget", "shortNames": ["wd", "pods"]}
    found = read_aggregated(
        (
            document(group("", version("v1", resource("pods", "Pod")))),
            document(
                group("example.com", version("v1", widgets)),
                group("metrics.k8s.io", version("v1", resource("pods", "PodMetrics"))),
            ),
        )
    ).named(text)
    assert (found.kind if found else None) == kind


def test_names_come_from_servers_without_aggregated_discovery_as_well() -> None:
    plain = {"name": "widgets", "kind": "Widget", "singularName": "widget", "shortNames": ["wd"], "verbs": []}
    found = Discovery(tuple(read_plain("example.com", "v1", {"resources": [plain]})))
    assert found.named("wd") == found.named("widget") == found.resources[0]
