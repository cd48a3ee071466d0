"""A project waits until every project that it depends on is synced."""

import pytest

from reconciler.config.models import ManifestProject
from reconciler.sync.fleet import why_blocked
from reconciler.sync.outcome import ProjectReport, State


def blocked(depends_on: str, **states: State) -> str:
    project = ManifestProject(
        id="app", url="https://git.example.com/app.git", depends_on=tuple(depends_on.split())
    )
    return why_blocked(
        project, {name: ProjectReport(project=name, state=state) for name, state in states.items()}
    )


@pytest.mark.parametrize(
    ("state", "want"),
    [
        (State.SYNCED, ""),
        (State.SUSPENDED, ""),
        (State.FAILED, "blocked by project base, which is failed"),
        (State.HELD, "blocked by project base, which is held"),
        (State.PROGRESSING, "waiting for project base, which is progressing"),
        (State.PENDING, "waiting for project base, which is pending"),
        (State.UNKNOWN, "waiting for project base, which is unknown"),
    ],
)
def test_each_state_of_the_other(state, want):
    assert blocked("base", base=state) == want


@pytest.mark.parametrize(
    ("depends_on", "states", "want"),
    [
        pytest.param("", {"base": State.FAILED}, "", id="depends on nothing"),
        pytest.param("base", {}, "waiting for project base, which is unknown", id="not looked at yet"),
        pytest.param("base", {"base": State.SYNCED, "x": State.FAILED}, "", id="others do not matter"),
        pytest.param(
            "a b",
            {"a": State.SYNCED, "b": State.FAILED},
            "blocked by project b, which is failed",
            id="all are wanted",
        ),
        pytest.param("a b", {"a": State.SYNCED, "b": State.SUSPENDED}, "", id="all are fine"),
    ],
)
def test_projects_that_are_waited_for(depends_on, states, want):
    assert blocked(depends_on, **states) == want
