"""What `make` says and does before there is anything of ours to run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def find_python(*arguments: str, path: str = os.defpath) -> str:
    done = subprocess.run(
        ["/bin/sh", "tools/find-python.sh", *arguments],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def program(directory: Path, name: str, text: str) -> str:
    directory.mkdir(exist_ok=True)
    made = directory / name
    made.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    made.chmod(0o755)
    return str(made)


def test_a_python_that_cannot_be_used_is_passed_over(tmp_path):
    program(tmp_path / "dead", "python3", "echo 'no such version' >&2; exit 127")
    good = program(tmp_path / "good", "python3.12", f'exec {sys.executable} "$@"')
    path = f"{tmp_path / 'dead'}:{tmp_path / 'good'}"
    assert find_python(path=path) == good


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("echo 'is 3.9.1, 3.11 or newer is needed' >&2; exit 1", "is 3.9.1", id="too old"),
        pytest.param("echo 'has no module venv; install' >&2; exit 1", "has no module venv", id="no venv"),
    ],
)
def test_without_a_usable_python_it_says_what_was_found_and_what_to_do(tmp_path, script, said):
    found = program(tmp_path, "python3", script)
    assert find_python(found) == ""
    text = find_python("--explain", found)
    assert said in text
    assert "make PYTHON=" in text


def test_every_target_is_in_the_help():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) - {"binaries"}
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
    )
    assert {line.split()[1] for line in done.stdout.splitlines()} == targets


def test_ci_runs_make_test_and_nothing_else():
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "set ", "cd "))] == [
        "exec make test"
    ]
    assert os.access(ROOT / ".ci/run", os.X_OK)
