"""
Run a command and measure it from outside: time from its start to its exit, CPU, peak memory.
"""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK = 0.02  # s between two looks at a child's memory
TAIL = 2000  # characters of a failed child's output that are shown


class ChildFailed(Exception):
    """A measured command did not exit with 0, or not in time."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a command used; `peak` is the resident high-water mark in bytes of its own process."""

    seconds: float
    cpu: float
    peak: int


def measure(command: Sequence[str], *, environment: Mapping[str, str], output: Path, limit: float) -> Used:
    """Run to the end; both outputs go to a file. Raises ChildFailed with the end of it."""
    with output.open("wb") as sink:
        started = time.monotonic()
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        peak = _peak_until_exit(child.pid, deadline=started + limit)
        ended = time.monotonic()
    if peak is None:
        child.kill()
        child.wait()
        raise ChildFailed(_explain(command, f"still ran after {limit:g} s", output))
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ChildFailed(_explain(command, f"exit code {child.returncode}", output))
    return Used(ended - started, usage.ru_utime + usage.ru_stime, peak)


def peak_memory(pid: int) -> int:
    """
    The resident high-water mark of a running process in bytes, 0 once it has ended.

    Not `ru_maxrss`: after a fork that starts at what the parent held.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else 0


def _peak_until_exit(pid: int, *, deadline: float) -> int | None:
    peak = 0
    ended = os.pidfd_open(pid)
    try:
        while not select.select([ended], [], [], LOOK)[0]:
            peak = max(peak, peak_memory(pid))
            if time.monotonic() > deadline:
                return None
    finally:
        os.close(ended)
    return peak


def _explain(command: Sequence[str], what: str, output: Path) -> str:
    return f"{' '.join(command)}: {what}\n{output.read_text(errors='replace')[-TAIL:]}"
