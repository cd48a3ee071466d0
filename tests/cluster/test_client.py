"""The client against a real API server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from localcluster import Api, ControlPlane
from reconciler.cluster import errors
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.managed import our_entry
from reconciler.cluster.resource import CONFIG_MAPS, NAMESPACES, SECRETS, Resource
from tests.cluster.kinds import DEPLOYMENTS, config_map, deployment, secret

ME = "reconciler:test"
CANARY = "c4n4ry"


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=control_plane.kubeconfig) as cluster:
        yield cluster


@pytest.fixture
async def nobody(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=control_plane.kubeconfig_for("nobody")) as cluster:
        yield cluster


async def test_discovery_takes_two_requests_and_knows_kinds(cluster: Cluster) -> None:
    found = await cluster.discover()
    assert cluster.requests.total == 2
    assert found.find("apps", "v1", "Deployment") == DEPLOYMENTS
    assert found.preferred("", "ConfigMap") == CONFIG_MAPS
    assert found.preferred("", "Namespace") == NAMESPACES
    assert found.find("example.org", "v1", "Nothing") is None
    assert found.incomplete == ()
    config_maps = found.preferred("", "ConfigMap")
    assert config_maps is not None
    assert {"get", "list", "watch", "patch", "delete"} <= config_maps.verbs


async def test_a_group_whose_server_is_down_is_unknown_and_not_absent(cluster: Cluster, api: Api) -> None:
    service = {"name": "missing", "namespace": "default"}
    api.post(
        "/apis/apiregistration.k8s.io/v1/apiservices",
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1.down.example.org"},
            "spec": {
                "group": "down.example.org",
                "version": "v1",
                "service": service,
                "groupPriorityMinimum": 1000,
                "versionPriority": 1,
                "insecureSkipTLSVerify": True,
            },
        },
    )
    try:
        api.until("/apis", lambda body: any(g["name"] == "down.example.org" for g in body["groups"]))
        found = await cluster.discover()
        with pytest.raises(errors.DiscoveryIncomplete):
            found.find("down.example.org", "v1", "Widget")
        assert found.find("apps", "v1", "Deployment") == DEPLOYMENTS
    finally:
        api.delete("/apis/apiregistration.k8s.io/v1/apiservices/v1.down.example.org")


async def test_apply_creates_then_changes_and_returns_metadata_with_our_entry(
    cluster: Cluster, namespace: str
) -> None:
    first = await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="1"), field_manager=ME)
    again = await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="1"), field_manager=ME)
    other = await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="2"), field_manager=ME)
    assert (first.created, again.created, other.created) == (True, False, False)
    assert first.metadata["resourceVersion"] == again.metadata["resourceVersion"]
    assert other.metadata["resourceVersion"] != again.metadata["resourceVersion"]
    entry = our_entry(other.metadata, ME)
    assert entry is not None
    assert (entry.api_version, len(entry.hash)) == ("v1", 16)


async def test_apply_takes_bytes_as_they_are(cluster: Cluster, namespace: str) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}'
    await cluster.apply(CONFIG_MAPS, namespace, "a", body, field_manager=ME)
    assert (await cluster.get(CONFIG_MAPS, namespace, "a"))["data"] == {"k": "v"}


async def test_apply_takes_a_field_from_another_manager(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="1"), field_manager="other")
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="2"), field_manager=ME)
    assert (await cluster.get(CONFIG_MAPS, namespace, "a"))["data"] == {"k": "2"}


async def test_a_dry_run_writes_nothing(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a"), field_manager=ME, dry_run=True)
    with pytest.raises(errors.NotFound):
        await cluster.get(CONFIG_MAPS, namespace, "a")


async def test_values_of_a_secret_do_not_come_back_from_an_apply(cluster: Cluster, namespace: str) -> None:
    applied = await cluster.apply(SECRETS, namespace, "a", secret("a", k="YzRuNHJ5"), field_manager=ME)
    assert "YzRuNHJ5" not in str(applied)
    assert (await cluster.get(SECRETS, namespace, "a"))["data"] == {"k": "YzRuNHJ5"}


async def test_metadata_alone_can_be_read(cluster: Cluster, namespace: str) -> None:
    await cluster.create(CONFIG_MAPS, namespace, config_map("a", k="v"), field_manager=ME)
    got = await cluster.get(CONFIG_MAPS, namespace, "a", metadata_only=True)
    assert got["metadata"]["name"] == "a"
    assert "data" not in got


async def test_create_of_a_taken_name_is_already_exists(cluster: Cluster, namespace: str) -> None:
    await cluster.create(CONFIG_MAPS, namespace, config_map("a"), field_manager=ME)
    with pytest.raises(errors.AlreadyExists, match=f"create ConfigMap {namespace}/a"):
        await cluster.create(CONFIG_MAPS, namespace, config_map("a"), field_manager=ME)


async def test_update_with_a_stale_resource_version_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    old = await cluster.create(CONFIG_MAPS, namespace, config_map("a", k="1"), field_manager=ME)
    new = await cluster.update(CONFIG_MAPS, namespace, "a", {**old, "data": {"k": "2"}}, field_manager=ME)
    assert new["data"] == {"k": "2"}
    with pytest.raises(errors.Conflict, match="read the object again"):
        await cluster.update(CONFIG_MAPS, namespace, "a", {**old, "data": {"k": "3"}}, field_manager=ME)


async def test_delete_removes_the_object_and_is_content_if_it_is_gone(
    cluster: Cluster, namespace: str
) -> None:
    made = await cluster.create(CONFIG_MAPS, namespace, config_map("a"), field_manager=ME)
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    for _ in range(2):
        await cluster.delete(
            CONFIG_MAPS, namespace, "a", uid=uid, resource_version=version, propagation="background"
        )
    with pytest.raises(errors.NotFound):
        await cluster.get(CONFIG_MAPS, namespace, "a")


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resource_version": "1"}])
async def test_delete_of_another_object_than_was_meant_is_a_conflict(
    cluster: Cluster, namespace: str, precondition: dict[str, str]
) -> None:
    made = await cluster.create(CONFIG_MAPS, namespace, config_map("a"), field_manager=ME)
    with pytest.raises(errors.Conflict):
        await cluster.delete(
            CONFIG_MAPS,
            namespace,
            "a",
            **{"uid": made["metadata"]["uid"], **precondition},
            propagation="Orphan",
        )
    await cluster.get(CONFIG_MAPS, namespace, "a")


async def test_delete_without_name_or_uid_is_refused_before_it_is_sent(
    cluster: Cluster, namespace: str
) -> None:
    for name, uid in (("", "uid"), ("a", "")):
        with pytest.raises(errors.Invalid):
            await cluster.delete(CONFIG_MAPS, namespace, name, uid=uid)
    assert cluster.requests.total == 0


async def test_delete_of_a_kind_that_is_not_served_is_no_success(cluster: Cluster, namespace: str) -> None:
    widgets = Resource("example.org", "v1", "Widget", "widgets", namespaced=True)
    with pytest.raises(errors.KindNotServed):
        await cluster.delete(widgets, namespace, "a", uid="x")
    with pytest.raises(errors.KindNotServed):
        await cluster.list(widgets, metadata_only=True)


@pytest.mark.parametrize("metadata_only", [True, False])
async def test_a_list_has_all_pages_with_kind_and_version(
    cluster: Cluster, namespace: str, metadata_only: bool
) -> None:
    for name in "abcde":
        await cluster.create(CONFIG_MAPS, namespace, config_map(name, {"t": "1"}), field_manager=ME)
    found = await cluster.list(
        CONFIG_MAPS, namespace=namespace, label_selector="t=1", metadata_only=metadata_only, page_size=2
    )
    assert [item["metadata"]["name"] for item in found.items] == list("abcde")
    assert {(item["apiVersion"], item["kind"]) for item in found.items} == {("v1", "ConfigMap")}
    assert ("data" in found.items[0]) is False
    assert int(found.resource_version) > 0
    assert cluster.requests.by_verb == {"create": 5, "list": 3}


async def test_pages_come_one_by_one(cluster: Cluster, namespace: str) -> None:
    for name in "abc":
        await cluster.create(CONFIG_MAPS, namespace, config_map(name, {"t": "1"}), field_manager=ME)
    sizes = [
        (len(page.items), page.more)
        async for page in cluster.pages(
            CONFIG_MAPS, namespace=namespace, label_selector="t=1", metadata_only=True, page_size=2
        )
    ]
    assert sizes == [(2, True), (1, False)]


async def test_an_empty_list_is_a_list(cluster: Cluster, namespace: str) -> None:
    found = await cluster.list(CONFIG_MAPS, namespace=namespace, label_selector="t=none", metadata_only=True)
    assert found.items == ()


async def test_objects_can_be_chosen_by_field(cluster: Cluster, namespace: str) -> None:
    for name in "ab":
        await cluster.create(CONFIG_MAPS, namespace, config_map(name), field_manager=ME)
    found = await cluster.list(
        CONFIG_MAPS, namespace=namespace, field_selector="metadata.name=b", metadata_only=True
    )
    assert [item["metadata"]["name"] for item in found.items] == ["b"]


@pytest.mark.parametrize(
    ("resource", "body", "words"),
    [
        pytest.param(
            DEPLOYMENTS,
            deployment("a", replicaz=3),
            ".spec.replicaz: field not declared in schema; correct .spec.replicaz in the manifest",
            id="typo, which the server answers with 500",
        ),
        pytest.param(DEPLOYMENTS, deployment("a", replicas="x"), ".spec.replicas", id="wrong type"),  # type: ignore[arg-type]
        pytest.param(DEPLOYMENTS, deployment("a", selector=None), "spec.selector", id="422"),
        pytest.param(CONFIG_MAPS, config_map("b"), "does not match the name", id="another name, 400"),
        pytest.param(
            CONFIG_MAPS,
            {**config_map("a"), "binaryData": {"k": "%", "l": "YQ=="}},
            "binaryData[k]: not base64; ",
            id="base64, 500",
        ),
    ],
)
async def test_a_wrong_object_is_invalid_and_says_where(
    cluster: Cluster, namespace: str, resource: Resource, body: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await cluster.apply(resource, namespace, "a", body, field_manager=ME)
    assert words in str(caught.value)
    assert not caught.value.retry


async def test_a_secret_that_is_not_base64_is_told_by_its_key(cluster: Cluster, namespace: str) -> None:
    body = secret("a", good="YQ==", bad=f"{CANARY}%")
    with pytest.raises(errors.Invalid, match=r"data\[bad\]: not base64; .*stringData") as caught:
        await cluster.apply(SECRETS, namespace, "a", body, field_manager=ME)
    assert CANARY not in f"{caught.value} {caught.value.causes}"


async def test_a_field_that_cannot_be_changed_is_told_in_few_words(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(DEPLOYMENTS, namespace, "a", deployment("a"), field_manager=ME)
    other = deployment("a")
    labels = {"app": "another"} | {f"label-{n}": "x" * 60 for n in range(20)}
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = labels
    with pytest.raises(errors.Invalid) as caught:
        await cluster.apply(DEPLOYMENTS, namespace, "a", other, field_manager=ME)
    assert str(caught.value) == (
        f"apply Deployment.apps {namespace}/a: spec.selector: field is immutable; "
        "the field cannot be changed: delete the object, or give it another name"
    )


@pytest.mark.parametrize("value", [CANARY + "%", 424242, {"x": CANARY}, [CANARY]])
async def test_no_error_about_a_secret_shows_its_values(cluster: Cluster, namespace: str, value: Any) -> None:
    body = {**secret("a", k=value), "stringData": {"other": CANARY}}
    for attempt in (
        cluster.apply(SECRETS, namespace, "a", body, field_manager=ME),
        cluster.create(SECRETS, namespace, body, field_manager=ME),
    ):
        with pytest.raises(errors.Invalid) as caught:
            await attempt
        assert CANARY not in str(caught.value)
        assert "424242" not in str(caught.value)
        assert CANARY not in str(caught.value.causes)


@pytest.mark.parametrize(
    ("mebibytes", "kind", "words"),
    [
        pytest.param(1.5, errors.Invalid, "1048576 bytes; split it", id="above what a ConfigMap may hold"),
        pytest.param(2.9, errors.Invalid, "bytes; split it", id="just below the bound of a request"),
        pytest.param(4, errors.TooLarge, "split it", id="above the bound of a request, not even sent"),
    ],
)
async def test_an_object_that_is_too_large(
    cluster: Cluster, namespace: str, mebibytes: float, kind: type[errors.ClusterError], words: str
) -> None:
    body = config_map("a", k="x" * int(mebibytes * 1024 * 1024))
    with pytest.raises(kind, match=words):
        await cluster.apply(CONFIG_MAPS, namespace, "a", body, field_manager=ME)


async def test_what_is_not_there_is_not_found(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(errors.NotFound, match=f"get ConfigMap {namespace}/none"):
        await cluster.get(CONFIG_MAPS, namespace, "none")
    with pytest.raises(errors.NotFound, match='namespaces "none-such" not found'):
        await cluster.apply(CONFIG_MAPS, "none-such", "a", config_map("a"), field_manager=ME)


async def test_who_may_not_is_told_what_to_grant(nobody: Cluster, namespace: str) -> None:
    with pytest.raises(errors.Forbidden) as caught:
        await nobody.list(SECRETS, namespace=namespace, metadata_only=True)
    text = str(caught.value)
    assert f"user nobody may not list secrets in namespace {namespace}" in text
    assert 'resources ["secrets"], verbs ["list"]' in text
    with pytest.raises(errors.Forbidden, match=r'verbs \["patch"\]'):
        await nobody.apply(CONFIG_MAPS, namespace, "a", config_map("a"), field_manager=ME)


async def test_names_with_colons_reach_the_right_object(cluster: Cluster) -> None:
    roles = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
    assert (await cluster.get(roles, "", "system:node"))["metadata"]["name"] == "system:node"


async def test_requests_are_counted_as_the_server_counts_them(
    cluster: Cluster, control_plane: ControlPlane, namespace: str
) -> None:
    before = len([e for e in control_plane.audit_events() if namespace in e["requestURI"] and ours(e)])
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a"), field_manager=ME)
    await cluster.get(CONFIG_MAPS, namespace, "a")
    await cluster.list(CONFIG_MAPS, namespace=namespace, metadata_only=True)
    after = len([e for e in control_plane.audit_events() if namespace in e["requestURI"] and ours(e)])
    assert after - before == cluster.requests.total == 3
    assert cluster.requests.by_verb == {"apply": 1, "get": 1, "list": 1}
    assert cluster.requests.by_verb_and_resource[("apply", "configmaps")] == 1


def ours(event: dict[str, Any]) -> bool:
    agent: str = event.get("userAgent", "")
    return agent == "reconciler"
