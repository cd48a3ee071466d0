"""
How results look: tables for people, one JSON document for programs, progress on a terminal.

Knows reports, decides nothing but words and columns. Tables go to standard output,
progress and errors to standard error.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson
import typer

from reconciler.cli.text import number_of, plain, width
from reconciler.service.onepass import PassResult
from reconciler.service.reading import Stored, StoredProjects
from reconciler.sync.outcome import BAD, SCHEMA, ObjectReport, Outcome, ProjectReport, State, document

if TYPE_CHECKING:
    from rich.table import Table

    from reconciler.config.models import Configuration
    from reconciler.config.validate import Checked

SHOWN: Final = 20
"""Objects that a table names for each project; `-o json` has all."""

_COLOURS: Final = {
    State.SYNCED: "green",
    State.PROGRESSING: "cyan",
    State.PENDING: "yellow",
    State.FAILED: "red",
    State.HELD: "magenta",
    State.SUSPENDED: "white",
    State.UNKNOWN: "yellow",
}
_APPLIED: Final = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED})
_GONE: Final = frozenset({Outcome.PRUNED, Outcome.HANDED_OVER})
_GOOD_STATES: Final = frozenset({State.SYNCED, State.SUSPENDED})


def exit_code(result: PassResult) -> int:
    """0 all in sync, 2 a source could not be used, 1 anything else."""
    if result.unusable:
        return 2
    return 0 if all(report.state in _GOOD_STATES for report in result.reports) else 1


def print_json(value: Mapping[str, Any]) -> None:
    """One document, indented: it is read by people as well."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.flush()


def pass_document(result: PassResult) -> dict[str, Any]:
    """`-o json` of sync."""
    return document(result.reports, requests=result.requests)


def print_pass(result: PassResult) -> None:
    """`sync` as a table, and beneath it what a person has to look at."""
    columns = ("PROJECT", "COMMIT", "STATE", "CHANGED", "UNCHANGED", "PRUNED", "READY", "FAILED", "TIME")
    print_table(columns, [_pass_row(report) for report in result.reports], numbers=6)
    for report in result.reports:
        for line in _details(report):
            _say(line)
    _say(number_of(result.requests.get("total", 0), "API request"))


def _pass_row(report: ProjectReport) -> tuple[str, ...]:
    counts = report.counts()
    return (
        report.project,
        report.commit[:12] or "-",
        report.state.value,
        str(counts["created"] + counts["updated"]),
        str(counts["unchanged"]),
        str(counts["pruned"]),
        str(counts["ready"]),
        str(sum(map(_is_bad, report.objects))),
        f"{report.duration:.1f} s",
    )


def _is_bad(report: ObjectReport) -> bool:
    """What every column FAILED counts, each object once; the status record counts the same."""
    return report.outcome in BAD or (report.health == "Failed" and report.outcome not in _GONE)


def _details(report: ProjectReport) -> Iterator[str]:
    if report.reason:
        yield f"{report.project}: {report.reason}"
    shown = [its for its in report.objects if its.outcome in BAD or its.health in ("Failed", "InProgress")]
    for its in shown[:SHOWN]:
        place = f" ({its.path}:{its.line})" if its.path else ""
        word = its.outcome.value if its.outcome in BAD else its.health
        yield f"  {word}: {its.ref}{place}: {its.message or its.reason}"
    if len(shown) > SHOWN:
        yield f"  … and {len(shown) - SHOWN} more (-o json shows all)"
    for note in report.sentences:
        yield f"  note: {note}"
    if report.held:
        for ref in report.held.objects[:SHOWN]:
            yield f"  would prune: {ref}"
        if len(report.held.objects) > SHOWN:
            yield f"  … and {len(report.held.objects) - SHOWN} more"
        if report.held.plan_hash:
            yield f"  to let it go ahead: reconciler approve {report.project} {report.held.plan_hash}"


# -- status ----------------------------------------------------------------------------


def status_document(stored: StoredProjects) -> dict[str, Any]:
    """`-o json` of status: all names of sync's document, and some more; what is not recorded is 0 or ""."""
    return {
        "schema": SCHEMA,
        "paused": stored.paused,
        "projects": [_stored_project(its) for its in stored.projects],
        "api_requests": dict(stored.requests),
    }


def _stored_project(its: Stored) -> dict[str, Any]:
    status = its.status
    held = None
    if status.held_reason:
        names = [_name(entry) for entry in status.objects if entry.get("outcome") == Outcome.HELD]
        held = {"reason": status.held_reason, "plan_hash": status.held_plan, "objects": names}
    outcomes = Counter(entry.get("outcome") for entry in status.objects)
    # The list may be truncated, the number is not.
    outcomes[Outcome.HELD] = max(outcomes[Outcome.HELD], status.held_objects)
    return {
        "id": its.project,
        "state": status.state.value,
        "reason": status.reason,
        "revision": {"commit": status.commit, "ref": status.ref},
        "held": held,
        # Of those that are well only the sum is recorded, not what the last run did with each.
        "counts": {name.value: outcomes[name] for name in Outcome} | {"ready": status.counts.get("ready", 0)},
        "differing": None,
        "duration_seconds": 0,
        "objects": [_stored_object(entry) for entry in status.objects],
        "notes": [status.rewound] if status.rewound else [],
        "recorded": {name: status.counts.get(name, 0) for name in ("objects", "ready", "failed")},
        "truncated": status.truncated,
        "inventory": {"objects": its.inventory, "damage": its.damage},
    }


def _stored_object(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An object with every name; the record leaves out what is empty."""
    texts = ("group", "kind", "namespace", "name", "outcome", "status", "reason", "message", "file")
    line = entry.get("line")
    return {name: str(entry.get(name, "")) for name in texts} | {"line": line if isinstance(line, int) else 0}


def _name(entry: Mapping[str, Any]) -> str:
    kind, group, namespace, name = (
        str(entry.get(part, "")) for part in ("kind", "group", "namespace", "name")
    )
    return ".".join(filter(None, (kind, group))) + " " + "/".join(filter(None, (namespace, name)))


def print_status(found: StoredProjects) -> None:
    """`status` as a table, with what is not well beneath."""
    stored = found.projects
    if found.paused:
        _say(f"paused: {found.paused}; nothing is written, and what follows is from before")
    if found.unseen:
        _say(f"whether all is paused cannot be seen: {found.unseen}")
    if not stored:
        _say("no project has records here; look at --instance and --records-namespace")
        return
    columns = ("PROJECT", "COMMIT", "STATE", "REF", "OBJECTS", "READY", "FAILED")
    print_table(columns, [_status_row(its) for its in stored], numbers=3)
    for its in stored:
        for line in _stored_details(its):
            _say(line)


def _status_row(its: Stored) -> tuple[str, ...]:
    numbers = (str(its.status.counts.get(name, "-")) for name in ("objects", "ready", "failed"))
    status = its.status
    return its.project, status.commit[:12] or "-", status.state.value, status.ref or "-", *numbers


def _stored_details(its: Stored) -> Iterator[str]:
    if its.status.reason:
        yield f"{its.project}: {its.status.reason}"
    for entry in its.status.objects[:SHOWN]:
        place = f" ({entry['file']}:{entry.get('line', 0)})" if entry.get("file") else ""
        word = entry.get("outcome") or entry.get("status") or ""
        yield f"  {word}: {_name(entry)}{place}: {entry.get('message') or entry.get('reason', '')}"
    if its.status.truncated:
        yield f"  … {its.status.truncated}"
    if its.status.rewound:
        yield f"  note: {its.status.rewound}"
    if its.damage:
        yield f"  inventory not to be believed: {its.damage}"
    if its.status.held_plan:
        yield f"  to let it go ahead: reconciler approve {its.project} {its.status.held_plan}"


# -- validate --------------------------------------------------------------------------


def print_validation(checked: Sequence["Checked"]) -> int:
    """A line for each problem, or one for each good file; returns the exit code."""
    bad = 0
    for file in checked:
        for problem in file.problems:
            _say(problem)
        bad += bool(file.problems)
        if file.configuration is not None:
            projects = number_of(len(file.configuration.projects), "manifest project")
            ignored = file.configuration.ignored
            tail = f"; without effect here: {', '.join(ignored)}" if ignored else ""
            _say(f"{file.file}: valid, {projects}{tail}")
    return 1 if bad else 0


# -- progress --------------------------------------------------------------------------


class Watcher:
    """Counts what happens to the projects of `only` (none: to all); draws nothing by itself."""

    def __init__(self, only: Sequence[str] = ()) -> None:
        self._only = only
        self._objects: dict[str, dict[Any, ObjectReport]] = {}
        self._done: dict[str, ProjectReport] = {}
        self._began = time.monotonic()

    def started(self, configuration: "Configuration") -> None:
        """The projects are known."""
        ids = [project.id for project in configuration.projects]
        self._objects = {name: {} for name in ids if not self._only or name in self._only}

    def object_changed(self, project: str, report: ObjectReport) -> None:
        """Something happened to an object."""
        self._objects.setdefault(project, {})[report.ref] = report

    def finished(self, report: ProjectReport) -> None:
        """A project is done."""
        self._done[report.project] = report

    def __rich__(self) -> "Table":
        from rich.table import Table  # noqa: PLC0415 - only where something is drawn
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for n, column in enumerate(("PROJECT", "COMMIT", "STATE", "APPLIED", "READY", "FAILED", "TIME")):
            table.add_column(column, justify="left" if n < 3 else "right", no_wrap=n > 0)  # noqa: PLR2004
        for project, objects in self._objects.items():
            done = self._done.get(project)
            reports = list(done.objects if done else objects.values())
            applied = sum(r.outcome in _APPLIED and not _is_bad(r) for r in reports)
            ready = sum(r.health == "Current" for r in reports)
            failed = sum(map(_is_bad, reports))
            seconds = done.duration if done else time.monotonic() - self._began
            state = done.state if done else State.PROGRESSING
            commit = done.commit[:12] if done else ""
            # The one column that rich may make narrower, and its text is cut, not wrapped.
            name = Text(plain(project), no_wrap=True, overflow="ellipsis")
            coloured = Text(state.value, style=_COLOURS[state])
            table.add_row(name, commit, coloured, str(applied), str(ready), str(failed), f"{seconds:.1f} s")
        return table


@contextmanager
def progress(*, enabled: bool, only: Sequence[str] = ()) -> Iterator[Watcher]:
    """A watcher of the projects of `only`, drawn live on standard error where that is a terminal."""
    watcher = Watcher(only)
    if not enabled:
        yield watcher
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    with Live(
        get_renderable=watcher.__rich__, console=Console(stderr=True), transient=True, refresh_per_second=8
    ):
        yield watcher


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> None:
    """As kubectl: no lines, nothing cut; the last `numbers` columns to the right, the third is the state."""
    cells = [columns, *[[plain(cell) for cell in row] for row in rows]]
    widths = [max(width(row[n]) for row in cells) for n in range(len(columns))]
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for row in cells:
        padded = []
        for n, cell in enumerate(row):
            gap = " " * (widths[n] - width(cell))
            state = columns[n] == "STATE" and row is not columns
            shown = typer.style(cell, fg=_COLOURS[State(cell)]) if coloured and state else cell
            padded.append(gap + shown if n >= len(columns) - numbers else shown + gap)
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _say(line: str) -> None:
    sys.stdout.write(plain(line) + "\n")
