"""`reconciler sync`, `status` and `approve` as a person runs them: exit codes, tables, JSON."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.sync import marks
from reconciler.sync.outcome import Outcome
from tests.cli.running import records, sync
from tests.fix_git import Repository
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map, deployment, manifest
from tests.service.process import service, until

BAD = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})


def test_all_in_sync_is_0_and_a_table(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    done = sync(installation)
    assert (done.code, done.err) == (0, "")
    header, row, *_ = done.out.splitlines()
    assert " ".join(header.split()) == "PROJECT COMMIT STATE CHANGED UNCHANGED PRUNED READY FAILED TIME"
    assert row.split()[:8] == [PROJECT, commit[:12], "synced", "2", "0", "0", "2", "0"]
    assert re.search(r"^\d+ API requests$", done.out, re.MULTILINE)


def test_failed_object_is_1_with_its_file_and_what_is_wrong(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a"), "dir/bad.yaml": BAD})
    done = sync(installation)
    assert done.code == 1
    (line,) = [line for line in done.out.splitlines() if line.strip().startswith("failed: Service")]
    assert f"Service {installation.namespace}/bad (dir/bad.yaml:1)" in line or "(dir/bad.yaml:2)" in line
    assert "spec.ports[0].port" in line


def test_held_prune_is_1_and_tells_how_to_approve(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    assert sync(installation).code == 0
    installation.commit({"a.yaml": None})
    done = sync(installation)
    assert done.code == 1
    (plan_hash,) = re.findall(rf"reconciler approve {PROJECT} ([0-9a-f]{{64}})", done.out)
    assert f"would prune: ConfigMap {installation.namespace}/a" in done.out
    assert plan_hash in records(installation, "status").out
    approved = records(installation, "approve", PROJECT, plan_hash[:12])
    assert (approved.code, approved.out) == (
        0,
        f"approved {plan_hash}: 1 object of {PROJECT} is pruned with the next run\n",
    )
    assert sync(installation).code == 0
    assert not installation.exists("configmaps", "a")


def test_suspended_project_counts_as_in_sync(installation: Installation) -> None:
    installation.configure(suspend=True)
    installation.commit({"a.yaml": config_map("a")})
    done = sync(installation)
    assert (done.code, "suspended" in done.out) == (0, True)


def test_lost_repository_is_2_and_the_others_are_synced(
    installation: Installation, make_repo: Callable[..., Repository]
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    nowhere = str(installation.directory / "nowhere.git")
    installation.configure_projects([{}, {"id": "lost", "url": nowhere}])
    done = sync(installation)
    assert done.code == 2
    assert [line.split()[2] for line in done.out.splitlines()[1:3]] == ["synced", "unknown"]
    assert f"lost: {nowhere}" in done.out or nowhere in done.out


def test_unknown_project_is_2_and_names_those_there_are(installation: Installation) -> None:
    done = sync(installation, "shopp")
    assert (done.code, done.out) == (2, "")
    assert done.error == f"error: PROJECT: the configuration has no project shopp; it has {PROJECT}"


def test_no_wait_does_not_wait_and_timeout_ends_waiting(installation: Installation) -> None:
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    assert sync(installation, "--no-wait").code == 0
    done = sync(installation, "--timeout=0.3")
    assert (done.code, "progressing" in done.out) == (1, True)


def test_json_has_exactly_the_stable_names(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a"), "bad.yaml": BAD})
    done = sync(installation, "-o", "json")
    document = done.json
    assert done.code == 1
    assert document.keys() == {"schema", "projects", "api_requests"}
    assert document["schema"] == "reconciler/v1"
    assert document["api_requests"].keys() == {"total", "by_verb"}
    assert document["api_requests"]["total"] == sum(document["api_requests"]["by_verb"].values())
    (project,) = document["projects"]
    assert project.keys() == {
        "id",
        "state",
        "reason",
        "revision",
        "held",
        "counts",
        "differing",
        "duration_seconds",
        "objects",
        "notes",
    }
    assert project["revision"].keys() == {"commit", "ref"}
    assert project["counts"].keys() == {outcome.value for outcome in Outcome} | {"ready"}
    names = {"group", "kind", "namespace", "name", "outcome", "status", "reason", "message", "file", "line"}
    assert [its.keys() for its in project["objects"]] == [names, names]
    assert [its["outcome"] for its in project["objects"]] == ["created", "failed"]


def test_json_of_a_held_project(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    sync(installation)
    installation.commit({"a.yaml": None})
    (project,) = sync(installation, "-o", "json").json["projects"]
    assert project["state"] == "held"
    assert project["held"].keys() == {"reason", "plan_hash", "objects"}
    assert project["held"]["objects"] == [f"ConfigMap {installation.namespace}/a"]


def test_requests_are_counted_as_the_server_counts_them(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        told = sync(installation, "-o", "json").json["api_requests"]
    assert told["total"] == len(requests.all), (told, requests.count())


def test_repeated_sync_asks_little(installation: Installation) -> None:
    """Two for discovery, three for the lease; one each for records, key, pause and kind."""
    installation.commit({"a.yaml": [config_map(f"c{n}") for n in range(100)]})
    sync(installation)
    total = sync(installation, "-o", "json").json["api_requests"]["total"]
    assert total <= 9


def test_markup_in_names_is_printed_as_it_is(installation: Installation) -> None:
    bad = {**BAD, "metadata": {"name": "bad", "annotations": {"x": 1}}}
    installation.commit({"[red]dir/[b]bad.yaml": bad})
    done = sync(installation)
    assert (done.code, "[red]dir/[b]bad.yaml" in done.out) == (1, True)


# -- status and approve --------------------------------------------------------------------


def test_status_shows_what_was_recorded(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": config_map("a"), "bad.yaml": BAD})
    sync(installation)
    done = records(installation, "status")
    assert (done.code, done.err) == (0, "")
    header, row, *details = done.out.splitlines()
    assert header.split() == ["PROJECT", "COMMIT", "STATE", "REF", "OBJECTS", "READY", "FAILED"]
    assert row.split() == [PROJECT, commit[:12], "failed", "refs/heads/main", "2", "1", "1"]
    assert any("failed: Service" in line and "bad.yaml" in line for line in details)


def shape(value: Any) -> Any:
    """A document's names at every depth, with the types of its values."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(inner) for inner in value]
        case _:
            return "number" if isinstance(value, int | float) else type(value).__name__


def test_json_of_status_has_every_name_that_sync_has(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a"), "bad.yaml": BAD})
    (of_sync,) = sync(installation, "-o", "json").json["projects"]
    document = records(installation, "status", "-o", "json").json
    (of_status,) = document["projects"]
    assert document.keys() == {"schema", "paused", "projects", "api_requests"}
    assert document["api_requests"] == {"total": 3, "by_verb": {"list": 1, "get": 2}}
    assert of_status.pop("recorded") == {"objects": 2, "ready": 1, "failed": 1}
    assert of_status.pop("inventory") == {"objects": 2, "damage": ""}
    assert of_status.pop("truncated") == ""
    of_sync["objects"] = [its for its in of_sync["objects"] if its["outcome"] == "failed"]
    assert shape(of_status) == shape(of_sync)
    same = ("id", "state", "reason", "revision", "held", "objects", "notes")
    assert {name: of_status[name] for name in same} == {name: of_sync[name] for name in same}
    assert {name: count for name, count in of_status["counts"].items() if count} == {"failed": 1, "ready": 1}


def test_json_of_status_tells_what_is_held(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    sync(installation)
    installation.commit({"a.yaml": None})
    (of_sync,) = sync(installation, "-o", "json").json["projects"]
    (of_status,) = records(installation, "status", "-o", "json").json["projects"]
    assert of_status["held"] == of_sync["held"]
    assert of_status["counts"]["held"] == 1


def test_status_before_anything_was_synced(installation: Installation) -> None:
    done = records(installation, "status")
    assert (done.code, "no project has records here" in done.out) == (0, True)
    done = records(installation, "status", "shop")
    assert done.code == 2
    assert "there are no records of project shop" in done.error


def test_status_writes_nothing(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    sync(installation)
    with installation.recorded() as requests:
        records(installation, "status")
    assert sorted(asked.verb for asked in requests.all) == ["get", "get", "list"]


@pytest.mark.parametrize("how", ["annotation", "configuration"])
def test_status_says_that_all_is_paused(installation: Installation, how: str) -> None:
    """Its records are from before; a service that writes nothing keeps only the Lease."""
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said(f"project {PROJECT} synced")
        until(lambda: installation.record("-status"), "its status")
        if how == "configuration":
            installation.configure_projects([{}], paused=True)
        else:
            note = {"metadata": {"annotations": {marks.PAUSED: "true"}}}
            installation.api.patch(f"/api/v1/namespaces/{installation.namespace}", note)
        process.said("paused: ")
        until(lambda: "nothing is written" in records(installation, "status").out, "the word")
        done = records(installation, "status")
        first, _header, row, *_ = done.out.splitlines()
        assert re.match(
            r"paused: (paused is set in the configuration|namespace .* has the annotation)", first
        )
        assert row.split()[2] == "synced"
        assert (
            records(installation, "status", "-o", "json").json["paused"]
            == first.removeprefix("paused: ").partition(";")[0]
        )


def test_wrong_hash_is_refused_and_the_right_one_named(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    sync(installation)
    done = records(installation, "approve", PROJECT, "0" * 64)
    assert done.code == 2
    assert "nothing is held under" in done.error
    short = records(installation, "approve", PROJECT, "3f2c9ab")
    assert (short.code, "12 to 64 digits" in short.error) == (2, True)
    assert records(installation, "approve", "nowhere", "0" * 64).code == 2
