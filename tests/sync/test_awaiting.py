"""What a report waits for."""

import pytest

from reconciler.sync.awaiting import Awaited, awaited_of
from reconciler.sync.outcome import ObjectReport, Outcome, ProjectReport, State
from tests.sync.pieces import ref

A = ref("a")
CUSTOM = ref("a", kind="Widget", group="example.com")


def its(outcome: Outcome, reason: str = "", health: str = "", of: object = A) -> ObjectReport:
    return ObjectReport(ref=of, outcome=outcome, reason=reason, health=health)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("report", "want"),
    [
        pytest.param(its(Outcome.UNCHANGED, health="Current"), Awaited(), id="well"),
        pytest.param(its(Outcome.FAILED, "Forbidden"), Awaited(), id="nothing that could be heard"),
        pytest.param(its(Outcome.BLOCKED, "Dependency"), Awaited(), id="what it needs says it itself"),
        pytest.param(
            its(Outcome.UPDATED, health="InProgress"), Awaited(ready=frozenset({A})), id="not ready"
        ),
        pytest.param(its(Outcome.CREATED, health="Failed"), Awaited(ready=frozenset({A})), id="may recover"),
        pytest.param(its(Outcome.BLOCKED, "Terminating"), Awaited(gone=frozenset({A})), id="on its way out"),
        pytest.param(its(Outcome.FAILED, "PruneTimeout"), Awaited(gone=frozenset({A})), id="pruned late"),
        pytest.param(
            its(Outcome.FAILED, "NotFound"), Awaited(namespaces=frozenset({"shop"})), id="no namespace"
        ),
        pytest.param(
            its(Outcome.FAILED, "Terminating"), Awaited(namespaces=frozenset({"shop"})), id="namespace goes"
        ),
        pytest.param(
            its(Outcome.FAILED, "KindNotServed", of=CUSTOM),
            Awaited(groups=frozenset({"example.com"})),
            id="no definition",
        ),
    ],
)
def test_awaited_of(report: ObjectReport, want: Awaited) -> None:
    got = awaited_of(ProjectReport(project="p", state=State.FAILED, objects=(report,)))
    assert got == want
    assert bool(got) == (want != Awaited())


def test_run_hears_itself_what_becomes_ready() -> None:
    unready = its(Outcome.UPDATED, health="InProgress")
    report = ProjectReport(project="p", state=State.PROGRESSING, objects=(unready,))
    assert not awaited_of(report, running=True)
