"""Without kubectl the suite runs, and says what it leaves out."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.timeout(60)
def test_what_needs_kubectl_is_skipped_and_named_where_there_is_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/install/test_kustomize.py"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nkubectl: not on PATH; what needs it is skipped" in done.stdout
    assert "needs kubectl, which is not on PATH" in done.stdout.partition("short test summary")[2]
    assert " passed" not in done.stdout


def test_the_readme_names_what_the_tests_use_where_it_is_there() -> None:
    assert "With `kubectl` on PATH" in (ROOT / "README.md").read_text(encoding="utf-8")
