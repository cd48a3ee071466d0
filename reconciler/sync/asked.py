"""
What a person's `sync` and the running service write to each other: a request, and what came of it.

Pure. A request is a token among those on a project's head; the answer is the project's status
record, with the tokens that it answers beside it. A run answers only the tokens that were there
before git was looked at for it. Where a project has no head yet, the token is on the Lease,
which whoever leads writes every few seconds and so sees. Neighbours: asking.py, answering.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.outcome import BAD, Held, ObjectReport, Outcome, ProjectReport, State
from reconciler.sync.status import StoredStatus, parse_status

MOST: Final = 16
"""Requests on one record; whoever asks as the seventeenth at the same time pushes out the oldest."""


def with_token(asked: str, token: str, *, answered: str) -> str:
    """`asked` and one more; what was answered need not be asked again."""
    done = set(answered.split())
    return " ".join([*(its for its in asked.split() if its not in done), token][-MOST:])


def holds(answered: str, token: str) -> bool:
    """Whether this request was answered."""
    return token in answered.split()


def is_open(lease: Mapping[str, str]) -> str:
    """The requests among the annotations of a Lease; "" where all of them were taken on."""
    asked = lease.get(marks.ASKED, "")
    return asked if set(asked.split()) - set(lease.get(marks.HANDLED, "").split()) else ""


def answer_text(report: ProjectReport) -> str:
    """What the status record leaves out, since it changes with each run, and a table of the run needs."""
    answer = {
        "commit": report.commit,
        "ref": report.ref,
        "seconds": round(report.duration, 3),
        "unusable": report.unusable,
        "counts": {name: count for name, count in report.counts().items() if count},
    }
    return orjson.dumps(answer).decode()


def report_of(project: str, data: Mapping[str, str], answer: str) -> ProjectReport:
    """The report as the records tell it: counts of all objects, and only those by name that are not well."""
    stored = parse_status(data)
    said = _parsed(answer)
    counts = said.get("counts")
    objects = tuple(_object(entry) for entry in stored.objects)
    return ProjectReport(
        project=project,
        state=stored.state,
        reason=stored.reason,
        commit=str(said.get("commit") or stored.commit),
        ref=str(said.get("ref") or stored.ref),
        held=_held(stored, objects),
        objects=objects,
        duration=float(said.get("seconds") or 0.0),
        unusable=said.get("unusable") is True,
        counted=counts if isinstance(counts, dict) else None,
        notes=(stored.truncated,) if stored.truncated else (),
    )


def _parsed(answer: str) -> Mapping[str, Any]:
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _object(entry: Mapping[str, Any]) -> ObjectReport:
    texts = {name: str(entry.get(name, "")) for name in ("group", "kind", "namespace", "name")}
    outcome = str(entry.get("outcome", ""))
    line = entry.get("line")
    return ObjectReport(
        ref=ObjectRef(**texts),
        # Created, updated or neither is not recorded of an object that is not ready.
        outcome=Outcome(outcome) if outcome in set(Outcome) else Outcome.UNCHANGED,
        health=str(entry.get("status", "")),
        reason=str(entry.get("reason", "")),
        message=str(entry.get("message", "")),
        path=str(entry.get("file", "")),
        line=line if isinstance(line, int) else 0,
    )


def _held(stored: StoredStatus, objects: tuple[ObjectReport, ...]) -> Held | None:
    if not stored.held_reason:
        return None
    names = tuple(its.ref for its in objects if its.outcome is Outcome.HELD)
    return Held(reason=stored.held_reason, plan_hash=stored.held_plan, objects=names)


def is_final(report: ProjectReport, *, wait: bool, open_dependencies: bool) -> bool:
    """Whether the service is done with a request, as far as the person who asks wants to wait."""
    match report.state:
        case State.PROGRESSING:
            return not wait
        case State.PENDING:
            # Of a project that it depends on there is no final answer yet: this one follows.
            return not open_dependencies
    return True


def as_asked(report: ProjectReport, *, wait: bool) -> ProjectReport:
    """Who does not wait has all in sync when all is applied, as in a pass of its own."""
    if wait or report.state is not State.PROGRESSING:
        return report
    bad = any(its.outcome in BAD or its.health == "Failed" for its in report.objects)
    return replace(report, state=State.FAILED) if bad else replace(report, state=State.SYNCED, reason="")
