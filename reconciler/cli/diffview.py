"""
How a plan looks: as text with colours, as one JSON document, as Markdown for a comment.

Pure but for the printing at the end. All that comes from git or a server is made harmless
first: control characters for a terminal, markup, mentions and commands for a comment.
"""

import difflib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import orjson
import typer

from reconciler.cli.text import number_of, plain
from reconciler.service.planning import Planned, PlannedObject, PlannedProject
from reconciler.sync.diff import FieldChange
from reconciler.sync.outcome import SCHEMA, Outcome, State, project_state
from reconciler.sync.preview import Action

COMMENT_LIMIT: Final = 60_000
"""Characters of a Markdown document; GitHub takes 65,536 in a comment, GitLab more."""
VALUE_LIMIT: Final = 200
"""Characters of one value in text and Markdown; JSON has all."""
_TEXT_LINES: Final = 2_000
"""Lines of a text that are compared one by one; the comparison takes longer than linear time."""
_SHOWN_LINES: Final = 100
_HASH: Final = 12

_SIGNS: Final[Mapping[Action, str]] = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.TAKE_OVER: "=",
    Action.REPLACE: "-",
    Action.PRUNE: "-",
    Action.HAND_OVER: "=",
    Action.NONE: "!",
}
_DONE: Final[Mapping[Action, str]] = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.TAKE_OVER: "to take over",
    Action.REPLACE: "to replace",
    Action.PRUNE: "to prune",
    Action.HAND_OVER: "to hand over",
}
_UNDONE: Final = (Outcome.UNCHANGED, Outcome.HELD, Outcome.BLOCKED, Outcome.SKIPPED, Outcome.FAILED)
_FIELD_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "reordered": "~"}
_COLOURS: Final = {"+": "green", "-": "red", "~": "yellow", "=": "cyan", "!": "magenta"}

Line = tuple[str, int, str]
"""Sign ("" for none), depth, text."""


def exit_code(planned: Planned) -> int:
    """0 a sync would do nothing and leave nothing undone, 2 something cannot be known or fails, else 1."""
    if any(project.has_failed for project in planned.projects):
        return 2
    return 0 if all(project.is_settled for project in planned.projects) else 1


# -- JSON --------------------------------------------------------------------------------------


def document(planned: Planned) -> dict[str, Any]:
    """`-o json`."""
    return {
        "schema": SCHEMA,
        "projects": [_project_json(project) for project in planned.projects],
        "api_requests": dict(planned.requests),
    }


def _project_json(project: PlannedProject) -> dict[str, Any]:
    report = project.report
    return {
        "id": report.project,
        "state": report.state.value,
        "reason": report.reason,
        "revision": {"commit": report.commit, "ref": report.ref},
        "directory": project.directory,
        "counts": _counts(project),
        "held": report.held.as_json() if report.held else None,
        "objects": [_object_json(its) for its in project.objects],
        "unseen": list(project.unseen),
        "notes": list(report.notes),
    }


def _object_json(its: PlannedObject) -> dict[str, Any]:
    named = {name: value for name, value in its.report.as_json().items() if name != "status"}
    fields = [change.as_json() for change in its.change.fields]
    return {**named, "action": its.change.action.value, "fields": fields, "unseen": its.change.unseen}


def _counts(project: PlannedProject) -> dict[str, int]:
    """Every action by what would be done, and what would not be done by why."""
    actions = Counter(its.change.action for its in project.objects if its.is_change)
    outcomes = Counter(its.report.outcome for its in project.objects if not its.is_change)
    return {
        **{action.value: actions[action] for action in _DONE},
        **{outcome.value: outcomes[outcome] for outcome in _UNDONE},
    }


# -- lines, for people -------------------------------------------------------------------------


def _summary(project: PlannedProject) -> str:
    if not project.objects and project.report.reason:
        return f"{project.report.state}: {project.report.reason}"
    counts = _counts(project)
    parts = [f"{counts[action.value]} {words}" for action, words in _DONE.items() if counts[action.value]]
    parts += [f"{counts[outcome.value]} {outcome}" for outcome in _UNDONE if counts[outcome.value]]
    return ", ".join(parts) or "nothing is declared"


def _place(project: PlannedProject) -> str:
    if project.directory:
        return project.directory
    ref = f" ({project.report.ref})" if project.report.ref else ""
    return f"{project.report.commit[:_HASH] or '-'}{ref}"


def _lines(project: PlannedProject) -> Iterator[Line]:
    marks = 0
    for its in project.objects:
        if its.change.action is Action.NONE and its.report.outcome is Outcome.UNCHANGED:
            marks += bool(its.report.message)
            continue
        yield from _object_lines(its)
    if marks:
        yield "", 1, f"only our marks on them would be written: {number_of(marks, 'object')}"
    if (held := project.report.held) is not None:
        yield "!", 1, f"{'all is' if held.whole else 'prune is'} held: {held.reason}"
        if held.plan_hash:
            yield "", 1, f"to let it go ahead: reconciler approve {project.report.project} {held.plan_hash}"
    for text in project.unseen:
        yield "!", 1, f"not seen: {text}"
    if project.report.state is State.FAILED and project.report.reason != _of_objects(project):
        yield "!", 1, project.report.reason
    for note in project.report.notes:
        yield "", 1, f"note: {note}"


def _of_objects(project: PlannedProject) -> str:
    """The reason that the objects themselves give, which is told with each of them."""
    return project_state((its.report for its in project.objects), held=None, waiting=False)[1]


def _object_lines(its: PlannedObject) -> Iterator[Line]:
    report, change = its.report, its.change
    sign = _SIGNS[change.action] if its.is_change else "!"
    place = f" ({report.path}:{report.line})" if report.path else ""
    word = "" if its.is_change else f" {report.outcome}"
    why = f": {report.message or report.reason}" if report.message or report.reason else ""
    yield sign, 1, f"{report.ref}{place}{word}{why}"
    for field in change.fields:
        yield from _field_lines(field)


def _field_lines(change: FieldChange) -> Iterator[Line]:
    sign = _FIELD_SIGNS[change.change]
    if change.masked:
        yield sign, 2, f"{change.path}: {change.change}"
    elif _is_text(change.old) or _is_text(change.new):
        yield sign, 2, f"{change.path}:"
        yield from _text_lines(change)
    elif change.change == "added":
        yield sign, 2, f"{change.path}: {_value(change.new)}"
    elif change.change == "removed":
        yield sign, 2, f"{change.path}: {_value(change.old)}"
    else:
        order = "order of " if change.change == "reordered" else ""
        yield sign, 2, f"{order}{change.path}: {_value(change.old)} -> {_value(change.new)}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value


def _text_lines(change: FieldChange) -> Iterator[Line]:
    """What differs in a text of several lines, with two lines around it."""
    old, new = (_split(value) for value in (change.old, change.new))
    if max(len(old), len(new)) > _TEXT_LINES:
        yield "", 3, f"{len(old)} -> {number_of(len(new), 'line')}, too many to compare"
        return
    # The first two lines are the names of the files.
    found = list(islice(difflib.unified_diff(old, new, n=2, lineterm=""), 2, None))
    for line in found[:_SHOWN_LINES]:
        sign = line[:1] if line[:1] in "+-" else ""
        yield sign, 3, _cut(line[1:] if line[:1] in "+- " else line)
    if len(found) > _SHOWN_LINES:
        yield "", 3, f"… and {len(found) - _SHOWN_LINES} lines more"


def _split(value: Any) -> list[str]:
    return value.split("\n") if isinstance(value, str) else [] if value is None else [_value(value)]


def _value(value: Any) -> str:
    return _cut(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}… ({len(text)} characters)"


# -- text --------------------------------------------------------------------------------------


def print_text(planned: Planned) -> None:
    """Write the plan for a terminal."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in text(planned, coloured=coloured):
        sys.stdout.write(line + "\n")


def text(planned: Planned, *, coloured: bool) -> Iterator[str]:
    """The plan line by line."""
    for project in planned.projects:
        head = plain(f"{project.report.project}  {_place(project)}: {_summary(project)}")
        yield typer.style(head, bold=True) if coloured else head
        for sign, depth, words in _lines(project):
            line = f"{'  ' * depth}{sign + ' ' if sign else ''}{plain(words)}"
            yield typer.style(line, fg=_COLOURS[sign]) if coloured and sign else line
    yield number_of(planned.requests.get("total", 0), "API request")


# -- Markdown ----------------------------------------------------------------------------------


def markdown(planned: Planned, *, limit: int = COMMENT_LIMIT) -> str:
    """A comment for a merge request, at most `limit` characters long."""
    changes = sum(its.is_change for project in planned.projects for its in project.objects)
    where = number_of(len(planned.projects), "project")
    parts = [f"**reconciler plan**: {number_of(changes, 'change')} in {where}"]
    left = limit - len(parts[0]) - _RESERVED
    for done, project in enumerate(planned.projects):
        part = _details(project, left)
        if part is None:
            more = number_of(len(planned.projects) - done, "more project")
            parts.append(f"_truncated: {more} not shown; `reconciler plan -o json` shows all_")
            break
        parts.append(part)
        left -= len(part) + len(_GAP)
    return _GAP.join(parts) + "\n"


_GAP: Final = "\n\n"
_RESERVED: Final = 200
"""Characters for what is said where something was left out."""


def _details(project: PlannedProject, room: int) -> str | None:
    """One project, cut to `room` characters; None where not even its summary fits."""
    summary = (
        f"<b>{_inline(project.report.project)}</b> at {_inline(_place(project))}: "
        f"{_inline(_cut(_summary(project)))}"
    )
    lines = [f"{sign or ' '} {'  ' * (depth - 1)}{plain(words)}" for sign, depth, words in _lines(project)]
    fence = "`" * max(3, _longest_run(lines) + 1)
    head = f"<details{'' if project.is_settled else ' open'}><summary>{summary}</summary>{_GAP}{fence}diff\n"
    tail = f"{fence}{_GAP}</details>"
    left = room - len(head) - len(tail) - _RESERVED
    if left < 0:
        return None
    kept = []
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    if not lines:
        return f"<details><summary>{summary}</summary>{_GAP}</details>"
    note = ""
    if cut := len(lines) - len(kept):
        note = f"_truncated: {number_of(cut, 'line')} not shown; `reconciler plan -o json` shows all_{_GAP}"
    inside = "".join(line + "\n" for line in kept)
    return f"{head}{inside}{fence}{_GAP}{note}</details>"


def _longest_run(lines: Iterable[str]) -> int:
    longest = run = 0
    for line in lines:
        for character in line:
            run = run + 1 if character == "`" else 0
            longest = max(longest, run)
        run = 0
    return longest


def _inline(words: str) -> str:
    """Text that is no markup, mention, reference or command wherever it stands in a comment."""
    safe = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in plain(words))
    return f"<code>{safe}</code>"
