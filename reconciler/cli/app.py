"""
The root of all commands, and how a mistake on the command line is told.

Heavy modules are imported inside the commands: `reconciler --help` and a sync that has
nothing to do should be over before anybody notices. What commands print is render.py's business.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from reconciler import __version__
from reconciler.cli import completing, keeping, looking, planning, syncing

_EPILOG: Final = """
Exit code: 0 all is well, 1 something is not, 2 it could not be done.
`reconciler COMMAND --help` says more.

Example: reconciler sync --config config.yaml
"""
app = typer.Typer(
    name="reconciler",
    help="Makes a Kubernetes cluster equal to what git declares.",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    syncing.run,
    syncing.sync,
    planning.plan,
    planning.explain,
    looking.status,
    looking.approve,
    keeping.delete_project,
    keeping.orphans,
    keeping.backup,
    keeping.restore,
    keeping.doctor,
    looking.validate,
    completing.completion,
):
    app.command()(_command)


CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]
"""What every mistake on the command line is; typer names it only by its children."""


def command(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Raises CommandLineError, and what the command raises."""
    completing.set_up()
    code = app(arguments or ["--help"], prog_name="reconciler", standalone_mode=False)
    return int(code or 0) if arguments else 2


def explain(error: Any) -> str:
    """One line for a CommandLineError: its own text fills a box."""
    context = getattr(error, "ctx", None)
    name = context.command_path if context else "reconciler"
    said = " ".join(str(error.format_message()).split()).removesuffix(".").replace(": Value error, ", ": ")
    return f"{name}: {said}; see `{name} --help`"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
