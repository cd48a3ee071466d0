"""
Run the Go compiler and show that it is alive. Neighbour: build.py, which says what to compile.
"""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from localcluster.errors import BuildError

BUILD_LIMIT = 45 * 60.0  # s; five minutes on two cores, and slow machines and networks exist
PROGRESS = 15.0  # s between two lines of progress
TAIL = 40  # lines of the compiler's output that an error shows

# A user's own settings must not change what is built, or fail it: no C compiler is needed,
# no newer Go is fetched, no workspace or vendor directory is looked at.
SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
FOREIGN = ("GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG")


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the compiler's environment: the user's (proxies, module mirror, caches) with ours on top."""
    return {name: value for name, value in environment.items() if name not in FOREIGN} | SETTINGS


def compile_module(
    command: list[str], *, name: str, module: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Run `command` (a verbose `go build`) in `module`; raises BuildError with the end of its output."""
    started = time.monotonic()
    child = subprocess.Popen(
        command,
        cwd=module,
        env=settings(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # so that the limit also ends the compilers it started
    )
    limit = threading.Timer(BUILD_LIMIT, _kill_group, [child.pid])
    limit.start()
    try:
        with child:
            tail = _follow(child.stdout or (), name=name, started=started, say=say)
    except BaseException:  # also Ctrl-C: the compiler sits in a group of its own and would go on
        _kill_group(child.pid)
        raise
    finally:
        limit.cancel()
    if child.returncode != 0:
        late = time.monotonic() - started >= BUILD_LIMIT
        raise BuildError(
            what=f"building {name} {'took too long' if late else f'failed ({child.returncode})'}",
            where=str(module),
            mend="mend what the compiler says; if it cannot download, set GOPROXY as your network needs it",
            log="".join(tail),
        )
    say(f"built {name} in {time.monotonic() - started:.0f} s")


def _follow(lines: Iterable[str], *, name: str, started: float, say: Callable[[str], None]) -> deque[str]:
    """Read to the end, telling now and then how far it is; return the last lines."""
    tail: deque[str] = deque(maxlen=TAIL)
    told, packages, downloads = started, 0, 0
    for line in lines:
        tail.append(line)
        if line.startswith("go: downloading "):
            downloads += 1
        else:
            packages += 1
        if (now := time.monotonic()) - told >= PROGRESS:
            told = now
            say(f"  {name}: {now - started:.0f} s, {downloads} modules fetched, {packages} packages compiled")
    return tail


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
