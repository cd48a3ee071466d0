"""When a project runs again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from reconciler.config.models import ManifestProject
from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Revision
from reconciler.sync import keeper
from reconciler.sync.awaiting import Awaited
from reconciler.sync.backoff import Backoff
from reconciler.sync.keeper import Keeper
from reconciler.sync.outcome import Held, ObjectReport, Outcome, ProjectReport, State
from reconciler.sync.pausing import Pause
from reconciler.sync.request import Request
from reconciler.sync.source import Source
from tests.sync.pieces import ref

ENOUGH = 5.0  # s; all of it is a matter of milliseconds


@dataclass
class Runs:
    """Answers each run with the next report, the last one for ever."""

    reports: list[ProjectReport]
    ran: list[str] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, request: Request) -> ProjectReport:
        self.ran.append(request.revision.commit)
        report = self.reports[min(len(self.ran), len(self.reports)) - 1]
        if report.state is State.PROGRESSING:
            request.waiting(report)
            await request.stop.wait()
        if len(self.ran) == len(self.reports):
            self.enough.set()
        return self.reports[min(len(self.ran), len(self.reports)) - 1]

    async def refresh(self) -> None:
        pass

    async def is_approved(self, project: str, plan_hash: str) -> bool:
        return False

    async def await_change(self, project: ManifestProject, awaited: Awaited, told: set[str]) -> str:
        await self.changed.wait()
        self.changed.clear()
        return "something is there"


class NotPaused:
    reason = ""

    async def refresh(self) -> None:
        pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "HELD_AGAIN", 0.01)
    monkeypatch.setattr(keeper, "CHANGE_PAUSE", 0.0)


@asynccontextmanager
async def keeping(runs: Runs) -> AsyncIterator[Keeper]:
    """A keeper at work, until `runs` has answered with all of its reports."""
    one = Keeper(
        ManifestProject(id="p", url="u"),
        runs=runs,
        source=cast("Source", None),  # nobody reads it
        limits=FileLimits(),
        blocker=lambda _project: "",
        pause=cast("Pause", NotPaused()),
        publish=lambda _report: None,
    )
    one.moved(Revision("commit", "tree", "refs/heads/main"))
    async with asyncio.timeout(ENOUGH), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.keep())
        yield one
        await runs.enough.wait()
        one.end()


async def test_project_that_is_held_as_a_whole_is_looked_at_again_soon() -> None:
    held = ProjectReport(project="p", state=State.HELD, held=Held(reason="r", whole=True))
    runs = Runs([held, held, ProjectReport(project="p", state=State.SYNCED)])
    async with keeping(runs):
        pass
    assert runs.ran == ["commit"] * 3


MISSING = ObjectReport(ref=ref("a"), outcome=Outcome.FAILED, reason="NotFound")
SYNCED = ProjectReport(project="p", state=State.SYNCED)


async def test_failed_project_is_retried_when_what_it_waits_for_is_there() -> None:
    """The retry itself would be due in ten seconds, beyond this test's time."""
    runs = Runs([ProjectReport(project="p", state=State.FAILED, objects=(MISSING,)), SYNCED])
    async with keeping(runs):
        runs.changed.set()
    assert len(runs.ran) == 2


@pytest.mark.parametrize("how", ["after a while", "when what it waits for is there"])
async def test_failed_object_is_retried_though_others_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "after a while":
        monkeypatch.setattr(keeper, "RETRY_FIRST", 0.02)
    waiting = ProjectReport(project="p", state=State.PROGRESSING, objects=(MISSING,))
    runs = Runs([waiting, waiting, SYNCED] if how == "after a while" else [waiting, SYNCED])
    async with keeping(runs):
        if how != "after a while":
            runs.changed.set()
    assert set(runs.ran) == {"commit"}


async def test_objects_that_are_only_waited_for_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RETRY_FIRST", 0.0)
    unready = ObjectReport(ref=ref("a"), outcome=Outcome.CREATED, health="InProgress")
    runs = Runs([ProjectReport(project="p", state=State.PROGRESSING, objects=(unready,)), SYNCED])
    async with keeping(runs) as one:
        await asyncio.sleep(0.05)
        assert len(runs.ran) == 1
        one.moved(Revision("newer", "tree", "refs/heads/main"))
    assert runs.ran == ["commit", "newer"]


FAILED = ProjectReport(project="p", state=State.FAILED)
NEWER = Revision("newer", "tree", "refs/heads/main")


@dataclass
class Moving(Runs):
    """The ref moves beside the sixth run."""

    move: Callable[[Callable[[Revision], None]], None] = lambda _moved: None
    keeper: Keeper | None = None

    async def run(self, request: Request) -> ProjectReport:
        report = await super().run(request)
        if len(self.ran) == 6 and self.keeper:
            self.move(self.keeper.moved)
        return report


@pytest.mark.parametrize(
    "move",
    [
        pytest.param(lambda moved: moved(NEWER), id="while the old one is run"),
        pytest.param(lambda moved: asyncio.get_running_loop().call_soon(moved, NEWER), id="between two runs"),
    ],
)
async def test_new_commit_that_fails_once_is_retried_as_after_any_first_failure(
    monkeypatch: pytest.MonkeyPatch, move: Callable[[Callable[[Revision], None]], None]
) -> None:
    """After six failures of the old one it would wait for five minutes."""
    monkeypatch.setattr(keeper, "RETRY_FIRST", 0.001)
    failures: list[tuple[str, int]] = []
    runs = Moving([FAILED] * 8, move=move)
    delay = Backoff.delay

    def noted(backoff: Backoff, random: float) -> float:
        failures.append((runs.ran[-1], backoff.failures))
        return delay(backoff, random)

    monkeypatch.setattr(Backoff, "delay", noted)
    async with keeping(runs) as one:
        runs.keeper = one
    assert runs.ran == ["commit"] * 6 + ["newer"] * 2
    assert failures[-2:] == [("newer", 1), ("newer", 2)]
