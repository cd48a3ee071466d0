"""The first sync as the demo shows it, when the cluster cannot be looked at for a moment or for good."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import live
from demo.declared import Declared
from demo.errors import DemoError
from demo.observed import Observed
from demo.target import Target
from reconciler.cluster.errors import ClusterError
from reconciler.sync.status import parse_status

COMMIT = "c" * 40
WANTED = (Declared("shop", "v1", "ConfigMap", "", "a", {}),)
TARGET = Target(Path("kubeconfig"), None, ended=lambda: None)
SYNCED = Observed(
    "shop",
    parse_status({"state": "synced", "counts": "objects=1 ready=1 failed=0"}),
    {("ConfigMap", "shop", "a"): {}},
    ready=1,
)
LOST = ClusterError(what="the connection was lost", where="GET /api", mend="it is tried again")


class Runs:
    """A service that goes on."""

    log = Path("service.log")

    def ended(self) -> None:
        return None


class Looks:
    """An observer whose looks are written down beforehand; the last one repeats."""

    def __init__(self, *looks: Observed | ClusterError) -> None:
        self._looks: Iterator[Observed | ClusterError] = iter(looks)
        self._last = looks[-1]

    async def look(self, *, now: float) -> dict[str, Observed]:
        match next(self._looks, self._last):
            case Observed() as seen:
                return {seen.project: seen}
            case error:
                raise error


def first_sync(*looks: Observed | ClusterError) -> dict[str, Observed]:
    sync = live.first_sync(Looks(*looks), WANTED, TARGET, Runs(), commits={"shop": COMMIT})
    return asyncio.run(sync)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK", 0.0)


def test_a_look_that_fails_is_said_once_and_repeated(capsys):
    assert first_sync(Observed("shop"), LOST, LOST, SYNCED) == {"shop": SYNCED}
    said = capsys.readouterr().out
    assert said.count("cannot look: GET /api: the connection was lost") == 1
    assert "synced    applied 1/1, ready 1" in said


def test_the_table_shows_the_commit_while_none_is_recorded(capsys):
    first_sync(Observed("shop"), SYNCED)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [COMMIT[:10]] * 2


def test_looks_that_never_succeed_end_the_demo(monkeypatch):
    monkeypatch.setattr(live, "FIRST_LIMIT", 0.0)
    with pytest.raises(DemoError, match=r"not over after 0 s.*service\.log"):
        first_sync(LOST)
