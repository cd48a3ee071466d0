"""
Shell completion: the script for a shell, and what it asks for at each press of the key.

typer's own; it is only set up where it is asked for, so that no other command pays for it.
"""

import os
from enum import StrEnum
from typing import Annotated, Final

import typer

_ASKED: Final = "_RECONCILER_COMPLETE"
"""Set by the script; its value says what the shell wants to know."""


class Shell(StrEnum):
    """Shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def set_up() -> None:
    """Let the next command answer the shell, where it is a shell that asks."""
    if _ASKED in os.environ:
        # typer does without what other shells set, but takes bash's for granted.
        if "COMP_WORDS" not in os.environ or not os.environ.get("COMP_CWORD", "").isdecimal():
            os.environ |= {"COMP_WORDS": "", "COMP_CWORD": "0"}
        from typer.completion import completion_init  # type: ignore[attr-defined]  # noqa: PLC0415

        completion_init()


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """
    Print the script that completes commands and options in a shell.

    Exit code: 0 printed, 2 the shell is not known.

    Example: reconciler completion bash > /etc/bash_completion.d/reconciler

    Example: source <(reconciler completion zsh)

    Example: reconciler completion fish > ~/.config/fish/completions/reconciler.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # noqa: PLC0415

    typer.echo(get_completion_script(prog_name="reconciler", complete_var=_ASKED, shell=shell.value))
