"""What is written on objects: names within their limits, and a body that is otherwise as git has it."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.marks import applied_mark, field_manager, inventory_id, owner_of, render
from tests.fuzzing import examples
from tests.sync.pieces import ref

PREFIX = len("reconciler:")
KEY = b"k" * 32


@pytest.mark.parametrize(
    ("project", "want"),
    [
        pytest.param("shop", "reconciler:shop", id="short"),
        pytest.param("group/sub group/shop", "reconciler:group/sub group/shop", id="path"),
        pytest.param("x" * (128 - PREFIX), "reconciler:" + "x" * (128 - PREFIX), id="exactly 128 bytes"),
        pytest.param("x" * (129 - PREFIX), "reconciler:" + "x" * 104 + "-41e165aec91e", id="129 bytes"),
        pytest.param("ü" * 58, "reconciler:" + "ü" * 58, id="127 bytes of 69 characters"),
        pytest.param("ü" * 59, "reconciler:" + "ü" * 52 + "-56983479fbc7", id="129 bytes of 70 characters"),
        pytest.param(
            "x" + "ü" * 60,
            "reconciler:x" + "ü" * 51 + "-6fa3198996a7",
            id="a cut inside a character drops it",
        ),
    ],
)
def test_field_manager(project, want):
    assert field_manager(project) == want


@examples(100)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_field_manager_is_never_longer_than_the_api_server_takes(project):
    assert len(field_manager(project).encode()) <= 128


def test_long_projects_with_a_common_beginning_have_different_managers():
    names = {field_manager("x" * 200 + str(n)) for n in range(50)}
    assert len(names) == 50


@pytest.mark.parametrize(
    ("instance", "project"),
    [("default", "shop"), ("default", "shop2"), ("other", "shop"), ("default", "team/shop"), ("ü", "ü")],
)
def test_inventory_id_is_a_name_for_a_config_map(instance, project):
    found = inventory_id(instance, project)
    assert found.removeprefix("reconciler-") != found
    assert set(found.removeprefix("reconciler-")) <= set("0123456789abcdef")
    assert len(found) == len("reconciler-") + 12


def test_inventory_id_stays_the_same_for_ever():
    """Objects carry it: another rule would orphan everything."""
    assert inventory_id("default", "shop") == "reconciler-5be479caf0c0"


WEB = ObjectRef("apps", "Deployment", "shop", "web")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((b"x" * 32, WEB, "apps/v1", "d1"), id="key"),
        pytest.param(
            (KEY, ObjectRef("extensions", "Deployment", "shop", "web"), "apps/v1", "d1"), id="group"
        ),
        pytest.param((KEY, ObjectRef("apps", "StatefulSet", "shop", "web"), "apps/v1", "d1"), id="kind"),
        pytest.param((KEY, ObjectRef("apps", "Deployment", "other", "web"), "apps/v1", "d1"), id="namespace"),
        pytest.param((KEY, ObjectRef("apps", "Deployment", "shop", "api"), "apps/v1", "d1"), id="name"),
        pytest.param((KEY, WEB, "apps/v1beta1", "d1"), id="version"),
        pytest.param((KEY, WEB, "apps/v1", "d2"), id="digest"),
    ],
)
def test_applied_mark_changes_with_each_input(other):
    assert applied_mark(*other) != applied_mark(KEY, WEB, "apps/v1", "d1")


def test_applied_mark_is_the_same_in_every_process_and_shows_no_digest():
    mark = applied_mark(KEY, WEB, "apps/v1", "d1")
    assert mark == "c6b682961a7e3357728c13e4699a07fe095d4148c49f24cdb69607ed4c0c70fa"


MARKED = {
    marks.PROJECT: "team/shop",
    marks.OWNING_INVENTORY: "reconciler-0123456789ab",
    marks.APPLIED: "abc",
}


def rendered(body: dict, of: ObjectRef) -> dict:
    text = render(
        body,
        of,
        instance="default",
        project="team/shop",
        inventory="reconciler-0123456789ab",
        applied="abc",
    )
    return json.loads(text)


@pytest.mark.parametrize(
    ("metadata", "labels", "annotations"),
    [
        pytest.param({}, {}, {}, id="neither"),
        pytest.param({"labels": None, "annotations": None}, {}, {}, id="null"),
        pytest.param({"labels": {}, "annotations": {}}, {}, {}, id="empty"),
        pytest.param({"labels": {"app": "web"}}, {"app": "web"}, {}, id="own labels stay"),
        pytest.param({"annotations": {"note": "x"}}, {}, {"note": "x"}, id="own annotations stay"),
        pytest.param(
            {
                "labels": {marks.INSTANCE_LABEL: "evil"},
                "annotations": dict.fromkeys(MARKED, "evil"),
            },
            {},
            {},
            id="marks written in git are overwritten",
        ),
    ],
)
def test_render_adds_our_marks(metadata, labels, annotations):
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", **metadata},
        "data": {"k": "v"},
    }
    assert rendered(body, ref("a")) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "a",
            "namespace": "shop",
            "labels": {**labels, marks.INSTANCE_LABEL: "default"},
            "annotations": {**annotations, **MARKED},
        },
        "data": {"k": "v"},
    }


def test_render_fills_in_the_namespace_of_the_reference():
    body = {"metadata": {"name": "a", "namespace": ""}}
    assert rendered(body, ref("a"))["metadata"]["namespace"] == "shop"


def test_render_gives_no_namespace_to_a_cluster_object():
    body = {"metadata": {"name": "a"}}
    assert "namespace" not in rendered(body, ref("a", namespace=""))["metadata"]


def test_render_leaves_its_input_alone():
    body = {
        "metadata": {"name": "a", "labels": {"app": "web"}, "annotations": {"note": "x"}},
        "data": {"k": "v"},
    }
    before = copy.deepcopy(body)
    rendered(body, ref("a"))
    assert body == before


@pytest.mark.parametrize(
    ("metadata", "want"),
    [
        pytest.param({}, None, id="no annotations"),
        pytest.param({"annotations": None}, None, id="null"),
        pytest.param({"annotations": {"note": "x"}}, None, id="others only"),
        pytest.param({"annotations": {marks.OWNING_INVENTORY: ""}}, None, id="empty"),
        pytest.param({"annotations": {marks.OWNING_INVENTORY: "1-278964"}}, "1-278964", id="the old agent's"),
        pytest.param({"labels": {marks.INSTANCE_LABEL: "default"}}, None, id="a label proves nothing"),
    ],
)
def test_owner_of(metadata, want):
    assert owner_of(metadata) == want


OURS = {marks.PROJECT: "shop", marks.OWNING_INVENTORY: "i1", marks.APPLIED: "m"}


@pytest.mark.parametrize(
    ("labels", "annotations", "removed"),
    [
        pytest.param({}, {}, [], id="no marks"),
        pytest.param(
            {marks.INSTANCE_LABEL: "one", "app": "web"},
            {**OURS, "note": "x"},
            [
                "labels/reconciler.dev~1instance",
                "annotations/config.k8s.io~1owning-inventory",
                "annotations/reconciler.dev~1project",
                "annotations/reconciler.dev~1applied",
            ],
            id="all of ours, and nothing else",
        ),
        pytest.param(
            {marks.INSTANCE_LABEL: "two"},
            {**OURS, marks.PROJECT: "other", marks.OWNING_INVENTORY: "i2"},
            [],
            id="of another instance and project",
        ),
        pytest.param(
            {}, {marks.OWNING_INVENTORY: "i1"}, ["annotations/config.k8s.io~1owning-inventory"], id="one left"
        ),
    ],
)
def test_unmark(labels, annotations, removed):
    metadata = {"resourceVersion": "7", "labels": labels, "annotations": annotations}
    version, *rest = marks.unmark(metadata, instance="one", project="shop", inventory="i1") or [None]
    assert [op["path"] for op in rest] == [f"/metadata/{path}" for path in removed]
    assert (version is not None) is bool(removed)
    assert version is None or version["value"] == "7"
