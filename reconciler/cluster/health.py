"""
Whether an object has become what it should be: kstatus, as kubectl, Flux and the GitLab agent use it.

Pure: the object and the time go in, a `Status` comes out. Generic checks come first,
then the rule of the kind (health_kinds.py), then the `Ready` condition; who has none of
them counts as current. Source of the rules: GitLab agent specification, section 3.13.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.cluster import health_kinds
from reconciler.cluster.health_kinds import ALWAYS_CURRENT, Verdict, condition, text_of


class Health(StrEnum):
    """The words of kstatus."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    NOT_FOUND = "NotFound"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Status:
    """`reason` is one CamelCase word ("" when current), `message` one sentence for a person."""

    health: Health
    reason: str = ""
    message: str = ""


NOT_FOUND = Status(Health.NOT_FOUND, "NotFound", "the object is not in the cluster")


def always_current(group: str, kind: str) -> bool:
    """Whether objects of this kind are current as soon as they exist, so that nobody need read them."""
    return (group, kind) in ALWAYS_CURRENT


def is_current_as_declared(obj: Mapping[str, Any]) -> bool:
    """
    Whether an object is current as soon as it exists as `obj` declares it, so that nobody need read it.

    A Service waits for an address only if it is of type LoadBalancer.
    """
    group, kind = str(obj.get("apiVersion") or "").rpartition("/")[0], str(obj.get("kind") or "")
    if (group, kind) == ("", "Service"):
        return (obj.get("spec") or {}).get("type") != "LoadBalancer"
    return always_current(group, kind)


def compute(obj: Mapping[str, Any], *, now: float) -> Status:
    """
    Return the status of an object as the API gives it; `now` is seconds since the epoch.

    An object whose status has a form that no rule knows is Unknown, never an exception.
    """
    try:
        return _compute(obj, now)
    except (TypeError, ValueError, AttributeError, LookupError) as exc:
        return Status(
            Health.UNKNOWN, "UnreadableStatus", f"the status has an unexpected form ({type(exc).__name__})"
        )


def _compute(obj: Mapping[str, Any], now: float) -> Status:
    metadata, status = obj.get("metadata") or {}, obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return Status(Health.TERMINATING, "Terminating", "it is being deleted")
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if generation is not None and observed is not None and generation != observed:
        message = f"generation is {generation}, the controller has seen {observed}"
        return Status(Health.IN_PROGRESS, "LatestGenerationNotObserved", message)
    if found := _standard_condition(obj):
        return found
    api_version = str(obj.get("apiVersion") or "")
    group = api_version.rpartition("/")[0]
    if rule := health_kinds.RULES.get((group, str(obj.get("kind") or ""))):
        return _status(rule(obj, now))
    return _ready(obj)


def _standard_condition(obj: Mapping[str, Any]) -> Status | None:
    for found in health_kinds.conditions(obj):
        if found.get("status") != "True":
            continue
        if found.get("type") == "Reconciling":
            return Status(
                Health.IN_PROGRESS, text_of(found, "reason", "Reconciling"), text_of(found, "message")
            )
        if found.get("type") == "Stalled":
            return Status(Health.FAILED, text_of(found, "reason", "Stalled"), text_of(found, "message"))
    return None


def _ready(obj: Mapping[str, Any]) -> Status:
    found = condition(obj, "Ready")
    if found is not None and found.get("status") in {"False", "Unknown"}:
        return Status(Health.IN_PROGRESS, text_of(found, "reason", "NotReady"), text_of(found, "message"))
    return Status(Health.CURRENT)


def _status(verdict: Verdict) -> Status:
    return Status(Health(verdict.health), verdict.reason, verdict.message)
