"""Reports: the words of every output, and the one state that a project is in."""

import itertools

import pytest

from reconciler.sync.outcome import (
    BAD,
    Held,
    ObjectReport,
    Outcome,
    ProjectReport,
    State,
    document,
    left_alone,
    project_state,
)
from tests.sync.pieces import ref

HELD = Held(reason="6 of 8 objects would be pruned", plan_hash="f" * 64, objects=(ref("gone"),))


def about(name: str, outcome: Outcome, health: str = "", message: str = "", reason: str = "") -> ObjectReport:
    return ObjectReport(ref=ref(name), outcome=outcome, health=health, message=message, reason=reason)


READY = about("r", Outcome.UNCHANGED, "Current")
UNREADY = about("p", Outcome.CREATED, "InProgress", "Replicas: 0/1")
UNHEALTHY = about("u", Outcome.UNCHANGED, "Failed", "CrashLoopBackOff")
FAILED = about("f", Outcome.FAILED, message="spec.x: unknown")
SKIPPED = about("s", Outcome.SKIPPED, message="not ours")
BLOCKED = about("b", Outcome.BLOCKED, message="blocked by f")
PRUNED = about("x", Outcome.PRUNED, message="left git")


@pytest.mark.parametrize(
    ("objects", "held", "waiting", "want"),
    [
        pytest.param([], None, False, (State.SYNCED, ""), id="nothing is declared"),
        pytest.param([READY], None, False, (State.SYNCED, ""), id="all ready"),
        pytest.param(
            [about("a", Outcome.UPDATED)], None, False, (State.SYNCED, ""), id="applied, not waited for"
        ),
        pytest.param([READY, PRUNED], None, False, (State.SYNCED, ""), id="pruned"),
        pytest.param(
            [READY, about("x", Outcome.PRUNED, "Terminating")],
            None,
            False,
            (State.SYNCED, ""),
            id="gone by now",
        ),
        pytest.param(
            [about("x", Outcome.PRUNED, "Failed")], None, False, (State.SYNCED, ""), id="gone, had failed"
        ),
        pytest.param(
            [about("x", Outcome.HANDED_OVER, "Failed")],
            None,
            False,
            (State.SYNCED, ""),
            id="another's business now",
        ),
        pytest.param(
            [READY, UNREADY],
            None,
            True,
            (State.PROGRESSING, "1 not ready, first ConfigMap shop/p: Replicas: 0/1"),
            id="waited for",
        ),
        pytest.param(
            [UNREADY],
            None,
            False,
            (State.FAILED, "timed out; 1 not ready, first ConfigMap shop/p: Replicas: 0/1"),
            id="waited for in vain",
        ),
        pytest.param(
            [about("a", Outcome.UNCHANGED, "Unknown")],
            None,
            False,
            (State.FAILED, "timed out; 1 not ready, first ConfigMap shop/a: Unknown"),
            id="status cannot be read",
        ),
        pytest.param([READY], HELD, False, (State.HELD, HELD.reason), id="held"),
        pytest.param([UNREADY], HELD, True, (State.HELD, HELD.reason), id="held comes before progressing"),
        pytest.param(
            [UNHEALTHY],
            HELD,
            True,
            (State.FAILED, "ConfigMap shop/u: CrashLoopBackOff"),
            id="unhealthy before held",
        ),
        pytest.param(
            [UNHEALTHY, UNREADY], None, True, (State.FAILED, "ConfigMap shop/u: CrashLoopBackOff"), id="u"
        ),
        pytest.param(
            [FAILED],
            HELD,
            True,
            (State.FAILED, "ConfigMap shop/f failed: spec.x: unknown"),
            id="failed before held",
        ),
        pytest.param(
            [UNHEALTHY, SKIPPED],
            None,
            False,
            (State.FAILED, "ConfigMap shop/s skipped: not ours"),
            id="skipped fails",
        ),
        pytest.param(
            [BLOCKED],
            None,
            False,
            (State.FAILED, "ConfigMap shop/b blocked: blocked by f"),
            id="blocked fails",
        ),
        pytest.param(
            [BLOCKED, SKIPPED, FAILED],
            None,
            False,
            (State.FAILED, "ConfigMap shop/f failed: spec.x: unknown (and 2 more)"),
            id="a cause is named before its consequences",
        ),
        pytest.param(
            [about("a", Outcome.FAILED, reason="Forbidden")],
            None,
            False,
            (State.FAILED, "ConfigMap shop/a failed: Forbidden"),
            id="no message: the reason",
        ),
        pytest.param(
            [about("a", Outcome.FAILED)],
            None,
            False,
            (State.FAILED, "ConfigMap shop/a failed: no reason is known"),
            id="not even that",
        ),
    ],
)
def test_project_state(objects, held, waiting, want):
    assert project_state(objects, held=held, waiting=waiting) == want


@pytest.mark.parametrize("size", [1, 2, 3])
def test_state_does_not_depend_on_the_order_of_reports(size):
    some = (READY, UNREADY, UNHEALTHY, FAILED, SKIPPED, BLOCKED, PRUNED)
    for them in itertools.combinations(some, size):
        states = {project_state(order, held=None, waiting=True) for order in itertools.permutations(them)}
        assert len({state for state, _ in states}) == 1, them


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_bad_outcomes_fail_a_project_whatever_the_health(outcome):
    state, _ = project_state([about("a", outcome, "Current")], held=None, waiting=False)
    assert (state is State.FAILED) is (outcome in BAD)


def test_words_are_those_of_the_documents():
    assert " ".join(Outcome) == "created updated unchanged pruned handed_over skipped blocked held failed"
    assert " ".join(State) == "synced progressing pending failed held suspended unknown"


def test_counts_name_every_outcome_and_ready():
    said = ProjectReport(project="shop", state=State.FAILED, objects=(READY, UNREADY, FAILED, PRUNED))
    assert said.counts() == {
        "created": 1,
        "updated": 0,
        "unchanged": 1,
        "pruned": 1,
        "handed_over": 0,
        "skipped": 0,
        "blocked": 0,
        "held": 0,
        "failed": 1,
        "ready": 1,
    }


def test_the_document_has_its_stable_names():
    one = ObjectReport(
        ref=ref("web", kind="Deployment", group="apps"),
        outcome=Outcome.CREATED,
        health="InProgress",
        reason="LessReady",
        message="0/1",
        path="app/web.yaml",
        line=3,
    )
    said = ProjectReport(
        project="team/shop",
        state=State.HELD,
        reason="why",
        commit="c" * 40,
        ref="refs/heads/main",
        held=HELD,
        objects=(one,),
        duration=1.23456,
        notes=("a note",),
    )
    requests = {"total": 3, "by_verb": {"list": 3}}
    found = document([said], requests=requests)
    (project,) = found.pop("projects")
    assert found == {"schema": "reconciler/v1", "api_requests": requests}
    assert project.pop("counts") == said.counts()
    assert project == {
        "id": "team/shop",
        "state": "held",
        "reason": "why",
        "revision": {"commit": "c" * 40, "ref": "refs/heads/main"},
        "held": {"reason": HELD.reason, "plan_hash": "f" * 64, "objects": ["ConfigMap shop/gone"]},
        "differing": None,
        "duration_seconds": 1.235,
        "objects": [
            {
                "group": "apps",
                "kind": "Deployment",
                "namespace": "shop",
                "name": "web",
                "outcome": "created",
                "status": "InProgress",
                "reason": "LessReady",
                "message": "0/1",
                "file": "app/web.yaml",
                "line": 3,
            }
        ],
        "notes": ["a note"],
    }


def test_nothing_held_is_null():
    assert ProjectReport(project="shop", state=State.SYNCED).as_json()["held"] is None


@pytest.mark.parametrize(
    ("state", "differing", "want"),
    [
        (State.PENDING, 3, "paused; objects that differ from git: 3"),
        (State.SYNCED, 0, "paused; no object differs from git"),
        (State.FAILED, 1, "paused; objects that differ from git: 1; a file is broken"),
    ],
)
def test_project_of_which_nothing_may_be_written(state: State, differing: int, want: str) -> None:
    compared = ProjectReport(
        project="p", state=state, reason="a file is broken", differing=differing, recorded=False
    )
    got = left_alone(compared, "paused", recorded=True)
    assert (got.state, got.reason, got.differing, got.recorded) == (State.SUSPENDED, want, differing, True)
