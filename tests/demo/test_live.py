"""What the demo shows of a first sync that cannot be looked at, and tells of changes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import live
from demo.declared import Declared
from demo.errors import DemoError
from demo.observed import Observed, Recorded
from demo.target import Target
from reconciler.cluster.errors import ClusterError
from reconciler.manifests.identity import ObjectRef
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
    """A service that goes on, for so many looks at it."""

    log = Path("service.log")

    def __init__(self, *, looks: int = 1_000) -> None:
        self._looks = looks

    def ended(self) -> DemoError | None:
        self._looks -= 1
        return None if self._looks >= 0 else DemoError(what="all seen", where="here", mend="-")


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


class Records:
    """An observer of records that are written down beforehand."""

    def __init__(self, *records: Recorded) -> None:
        self._records = iter(records)

    async def recorded(self) -> dict[str, Recorded]:
        return {"shop": next(self._records)}


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


def recorded(state: str, *names: str, whole: bool = True) -> Recorded:
    status = parse_status({"state": state, "counts": f"objects={len(names)} ready={len(names)} failed=0"})
    return Recorded(status, frozenset(ObjectRef("", "ConfigMap", "shop", name) for name in names), whole)


BETWEEN = recorded("failed", "a", "b", whole=False)


@pytest.mark.parametrize(
    ("records", "patience", "said"),
    [
        pytest.param([recorded("synced", "a")] * 3, 9, [], id="nothing happens"),
        pytest.param(
            [recorded("synced", "a", "b"), BETWEEN, recorded("synced", "a")],
            9,
            ["synced: 1 objects, 1 ready, 0 failed; pruned: ConfigMap shop/b"],
            id="a moment between",
        ),
        pytest.param(
            [recorded("synced", "a", "b"), BETWEEN, BETWEEN],
            0,
            ["failed: 2 objects, 2 ready, 0 failed"],
            id="one that lasts",
        ),
        pytest.param([BETWEEN, recorded("synced", "a", "b")], 9, ["synced: 2 objects, 2 ready"], id="first"),
    ],
)
def test_changes_are_told_without_the_moments_between(monkeypatch, capsys, records, patience, said):
    monkeypatch.setattr(live, "PATIENCE", patience)
    with pytest.raises(DemoError, match="all seen"):
        asyncio.run(live.tell_changes(Records(*records), TARGET, Runs(looks=len(records))))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(said), lines
    assert all(wanted in line for wanted, line in zip(said, lines, strict=True)), lines
