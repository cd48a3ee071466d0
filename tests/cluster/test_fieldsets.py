from typing import Any

import pytest

from reconciler.cluster import fieldsets

WEB = 'k:{"name":"web"}'
PORT = 'k:{"containerPort":80,"protocol":"TCP"}'


def container(**fields: Any) -> dict[str, Any]:
    """The set of a Deployment's one container with these fields."""
    return {"f:spec": {"f:containers": {WEB: {".": {}, "f:name": {}, **fields}}}}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        pytest.param({}, {"f:a": {}}, {"f:a": {}}, id="nothing and something"),
        pytest.param({"f:a": {}}, {"f:b": {}}, {"f:a": {}, "f:b": {}}, id="side by side"),
        pytest.param(
            {"f:d": {"f:a": {}}},
            {"f:d": {".": {}, "f:b": {}}},
            {"f:d": {".": {}, "f:a": {}, "f:b": {}}},
            id="within one mapping",
        ),
        pytest.param(
            container(**{"f:image": {}}),
            container(**{"f:args": {}}),
            container(**{"f:image": {}, "f:args": {}}),
            id="within an item of a list",
        ),
        pytest.param({"f:a": {}}, {"f:a": {"f:b": {}}}, {"f:a": {"f:b": {}}}, id="a whole and its part"),
    ],
)
def test_two_sets_are_united(one: dict[str, Any], other: dict[str, Any], both: dict[str, Any]) -> None:
    assert fieldsets.unite(one, other) == both
    assert fieldsets.unite(other, one) == both


@pytest.mark.parametrize(
    ("one", "other", "left", "shared"),
    [
        pytest.param({"f:a": {}}, {}, {"f:a": {}}, {}, id="apart"),
        pytest.param({"f:a": {}}, {"f:a": {}}, {}, {"f:a": {}}, id="equal"),
        pytest.param(
            {"f:d": {"f:a": {}, "f:b": {}}},
            {"f:d": {"f:b": {}}},
            {"f:d": {"f:a": {}}},
            {"f:d": {"f:b": {}}},
            id="one of two",
        ),
        pytest.param({"f:a": {}}, {"f:a": {"f:b": {}}}, {}, {}, id="a whole and its part"),
        pytest.param({"f:d": {".": {}}}, {"f:d": {"f:b": {}}}, {"f:d": {".": {}}}, {}, id="itself only"),
    ],
)
def test_what_is_left_of_a_set_and_what_two_have_in_common(
    one: dict[str, Any], other: dict[str, Any], left: dict[str, Any], shared: dict[str, Any]
) -> None:
    assert fieldsets.minus(one, other) == left
    assert fieldsets.common(one, other) == shared
    assert fieldsets.common(other, one) == shared


@pytest.mark.parametrize(
    ("fields", "body", "want"),
    [
        pytest.param({"f:data": {"f:a": {}}}, {"data": {"a": "1"}}, {}, id="all is there"),
        pytest.param(
            {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
            {"data": {"a": "1"}},
            {"f:data": {"f:b": {}}},
            id="one key left",
        ),
        pytest.param(
            {"f:data": {".": {}, "f:a": {}}}, {}, {"f:data": {".": {}, "f:a": {}}}, id="all of a mapping left"
        ),
        pytest.param({"f:spec": {"f:replicas": {}}}, {"spec": {"replicas": 0}}, {}, id="zero is a value"),
        pytest.param({"f:args": {}}, {"args": ["x"]}, {}, id="a list that is owned as a whole"),
        pytest.param(
            container(**{"f:image": {}}),
            {"spec": {"containers": [{"name": "web", "image": "x"}]}},
            {},
            id="an item by its key",
        ),
        pytest.param(
            container(**{"f:image": {}}),
            {"spec": {"containers": [{"name": "web"}]}},
            {"f:spec": {"f:containers": {WEB: {"f:image": {}}}}},
            id="a field of an item left",
        ),
        pytest.param(
            container(), {"spec": {"containers": [{"name": "app"}]}}, container(), id="an item was renamed"
        ),
        pytest.param(
            {"f:ports": {PORT: {".": {}}}}, {"ports": [{"containerPort": 80}]}, {}, id="a key has its default"
        ),
        pytest.param(
            {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}},
            {"finalizers": ["b"]},
            {"f:finalizers": {'v:"a"': {}}},
            id="an item of a set left",
        ),
        pytest.param({"f:l": {"i:0": {}, "i:1": {}}}, {"l": [1]}, {"f:l": {"i:1": {}}}, id="by index"),
        pytest.param({"f:d": {"f:a": {}}}, {"d": "text"}, {"f:d": {"f:a": {}}}, id="another shape"),
    ],
)
def test_fields_that_a_manifest_does_not_name_are_leaving(
    fields: dict[str, Any], body: Any, want: dict[str, Any]
) -> None:
    assert fieldsets.leaving(fields, body) == want


BODY = {"spec": {"containers": [{"name": "app"}, {"name": "web"}]}}


@pytest.mark.parametrize(
    ("pointer", "want"),
    [
        pytest.param("/spec/replicas", {"f:spec": {"f:replicas": {}}}, id="a field"),
        pytest.param(
            "/spec/containers/1/image", {"f:spec": {"f:containers": {WEB: {"f:image": {}}}}}, id="list"
        ),
        pytest.param("/spec/containers/0/image", {}, id="an item that is not in the set"),
        pytest.param("/spec/containers/7/image", {}, id="no such item"),
        pytest.param(
            "/metadata/annotations/a~1b", {"f:metadata": {"f:annotations": {"f:a/b": {}}}}, id="slash"
        ),
        pytest.param(
            "/metadata/annotations/c~01", {"f:metadata": {"f:annotations": {"f:c~1": {}}}}, id="tilde"
        ),
        pytest.param(
            "/metadata",
            {"f:metadata": {"f:annotations": {"f:a/b": {}, "f:c~1": {}}}},
            id="everything beneath",
        ),
        pytest.param("/status", {}, id="not in the set"),
        pytest.param("/spec/replicas/deeper", {}, id="beneath a value"),
    ],
)
def test_a_pointer_chooses_a_part_of_a_set(pointer: str, want: dict[str, Any]) -> None:
    fields = {
        "f:metadata": {"f:annotations": {"f:a/b": {}, "f:c~1": {}}},
        "f:spec": {"f:replicas": {}, "f:containers": {WEB: {"f:image": {}}}},
    }
    assert fieldsets.below(fields, BODY, pointer) == want


@pytest.mark.parametrize("text", ["", "/", "spec/replicas", ".spec.replicas", "#/spec"])
def test_other_text_is_no_pointer(text: str) -> None:
    with pytest.raises(ValueError, match="not a JSON pointer"):
        fieldsets.split_pointer(text)


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        pytest.param({"f:spec": {"f:replicas": {}}}, [".spec.replicas"], id="a field"),
        pytest.param({"f:data": {".": {}, "f:a": {}}}, [".data"], id="a whole mapping"),
        pytest.param(container(**{"f:image": {}}), ['.spec.containers[name="web"]'], id="a whole item"),
        pytest.param(
            {"f:spec": {"f:containers": {WEB: {"f:image": {}, "f:args": {}}}}},
            ['.spec.containers[name="web"].image', '.spec.containers[name="web"].args'],
            id="fields of an item",
        ),
        pytest.param({"f:annotations": {"f:a.b/c": {}}}, ['.annotations["a.b/c"]'], id="an odd name"),
        pytest.param({"f:l": {'v:"x"': {}, "i:1": {}}}, ['.l[="x"]', ".l[1]"], id="other lists"),
    ],
)
def test_fields_are_shown_as_people_write_them(fields: dict[str, Any], want: list[str]) -> None:
    assert list(fieldsets.paths(fields)) == want


@pytest.mark.parametrize(
    ("body", "fields", "want"),
    [
        pytest.param({"a": 1, "b": 2}, {"f:a": {}}, {"b": 2}, id="a field"),
        pytest.param(
            {"a": {"b": 1, "c": 2}}, {"f:a": {"f:b": {}}}, {"a": {"c": 2}}, id="a field further down"
        ),
        pytest.param({"a": {"b": 1}}, {"f:a": {".": {}, "f:b": {}}}, {}, id="a map that is left empty"),
        pytest.param({"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {"a": {}}, id="a map that is not ours"),
        pytest.param({"l": ["x", "y"]}, {"f:l": {'v:"x"': {}}}, {"l": ["y"]}, id="an item of a set"),
        pytest.param(
            {"c": [{"name": "web", "image": "1"}, {"name": "log", "image": "2", "args": []}]},
            {"f:c": {WEB: {".": {}, "f:image": {}}, 'k:{"name":"log"}': {"f:args": {}}}},
            {"c": [{"name": "log", "image": "2"}]},
            id="items of a list",
        ),
        pytest.param({"a": 1}, {"f:b": {"f:c": {}}, "f:a": {".": {}}}, {}, id="what is not there"),
    ],
)
def test_fields_are_taken_out_of_an_object(
    body: dict[str, Any], fields: dict[str, Any], want: dict[str, Any]
) -> None:
    assert fieldsets.without(body, fields) == want
