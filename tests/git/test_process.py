"""A child process ends when it should, with all that it started."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from reconciler.git.process import KEPT_ERRORS, Cut, Finished, GitDeadlines, run

SHORT = GitDeadlines(connect=0.3, idle=0.3, total=0.9)
LONG = GitDeadlines(connect=10, idle=10, total=10)


async def shell(script: str, tmp_path: Path, deadlines: GitDeadlines = LONG) -> Finished:
    return await run(["sh", "-c", script], cwd=tmp_path, env=dict(os.environ), deadlines=deadlines)


async def gone(pid_file: Path) -> bool:
    """Is the process whose id the file holds gone (or a zombie of somebody else) within a second?"""
    async with asyncio.timeout(1):
        while is_running(int(text_of(pid_file))):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    return True


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_output_status_and_errors_are_kept(tmp_path: Path) -> None:
    ended = await shell("echo out; echo wrong >&2; exit 3", tmp_path)
    assert ended == Finished(3, b"out\n", "wrong\n", Cut.NOT)


async def test_packet_trace_is_a_sign_of_life_but_no_message(tmp_path: Path) -> None:
    ended = await shell(
        "echo '18:00:00.123456 pkt-line.c:80  packet: fetch< x' >&2; echo wrong >&2", tmp_path
    )
    assert (ended.errors, ended.talked) == ("wrong\n", True)


async def test_endless_errors_are_cut_and_the_end_is_kept(tmp_path: Path) -> None:
    ended = await shell("i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done", tmp_path)
    assert len(ended.errors) <= KEPT_ERRORS
    assert ended.errors.endswith("line 2999\n")


@pytest.mark.parametrize(
    ("script", "want"),
    [
        pytest.param("sleep 30", Cut.CONNECT, id="never says anything"),
        pytest.param("echo hello; sleep 30", Cut.IDLE, id="falls silent"),
        pytest.param("while true; do echo more; sleep 0.05; done", Cut.TOTAL, id="talks for ever"),
        pytest.param("while true; do echo more >&2; sleep 0.05; done", Cut.TOTAL, id="complains for ever"),
    ],
)
async def test_deadlines(script: str, want: Cut, tmp_path: Path) -> None:
    began = asyncio.get_running_loop().time()
    ended = await shell(script, tmp_path, SHORT)
    assert ended.cut is want
    assert asyncio.get_running_loop().time() - began < SHORT.total + 1


async def test_helpers_end_with_the_child(tmp_path: Path) -> None:
    await shell("sleep 60 & echo $! > helper; wait", tmp_path, SHORT)
    assert await gone(tmp_path / "helper")


async def test_helper_that_outlives_the_child_ends_too(tmp_path: Path) -> None:
    ended = await shell("sleep 60 & echo $! > helper; exit 0", tmp_path, SHORT)
    assert ended.cut is Cut.CONNECT
    assert await gone(tmp_path / "helper")


async def test_cancellation_ends_the_child_and_goes_on(tmp_path: Path) -> None:
    task = asyncio.create_task(shell("echo $$ > child; sleep 60", tmp_path))
    async with asyncio.timeout(5):
        while not text_of(tmp_path / "child"):  # noqa: ASYNC110 - the other side is a shell
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(tmp_path / "child")


async def test_endless_output_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.git.process.MAX_OUTPUT", 100_000)
    ended = await shell("yes", tmp_path)
    assert ended.cut is Cut.OUTPUT
    assert len(ended.output) <= 100_000


async def test_growth_is_a_sign_of_life_until_it_is_too_much(tmp_path: Path) -> None:
    script = "i=0; while true; do echo x >> grows; sleep 0.02; done"
    ended = await run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=dict(os.environ),
        deadlines=GitDeadlines(connect=0.5, idle=0.5, total=10),
        size=lambda: sum(file.stat().st_size for file in tmp_path.iterdir()),
        max_size=100,
    )
    assert ended.cut is Cut.SIZE


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set from outside by prlimit")
async def test_no_file_gets_bigger_than_the_limit(tmp_path: Path) -> None:
    ended = await run(
        ["sh", "-c", "sleep 0.3; exec head -c 1000000 /dev/zero > big"],
        cwd=tmp_path,
        env=dict(os.environ),
        deadlines=LONG,
        size=lambda: 0,
        max_size=4096,
    )
    assert ended.cut is Cut.SIZE
    assert (tmp_path / "big").stat().st_size <= 4096
