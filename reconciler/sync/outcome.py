"""
What became of an object, and of a project: the words that every output uses.

Pure data. Reports are built by run.py, shown by the commands, kept by status.py.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from reconciler.cluster.errors import ClusterError
from reconciler.errors import ReconcilerError
from reconciler.manifests.errors import SubstitutionFailed
from reconciler.manifests.identity import ObjectRef

SCHEMA = "reconciler/v1"


class Outcome(StrEnum):
    """What one run did with one object."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    PRUNED = "pruned"
    HANDED_OVER = "handed_over"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    HELD = "held"
    FAILED = "failed"


class Reason(StrEnum):
    """
    One word for why; docs/applying-and-pruning.md explains each.

    A refusal by the API server carries the reason of its ClusterError instead, an object that
    is not ready the one of kstatus.
    """

    MANIFEST_INVALID = "ManifestInvalid"
    DEPENDENCY_INVALID = "DependencyInvalid"
    DEPENDENCY = "Dependency"
    SUBSTITUTION_FAILED = "SubstitutionFailed"
    NOT_OURS = "NotOurs"
    OWNED_BY_ANOTHER = "OwnedByAnother"
    TERMINATING = "Terminating"
    DELETED = "Deleted"
    REPLACED = "Replaced"
    TIMEOUT = "Timeout"
    PRUNE_HELD = "PruneHeld"
    PRUNE_GRACE = "PruneGrace"
    PRUNE_TIMEOUT = "PruneTimeout"
    PROTECTED = "Protected"
    IN_USE = "InUse"
    KEPT = "Kept"
    DRY_RUN = "DryRun"
    SOURCE_UNREADABLE = "SourceUnreadable"


def reason_of(error: ReconcilerError) -> str:
    """The one word for an error that failed an object: of the API layer its own."""
    match error:
        case ClusterError():
            return error.reason
        case SubstitutionFailed():
            return Reason.SUBSTITUTION_FAILED
    return Reason.SOURCE_UNREADABLE


CLIENT_NOTE = "dry_run_strategy: client; nothing was written"

BAD = frozenset({Outcome.FAILED, Outcome.BLOCKED, Outcome.SKIPPED})
"""Outcomes that make a project failed: the cluster is not what git declares."""


class State(StrEnum):
    """What a project is now."""

    SYNCED = "synced"
    PROGRESSING = "progressing"
    PENDING = "pending"
    FAILED = "failed"
    HELD = "held"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReport:
    """One object's part of a report; `health` is the kstatus word, "" where nothing is known."""

    ref: ObjectRef
    outcome: Outcome
    health: str = ""
    reason: str = ""
    message: str = ""
    path: str = ""
    line: int = 0

    def as_json(self) -> dict[str, Any]:
        """The stable names of `-o json`."""
        return {
            "group": self.ref.group,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "outcome": self.outcome.value,
            "status": self.health,
            "reason": self.reason,
            "message": self.message,
            "file": self.path,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    Why nothing is pruned, what would be, and the hash that `approve` wants ("": no approval helps).

    `whole`: the project as a whole is held, and nothing was written for it.
    """

    reason: str
    plan_hash: str = ""
    objects: tuple[ObjectRef, ...] = ()
    whole: bool = False

    def as_json(self) -> dict[str, Any]:
        """The stable names of `-o json`."""
        return {
            "reason": self.reason,
            "plan_hash": self.plan_hash,
            "objects": [str(ref) for ref in self.objects],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectReport:
    """All that one run of a project has to say."""

    project: str
    state: State
    reason: str = ""
    commit: str = ""
    ref: str = ""
    held: Held | None = None
    objects: tuple[ObjectReport, ...] = ()
    duration: float = 0.0
    due_in: float = 0.0
    """s after which the project is to be looked at again even if nothing happens; 0 where it need not."""
    released: frozenset[ObjectRef] = frozenset()
    """What git does not declare any more and is there still: another project may take it."""
    differing: int | None = None
    """Objects that differ from git and stay so, since nothing may be written; None where all may be."""
    recorded: bool = True
    """False where no status is written: a dry run, or a project that was not looked at yet."""
    rewound: str = ""
    """A sentence, where the ref moved back to this commit."""
    notes: tuple[str, ...] = field(default=())
    """Sentences for a person that change no state, such as "inventory was rebuilt"."""
    answers: str = ""
    """The requests of persons that this run answers (asked.py)."""
    unusable: bool = False
    """The repository cannot be read: what is said here is of the last good revision."""
    counted: Mapping[str, int] | None = None
    """Counts of all objects, where `objects` has only those that are not well."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is to be told a person beside state and reason."""
        return tuple(filter(None, (self.rewound, *self.notes)))

    def counts(self) -> dict[str, int]:
        """Objects by outcome (every outcome is named), and how many are ready."""
        if self.counted is not None:
            return {name: self.counted.get(name, 0) for name in (*(its.value for its in Outcome), "ready")}
        by_outcome = Counter(report.outcome for report in self.objects)
        counts = {outcome.value: by_outcome[outcome] for outcome in Outcome}
        counts["ready"] = sum(report.health == "Current" for report in self.objects)
        return counts

    def as_json(self) -> dict[str, Any]:
        """The stable names of `-o json`."""
        return {
            "id": self.project,
            "state": self.state.value,
            "reason": self.reason,
            "revision": {"commit": self.commit, "ref": self.ref},
            "held": self.held.as_json() if self.held else None,
            "counts": self.counts(),
            "differing": self.differing,
            "duration_seconds": round(self.duration, 3),
            "objects": [report.as_json() for report in self.objects],
            "notes": list(self.sentences),
        }


def can_take(blocked: ProjectReport, other: ProjectReport) -> bool:
    """Whether `other` may have let go, since, of an object that kept this project waiting."""
    wanted = {
        report.ref
        for report in blocked.objects
        if report.outcome is Outcome.BLOCKED and report.reason == Reason.OWNED_BY_ANOTHER
    }
    return not wanted.isdisjoint(other.released)


def left_alone(report: ProjectReport, why: str, *, recorded: bool) -> ProjectReport:
    """The report of a project of which nothing may be written, made of a comparison (a dry run)."""
    count = report.differing or 0
    parts = [why, f"objects that differ from git: {count}" if count else "no object differs from git"]
    if report.state in (State.FAILED, State.HELD, State.UNKNOWN):
        parts.append(report.reason)
    notes = tuple(note for note in report.notes if note != CLIENT_NOTE)
    return replace(
        report,
        state=State.SUSPENDED,
        reason="; ".join(parts),
        differing=count,
        held=None,
        recorded=recorded,
        notes=notes,
    )


def project_state(objects: Iterable[ObjectReport], *, held: Held | None, waiting: bool) -> tuple[State, str]:
    """
    State and reason of a project after a run; what is broken is said before what is held.

    `waiting`: objects that are not ready yet are still waited for.
    """
    reports = tuple(objects)
    if bad := [report for report in reports if report.outcome in BAD]:
        first = min(bad, key=lambda report: (_BLAME.index(report.outcome), report.ref))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return State.FAILED, f"{first.ref} {first.outcome}: {_why(first)}{more}"
    unhealthy = [report for report in reports if report.health == "Failed" and _stays(report)]
    if unhealthy:
        return State.FAILED, f"{unhealthy[0].ref}: {_why(unhealthy[0])}"
    if held:
        return State.HELD, held.reason
    unready = [report for report in reports if report.health not in ("Current", "") and _stays(report)]
    if unready:
        first = unready[0]
        text = f"{len(unready)} not ready, first {first.ref}: {_why(first)}"
        return (State.PROGRESSING, text) if waiting else (State.FAILED, f"timed out; {text}")
    return State.SYNCED, ""


_BLAME = [Outcome.FAILED, Outcome.SKIPPED, Outcome.BLOCKED]  # a cause before its consequences


def _stays(report: ObjectReport) -> bool:
    return report.outcome not in (Outcome.PRUNED, Outcome.HANDED_OVER)


def _why(report: ObjectReport) -> str:
    return report.message or report.reason or report.health or "no reason is known"


def document(reports: Iterable[ProjectReport], *, requests: dict[str, Any]) -> dict[str, Any]:
    """The one JSON document of `-o json`."""
    return {
        "schema": SCHEMA,
        "projects": [report.as_json() for report in reports],
        "api_requests": requests,
    }
