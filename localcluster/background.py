"""
Clusters that outlive the command that started them.

A supervisor process in a session of its own holds the cluster. It holds a file lock as long as
it lives, and that lock alone says whether the cluster runs: a state file that a crash left
behind is never believed, and its process id, which may be somebody else's by now, never
signalled. Neighbours: __main__.py (commands), cluster.py (the cluster itself).
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localcluster import build
from localcluster.build import Say
from localcluster.cluster import ControlPlane, running
from localcluster.errors import LocalClusterError, LoggedError
from localcluster.leaving import leave_once

UP_LIMIT = 120.0  # s until a detached cluster is ready; 4 s on two idle cores
DOWN_LIMIT = 30.0  # s from SIGTERM to SIGKILL of a supervisor, which itself forces its roles after 3 s each
POLL = 0.05  # s between two looks at the state
LOCK_LIMIT = 2.0  # s; whoever only asks whether the cluster runs holds the lock for an instant
WATCH = 1.0  # s between two looks at the roles
TAIL_BYTES = 4_000  # of the supervisor's log in an error


@dataclass(frozen=True, slots=True)
class Place:
    """Where a detached cluster keeps what it needs; the lock lies outside of what is deleted."""

    directory: Path
    lock: Path

    @property
    def state(self) -> Path:
        return self.directory / "state.json"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "supervisor.log"


def up(name: str, *, say: Say) -> Path:
    """Start the detached cluster `name` unless it runs; return its kubeconfig when it is ready."""
    build.ensure(say=say)  # here, where somebody sees the progress
    place = _place(name)
    if _runs(place):
        say(f"cluster {name} runs already")
        return _wait_ready(place, supervisor=None)
    place.directory.mkdir(mode=0o700, exist_ok=True)
    with place.log.open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "localcluster.background", name],
            cwd=Path(__file__).resolve().parent.parent,  # where the package is found
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        kubeconfig = _wait_ready(place, supervisor=supervisor)
    except BaseException:
        supervisor.terminate()
        supervisor.wait(timeout=DOWN_LIMIT)
        raise
    say(f"cluster {name} is ready and goes on in the background. KUBECONFIG:")
    return kubeconfig


def down(name: str, *, say: Say) -> None:
    """End the detached cluster `name` and delete its data; says so if there is none."""
    place = _place(name)
    if _runs(place):
        pid = _pid(place)
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(pid, number)
            if _wait_end(place):
                say(f"cluster {name} has ended")
                break
    else:
        say(f"no cluster {name} runs")
    shutil.rmtree(place.directory, ignore_errors=True)


def watch(cluster: ControlPlane) -> None:
    """Stay as long as all roles of the cluster run; raises RoleError when one has ended."""
    while (gone := cluster.ended()) is None:
        time.sleep(WATCH)
    raise gone


def supervise(name: str) -> None:
    """Hold the cluster `name` until SIGTERM. What runs in the background."""
    leave_once(say=_log)
    place = _place(name)
    with place.lock.open("w") as lock:
        _hold(lock, name)
        _write(place, {"pid": os.getpid()})
        if place.data.exists():  # of one that was killed
            shutil.rmtree(place.data)
        with running(data_dir=place.data) as cluster:
            _write(place, {"pid": os.getpid(), "kubeconfig": str(cluster.kubeconfig)})
            watch(cluster)


def _place(name: str) -> Place:
    if re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) is None:
        raise LocalClusterError(
            what=f"{name!r} cannot name a cluster", where="--name", mend="use a-z, 0-9 and '-'"
        )
    clusters = build.cache_directory(os.environ) / "clusters"
    clusters.mkdir(parents=True, exist_ok=True)
    return Place(directory=clusters / name, lock=clusters / f"{name}.lock")


def _runs(place: Place) -> bool:
    with place.lock.open("a") as lock:
        return not _lock(lock)  # if it was free, closing the file gives it back


def _hold(lock: IO[str], name: str) -> None:
    deadline = time.monotonic() + LOCK_LIMIT
    while not _lock(lock):
        if time.monotonic() > deadline:
            raise LocalClusterError(
                what="it runs already", where=f"cluster {name}", mend="end it with `down` first"
            )
        time.sleep(POLL)


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_ready(place: Place, *, supervisor: "subprocess.Popen[bytes] | None") -> Path:
    """Wait for the cluster of our supervisor; without one, or if it was late, for whichever runs."""
    deadline = time.monotonic() + UP_LIMIT
    while True:
        state = _read(place)
        ended = supervisor is not None and supervisor.poll() is not None
        ours = supervisor is None or ended or state.get("pid") == supervisor.pid
        runs = _runs(place)
        if "kubeconfig" in state and ours and runs:
            return Path(state["kubeconfig"])
        if (ended and not runs) or time.monotonic() > deadline:
            raise LoggedError(
                what="it did not start" if ended else f"it was not ready within {UP_LIMIT:g} s",
                where=f"detached cluster in {place.directory}",
                mend="the end of its log says why:",
                log=_tail(place.log),
            )
        time.sleep(POLL)


def _wait_end(place: Place) -> bool:
    deadline = time.monotonic() + DOWN_LIMIT
    while _runs(place):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _pid(place: Place) -> int:
    deadline = time.monotonic() + UP_LIMIT
    while "pid" not in (state := _read(place)):  # it has the lock and is about to write
        if time.monotonic() > deadline or not _runs(place):
            raise LocalClusterError(
                what="it holds its lock but does not say which process it is",
                where=f"detached cluster in {place.directory}",
                mend=f"end the process that `fuser {place.lock}` names",
            )
        time.sleep(POLL)
    return int(state["pid"])


def _read(place: Place) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(place.state.read_text())
    except FileNotFoundError:
        return {}
    return state


def _write(place: Place, state: dict[str, Any]) -> None:
    fresh = place.state.with_suffix(".new")
    fresh.write_text(json.dumps(state))
    fresh.replace(place.state)  # a reader sees the old or the new one


def _tail(path: Path) -> str:
    return path.read_bytes()[-TAIL_BYTES:].decode(errors="replace").rstrip() if path.exists() else ""


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Supervise the cluster that the command line names; returns the exit code."""
    try:
        supervise(sys.argv[1])
    except KeyboardInterrupt:
        return 0
    except LocalClusterError as error:
        _log(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
