"""Shell completion as a shell uses it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import COMMAND, environment, run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, "completion", shell)
    assert (done.code, done.err) == (0, "")
    assert f"complete_{shell}" in done.out


def test_another_shell_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "completion", "tcsh")
    assert done.code == 2
    assert "tcsh" in done.error


@pytest.mark.parametrize(
    ("words", "expected"),
    [("reconciler del", ["delete-project"]), ("reconciler sync --time", ["--timeout"])],
)
def test_bash_completes_commands_and_options(tmp_path: Path, words: str, expected: list[str]) -> None:
    bash = shutil.which("bash")
    assert bash
    last = len(words.split()) - 1
    script = f"source <({COMMAND} completion bash); COMP_WORDS=({words}); COMP_CWORD={last}; "
    script += f'_reconciler_completion {COMMAND}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        [bash, "-c", script],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=15,
        check=True,
    )
    assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize(
    "words", [{}, {"COMP_WORDS": "reconciler"}, {"COMP_WORDS": "reconciler", "COMP_CWORD": "x"}]
)
def test_without_the_words_of_bash_all_commands_are_named(tmp_path: Path, words: dict[str, str]) -> None:
    done = run(tmp_path, _RECONCILER_COMPLETE="complete_bash", **words)
    assert (done.code, done.err) == (0, "")
    assert {"sync", "doctor"} <= set(done.out.split())
