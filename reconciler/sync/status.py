"""
A project's status as it lies beside the inventory: small, readable, written on transitions only.

Pure. `kubectl get configmap NAME -o yaml` and `reconciler status` both read it. What
changes at every run (outcomes, durations) is left out, so that equal states are equal data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from reconciler.sync.inventory import Head
from reconciler.sync.outcome import BAD, ObjectReport, Outcome, ProjectReport, State

LIMIT: Final = 256 * 1024
_ROOM = 8 * 1024  # bytes for the metadata and what is added later
_REASON = 2000  # bytes
_MESSAGE = 500  # bytes of one object's message; the whole is in the log


def status_data(report: ProjectReport) -> dict[str, str]:
    """The `data` of the status ConfigMap."""
    data = {
        "state": report.state.value,
        "reason": _cut(report.reason, _REASON),
        # In sync the head says at which revision, and an ordinary commit costs no write here.
        **({} if report.state is State.SYNCED else {"commit": report.commit, "ref": report.ref}),
        "counts": " ".join(f"{name}={count}" for name, count in _counts(report).items()),
    }
    if report.rewound:
        data["rewound"] = report.rewound
    if report.held:
        data["held_reason"] = _cut(report.held.reason, _REASON)
        data["held_plan"] = report.held.plan_hash
        data["held_objects"] = str(len(report.held.objects))
    objects = [_short(o) for o in report.objects if not _fine(o)]
    lines: list[str] = []
    room = LIMIT - _ROOM - sum(len(value.encode()) for value in data.values())
    for entry in objects:
        line = orjson.dumps(entry).decode() + "\n"
        room -= len(line.encode())
        if room < 0:
            break
        lines.append(line)
    data["objects"] = "".join(lines)
    if len(lines) < len(objects):
        data["truncated"] = f"{len(objects) - len(lines)} more objects are not shown"
    return data


def _cut(text: str, limit: int) -> str:
    return text if len(text) * 4 <= limit else text.encode()[:limit].decode(errors="ignore")


def _counts(report: ProjectReport) -> dict[str, int]:
    total = [o for o in report.objects if o.outcome not in (Outcome.PRUNED, Outcome.HANDED_OVER)]
    bad = sum(o.outcome in BAD or o.health == "Failed" for o in total)
    return {"objects": len(total), "ready": sum(o.health == "Current" for o in total), "failed": bad}


def _fine(report: ObjectReport) -> bool:
    good = report.outcome not in BAD and report.outcome is not Outcome.HELD
    return good and report.health in ("Current", "")


def _short(report: ObjectReport) -> dict[str, Any]:
    full = report.as_json()
    # Applied this time or the time before makes no difference to what is wrong with it.
    if report.outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED):
        full["outcome"] = ""
    full["message"] = _cut(report.message, _MESSAGE)
    return {key: value for key, value in full.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStatus:
    """What can be read back without reaching the service."""

    state: State
    reason: str
    commit: str
    ref: str
    counts: Mapping[str, int]
    objects: tuple[Mapping[str, Any], ...]
    held_reason: str = ""
    held_plan: str = ""
    held_objects: int = 0
    """All of them: `objects` may be truncated."""
    truncated: str = ""
    rewound: str = ""


def parse_status(data: Mapping[str, str]) -> StoredStatus:
    """The inverse of `status_data`; what cannot be read is state unknown, never a guess."""
    try:
        return StoredStatus(
            state=State(data["state"]),
            reason=data.get("reason", ""),
            commit=data.get("commit", ""),
            ref=data.get("ref", ""),
            counts=dict(_count(text) for text in data.get("counts", "").split()),
            objects=tuple(_object(line) for line in data.get("objects", "").split("\n") if line),
            held_reason=data.get("held_reason", ""),
            held_plan=data.get("held_plan", ""),
            held_objects=int(data.get("held_objects", "0")),
            truncated=data.get("truncated", ""),
            rewound=data.get("rewound", ""),
        )
    except (KeyError, ValueError):
        reason = "no status was written yet" if not data else "the status record cannot be read"
        return StoredStatus(state=State.UNKNOWN, reason=reason, commit="", ref="", counts={}, objects=())


def _object(line: str) -> Mapping[str, Any]:
    found = orjson.loads(line)
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - as every other text that is not ours
    return found


def _count(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, int(number)


def read_status(data: Mapping[str, str], head: Head | None) -> StoredStatus:
    """
    A project's status as both of its records tell it.

    What is in sync is so at the revision that the head names, if the head says so as well:
    commit and state are written there together, the status record follows within a second.
    """
    status = parse_status(data)
    if status.state is not State.SYNCED or head is None:
        return status
    if head.state == State.SYNCED:
        return replace(status, commit=head.commit, ref=head.ref)
    known = head.state in {state.value for state in State}
    return replace(
        status,
        state=State(head.state) if known else State.UNKNOWN,
        reason="the details are being written; look again",
        commit=head.commit,
        ref=head.ref,
    )
