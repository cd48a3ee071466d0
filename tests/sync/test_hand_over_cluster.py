"""Objects that move between projects, on a real API server: never deleted, never nobody's."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.service.onepass import PassResult
from reconciler.sync import marks
from reconciler.sync.outcome import ProjectReport, State
from tests.fix_git import Repository
from tests.fix_sync import Installation, Requests, of, outcomes
from tests.objects import config_map, manifest, text


def own(name: str) -> dict[str, Any]:
    """What a project declares besides, so that it never declares nothing."""
    return config_map(f"own-{name}")


class Pair:
    """Projects `one` and `two` of one repository, each with a folder."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.keys: dict[str, Any] = {}
        self.declare("one")

    def declare(self, *projects: str) -> None:
        """Who declares `a` from now on."""
        files: dict[str, Any] = {f"{p}/own.yaml": own(p) for p in ("one", "two")}
        files |= {f"{p}/a.yaml": config_map("a") if p in projects else None for p in ("one", "two")}
        self.installation.commit(files)

    def run(self, *only: str, **keys: Any) -> PassResult:
        self.keys |= keys
        paths = [{"id": p, "paths": [{"glob": f"{p}/*"}], **self.keys} for p in ("one", "two")]
        self.installation.configure_projects(paths)
        return self.installation.run(*only)

    def owner(self) -> str:
        found: str = self.metadata()["annotations"][marks.PROJECT]
        return found

    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.installation.get("configmaps", "a")["metadata"]
        return metadata

    def inventory(self, project: str) -> set[str]:
        """Names that are recorded for a project."""
        name = marks.inventory_id(self.installation.namespace, project)
        parts = self.installation.api.get(self.installation.path("configmaps"))["items"]
        texts = [
            item["data"].get("objects", "") + item["data"].get("recent", "")
            for item in parts
            if item["metadata"]["name"] in (name, f"{name}-0")
        ]
        return {line.split(" ")[2].partition("/")[2] for text_ in texts for line in text_.splitlines()}


@pytest.fixture
def pair(installation: Installation) -> Pair:
    """`a` is declared and owned by `one`."""
    found = Pair(installation)
    assert [report.state for report in found.run().reports] == [State.SYNCED, State.SYNCED]
    return found


def deletes(requests: Requests) -> list[str]:
    return [str(asked) for asked in requests.writes if asked.verb == "delete" and asked.name == "a"]


def words(report: ProjectReport) -> tuple[State, str]:
    return report.state, outcomes(report).get("a", "")


def test_second_project_that_declares_it_is_blocked_and_names_the_first(pair: Pair) -> None:
    pair.declare("one", "two")
    for policy in ("must_match", "adopt_all"):
        one, two = pair.run(inventory_policy=policy).reports
        assert (words(one), words(two)) == ((State.SYNCED, "unchanged"), (State.FAILED, "blocked"))
        assert "project one" in of(two, "a").message
    assert pair.owner() == "one"


def test_moved_object_changes_hands_in_one_pass(pair: Pair) -> None:
    uid = pair.metadata()["uid"]
    pair.declare("two")
    with pair.installation.recorded() as requests:
        one, two = pair.run().reports
    assert (words(one), words(two)) == ((State.SYNCED, "handed_over"), (State.SYNCED, "updated"))
    assert "handed over by project one" in of(two, "a").message
    assert (deletes(requests), pair.metadata()["uid"], pair.owner()) == ([], uid, "two")
    managers = {entry["manager"] for entry in pair.metadata()["managedFields"]}
    assert managers == {marks.field_manager("two")}
    one, two = pair.run().reports
    assert (words(one), words(two)) == ((State.SYNCED, "handed_over"), (State.SYNCED, "unchanged"))
    assert (pair.inventory("one"), pair.inventory("two")) == ({"own-one"}, {"a", "own-two"})
    with pair.installation.recorded() as requests:
        one, two = pair.run().reports
    assert (outcomes(one), requests.writes) == ({"own-one": "unchanged"}, [])


@pytest.mark.parametrize("order", [*itertools.product(("one", "two"), repeat=3)], ids="-".join)
def test_no_order_of_runs_of_their_own_deletes_it(pair: Pair, order: tuple[str, ...]) -> None:
    """Each run is a process of its own, which sees of the other project only what is recorded."""
    uid = pair.metadata()["uid"]
    pair.declare("two")
    with pair.installation.recorded() as requests:
        for project in order:
            pair.run(project)
            assert pair.metadata()["uid"] == uid
        for project in ("one", "two", "one"):
            (report,) = pair.run(project).reports
            assert report.state is State.SYNCED, report
    assert (deletes(requests), pair.owner()) == ([], "two")
    assert (pair.inventory("one"), pair.inventory("two")) == ({"own-one"}, {"a", "own-two"})


def test_object_that_moves_and_then_leaves_is_pruned(pair: Pair) -> None:
    pair.declare("two")
    pair.run("one")
    pair.declare()
    for _ in range(2):
        reports = pair.run().reports
    assert [report.state for report in reports] == [State.SYNCED, State.SYNCED]
    assert not pair.installation.exists("configmaps", "a")


def test_what_is_handed_over_does_not_count_as_pruned(pair: Pair) -> None:
    """A move of everything would be held otherwise."""
    pair.declare("two")
    one, _ = pair.run(prune_limit=0).reports
    assert (one.state, one.held) == (State.SYNCED, None)


def test_unreadable_file_of_the_other_project_holds_the_prune(pair: Pair) -> None:
    pair.declare()
    pair.installation.commit({"two/broken.yaml": "a: ["})
    (one,) = pair.run("one").reports
    assert words(one) == (State.HELD, "held")
    assert "project two: two/broken.yaml cannot be read" in one.reason
    pair.installation.commit({"two/broken.yaml": None})
    (one,) = pair.run("one").reports
    assert words(one) == (State.SYNCED, "pruned")


def test_records_of_the_other_project_that_cannot_be_believed_hold_the_prune(pair: Pair) -> None:
    pair.declare()
    name = marks.inventory_id(pair.installation.namespace, "two")
    path = pair.installation.path("configmaps", f"{name}-0")
    pair.installation.api.patch(path, {"data": {"objects": "garbage\n"}})
    (one,) = pair.run("one").reports
    assert words(one) == (State.HELD, "held")
    assert "project two" in one.reason
    pair.run("two")  # nothing of its own is to be pruned: that settles the damage
    (one,) = pair.run("one").reports
    assert words(one) == (State.SYNCED, "pruned")


def test_records_of_a_later_release_hold_the_prune(pair: Pair) -> None:
    pair.declare()
    name = marks.inventory_id(pair.installation.namespace, "two")
    pair.installation.api.patch(pair.installation.path("configmaps", name), {"data": {"schema": "99"}})
    (one,) = pair.run("one").reports
    assert words(one) == (State.HELD, "held")
    assert "project two" in one.reason


def test_project_that_left_the_configuration_keeps_nobody_waiting(pair: Pair) -> None:
    pair.declare("one", "two")
    pair.run()
    pair.declare()
    pair.installation.configure_projects([{"id": "one", "paths": [{"glob": "one/*"}]}])
    (one,) = pair.installation.run().reports
    assert words(one) == (State.SYNCED, "pruned")


def test_project_that_may_not_have_it_keeps_nobody_waiting(pair: Pair) -> None:
    pair.declare("two")
    one, two = ({"id": p, "paths": [{"glob": f"{p}/*"}]} for p in ("one", "two"))
    pair.installation.configure_projects([one, {**two, "allowed_kinds": ["Secret"]}])
    (report,) = pair.installation.run("one").reports
    assert words(report) == (State.SYNCED, "pruned")


@pytest.fixture
def apart(installation: Installation, make_repo: Callable[..., Repository]) -> Callable[..., PassResult]:
    """Run `one` or `two`, which follow repositories of their own; `a` is in that of `one` at first."""
    second = make_repo("second")
    second.commit({"own.yaml": text(own("two"))})
    installation.commit({"own.yaml": own("one"), "a.yaml": config_map("a")})

    def run(*only: str, move: bool = False, leave: bool = False, **keys: Any) -> PassResult:
        if leave:
            installation.commit({"a.yaml": None})
        if move:
            second.commit({"a.yaml": text(config_map("a"))})
        installation.configure_projects([{"id": "one", **keys}, {"id": "two", "url": second.url}])
        return installation.run(*only)

    run("one")
    run("two")
    return run


def test_move_between_repositories_that_the_new_one_begins(
    installation: Installation, apart: Callable[..., PassResult]
) -> None:
    uid = installation.get("configmaps", "a")["metadata"]["uid"]
    (two,) = apart("two", move=True).reports
    assert words(two) == (State.FAILED, "blocked")
    (one,) = apart("one", leave=True).reports
    assert words(one) == (State.SYNCED, "handed_over")
    (two,) = apart("two").reports
    assert words(two) == (State.SYNCED, "updated")
    assert installation.get("configmaps", "a")["metadata"]["uid"] == uid


def test_within_the_grace_a_move_between_repositories_may_begin_with_the_old_one(
    installation: Installation, apart: Callable[..., PassResult]
) -> None:
    uid = installation.get("configmaps", "a")["metadata"]["uid"]
    messages = set()
    for leave in (True, False):
        (one,) = apart("one", leave=leave, prune_grace="3600s").reports
        assert words(one) == (State.SYNCED, "held")
        assert (of(one, "a").reason, 3000 < one.due_in <= 3600) == ("PruneGrace", True)
        messages.add(of(one, "a").message)
    assert len(messages) == 1, "when it ends is recorded, and does not move with each run"
    (two,) = apart("two", move=True, prune_grace="3600s").reports
    assert words(two) == (State.SYNCED, "updated")
    (one,) = apart("one").reports
    assert words(one) == (State.SYNCED, "handed_over")
    assert installation.get("configmaps", "a")["metadata"]["uid"] == uid


@pytest.mark.parametrize("key", [{"suspend": True}, {"dry_run_strategy": "client"}, {"depends_on": ["bad"]}])
def test_project_that_has_written_no_record_yet_keeps_what_it_declares(
    installation: Installation, make_repo: Callable[..., Repository], key: dict[str, Any]
) -> None:
    """It reads a repository of its own, and has only just been added: git tells what it wants."""
    installation.commit({"own.yaml": own("one"), "a.yaml": config_map("a"), "b.yaml": config_map("b")})
    installation.configure_projects([{"id": "one"}])
    installation.run()
    second, bad = make_repo("second"), make_repo("bad")
    second.commit({"a.yaml": text(config_map("a"))})
    bad.commit({"bad.yaml": text(manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]}))})
    installation.commit({"a.yaml": None, "b.yaml": None})
    installation.configure_projects(
        [{"id": "one"}, {"id": "two", "url": second.url, **key}, {"id": "bad", "url": bad.url}]
    )
    for only in (["one"], [], []):
        one = installation.run(*only).reports[0]
        assert outcomes(one)["a"] == "handed_over", one
        assert installation.exists("configmaps", "a")
    assert not installation.exists("configmaps", "b")


def test_after_the_grace_it_is_pruned(installation: Installation, apart: Callable[..., PassResult]) -> None:
    apart("one", leave=True, prune_grace="3600s")
    (one,) = apart("one", prune_grace="0s").reports
    assert words(one) == (State.SYNCED, "pruned")
    assert not installation.exists("configmaps", "a")
