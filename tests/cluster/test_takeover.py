"""Whose entries become ours, and what the list of entries is then."""

from typing import Any

import pytest

from reconciler.cluster import takeover
from reconciler.cluster.managed import LAST_APPLIED, Owner
from reconciler.cluster.takeover import RELEASED, Heir, Ownership, predecessors, released, taken_over

US = "reconciler:shop"
HEIR = Heir(US, "reconciler:", frozenset({"helm", "argocd-controller"}))
ANNOTATION = {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}}


def entry(
    manager: str, operation: str = "Apply", version: str = "v1", at: str = "1", **more: Any
) -> dict[str, Any]:
    fields = more.pop("fields", {"f:data": {f"f:{manager}": {}}})
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": version,
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


@pytest.mark.parametrize(
    ("manager", "operation", "client_side", "want"),
    [
        ("agentk", "Apply", False, True),
        ("agentk", "Update", False, False),
        ("kubectl-client-side-apply", "Update", True, True),
        ("kubectl-client-side-apply", "Update", False, True),
        ("kubectl-last-applied", "Apply", False, True),
        ("kubectl", "Update", True, True),
        ("kubectl", "Update", False, False),
        ("kubectl", "Apply", False, False),
        ("kubectl-edit", "Update", False, False),
        ("before-first-apply", "Update", False, False),
        ("reconciler:old", "Apply", False, True),
        ("reconciler:old", "Update", False, False),
        (US, "Apply", False, False),
        (US, "Update", False, False),
        ("helm", "Update", False, True),
        ("helm", "Apply", False, True),
        ("argocd-controller", "Update", True, True),
        ("kustomize-controller", "Apply", False, False),
        (RELEASED, "Apply", False, False),
    ],
)
def test_who_is_followed(manager: str, operation: str, client_side: bool, want: bool) -> None:
    assert HEIR.follows(Owner(manager, operation, "v1", client_side)) is want


def test_what_was_released_is_never_taken_back() -> None:
    """It would be released again, and so on in each run."""
    assert not Heir(US, "reconciler:", frozenset({RELEASED})).follows(Owner(RELEASED, "Apply", "v1"))


def test_nobody_further_is_followed_unless_named() -> None:
    for operation in ("Apply", "Update"):
        assert not Heir(US, "reconciler:").follows(Owner("argocd-controller", operation, "v1", True))


@pytest.mark.parametrize(
    ("entries", "want"),
    [
        pytest.param([entry("other")], ["other"], id="nobody to follow"),
        pytest.param([entry("agentk")], [f"{US} agentk"], id="renamed"),
        pytest.param([entry(US), entry("agentk")], [f"{US} {US} agentk"], id="united with ours"),
        pytest.param(
            [entry("agentk"), entry("kubectl-client-side-apply", "Update"), entry("helm", "Update")],
            [f"{US} agentk helm kubectl-client-side-apply"],
            id="three of them",
        ),
        pytest.param(
            [entry("agentk"), entry("agentk", subresource="status")],
            [f"{US} agentk", "agentk status"],
            id="a subresource is left alone",
        ),
        pytest.param(
            [entry(US, version="v2"), entry("agentk", version="v1")],
            [US, "agentk"],
            id="another version than ours is left alone",
        ),
        pytest.param(
            [entry("helm", "Update", version="v1"), entry("agentk", version="v2")],
            ["helm", f"{US} agentk"],
            id="two versions without ours: the applier's",
        ),
        pytest.param(
            [entry("reconciler:old"), entry("reconciler:older")],
            [f"{US} reconciler:old reconciler:older"],
            id="former names",
        ),
        pytest.param([{}], [""], id="cleared by a person"),
    ],
)
def test_entries_after_a_take_over(entries: list[dict[str, Any]], want: list[str]) -> None:
    after = taken_over(Ownership(tuple(entries)), HEIR)
    assert sorted(_summary(one) for one in after.entries) == sorted(want)
    assert taken_over(after, HEIR) == after, "a second time changes nothing"
    assert not predecessors(after.owners, HEIR)


def _summary(one: dict[str, Any]) -> str:
    """`manager subresource`, or for ours `manager` and whose fields it has."""
    if one.get("manager") != US:
        return f"{one.get('manager', '')} {one.get('subresource', '')}".strip()
    names = sorted(key.removeprefix("f:") for key in one["fieldsV1"]["f:data"])
    return US if names == [US] else " ".join([US, *sorted(names, key=lambda name: (name != US, name))])


def test_the_united_entry_is_an_apply_with_the_latest_time() -> None:
    now = Ownership((entry("kubectl-client-side-apply", "Update", at="3"), entry("agentk", at="2")))
    (ours,) = taken_over(now, HEIR).entries
    assert {**ours, "fieldsV1": None} == {**entry(US, at="3"), "fieldsV1": None}


def test_released_fields_move_to_an_entry_of_their_own() -> None:
    fields = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    after = released(Ownership((entry(US, fields=fields),)), US, {"f:spec": {"f:replicas": {}}})
    assert after.fields_of(US) == {"f:spec": {"f:paused": {}}}
    assert after.fields_of(RELEASED) == {"f:spec": {"f:replicas": {}}}
    again = released(after, US, {"f:spec": {"f:paused": {}}})
    assert again.fields_of(RELEASED) == fields, "what was released before stays released"
    assert [one["manager"] for one in again.entries].count(RELEASED) == 1


@pytest.mark.parametrize(
    ("entries", "there", "want"),
    [
        pytest.param([entry("agentk")], True, False, id="not kubectl's to remove"),
        pytest.param([entry("kubectl-client-side-apply", "Update")], True, True, id="kubectl"),
        pytest.param([entry("kubectl-client-side-apply", "Update")], False, False, id="it is not there"),
        pytest.param([entry("kubectl-last-applied")], True, True, id="what kubectl leaves of it"),
        pytest.param([entry("kubectl", "Update", fields=ANNOTATION)], True, True, id="an old kubectl"),
        pytest.param(
            [entry("argocd-controller", "Update", fields=ANNOTATION)], True, True, id="Argo CD, as named"
        ),
        pytest.param(
            [entry("agentk"), entry("someone", "Update", fields=ANNOTATION)], True, False, id="someone else's"
        ),
        pytest.param(
            [entry(US, version="v2"), entry("kubectl-client-side-apply", "Update")],
            True,
            False,
            id="stays an owner",
        ),
    ],
)
def test_kubectls_annotation_goes_with_kubectl(
    entries: list[dict[str, Any]], there: bool, want: bool
) -> None:
    before = Ownership(tuple(entries))
    ops = takeover.operations(before, taken_over(before, HEIR), resource_version="7", last_applied=there)
    removed = [op["path"] for op in ops if op["op"] == "remove"]
    assert bool(removed) is want
    assert [op["path"] for op in ops if op["op"] == "replace"] == [
        "/metadata/managedFields",
        "/metadata/resourceVersion",
    ]
