"""What is told of a change, as tables: an object before, after, and as git has it."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from reconciler.cluster.managed import LAST_APPLIED
from reconciler.sync import marks
from reconciler.sync.diff import (
    FieldChange,
    Mask,
    declares,
    difference,
    quantity,
    subset,
    with_ownership,
)

CANARY = "canary-4711"


def body(**parts: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}, **parts}


def shown(changes: Iterable[FieldChange]) -> list[str]:
    return [
        f"{c.change} {c.path}" + ("" if c.masked else f": {c.old!r} -> {c.new!r}").replace("'", "")
        for c in changes
    ]


def web(image: str, **more: Any) -> dict[str, Any]:
    return {"name": "web", "image": image, **more}


@pytest.mark.parametrize(
    ("live", "after", "want"),
    [
        pytest.param({"spec": {"n": 1}}, {"spec": {"n": 1}}, [], id="nothing"),
        pytest.param({"spec": {"n": 1}}, {"spec": {"n": 2}}, ["changed .spec.n: 1 -> 2"], id="a value"),
        pytest.param({"spec": {"n": 1}}, {"spec": {"n": True}}, ["changed .spec.n: 1 -> True"], id="a type"),
        pytest.param(
            {"data": {"a": "1", "b": "2"}}, {"data": {"a": "1"}}, ["removed .data.b: 2 -> None"], id="removed"
        ),
        pytest.param({"data": {}}, {"data": {"a.b": "1"}}, ['added .data["a.b"]: None -> 1'], id="added"),
        pytest.param(
            {"c": [web("1"), {"name": "log", "image": "l"}]},
            {"c": [{"name": "log", "image": "l"}, web("2")]},
            ['changed .c[name="web"].image: 1 -> 2', "reordered .c: [web, log] -> [log, web]"],
            id="containers are known by name, and their order is told",
        ),
        pytest.param(
            {"c": [web("1")]},
            {"c": [web("1"), {"name": "log", "image": "l"}]},
            ['added .c[name="log"]: None -> {name: log, image: l}'],
            id="an item that is new",
        ),
        pytest.param(
            {"c": [web("1"), web("2")]},
            {"c": [web("1")]},
            ["changed .c: [{name: web, image: 1}, {name: web, image: 2}] -> [{name: web, image: 1}]"],
            id="items of the same name are compared as one list",
        ),
        pytest.param(
            {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]},
            {
                "ports": [
                    {"containerPort": 80, "protocol": "TCP", "hostPort": 1},
                    {"containerPort": 80, "protocol": "UDP"},
                ]
            },
            ['added .ports[containerPort=80,protocol="TCP"].hostPort: None -> 1'],
            id="ports are known by number and protocol",
        ),
        pytest.param(
            {"args": ["a", "b"]}, {"args": ["a"]}, ["changed .args: [a, b] -> [a]"], id="plain list"
        ),
        pytest.param({"a": [{"x": 1}]}, {"a": [{"x": 2}]}, ["changed .a: [{x: 1}] -> [{x: 2}]"], id="no key"),
        pytest.param({"a": None}, {"a": {}}, ["changed .a: None -> {}"], id="null is a value"),
    ],
)
def test_difference(live: dict[str, Any], after: dict[str, Any], want: list[str]) -> None:
    assert shown(difference(body(**live), body(**after), body(**after), mask=Mask.NOTHING)) == want


def test_defaults_of_what_is_new_are_not_told() -> None:
    live = body(spec={"c": [web("1", pullPolicy="Always")]})
    declared = body(spec={"c": [web("1"), {"name": "log", "image": "l"}], "strategy": {"type": "Recreate"}})
    after = body(
        spec={
            "c": [web("1", pullPolicy="Always"), {"name": "log", "image": "l", "pullPolicy": "Always"}],
            "strategy": {"type": "Recreate", "grace": 1},
        }
    )
    assert shown(difference(live, after, declared, mask=Mask.NOTHING)) == [
        'added .spec.c[name="log"]: None -> {name: log, image: l}',
        "added .spec.strategy: None -> {type: Recreate}",
    ]


def test_what_another_hand_adds_to_an_old_part_is_told() -> None:
    """A webhook's sidecar is no default."""
    live, after = body(spec={"c": [web("1")]}), body(spec={"c": [web("2"), {"name": "proxy"}]})
    assert 'added .spec.c[name="proxy"]: None -> {name: proxy}' in shown(
        difference(live, after, body(spec={"c": [web("2")]}), mask=Mask.NOTHING)
    )


def test_what_the_server_keeps_and_our_marks_are_not_told() -> None:
    def seen(n: str, **annotations: str) -> dict[str, Any]:
        metadata = {
            "name": "a",
            "uid": n,
            "resourceVersion": n,
            "generation": n,
            "creationTimestamp": n,
            "managedFields": [n],
            "labels": {marks.INSTANCE_LABEL: n},
            "annotations": {
                marks.APPLIED: n,
                marks.PROJECT: n,
                marks.OWNING_INVENTORY: n,
                LAST_APPLIED: n,
                **annotations,
            },
        }
        return body(metadata=metadata, status={"n": n})

    assert not difference(seen("1"), seen("2"), body(), mask=Mask.NOTHING)
    assert shown(difference(seen("1"), seen("2", mine="x"), body(), mask=Mask.NOTHING)) == [
        "added .metadata.annotations: None -> {mine: x}"
    ]


def sealed(**parts: Any) -> dict[str, Any]:
    return body(**parts) | {"kind": "Secret"}


def secret(value: str, *, kind: str = "data", annotation: str = "") -> dict[str, Any]:
    annotations = {LAST_APPLIED: value, "a": annotation} if annotation else {}
    return sealed(**{kind: {"password": value}}, metadata={"name": "a", "annotations": annotations})


@pytest.mark.parametrize(
    ("live", "after", "want"),
    [
        pytest.param(secret("x"), secret(CANARY), ["changed .data.password"], id="a value"),
        pytest.param(sealed(), secret(CANARY), ["added .data.password"], id="the first value"),
        pytest.param(secret(CANARY), sealed(), ["removed .data.password"], id="no value"),
        pytest.param(
            secret("x", annotation="1"),
            secret("x", annotation=CANARY),
            ["changed .metadata.annotations.a"],
            id="an annotation",
        ),
        pytest.param(
            secret("x", annotation=CANARY), secret("x"), ["removed .metadata.annotations.a"], id="none"
        ),
        pytest.param(
            sealed(datta=1), sealed(datta={"a": [CANARY]}), ["changed .datta"], id="a misspelt field"
        ),
        pytest.param(
            sealed(data={}), sealed(data={f"k {CANARY}": ""}), ['added .data["k…'], id="a value as name"
        ),
        pytest.param(
            sealed(data={}), sealed(data={"tls.crt": CANARY}), ['added .data["tls.crt"]'], id="a dot"
        ),
        pytest.param(
            sealed(type="a"),
            sealed(type="b", immutable=True),
            ["added .immutable: None -> True", "changed .type: a -> b"],
            id="what is no secret",
        ),
    ],
)
def test_no_value_of_a_secret_is_told(live: dict[str, Any], after: dict[str, Any], want: list[str]) -> None:
    found = difference(live, after, after, mask=Mask.SECRET)
    assert shown(found) == want
    assert CANARY not in repr(found)
    assert CANARY not in repr([change.as_json() for change in found])


@pytest.mark.parametrize(
    "declared",
    [
        pytest.param(secret(CANARY), id="data"),
        pytest.param(secret(CANARY, kind="stringData"), id="stringData"),
        pytest.param(secret(CANARY, kind="stringDatta"), id="a misspelt field"),
        pytest.param(sealed(stringData=CANARY), id="a text where a map belongs"),
        pytest.param(secret("x", annotation=CANARY), id="an annotation"),
        pytest.param(sealed(stringData={"a": {"b": [CANARY]}}), id="a map where a text belongs"),
    ],
)
def test_a_new_secret_is_told_without_values(declared: dict[str, Any]) -> None:
    found = declares(declared, mask=Mask.SECRET)
    assert any(change.masked for change in found)
    assert CANARY not in repr(found)
    assert CANARY not in repr(subset(sealed(), declared, mask=Mask.SECRET))


@pytest.mark.parametrize(
    ("live", "declared", "want"),
    [
        pytest.param({"spec": {"n": 1, "default": 2}}, {"spec": {"n": 1}}, [], id="defaults are not told"),
        pytest.param({"spec": {"n": 1}}, {"spec": {"n": 2}}, ["changed .spec.n: 1 -> 2"], id="a value"),
        pytest.param({"data": {"a": "1", "b": "2"}}, {"data": {"a": "1"}}, [], id="what git does not name"),
        pytest.param(
            {"limits": {"cpu": "100m", "memory": "1Gi"}},
            {"limits": {"cpu": 0.1, "memory": "1024Mi"}},
            [],
            id="quantities are numbers",
        ),
        pytest.param(
            {"data": {"a": "100m"}},
            {"data": {"a": "0.1"}},
            ["changed .data.a: 100m -> 0.1"],
            id="texts are not",
        ),
        pytest.param({"spec": {}}, {"spec": {"a": {}, "b": [], "c": None}}, [], id="nothing is nothing"),
        pytest.param(
            {"c": [web("1", pull="Always"), {"name": "proxy"}]}, {"c": [web("1")]}, [], id="a foreign sidecar"
        ),
        pytest.param(
            {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 1}]},
            {"ports": [{"port": 80}]},
            [],
            id="a key with its default left out",
        ),
    ],
)
def test_subset(live: dict[str, Any], declared: dict[str, Any], want: list[str]) -> None:
    assert shown(subset(body(**live), body(**declared), mask=Mask.NOTHING)) == want


REPLICAS = {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("removed", "kept", "want"),
    [
        pytest.param({}, {}, ["changed .spec.replicas: 3 -> 1"], id="nothing"),
        pytest.param({}, REPLICAS, [], id="what stays is no change"),
        pytest.param({}, {"f:spec": {}}, [], id="nor is what is below it"),
        pytest.param(
            {"f:data": {"f:a": {}}},
            {},
            ["changed .spec.replicas: 3 -> 1", "removed .data.a: x -> None"],
            id="what goes is told",
        ),
        pytest.param(REPLICAS, {}, ["changed .spec.replicas: 3 -> 1"], id="once"),
        pytest.param(
            {"f:data": {"f:gone": {}}}, {}, ["changed .spec.replicas: 3 -> 1"], id="not there any more"
        ),
    ],
)
def test_ownership_decides_what_goes_and_what_stays(
    removed: dict[str, Any], kept: dict[str, Any], want: list[str]
) -> None:
    changes = [FieldChange(".spec.replicas", "changed", 3, 1)]
    found = with_ownership(
        changes, body(data={"a": "x"}), body(), removed=removed, kept=kept, mask=Mask.NOTHING
    )
    assert shown(found) == want


def test_a_secrets_key_that_git_writes_as_text_is_not_removed() -> None:
    live, declared = sealed(data={"a": "eA==", "b": "eQ=="}), sealed(stringData={"b": "y"})
    removed = {"f:data": {"f:a": {}, "f:b": {}}}
    found = with_ownership((), live, declared, removed=removed, kept={}, mask=Mask.SECRET)
    assert shown(found) == ["removed .data.a"]


def test_a_secrets_texts_are_compared_as_stored() -> None:
    live = sealed(data={"a": "eA==", "b": "eQ=="})
    same = sealed(stringData={"a": "x"}, data={"b": "eQ==\n"})
    other = sealed(stringData={"a": "y"}, data={"b": "eQ=="})
    assert not subset(live, same, mask=Mask.SECRET)
    assert shown(subset(live, other, mask=Mask.SECRET)) == ["changed .data.a"]


def test_of_an_object_that_holds_values_of_a_secret_none_is_told() -> None:
    live = body(data={"a": CANARY}, spec={"type": CANARY})
    after = body(data={"a": "x"}, metadata={"name": "a", "labels": {"l": CANARY}}, spec={"type": "y"})
    found = difference(live, after, after, mask=Mask.EVERYTHING)
    assert shown(found) == ["changed .data.a", "added .metadata.labels.l", "changed .spec.type"]
    assert CANARY not in repr((found, declares(after, mask=Mask.EVERYTHING)))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100m", "0.1"), ("0.1", "0.1"), (1, "1"), ("1Gi", str(1024**3)), ("1e3", "1000"), ("1E3", "1000"),
        ("1E", "1000000000000000000"), ("1Ei", str(1024**6)), ("-.5", "-0.5"), ("5k", "5000"),
        ("", None), (".", None), ("m", None), ("1e999999999", None), (True, None), ("9" * 40, None),
    ],
)  # fmt: skip
def test_quantity(text: Any, number: str | None) -> None:
    assert quantity(text) == (None if number is None else Decimal(number))


def test_hostile_depth_is_compared_as_one_value() -> None:
    def nest(leaf: str) -> dict[str, Any]:
        deep: dict[str, Any] = {"a": leaf}
        for _ in range(900):
            deep = {"a": deep}
        return body(spec=deep)

    (change,) = difference(nest("1"), nest("2"), nest("2"), mask=Mask.NOTHING)
    assert change.change == "changed"
    assert not difference(nest("1"), nest("1"), nest("1"), mask=Mask.NOTHING)
    assert len(declares(nest("1"), mask=Mask.NOTHING)) == 1
