"""A JSON patch through a real API server: its races, its errors, and what they never show."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from localcluster import ControlPlane
from reconciler.cluster import errors, replies
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.replies import Doing
from reconciler.cluster.resource import CONFIG_MAPS, SECRETS
from tests.cluster.kinds import config_map, secret

ME = "reconciler:test"
CANARY = "Y2FuYXJ5"  # base64


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=control_plane.kubeconfig) as cluster:
        yield cluster


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def at(metadata: dict[str, Any]) -> dict[str, Any]:
    return replace("/metadata/resourceVersion", metadata["resourceVersion"])


async def test_a_patch_changes_what_it_names_and_returns_metadata(cluster: Cluster, namespace: str) -> None:
    made = await cluster.create(CONFIG_MAPS, namespace, config_map("a", k="1", other="2"), field_manager=ME)
    ops = [replace("/data/k", "3"), at(made["metadata"])]
    left = await cluster.json_patch(CONFIG_MAPS, namespace, "a", ops, field_manager=ME)
    assert left["uid"] == made["metadata"]["uid"]
    assert (await cluster.get(CONFIG_MAPS, namespace, "a"))["data"] == {"k": "3", "other": "2"}
    assert cluster.requests.by_verb == {"create": 1, "patch": 1, "get": 1}


async def test_a_write_in_between_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    made = await cluster.create(CONFIG_MAPS, namespace, config_map("a", k="1"), field_manager=ME)
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="2"), field_manager="other")
    ops = [replace("/data/k", "3"), at(made["metadata"])]
    with pytest.raises(errors.Conflict, match="read the object again"):
        await cluster.json_patch(CONFIG_MAPS, namespace, "a", ops, field_manager=ME)
    assert (await cluster.get(CONFIG_MAPS, namespace, "a"))["data"] == {"k": "2"}


async def test_managed_fields_can_be_replaced(cluster: Cluster, namespace: str) -> None:
    left = await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a"), field_manager="other")
    (entry,) = left.metadata["managedFields"]
    ops = [replace("/metadata/managedFields", [{**entry, "manager": ME}]), at(left.metadata)]
    patched = await cluster.json_patch(CONFIG_MAPS, namespace, "a", ops, field_manager=ME)
    assert patched["managedFields"] == [{**entry, "manager": ME}]


async def test_a_patch_of_what_is_not_there(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(errors.NotFound):
        await cluster.json_patch(CONFIG_MAPS, namespace, "a", [replace("/data", {})], field_manager=ME)
    await cluster.create(CONFIG_MAPS, namespace, config_map("a"), field_manager=ME)
    gone = [{"op": "remove", "path": "/metadata/annotations/none"}]
    with pytest.raises(errors.Invalid, match=f"patch ConfigMap {namespace}/a"):
        await cluster.json_patch(CONFIG_MAPS, namespace, "a", gone, field_manager=ME)


async def test_no_error_of_a_patch_shows_what_a_secret_holds(cluster: Cluster, namespace: str) -> None:
    made = await cluster.create(SECRETS, namespace, secret("a", k=CANARY), field_manager=ME)
    tests = [
        [{"op": "test", "path": "/data/k", "value": "other"}],
        [replace("/data/k", f"{CANARY}%")],
        [replace("/data/k", {CANARY: 1})],
        [replace("/data/k", CANARY), replace("/metadata/resourceVersion", "1")],
    ]
    for ops in tests:
        with pytest.raises(errors.ClusterError) as caught:
            await cluster.json_patch(SECRETS, namespace, "a", ops, field_manager=ME)
        assert CANARY not in f"{caught.value} {getattr(caught.value, 'causes', '')}"
    patched = await cluster.json_patch(SECRETS, namespace, "a", [at(made["metadata"])], field_manager=ME)
    assert CANARY not in str(patched)


def test_a_patch_that_is_not_base64_is_told_without_looking_into_its_operations() -> None:
    body = b'{"kind":"Status","message":"failed to convert new object: illegal base64 data at input byte 4"}'
    error = replies.from_status(500, body, doing=Doing("patch Secret a/b", secret=True), sent=b"[]")
    assert "not base64" in str(error)
