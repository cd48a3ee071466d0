"""What `--help` says of each command: exit codes, and examples that can be typed as they are."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from reconciler.cli.app import app
from tests.cli.running import run

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
CALL = re.compile(r"\breconciler ([a-z][a-z-]*)([^|>)]*)")  # up to where a shell takes over again


def examples() -> list[tuple[str, str]]:
    """Each command with each of its examples."""
    return [
        (name, line)
        for name, command in COMMANDS.items()
        for line in re.findall(r"Example: (.*)", command.help or "")
    ]


def test_help_of_the_root_names_every_command_the_exit_codes_and_an_example(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert (done.code, done.err) == (0, "")
    missing = [name for name in COMMANDS if not re.search(rf"^\W*{name} ", done.out, re.MULTILINE)]
    assert not missing, done.out
    assert "Exit code: 0 " in done.out
    assert "Example: reconciler sync " in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_exit_codes_an_example_and_a_word_on_each_argument(
    tmp_path: Path, name: str
) -> None:
    done = run(tmp_path, name, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Exit code: 0 " in done.out
    assert "Example: " in done.out
    assert all(parameter.help for parameter in COMMANDS[name].params)


@pytest.mark.parametrize(("name", "example"), examples())
def test_an_example_is_taken_as_it_is(name: str, example: str) -> None:
    called, arguments = CALL.findall(example)[0]
    assert called == name
    context = COMMANDS[name].make_context(name, shlex.split(arguments))
    assert context.params
