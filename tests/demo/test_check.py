"""The demo's own check: that it would notice."""

from dataclasses import replace
from typing import Any

import pytest

from demo import check, declared, repositories
from demo.declared import Declared, differences
from demo.observed import Name, Observed
from reconciler.config.validate import validate
from reconciler.sync.status import parse_status

COMMIT = "a" * 40


def manifest(name: str, data: dict[str, str]) -> Declared:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return Declared("shop", "v1", "ConfigMap", "", name, body)


WANTED = (manifest("a", {"x": "1"}), manifest("b", {"x": "2"}))
SYNCED = parse_status({"state": "synced", "commit": COMMIT, "counts": "objects=2 ready=2 failed=0"})


def report(**changed: Any) -> dict[str, Any]:
    good = {
        "id": "shop",
        "state": "synced",
        "reason": "",
        "revision": {"commit": COMMIT},
        "counts": {"created": 2, "updated": 0, "unchanged": 0},
        "objects": [{}, {}],
    }
    return {"schema": "reconciler/v1", "projects": [good | changed]}


def observed() -> Observed:
    objects: dict[Name, Any] = {
        ("ConfigMap", "shop", its.name): {**its.body, "metadata": {"name": its.name, "uid": "u"}}
        for its in WANTED
    }
    return Observed("shop", SYNCED, objects, ready=2)


def without(name: str) -> Observed:
    objects = {key: body for key, body in observed().objects.items() if key[2] != name}
    return replace(observed(), objects=objects)


def more(name: Name, body: dict[str, Any]) -> Observed:
    return replace(observed(), objects={**observed().objects, name: body})


def complaints(document: dict[str, Any], found: Observed) -> list[str]:
    return check.complaints(document, WANTED, {"shop": found}, commits={"shop": COMMIT})


def test_a_good_pass_has_no_complaint():
    assert complaints(report(), observed()) == []


@pytest.mark.parametrize(
    ("document", "found", "said"),
    [
        pytest.param({"schema": "other"}, observed(), "schema", id="another document"),
        pytest.param(report(id="else"), observed(), "about ['else']", id="another project"),
        pytest.param(report(state="failed", reason="why"), observed(), "failed: why", id="a failed run"),
        pytest.param(report(revision={"commit": "b"}), observed(), "commit b", id="an old commit"),
        pytest.param(report(objects=[{}]), observed(), "2 applied objects", id="a missing object report"),
        pytest.param(report(), without("b"), "ConfigMap b is not in the cluster", id="an object is missing"),
        pytest.param(
            report(), more(("Secret", "shop", "s"), {}), "Secret shop/s is in the cluster", id="one too many"
        ),
        pytest.param(
            report(),
            more(("ConfigMap", "shop", "b"), {**WANTED[1].body, "data": {"x": "9"}}),
            "data.x is '9' instead of '2'",
            id="another value",
        ),
        pytest.param(report(), replace(observed(), ready=1), "1 objects are ready", id="one is not ready"),
        pytest.param(
            report(), replace(observed(), status=None), "record in the cluster says", id="no status record"
        ),
    ],
)
def test_what_is_wrong_is_said(document, found, said):
    got = complaints(document, found)
    assert any(said in text for text in got), got


@pytest.mark.parametrize(
    ("git", "live", "want"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, [], id="defaults are no difference"),
        pytest.param({"a": 1}, {}, ["a is None instead of 1"], id="a value is missing"),
        pytest.param({"a": {"b": 1}}, {"a": 2}, ["a is 2 instead of a mapping"], id="another shape"),
        pytest.param({"l": [{"n": 1}]}, {"l": [{"n": 1, "p": "TCP"}]}, [], id="defaults inside of a list"),
        pytest.param({"l": [1]}, {"l": [1, 2]}, ["l is [1, 2] instead of [1]"], id="a longer list"),
        pytest.param(
            {"l": [{"n": 1}]}, {"l": [{"n": 2}]}, ["l[0].n is 2 instead of 1"], id="inside of a list"
        ),
    ],
)
def test_differences(git, live, want):
    assert differences(git, live) == want


def test_the_examples_have_a_valid_configuration():
    (checked,) = validate(repositories.EXAMPLES / repositories.CONFIG)
    assert checked.problems == ()
    assert checked.configuration is not None
    assert {project.id for project in checked.configuration.projects} == set(repositories.PROJECTS)


def test_the_repositories_hold_the_examples_and_the_configuration_leads_to_them(tmp_path):
    made = repositories.make(tmp_path)
    config = (made.config / ".gitlab/agents/demo/config.yaml").read_text(encoding="utf-8")
    for name, path in made.projects.items():
        assert f"url: {path}\n" in config
        assert len(repositories.commit_of(path)) == len(COMMIT), name
    assert {its.project for its in declared.read(made.projects)} == set(repositories.PROJECTS)


def test_repositories_are_made_inside_of_a_git_hook_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    made = repositories.make(tmp_path)
    assert repositories.commit_of(made.config)
