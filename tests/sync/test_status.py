"""The status record: readable again, small, and equal for equal states."""

from dataclasses import replace

import pytest

from reconciler.sync.outcome import Held, ObjectReport, Outcome, ProjectReport, State
from reconciler.sync.status import LIMIT, parse_status, status_data
from tests.sync.pieces import ref

COMMIT = "5c6ff6b14a6b9d9e4be6a2a5a0dbb2be4ac0f1a9"


def about(name: str, outcome: Outcome, health: str = "", **more) -> ObjectReport:
    return ObjectReport(ref=ref(name), outcome=outcome, health=health, **more)


def report(*objects: ObjectReport, **more) -> ProjectReport:
    said = {"project": "shop", "state": State.FAILED, "commit": COMMIT, "ref": "refs/heads/main"}
    return ProjectReport(**{**said, **more}, objects=objects)


BROKEN = about("a", Outcome.FAILED, reason="Invalid", message="spec.x: unknown", path="app/a.yaml", line=7)


def test_a_status_is_read_back():
    held = Held(reason="too many", plan_hash="f" * 64, objects=(ref("b"),))
    said = report(BROKEN, about("b", Outcome.HELD, reason="PruneHeld"), reason="a failed", held=held)
    found = parse_status(status_data(said))
    assert (found.state, found.reason, found.commit, found.ref) == (
        State.FAILED,
        "a failed",
        COMMIT,
        "refs/heads/main",
    )
    assert (found.held_reason, found.held_plan, found.truncated) == ("too many", "f" * 64, "")
    assert found.held_objects == 1
    assert found.counts == {"objects": 2, "ready": 0, "failed": 1}
    assert found.objects[0] == {
        "kind": "ConfigMap",
        "namespace": "shop",
        "name": "a",
        "outcome": "failed",
        "reason": "Invalid",
        "message": "spec.x: unknown",
        "file": "app/a.yaml",
        "line": 7,
    }


def test_number_of_what_is_held_survives_a_list_that_is_too_long():
    many = tuple(about(f"{n:04}", Outcome.HELD, reason="PruneHeld", message="m" * 400) for n in range(2_000))
    held = Held(reason="all", plan_hash="f" * 64, objects=tuple(its.ref for its in many))
    found = parse_status(status_data(report(*many, held=held)))
    assert found.truncated
    assert (len(found.objects) < 2_000, found.held_objects) == (True, 2_000)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("two\nlines", id="line end"),
        pytest.param("a\x85b\u2028c\u2029d\x0b\x0c\x1c\x1d\x1e", id="line ends of other alphabets"),
        pytest.param('a "quoted" \\ word', id="quotes"),
        pytest.param("größer als 3 m²", id="umlauts"),
        pytest.param("a\x00b", id="NUL"),
    ],
)
def test_no_message_breaks_the_record(text):
    said = replace(BROKEN, message=text, path=text)
    (found,) = parse_status(status_data(report(said, reason=text))).objects
    assert (found["message"], found["file"]) == (text, text)


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        pytest.param(about("a", Outcome.UNCHANGED, "Current"), False, id="ready"),
        pytest.param(about("a", Outcome.CREATED, "Current"), False, id="created and ready"),
        pytest.param(about("a", Outcome.UPDATED), False, id="applied, not waited for"),
        pytest.param(about("a", Outcome.PRUNED), False, id="pruned"),
        pytest.param(about("a", Outcome.HANDED_OVER), False, id="handed over"),
        pytest.param(about("a", Outcome.UNCHANGED, "InProgress"), True, id="not ready"),
        pytest.param(about("a", Outcome.UNCHANGED, "Failed"), True, id="unhealthy"),
        pytest.param(about("a", Outcome.UNCHANGED, "Terminating"), True, id="terminating"),
        pytest.param(about("a", Outcome.UNCHANGED, "Unknown"), True, id="unknown"),
        pytest.param(about("a", Outcome.FAILED), True, id="failed"),
        pytest.param(about("a", Outcome.BLOCKED), True, id="blocked"),
        pytest.param(about("a", Outcome.SKIPPED), True, id="skipped"),
        pytest.param(about("a", Outcome.HELD), True, id="held"),
    ],
)
def test_only_what_is_not_as_wanted_is_listed(one, shown):
    assert bool(parse_status(status_data(report(one))).objects) is shown


@pytest.mark.parametrize(
    ("objects", "counts"),
    [
        pytest.param((), "objects=0 ready=0 failed=0", id="none"),
        pytest.param(
            (about("a", Outcome.UNCHANGED, "Current"), about("b", Outcome.CREATED, "InProgress")),
            "objects=2 ready=1 failed=0",
            id="one of two ready",
        ),
        pytest.param(
            (BROKEN, about("b", Outcome.UNCHANGED, "Failed"), about("c", Outcome.BLOCKED)),
            "objects=3 ready=0 failed=3",
            id="each way to fail",
        ),
        pytest.param(
            (about("a", Outcome.PRUNED), about("b", Outcome.HANDED_OVER)),
            "objects=0 ready=0 failed=0",
            id="what is gone is not counted",
        ),
    ],
)
def test_counts(objects, counts):
    assert status_data(report(*objects))["counts"] == counts


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            report(BROKEN, duration=1.0, notes=("x",)), report(BROKEN, duration=2.0), id="duration and notes"
        ),
        pytest.param(
            report(about("a", Outcome.CREATED, "InProgress", reason="LessReady")),
            report(about("a", Outcome.UNCHANGED, "InProgress", reason="LessReady")),
            id="applied now or the time before",
        ),
        pytest.param(
            report(about("a", Outcome.UPDATED, "Current", message="changed in git")),
            report(about("a", Outcome.UNCHANGED, "Current")),
            id="drift was mended",
        ),
        pytest.param(report(about("a", Outcome.PRUNED)), report(), id="pruned now or the time before"),
    ],
)
def test_equal_states_are_equal_data(before, after):
    assert status_data(before) == status_data(after)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(report(BROKEN, state=State.SYNCED), id="state"),
        pytest.param(report(BROKEN, reason="x"), id="reason"),
        pytest.param(report(BROKEN, commit="0" * 40), id="commit"),
        pytest.param(report(BROKEN, held=Held(reason="", plan_hash="0" * 64)), id="held"),
        pytest.param(report(replace(BROKEN, message="spec.y: unknown")), id="message"),
        pytest.param(report(replace(BROKEN, outcome=Outcome.BLOCKED)), id="outcome"),
        pytest.param(report(BROKEN, about("b", Outcome.UNCHANGED, "Current")), id="one object more"),
    ],
)
def test_a_transition_changes_the_data(other):
    assert status_data(other) != status_data(report(BROKEN))


@pytest.mark.parametrize("character", ["x", "ß", "\U0001f980", "\x01"])
def test_a_status_of_ten_thousand_broken_objects_fits_and_says_that_it_is_cut(character):
    long = character * 4_000
    broken = [replace(BROKEN, ref=ref(f"n{n}"), message=long) for n in range(10_000)]
    data = status_data(report(*broken, reason=long, held=Held(reason=long, plan_hash="f" * 64)))
    assert sum(len(key) + len(value.encode()) for key, value in data.items()) < LIMIT - 4 * 1024
    found = parse_status(data)
    shown = len(found.objects)
    assert shown > 70
    assert found.truncated == f"{10_000 - shown} more objects are not shown"
    assert found.counts["failed"] == 10_000


def test_a_status_that_fits_is_not_cut():
    said = report(*(replace(BROKEN, ref=ref(f"n{n}")) for n in range(1_000)))
    found = parse_status(status_data(said))
    assert (len(found.objects), found.truncated) == (1_000, "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param({}, "no status was written yet", id="nothing"),
        pytest.param({"reason": "x"}, "the status record cannot be read", id="no state"),
        pytest.param({"state": "fine"}, "the status record cannot be read", id="state that is none"),
        pytest.param(
            {"state": "synced", "counts": "ready=x"},
            "the status record cannot be read",
            id="count that is none",
        ),
        pytest.param(
            {"state": "synced", "counts": "ready"}, "the status record cannot be read", id="no count"
        ),
        pytest.param(
            {"state": "synced", "objects": "{"}, "the status record cannot be read", id="half a line"
        ),
        pytest.param(
            {"state": "synced", "objects": "5\n"}, "the status record cannot be read", id="a number"
        ),
        pytest.param({"state": "synced", "objects": "[]\n"}, "the status record cannot be read", id="a list"),
    ],
)
def test_what_cannot_be_read_is_unknown_and_never_a_guess(data, reason):
    found = parse_status(data)
    assert (found.state, found.reason, found.objects) == (State.UNKNOWN, reason, ())
