"""A bad configuration is told at once, and again while it lasts, but never without end."""

import asyncio

import pytest

from reconciler.config.models import Configuration
from reconciler.config.state import Accepted, Kept, Nothing
from reconciler.service import configlog
from reconciler.service.configlog import SHOWN, ConfigurationLog, first_of

GOOD = Accepted(configuration=Configuration(), revision="r2")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def turns(count: int) -> None:
    """Let all others run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "bad",
    [Nothing(problems=("a", "b")), Kept(configuration=Configuration(), revision="r1", problems=("a", "b"))],
)
async def test_problems_are_told_again_until_they_are_gone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, bad: Nothing | Kept
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(configlog, "REPEAT", 0.0)
    said = ConfigurationLog()
    async with said.repeating():
        said.tell(bad)
        assert told(caplog) == ["configuration: a", "configuration: b"]
        await turns(10)
        assert told(caplog)[:6] == ["configuration: a", "configuration: b"] * 3
        said.tell(GOOD)
        caplog.clear()
        said.tell(GOOD)
        await turns(10)
    assert told(caplog) == ["configuration r2: no project"]


def test_many_problems_are_told_in_part() -> None:
    assert first_of(["a", "b"]) == ("a", "b")
    assert first_of(["a"] * SHOWN) == ("a",) * SHOWN
    last = "and 2 problems more; `reconciler validate` shows all"
    assert first_of(["a"] * (SHOWN + 2)) == (*["a"] * SHOWN, last)
