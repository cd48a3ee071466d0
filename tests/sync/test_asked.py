"""What a request and its answer are, as text and back."""

import pytest

from reconciler.manifests.identity import ObjectRef
from reconciler.sync import asked
from reconciler.sync.outcome import Held, ObjectReport, Outcome, ProjectReport, State
from reconciler.sync.status import status_data


@pytest.mark.parametrize(
    ("there", "answered", "want"),
    [
        pytest.param("", "", "t", id="the first"),
        pytest.param("a b", "", "a b t", id="beside others that are open"),
        pytest.param("a b", "a", "b t", id="what was answered goes"),
        pytest.param("a b", "b a", "t", id="all were answered"),
        pytest.param(
            " ".join(map(str, range(16))), "", " ".join([*map(str, range(1, 16)), "t"]), id="bounded"
        ),
    ],
)
def test_a_request_is_added(there, answered, want):
    assert asked.with_token(there, "t", answered=answered) == want


@pytest.mark.parametrize(
    ("notes", "want"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({"reconciler.dev/requested-at": "a"}, "a", id="one"),
        pytest.param(
            {"reconciler.dev/requested-at": "a", "reconciler.dev/handled": "a x"}, "", id="taken on"
        ),
        pytest.param(
            {"reconciler.dev/requested-at": "a b", "reconciler.dev/handled": "a x"}, "a b", id="one more"
        ),
    ],
)
def test_what_is_open_on_a_lease(notes, want):
    assert asked.is_open(notes) == want


def shown(name, outcome, health="Current", **more):
    return ObjectReport(ref=ObjectRef("", "ConfigMap", "n", name), outcome=outcome, health=health, **more)


def test_an_answer_tells_counts_of_all_and_names_of_what_is_not_well():
    bad = shown("bad", Outcome.FAILED, "", reason="Invalid", message="no", path="x.yaml", line=3)
    report = ProjectReport(
        project="shop",
        state=State.FAILED,
        reason="ConfigMap n/bad failed",
        commit="c0ffee",
        ref="refs/heads/main",
        held=Held(reason="too many", plan_hash="f00d", objects=(ObjectRef("", "ConfigMap", "n", "old"),)),
        objects=(shown("a", Outcome.CREATED), bad, shown("old", Outcome.HELD, "", message="left git")),
        duration=1.25,
    )
    got = asked.report_of("shop", status_data(report), asked.answer_text(report))
    assert got.counts() == report.counts()
    assert (got.state, got.reason, got.commit, got.ref) == (
        report.state, report.reason, report.commit, report.ref,
    )  # fmt: skip
    assert got.held == report.held
    assert got.objects == report.objects[1:]
    assert got.duration == report.duration


@pytest.mark.parametrize("answer", ["", "{", "[]", '{"counts": 7}', '{"seconds": null}'])
def test_an_answer_of_another_hand_is_no_error(answer):
    data = status_data(ProjectReport(project="shop", state=State.SYNCED))
    assert asked.report_of("shop", data, answer).state is State.SYNCED


@pytest.mark.parametrize(
    ("state", "wait", "waits_for_others", "final"),
    [
        pytest.param(State.SYNCED, True, True, True, id="synced"),
        pytest.param(State.FAILED, True, True, True, id="failed"),
        pytest.param(State.PROGRESSING, True, False, False, id="not ready yet"),
        pytest.param(State.PROGRESSING, False, False, True, id="applied is enough"),
        pytest.param(State.PENDING, True, True, False, id="what it depends on is not done"),
        pytest.param(State.PENDING, True, False, True, id="what it depends on has failed"),
    ],
)
def test_when_the_service_is_done(state, wait, waits_for_others, final):
    report = ProjectReport(project="shop", state=state)
    assert asked.is_final(report, wait=wait, open_dependencies=waits_for_others) is final


@pytest.mark.parametrize(
    ("objects", "wait", "want"),
    [
        pytest.param(
            [shown("a", Outcome.CREATED, "InProgress")], True, State.PROGRESSING, id="who waits sees it"
        ),
        pytest.param([shown("a", Outcome.CREATED, "InProgress")], False, State.SYNCED, id="all is applied"),
        pytest.param([shown("a", Outcome.FAILED, "")], False, State.FAILED, id="one was refused"),
        pytest.param([shown("a", Outcome.CREATED, "Failed")], False, State.FAILED, id="one does not work"),
    ],
)
def test_what_who_does_not_wait_is_told(objects, wait, want):
    report = ProjectReport(project="shop", state=State.PROGRESSING, objects=tuple(objects))
    assert asked.as_asked(report, wait=wait).state is want
