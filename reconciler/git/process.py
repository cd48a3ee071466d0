"""
A child process that cannot outstay its welcome.

`run` starts it in a session of its own, reads what it says within bounds, and ends it
with everything that it started when a deadline passes, when it grows too big, or when
the caller is cancelled. Knows nothing of git but one thing: the packet trace, which is
how a silent `git fetch` shows that the server still talks. command.py knows what to run.
"""

import asyncio
import contextlib
import os
import re
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

MAX_OUTPUT = 64 * 1024 * 1024  # bytes; `git ls-remote` of half a million refs
KEPT_ERRORS = 8 * 1024  # bytes of stderr; the reason stands in the last lines
CHUNK = 64 * 1024
WATCH_EVERY = 0.1  # s; a fast server writes some 100 MB between two looks
LAST_WORDS = 2.0  # s for the pipes of a killed group to close; they do at once, unless someone left the group

# "18:00:00.123456 pkt-line.c:80   packet: fetch< ...": a sign of life, not a message.
_TRACE = re.compile(rb"\d\d:\d\d:\d\d\.\d+ \S+ +packet: ")


@dataclass(frozen=True, slots=True)
class GitDeadlines:
    """
    Seconds for one call of git: until the server's first sign (`connect`), between two signs
    (`idle`), and for all of it (`total`).
    """

    connect: float = 20.0  # a TCP connect retries after 1, 3, 7 and 15 s
    idle: float = 30.0  # servers that prepare a pack send a keep-alive every 5 s
    total: float = 600.0


class Cut(Enum):
    """Why a child was ended by us; `NOT` when it ended by itself."""

    NOT = ""
    CONNECT = "connect"
    IDLE = "idle"
    TOTAL = "total"
    SIZE = "size"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Finished:
    """
    How a child ended. `errors` is the end of its stderr without trace lines; `talked` says
    that there were trace lines: a git server was at the other end.
    """

    status: int
    output: bytes
    errors: str
    cut: Cut
    talked: bool = False


@dataclass(slots=True)
class _Talk:
    """What a running child said so far, and when it is to be ended."""

    started: float
    deadlines: GitDeadlines
    clock: asyncio.Timeout
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    heard: bool = False
    talked: bool = False
    cut: Cut = Cut.NOT

    def sign_of_life(self, now: float) -> None:
        self.heard = True
        if not self.clock.expired():
            self.clock.reschedule(min(now + self.deadlines.idle, self.started + self.deadlines.total))

    def which_deadline(self, now: float) -> Cut:
        if now >= self.started + self.deadlines.total:
            return Cut.TOTAL
        return Cut.IDLE if self.heard else Cut.CONNECT


async def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    deadlines: GitDeadlines,
    size: Callable[[], int] | None = None,
    max_size: int = 0,
) -> Finished:
    """
    Run `command` to its end or to a deadline; never raises for what the child does.

    `size` tells how many bytes the child has written so far: growth is a sign of life, more
    than `max_size` ends it. No single file that it writes may get bigger either.
    """
    loop = asyncio.get_running_loop()
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if max_size:
        _limit_files(child.pid, max_size)
    now = loop.time()
    first = now + min(deadlines.connect, deadlines.total)
    clock = asyncio.timeout_at(first)
    talk = _Talk(now, deadlines, clock)
    try:
        async with clock, asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(_watch(child, talk, size, max_size)) if size else None
            await asyncio.gather(_read_output(child, talk), _read_errors(child, talk))
            await child.wait()
            if watcher:
                watcher.cancel()
    except TimeoutError:
        talk.cut = talk.cut if talk.cut is not Cut.NOT else talk.which_deadline(loop.time())
    finally:
        await _end(child)
    status = child.returncode if child.returncode is not None else -signal.SIGKILL
    # The system ended it, or a helper of it, at the limit of `_limit_files`.
    if size and status and talk.cut is Cut.NOT and (status == -signal.SIGXFSZ or size() >= max_size):
        talk.cut = Cut.SIZE
    return Finished(status, bytes(talk.output), _lines(talk.errors), talk.cut, talk.talked)


async def _read_output(child: asyncio.subprocess.Process, talk: _Talk) -> None:
    stream, now = _stream(child.stdout), asyncio.get_running_loop().time
    while chunk := await stream.read(CHUNK):
        talk.sign_of_life(now())
        if len(talk.output) + len(chunk) > MAX_OUTPUT:
            talk.cut = Cut.OUTPUT
            _kill(child)
            return
        talk.output += chunk


async def _read_errors(child: asyncio.subprocess.Process, talk: _Talk) -> None:
    stream, now = _stream(child.stderr), asyncio.get_running_loop().time
    rest = b""
    while chunk := await stream.read(CHUNK):
        talk.sign_of_life(now())
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        rest = rest[:KEPT_ERRORS]  # a line without an end is not kept for ever
        _keep(talk, lines)
    _keep(talk, [rest])


def _keep(talk: _Talk, lines: Sequence[bytes]) -> None:
    for line in lines:
        if _TRACE.match(line):
            talk.talked = True
        elif line:
            talk.errors += line[:KEPT_ERRORS] + b"\n"
    del talk.errors[:-KEPT_ERRORS]


def _lines(errors: bytearray) -> str:
    return errors.decode("utf-8", "replace")


async def _watch(
    child: asyncio.subprocess.Process, talk: _Talk, size: Callable[[], int], max_size: int
) -> None:
    """Look at what the child has written, for as long as it runs."""
    now = asyncio.get_running_loop().time
    pause = min(WATCH_EVERY, talk.deadlines.idle / 3)
    last = size()
    while True:
        await asyncio.sleep(pause)
        written = size()
        if written > max_size:
            talk.cut = Cut.SIZE
            _kill(child)
            return
        if written > last:
            talk.sign_of_life(now())
        last = written


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child's whole group and wait for it; helpers that outlived the child hold its pipes."""
    streams = [_stream(child.stdout), _stream(child.stderr)]
    if child.returncode is None or not all(stream.at_eof() for stream in streams):
        _kill(child)
        # Emptied, or a full pipe would keep the transport open after the death of the child.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await asyncio.gather(*(_drain(stream) for stream in streams))
    await child.wait()


def _kill(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(CHUNK):
        pass


def _stream(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise RuntimeError("the child was started without pipes")
    return stream


def _limit_files(pid: int, max_size: int) -> None:
    # Only Linux can set it from outside; elsewhere the watcher alone keeps the bound.
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (max_size, max_size))
