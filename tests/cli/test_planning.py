"""`reconciler plan` as a person or a pipeline runs it."""

import json
from typing import Any

import pytest

from tests.cli.running import Done, options, run
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map


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
