"""
Who may write for an instance: the rules of the Lease, as a state and what follows from it.

Pure. What a Lease says of time is another machine's clock and never compared: a waiting
process counts from when it *saw* the Lease change, the holder from when it sent the renewal,
both on their own loop's clock. So the holder's time is over before anybody else's begins.
Neighbour: leader.py reads, writes and waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from reconciler.sync import marks

DURATION: Final = 10.0  # s that a Lease is worth after it was written
RENEW: Final = 3.0  # s between two renewals: three may fail
MARGIN: Final = 2.0
"""s before its end at which the holder stops writing: what was sent just before has arrived by then."""
PROMISE: Final = 5.0  # s for which a released Lease is left to whoever it was promised to
RETRY: Final = 1.0  # s after a write of the Lease that failed


class Role(StrEnum):
    """What the holder is: a service can be asked for a run, a `sync` is over soon."""

    SERVICE = "service"
    SYNC = "sync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a Lease says; equal claims are one and the same, however often they are read."""

    holder: str = ""
    """"" where it was released."""
    role: str = ""
    duration: float = DURATION
    renewed: str = ""
    transitions: int = 0
    promised: str = field(default="", compare=False)
    """Who comes next if it is released; a note of another hand, which renews nothing."""


class Phase(StrEnum):
    """Where a process stands."""

    BLIND = "the Lease was not read yet, or is not what we believe"
    WAITING = "another process holds it"
    LEADING = "we hold it"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One process in the election; times are of its loop's clock."""

    me: str
    phase: Phase = Phase.BLIND
    claim: Claim | None = None
    """As last seen; None where there is no Lease."""
    since: float = 0.0
    """When `claim` was first seen so; of our own claim, when it was sent."""
    next_try: float = 0.0
    """Not written before that."""

    @property
    def writes_until(self) -> float:
        """Until when our own claim lets us write."""
        return self.since + DURATION - MARGIN if self.phase is Phase.LEADING else float("-inf")

    @property
    def held_by(self) -> Claim | None:
        """The claim of another process, whose time may not be over."""
        if self.phase is not Phase.WAITING or self.claim is None or self.claim.holder in ("", self.me):
            return None
        return self.claim


class Action(StrEnum):
    """What has to be done now; all but REST change the Lease or read it."""

    READ = "read"
    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    LOSE = "lose"
    REST = "rest"


def decide(state: State, *, now: float) -> tuple[Action, float]:
    """What to do now, and for REST until when nothing has to be done unless something is heard."""
    match state.phase:
        case Phase.BLIND:
            due, action = 0.0, Action.READ
        case Phase.LEADING if now >= state.writes_until:
            return Action.LOSE, now
        case Phase.LEADING:
            due, action = state.since + RENEW, Action.RENEW
        case Phase.WAITING:
            action = Action.TAKE if state.claim else Action.CREATE
            due = state.since + _worth(state)
    due = max(due, state.next_try)
    if now >= due:
        return action, now
    return Action.REST, min(due, state.writes_until) if state.phase is Phase.LEADING else due


def _worth(state: State) -> float:
    """s for which what a waiting process sees keeps it from writing."""
    if held := state.held_by:
        return held.duration
    promised = state.claim.promised if state.claim and not state.claim.holder else ""
    return PROMISE if promised not in {"", state.me} else 0.0


def seen(state: State, claim: Claim | None, *, now: float) -> State:
    """The Lease was read or heard of; None: there is none."""
    if state.phase is Phase.LEADING and claim is not None and claim.holder == state.me:
        return state  # our own, at most with a note of another hand
    if state.phase is Phase.WAITING and claim == state.claim:
        return state  # nothing new: its time goes on
    return replace(state, phase=Phase.WAITING, claim=claim, since=now)


def written(state: State, claim: Claim, *, sent: float) -> State:
    """The Lease is ours from `sent` on."""
    return replace(state, phase=Phase.LEADING, claim=claim, since=sent, next_try=0.0)


def failed(state: State, *, now: float) -> State:
    """A read or write got no answer, or a refusal, or lost a race: not again at once."""
    return replace(state, next_try=now + RETRY)


def lost(state: State) -> State:
    """We hold it no more."""
    return replace(state, phase=Phase.BLIND, claim=None, since=0.0)


def is_clean(before: Claim | None) -> bool:
    """Whether the last holder said itself that it writes no more: nothing of it can still be on its way."""
    return before is not None and not before.holder


# -- the Lease as the API has it -----------------------------------------------------------


def claim_of(lease: Mapping[str, Any]) -> Claim:
    """Read a Lease; what another hand made of it counts as held for the usual time."""
    spec = lease.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    annotations = lease["metadata"].get("annotations") or {}
    return Claim(
        holder=str(spec.get("holderIdentity") or ""),
        role=str(annotations.get(marks.ROLE, "")),
        duration=float(duration) if isinstance(duration, int) and duration > 0 else DURATION,
        renewed=str(spec.get("renewTime") or ""),
        transitions=spec.get("leaseTransitions") or 0,
        promised=str(annotations.get(marks.TURN_FOR, "")),
    )


def spec_of(claim: Claim, *, acquired: str) -> dict[str, Any]:
    """The `spec` of a Lease."""
    return {
        **({"holderIdentity": claim.holder} if claim.holder else {}),
        "leaseDurationSeconds": int(claim.duration),
        "acquireTime": acquired,
        "renewTime": claim.renewed,
        "leaseTransitions": claim.transitions,
    }


def stamp(wall: datetime) -> str:
    """The API's MicroTime: for people, and so that no two renewals are equal."""
    return wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
