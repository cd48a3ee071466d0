"""`reconciler run` as a process: its log as it comes, its pages, its end."""

import contextlib
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cli.running import COMMAND, environment, options
from tests.fix_sync import Installation

PATIENCE = 10.0  # s for what takes one or two; the machine may be busy
STOP_LIMIT = 20.0  # s that SIGTERM leaves


class ServiceProcess:
    """A started service; `log` are the lines of its standard error so far."""

    def __init__(self, arguments: list[str], home: Path, **variables: str) -> None:
        self.log: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [str(COMMAND), "run", "--listen=127.0.0.1:0", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(home) | variables,
            cwd=home,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            with self._news:
                self.log.append(line.rstrip("\n"))
                self._news.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.log)

    def said(self, pattern: str, *, after: int = 0, seconds: float = PATIENCE) -> re.Match[str]:
        """Wait for a line that matches, among those from number `after` on."""

        def found() -> re.Match[str] | None:
            return next((m for line in self.log[after:] if (m := re.search(pattern, line))), None)

        with self._news:
            self._news.wait_for(found, seconds)
            match = found()
        assert match, f"no line matches {pattern!r} after {seconds:g} s:\n{self.text}"
        return match

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of the service's pages."""
        address = self.said(r"are at (\S+)")[1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{address}{path}", timeout=PATIENCE) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_LIMIT) -> int:
        """The exit code; fails when the process does not end in time."""
        code = self._process.wait(seconds)
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        """End it by force where it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self._process.stderr:
            self._process.stderr.close()


@contextlib.contextmanager
def service(installation: Installation, *more: str, **variables: str) -> Iterator[ServiceProcess]:
    """The service of an installation, killed at the end of the block if it is still there."""
    arguments = [*options(installation, source=True), *more]
    process = ServiceProcess(arguments, installation.directory, **variables)
    try:
        yield process
    finally:
        process.close()


def until(holds: Callable[[], object], what: str, *, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
