"""Tables and progress: nothing is cut but a project's name, and no name can move the cursor."""

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from reconciler.cli import render
from reconciler.cli.text import number_of, plain, width
from reconciler.manifests.identity import ObjectRef
from reconciler.service.onepass import PassResult
from reconciler.service.reading import Stored, StoredProjects
from reconciler.sync.outcome import ObjectReport, Outcome, ProjectReport, State
from reconciler.sync.status import parse_status, status_data

COMMIT = "5c6ff6b14a6b9d9e4be6a2a5a0dbb2be4ac0f1a9"
IDS = [
    pytest.param("shop", id="plain"),
    pytest.param("group/" + "x" * 194, id="200 characters"),
    pytest.param("[red]shop[/] [link=http://x]", id="markup"),
    pytest.param("shop\nfake  synced\x1b[2K\x1b]8;;http://x\x07", id="control characters"),
    pytest.param("größe/店/e\u0301", id="wide and combined letters"),
    pytest.param("failed", id="a word of our own"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def its(name: str, outcome: Outcome, health: str = "") -> ObjectReport:
    return ObjectReport(ref=ObjectRef("", "ConfigMap", "shop", name), outcome=outcome, health=health)


OBJECTS = (
    its("a", Outcome.CREATED, "Current"),
    its("b", Outcome.UPDATED, "InProgress"),
    its("c", Outcome.UNCHANGED, "Failed"),
    its("d", Outcome.FAILED, "Failed"),
    its("e", Outcome.BLOCKED),
    its("f", Outcome.HELD, "Current"),
    its("g", Outcome.PRUNED),
    its("h", Outcome.HANDED_OVER),
)


def report(project: str = "shop", state: State = State.FAILED, **more: Any) -> ProjectReport:
    return ProjectReport(project=project, state=state, commit=COMMIT, ref="refs/heads/main", **more)


def passed(*reports: ProjectReport) -> PassResult:
    return PassResult(reports=reports, requests={"total": 1, "by_verb": {"list": 1}}, unusable=False)


@pytest.mark.parametrize("project", IDS)
def test_table_is_whole_and_its_columns_are_in_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    render.print_pass(passed(report(project), report("other")))
    header, row, other, last, *_ = capsys.readouterr().out.split("\n")
    assert plain(project) in row
    assert last == "1 API request"
    for line in (row, other):
        assert "\x1b" not in line
        assert width(line[: line.index(COMMIT[:12])]) == header.index("COMMIT")
        assert line.split(COMMIT[:12])[1].split() == ["failed", "0", "0", "0", "0", "0", "0.0", "s"]


@pytest.mark.parametrize("project", IDS)
@pytest.mark.parametrize(("no_colour", "escapes"), [("", 2), ("1", 0)])
def test_only_the_state_has_a_colour_and_only_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, project: str, no_colour: str, escapes: int
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    render.print_pass(passed(report(project)))
    _, row, *_ = terminal.getvalue().split("\n")
    assert row.count("\x1b") == escapes
    assert row.count("\x1b[31mfailed\x1b[0m") == escapes // 2


def drawn(watcher: render.Watcher, columns: int = 80) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=columns).print(watcher)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("project", IDS)
def test_progress_cuts_nothing_but_the_project(project: str) -> None:
    watcher = render.Watcher()
    watcher.object_changed(project, OBJECTS[0])
    watcher.finished(report(project, State.PROGRESSING, objects=OBJECTS))
    header, row = drawn(watcher)
    assert header.split() == ["PROJECT", "COMMIT", "STATE", "APPLIED", "READY", "FAILED", "TIME"]
    assert row.split(COMMIT[:12])[1].split() == ["progressing", "2", "2", "3", "0.0", "s"]
    assert "\x1b" not in row
    assert width(row) <= 80


def test_progress_is_of_the_chosen_projects_alone() -> None:
    class Project:
        def __init__(self, name: str) -> None:
            self.id = name

    class Configuration:
        projects = (Project("shop"), Project("other"))

    watcher = render.Watcher(("shop",))
    watcher.started(Configuration())  # type: ignore[arg-type]
    assert [line.split()[0] for line in drawn(watcher)] == ["PROJECT", "shop"]


def test_failed_is_the_same_number_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """c has failed after it was applied, d was refused, e waits for d."""
    said = report(objects=OBJECTS)
    render.print_pass(passed(said))
    of_sync = capsys.readouterr().out.splitlines()[1].split()
    stored = Stored(project="shop", status=parse_status(status_data(said)), inventory=0, damage="")
    render.print_status(StoredProjects(projects=(stored,), paused="", unseen="", requests={}))
    of_status = capsys.readouterr().out.splitlines()[1].split()
    watcher = render.Watcher()
    watcher.object_changed("shop", OBJECTS[0])
    watcher.finished(said)
    live = drawn(watcher)[1].split()
    assert (of_sync[7], of_status[-1], live[-3]) == ("3", "3", "3")


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 API requests"), (1, "1 API request"), (2, "2 API requests")]
)
def test_numbers_agree_with_their_nouns(count: int, shown: str) -> None:
    assert number_of(count, "API request") == shown
    assert number_of(count, "entry", "entries").endswith("entry" if count == 1 else "entries")
