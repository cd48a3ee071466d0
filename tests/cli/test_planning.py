"""`reconciler plan` and `reconciler explain` as a person or a pipeline runs them."""

import json
from typing import Any

import pytest

from tests.cli.running import Done, options, run
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map, manifest


def plan(installation: Installation, *arguments: object, **more: Any) -> Done:
    return run(installation.directory, "plan", *options(installation, source=True), *arguments, **more)


def test_text_and_exit_codes(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": config_map("a", x="1")})
    done = plan(installation)
    assert (done.code, done.err) == (1, "")
    head, object_line, *_ = done.out.splitlines()
    assert head == f"{PROJECT}  {commit[:12]} (refs/heads/main): 1 to create"
    assert object_line == f"  + ConfigMap {installation.namespace}/a (a.yaml:2): not in the cluster"
    installation.sync()
    done = plan(installation, PROJECT)
    assert (done.code, "1 unchanged" in done.out) == (0, True)
    assert plan(installation, "--revision", "nowhere").code == 2
    assert plan(installation, "other").error.endswith(f"has no project other; it has {PROJECT}")


def test_what_would_fail_is_told_once(installation: Installation) -> None:
    installation.commit({"a.yaml": manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})})
    done = plan(installation)
    assert (done.code, done.out.count("spec.ports[0].port: Invalid value")) == (2, 1)


def test_json_is_one_document(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", x="1")})
    done = plan(installation, "-o", "json")
    assert (done.code, done.json["schema"]) == (1, "reconciler/v1")
    (found,) = done.json["projects"][0]["objects"]
    assert (found["action"], found["outcome"], found["file"]) == ("create", "created", "a.yaml")
    assert {"path": ".data.x", "change": "added", "masked": False, "old": None, "new": "1"} in found["fields"]


def test_markdown_is_a_comment(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", x="1")})
    done = plan(installation, "-o", "markdown")
    assert done.out.startswith("**reconciler plan**: 1 change in 1 project\n\n<details open><summary>")
    assert '\n+   .data.x: "1"\n' in done.out


@pytest.mark.parametrize("value", ["\x1b[2Jx", "\u202ex"])
def test_no_value_moves_the_cursor(installation: Installation, value: str) -> None:
    installation.commit({"a.yaml": json.dumps(config_map("a", x=value))})
    for output in ("text", "markdown"):
        assert value not in plan(installation, "-o", output).out


def test_directory_that_is_no_repository(installation: Installation) -> None:
    work = installation.directory / "work"
    work.mkdir()
    (work / "a.yaml").write_text(json.dumps(config_map("a")))
    done = plan(installation, "--path", work)
    assert done.code == 1
    assert done.out.startswith(f"{PROJECT}  {work}: 1 to create\n")


def explain(installation: Installation, *arguments: object) -> Done:
    where = ("-n", installation.namespace)
    return run(installation.directory, "explain", *options(installation, source=True), *where, *arguments)


def test_an_object_is_explained_in_a_table(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": config_map("a", x="canary-value")})
    installation.sync()
    done = explain(installation, "cm/a")
    assert (done.code, done.err) == (0, "")
    first, *rest = done.out.splitlines()
    assert first == (
        f"ConfigMap {installation.namespace}/a (v1): of project {PROJECT}: "
        "its inventory and the mark on the object agree"
    )
    told = {line.strip().split("  ")[0]: line.split("  ")[-1].strip() for line in rest[:8] if "  " in line}
    assert told["commit"] == f"{commit[:12]} (refs/heads/main)"
    assert told["file"] == "a.yaml:2"
    (row,) = [line.split() for line in rest if line.startswith(".data.x ")]
    assert row[1:3] == [f"reconciler:{PROJECT}", "(Apply)"]
    assert rest[-1].startswith("LAST WRITE: ")
    assert "canary-value" not in done.out


def test_an_object_is_explained_as_json(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", x="1")})
    installation.sync()
    found = explain(installation, "configmap/a", "-o", "json").json
    assert found.keys() == {
        "schema", "group", "kind", "namespace", "name", "api_version", "exists", "managed", "standing",
        "project", "repository", "revision", "file", "line", "outcome", "status", "reason", "message",
        "needs", "needed_by", "belongs_to", "fields", "unseen", "api_requests",
    }  # fmt: skip
    (field,) = [its for its in found["fields"] if its["path"] == ".data.x"]
    assert field["owners"][0].keys() == {"manager", "operation", "subresource", "last_write"}


def test_what_cannot_be_explained_is_2(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    done = explain(installation, "configmap/b")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(
        f"error: KIND/NAME: ConfigMap {installation.namespace}/b is not in the cluster"
    )
    assert "does not hold" in explain(installation, "configmap/a", "--namespaces=other,another").error
