"""Who has changed what we applied: the entries of managedFields, as the API server writes them."""

from typing import Any

import pytest

from reconciler.cluster.drift import changed_by_others
from reconciler.cluster.takeover import Ownership

OURS = "reconciler:shop"
BODY = {
    "data": {"a": "1", "b": "2"},
    "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
}


def entry(manager: str, *paths: str, operation: str = "Update", **more: str) -> dict[str, Any]:
    """Fields by paths such as `data/a`; an item of a list as `containers/k:{"name":"web"}`."""
    fields: dict[str, Any] = {}
    for path in paths:
        below = fields
        for part in path.split("/"):
            below = below.setdefault(part if part.startswith("k:") or part == "." else f"f:{part}", {})
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def ours(*paths: str) -> dict[str, Any]:
    return entry(OURS, *paths, operation="Apply")


CONTAINER = 'spec/template/spec/containers/k:{"name":"web"}'


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        pytest.param([ours("data/a", "data/b")], [], id="nobody else writes"),
        pytest.param(
            [ours("data/b"), entry("kubectl-edit", "data/a", time="t1")],
            [".data.a by kubectl-edit at t1"],
            id="a field that was ours",
        ),
        pytest.param(
            [ours("data/b"), entry("x", "data/a"), entry("y", "spec/replicas", time="t2")],
            [".data.a by x", ".spec.replicas by y at t2"],
            id="two writers",
        ),
        pytest.param([ours("data/a", "data/b"), entry("x", "data/c", "data/.")], [], id="not in git"),
        pytest.param(
            [ours("data/a", "data/b"), entry("x", "data/a", operation="Apply")],
            [],
            id="the same value",
        ),
        pytest.param(
            [ours("data/a"), entry("hpa", "spec/replicas", subresource="scale")],
            [".spec.replicas by hpa"],
            id="through the scale subresource",
        ),
        pytest.param(
            [ours("data/a"), entry("controller", "spec/replicas", subresource="status")],
            [],
            id="the status",
        ),
        pytest.param(
            [ours("data/a"), entry("x", f"{CONTAINER}/image", f"{CONTAINER}/env")],
            ['.spec.template.spec.containers[name="web"].image by x'],
            id="an item of a list",
        ),
        pytest.param([entry("", "data/a")], [".data.a by somebody without a name"], id="no name"),
    ],
)
def test_what_others_have_set(entries: list[dict[str, Any]], said: list[str]) -> None:
    assert [str(its) for its in changed_by_others(Ownership(tuple(entries)), OURS, BODY)] == said


def test_many_fields_are_cut() -> None:
    body = {"data": {f"k{n}": "" for n in range(9)}}
    (its,) = changed_by_others(Ownership((entry("x", *(f"data/k{n}" for n in range(9))),)), OURS, body)
    assert str(its) == ".data.k0, .data.k1, .data.k2, .data.k3, .data.k4 and 4 more by x"
