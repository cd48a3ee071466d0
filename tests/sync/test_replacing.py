"""What is deleted to be created anew, as a table: in doubt nothing is."""

from typing import Any

import pytest

from reconciler.sync.plan import Live
from reconciler.sync.replacing import Owned, misread, what_goes, why_not
from tests.sync.pieces import INVENTORY, record, ref

OURS = {"uid": "u1", "owner": INVENTORY, "applied": "old"}
JOB = ref("job", kind="Job", group="batch")


@pytest.mark.parametrize(
    ("asked", "goes", "live", "uid", "damage", "want"),
    [
        pytest.param("allowed", "", {}, "u1", "", "", id="ours, and git says so"),
        pytest.param("allowed", "", {}, "", "", "", id="ours, killed before the uid was written down"),
        pytest.param("", "", {}, "u1", "", "dev/replace: allowed", id="not asked"),
        pytest.param("Job", "", {}, "u1", "", "replace: allowed", id="asked by name for nothing"),
        pytest.param("yes", "", {}, "u1", "", "replace: allowed", id="another value"),
        pytest.param("allowed", "its data", {}, "u1", "", "its data with it", id="data goes with it"),
        pytest.param("allowed", "its data", {}, "u1", "", "replace: Job", id="the kind has to be named"),
        pytest.param("Job", "its data", {}, "u1", "", "", id="the kind is named"),
        pytest.param("allowed", "", {"owner": None}, "u1", "", "not ours", id="no owner mark"),
        pytest.param("allowed", "", {"owner": "other"}, "u1", "", "not ours", id="another's mark"),
        pytest.param("allowed", "", {"uid": "u2"}, "u1", "", "not ours", id="created anew by another hand"),
        pytest.param("allowed", "", {}, None, "", "not ours", id="in no inventory"),
        pytest.param("allowed", "", {}, "u1", "shard 3 is missing", "shard 3 is missing", id="damage"),
        pytest.param("allowed", "", {"keep": "on-remove: keep"}, "u1", "", "on-remove: keep", id="kept"),
        pytest.param("allowed", "", {"applied": "new"}, "u1", "", "not changed", id="not git's change"),
    ],
)
def test_why_not(
    asked: str, goes: str, live: dict[str, Any], uid: str | None, damage: str, want: str
) -> None:
    had = None if uid is None else record("job", uid=uid, kind="Job", group="batch")
    owned = Owned(record=had, inventory=INVENTORY, damage=damage)
    got = why_not(JOB, asked=asked, goes=goes, mark="new", live=Live(**(OURS | live)), owned=owned)
    assert want in got
    assert bool(got) == bool(want), got


def test_namespace_is_never_replaced() -> None:
    space = ref("shop", kind="Namespace", namespace="")
    owned = Owned(record=record("shop", kind="Namespace", namespace=""), inventory=INVENTORY)
    for asked in ("allowed", "Namespace"):
        assert "never" in why_not(space, asked=asked, goes="", mark="new", live=Live(**OURS), owned=owned)


CLAIMS = {"volumeClaimTemplates": [{}]}
BALANCED = {"type": "LoadBalancer"}


@pytest.mark.parametrize(
    ("group", "kind", "declared", "live", "want"),
    [
        ("", "PersistentVolumeClaim", {}, {}, "data"),
        ("", "PersistentVolume", {}, {}, "data"),
        ("apps", "StatefulSet", {}, {}, ""),
        ("apps", "StatefulSet", CLAIMS, {}, "claims"),
        ("apps", "StatefulSet", {}, CLAIMS, "claims"),
        ("example.com", "StatefulSet", CLAIMS, {}, ""),
        ("", "Service", {}, {}, ""),
        ("", "Service", BALANCED, {}, "address"),
        ("", "Service", {}, BALANCED, "address"),
        ("apiextensions.k8s.io", "CustomResourceDefinition", {}, {}, "all objects"),
        ("batch", "Job", {}, {}, ""),
        ("example.com", "Database", {}, {}, "guarded_kinds"),
    ],
)
def test_what_else_goes(
    group: str, kind: str, declared: dict[str, Any], live: dict[str, Any], want: str
) -> None:
    it = ref("it", kind=kind, group=group)
    got = what_goes(it, {"spec": declared}, {"spec": live}, ("Database.example.com",))
    assert want in got
    assert bool(got) == bool(want)


CRD = ref("widgets.example.com", kind="CustomResourceDefinition", group="apiextensions.k8s.io", namespace="")


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        pytest.param(["spec.scope"], "", id="scope"),
        pytest.param(["spec.names.kind", "spec.names.plural", "spec.group"], "", id="names and group"),
        pytest.param(["spec.versions[0].schema"], "correct spec.versions[0].schema", id="schema"),
        pytest.param(["spec.scope", "spec.versions"], "correct spec.versions in", id="one that is, one not"),
        pytest.param(["spec.names.listKind"], "correct spec.names.listKind", id="a name that may be changed"),
        pytest.param([], "correct it", id="none named"),
    ],
)
def test_definition_is_replaced_for_fixed_fields_alone(fields: list[str], want: str) -> None:
    causes = [(field, "field is immutable") for field in fields]
    got = misread(CRD, causes)
    assert want in got
    assert bool(got) == bool(want), got
    assert misread(JOB, causes) == "", "what is tried first needs no list of fields"
