"""
The real commands as child processes: `reconciler run` beside the demo, `reconciler sync` once.

They get what a user would type, and nothing else. Neighbours: target.py (where the cluster
is), repositories.py (what they read).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo import repositories
from demo.errors import DemoError
from demo.target import Target
from localcluster.process import LAUNCH
from reconciler.service.options import DEFAULT_RECORDS_NAMESPACE

STOP_LIMIT = 25.0  # s; the service itself takes at most 20
PASS_LIMIT = 600.0  # s for one pass; two on a local cluster, minutes where images are pulled
TAIL_LINES = 15  # of the log that an error shows


def command() -> Path:
    """`reconciler`, beside this interpreter."""
    found = Path(sys.executable).with_name("reconciler")
    if not found.exists():
        raise DemoError(what="the command is not installed", where=str(found), mend="run `make setup`")
    return found


def common(target: Target, repos: repositories.Repositories, *, root: Path) -> list[str]:
    """Options of `run` and `sync`."""
    return [
        "--config-repo",
        str(repos.config),
        "--agent-name",
        repositories.AGENT,
        "--data-dir",
        str(root / "cache"),
        "--allow-local-repositories",
        "--records-namespace",  # in a pod the default would be the pod's own
        DEFAULT_RECORDS_NAMESPACE,
        *target.options,
    ]


class Service:
    """A `reconciler run` that was started; `log` is what it writes."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self._child = child
        self.log = log

    def ended(self) -> DemoError | None:
        """Why it is no more; None while it runs."""
        if self._child.poll() is None:
            return None
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return DemoError(
            what=f"the service has ended with code {self._child.returncode}",
            where="reconciler run",
            mend=f"the end of its log: {' / '.join(lines)}",
        )

    def stop(self) -> None:
        """End it as a cluster would: SIGTERM, and by force when it is late."""
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextmanager
def running(target: Target, repos: repositories.Repositories, *, root: Path) -> Iterator[Service]:
    """The service, until the block ends. Ctrl-C does not reach it, and it dies with the demo."""
    log = root / "service.log"
    options = [*common(target, repos, root=root), "--listen", "127.0.0.1:0"]
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(command()), "run", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    service = Service(child, log)
    try:
        yield service
    finally:
        service.stop()


def one_pass(target: Target, repos: repositories.Repositories, *, root: Path) -> dict[str, Any]:
    """The document of one `reconciler sync -o json`; its progress goes to our standard error."""
    options = [*common(target, repos, root=root), "--timeout", str(PASS_LIMIT), "--output", "json"]
    done = subprocess.run(
        [str(command()), "sync", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=PASS_LIMIT + STOP_LIMIT,
        check=False,
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise DemoError(
            what=f"it ended with code {done.returncode} and without a result",
            where="reconciler sync",
            mend="mend what it says above",
        ) from None
    return document
