"""Run the installed command as a person does, in an environment of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.fix_sync import Installation

COMMAND = Path(sys.executable).with_name("reconciler")
LIMIT = 15.0  # s for one command
PLACE = ("instance", "records_namespace", "kubeconfig")
SOURCE = ("config", "data_dir")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that it ended with."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: "), self.err
        return self.err.strip()


def environment(home: Path) -> dict[str, str]:
    """No proxy, no cluster, no kubeconfig but what the arguments say."""
    return {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(home), "COLUMNS": "200"}


def run(
    home: Path, *arguments: object, stdout: IO[str] | None = None, encoding: str = "utf-8", **more: str
) -> Done:
    """
    Run `reconciler ARGUMENTS`; keywords are further variables of its environment.

    `stdout` is another place for its output, `encoding` that of its terminal.
    """
    done = subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding=encoding,
        env=environment(home) | {"PYTHONIOENCODING": encoding} | more,
        timeout=LIMIT,
        check=False,
        cwd=home,
    )
    out = done.stdout or ""
    assert "Traceback" not in done.stderr + out, done.stderr
    assert "\u2500" not in done.stderr, f"a box: {done.stderr}"
    return Done(done.returncode, out, done.stderr)


def options(installation: Installation, *, source: bool) -> list[str]:
    """The options that name an installation, with `source` also its configuration and caches."""
    names = (*PLACE, *SOURCE) if source else PLACE
    given = [f"--{name.replace('_', '-')}={getattr(installation.options, name)}" for name in names]
    return [*given, "--allow-local-repositories"] if source else given


def sync(installation: Installation, *arguments: object) -> Done:
    return run(installation.directory, "sync", *options(installation, source=True), *arguments)


def records(installation: Installation, command: str, *arguments: object) -> Done:
    """`status` or `approve`."""
    return run(installation.directory, command, *options(installation, source=False), *arguments)
