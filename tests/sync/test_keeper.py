"""When a project runs again."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from reconciler.config.models import ManifestProject
from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Revision
from reconciler.sync import keeper
from reconciler.sync.keeper import Keeper
from reconciler.sync.outcome import Held, ProjectReport, State
from reconciler.sync.pausing import Pause
from reconciler.sync.run import Request
from reconciler.sync.source import Source

ENOUGH = 5.0  # s; all of it is a matter of milliseconds


@dataclass
class Runs:
    """Answers each run with the next report, the last one for ever."""

    reports: list[ProjectReport]
    ran: list[str] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, request: Request) -> ProjectReport:
        self.ran.append(request.revision.commit)
        if len(self.ran) == len(self.reports):
            self.enough.set()
        return self.reports[min(len(self.ran), len(self.reports)) - 1]

    async def refresh(self) -> None:
        pass

    async def is_approved(self, project: str, plan_hash: str) -> bool:
        return False


class NotPaused:
    reason = ""

    async def refresh(self) -> None:
        pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "HELD_AGAIN", 0.01)


async def test_project_that_is_held_as_a_whole_is_looked_at_again_soon() -> None:
    held = ProjectReport(project="p", state=State.HELD, held=Held(reason="r", whole=True))
    runs = Runs([held, held, ProjectReport(project="p", state=State.SYNCED)])
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
        await runs.enough.wait()
        one.end()
    assert runs.ran == ["commit"] * 3
