"""Field paths, and fieldsV1 of managedFields as such paths."""

from typing import Any

import pytest

from reconciler.cluster.fields import MISSING, Manager, child, owned, owners


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param("replicas", ".spec.replicas", id="an ordinary name"),
        pytest.param("a.b/c", '.spec["a.b/c"]', id="a name with dots"),
        pytest.param('"]', '.spec["\\"]"]', id="a name that looks like the end of one"),
        pytest.param("", '.spec[""]', id="an empty name"),
    ],
)
def test_a_path_can_be_read_in_one_way(name: str, path: str) -> None:
    assert child(".spec", name) == path


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        pytest.param({"f:data": {"f:a": {}, "f:b": {}}}, [".data.a", ".data.b"], id="entries of a map"),
        pytest.param(
            {"f:data": {".": {}, "f:a": {}}}, [".data.a"], id="the map itself is no field of its own"
        ),
        pytest.param({"f:data": {}}, [".data"], id="a whole map"),
        pytest.param(
            {"f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}}}},
            ['.spec.containers[name="web"].image', '.spec.containers[name="web"].name'],
            id="an item of a list by its key",
        ),
        pytest.param(
            {"f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}}}},
            ['.ports[containerPort=80,protocol="TCP"]'],
            id="an item by two keys",
        ),
        pytest.param(
            {"f:metadata": {"f:finalizers": {'v:"a/b"': {}}}},
            ['.metadata.finalizers[="a/b"]'],
            id="an item of a set",
        ),
        pytest.param({"f:list": {"i:2": {}}}, [".list[2]"], id="an item by its place"),
        pytest.param({"f:list": {"k:{broken": {}}}, ['.list[="{broken"]'], id="a key that is no JSON"),
        pytest.param({}, [], id="nothing"),
    ],
)
def test_fields_are_read_as_paths(fields: dict[str, Any], paths: list[str]) -> None:
    assert [path for path, _ in owned(fields)] == paths


def test_values_are_found_in_each_object() -> None:
    fields = {"f:c": {'k:{"name":"web"}': {"f:image": {}}, 'k:{"name":"old"}': {"f:image": {}}}}
    found = dict(owned(fields, {"c": [{"name": "web", "image": "1"}]}, {}))
    assert found == {'.c[name="old"].image': (MISSING, MISSING), '.c[name="web"].image': ("1", MISSING)}


def test_hostile_depth_ends() -> None:
    fields: dict[str, Any] = {}
    for _ in range(5000):
        fields = {"f:a": fields}
    ((path, _),) = owned(fields)
    assert path.count(".a") == 200


def test_owners_leave_out_what_is_no_entry() -> None:
    entry = {"manager": "kubectl", "operation": "Update", "time": "T", "fieldsV1": {"f:a": {}}}
    found = owners({"managedFields": [entry, {}, None, {"manager": "x", "fieldsV1": []}]})
    assert found == [(Manager(name="kubectl", operation="Update", time="T"), {"f:a": {}})]
    assert owners({}) == owners({"managedFields": "x"}) == []
