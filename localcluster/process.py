"""
One role as a child process: start, signals, readiness, log. Knows nothing about Kubernetes.

A role sits in a process group of its own, so that Ctrl-C in a terminal reaches the harness
alone, which then ends the roles in its own way; and it dies with the harness (launch.py).
Neighbours: roles.py says what is run, cluster.py when.
"""

import contextlib
import http.client
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import RoleError

LAUNCH = Path(__file__).resolve().parent / "launch.py"
POLL = 0.02  # s between two looks at a role that starts; one look costs under a millisecond
LOOK_LIMIT = 2.0  # s for one look
KILL_LIMIT = 10.0  # s; the kernel needs milliseconds unless the machine is swapping
TAIL_BYTES = 4_000  # of a log that an error shows: the last screen


@dataclass(frozen=True, slots=True)
class Health:
    """Where a role says on loopback that it is ready: a 200 does. TLS is used where a CA is given."""

    host: str
    port: int
    path: str
    ca_file: Path | None = None
    token: str | None = None


class RoleProcess:
    """A role that can be started many times with the same command."""

    def __init__(self, name: str, command: list[str], *, log: Path, health: Health, home: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self._health = health
        self._home = home
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Start the role; `wait_ready` says when it can be used."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *self.command],
                cwd=self._home,
                env=_environment(self._home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def wait_ready(self, *, seconds: float) -> None:
        """Return when the role says that it is ready; raises RoleError if it ends or is late."""
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            if self.pid is None:
                raise self.failure(f"ended with code {self._child.returncode if self._child else None}")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready within {seconds:g} s")
            time.sleep(POLL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the role and what it started; no effect on one that does not run."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended between the two lines
                os.killpg(pid, number)

    def wait_end(self, *, seconds: float) -> bool:
        """Wait until the role has ended; False if it has not within `seconds`."""
        if self._child is None:
            return True
        try:
            self._child.wait(timeout=max(seconds, 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, *, seconds: float) -> None:
        """Ask the role to end, and force it if it has not within `seconds`."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused one could not hear it
        if not self.wait_end(seconds=seconds):
            self.kill()

    def kill(self) -> None:
        """End the role as `kill -9` does, and wait for it."""
        self.signal(signal.SIGKILL)
        self.wait_end(seconds=KILL_LIMIT)

    def tail(self) -> str:
        """Return the end of what the role wrote since its last start."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - TAIL_BYTES))
            return log.read().decode(errors="replace").rstrip()

    def failure(self, what: str) -> RoleError:
        """Return an error that says `what` became of the role, with the end of its log."""
        return RoleError(
            what=f"{self.name} {what}",
            where=f"local cluster in {self._home}",
            mend="the end of its log says why:",
            log=self.tail(),
        )

    def _is_ready(self) -> bool:
        health = self._health
        headers = {"Authorization": f"Bearer {health.token}"} if health.token else {}
        connection = _connection(health)
        try:
            connection.request("GET", health.path, headers=headers)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):  # refused, reset, timed out, TLS not yet up
            return False
        finally:
            connection.close()


def _connection(health: Health) -> http.client.HTTPConnection:
    if health.ca_file is None:
        return http.client.HTTPConnection(health.host, health.port, timeout=LOOK_LIMIT)
    context = ssl.create_default_context(cafile=health.ca_file)
    return http.client.HTTPSConnection(health.host, health.port, timeout=LOOK_LIMIT, context=context)


def _environment(home: Path) -> Mapping[str, str]:
    # A clean one: no KUBECONFIG, proxy, feature gate or Go setting of the user reaches a role, and
    # kwok does not look into the user's home for a configuration.
    return {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(home)}
