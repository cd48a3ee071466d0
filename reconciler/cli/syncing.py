"""
Commands that make the cluster equal to git: run (the service) and sync (one pass).
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.options import (
    CLUSTER,
    LISTENING,
    REACH,
    SOURCES,
    Log,
    LogLevel,
    Output,
    OutputFormat,
    Projects,
    collect_garbage,
    set_up_log,
    taking,
)

if TYPE_CHECKING:
    from reconciler.service.options import Options


@taking(SOURCES, CLUSTER, REACH, LISTENING)
def run(
    *,
    options: "Options",
    log_level: Log = LogLevel.INFO,
) -> None:
    """
    Run the service: follow the configuration and keep the cluster equal to git.

    Exit code: 0 stopped by SIGTERM or SIGINT, 2 it could not be started.

    Example: reconciler run --config-repo https://gitlab.example.com/ops/agents.git --agent-name prod
    """
    from reconciler.service.running import serve  # noqa: PLC0415

    collect_garbage()
    set_up_log(log_level)
    asyncio.run(serve(options))


@taking(SOURCES, CLUSTER, REACH)
def sync(
    projects: Projects = None,
    *,
    options: "Options",
    wait: Annotated[
        bool, typer.Option(help="Wait until everything is ready, or only until it is applied.")
    ] = True,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at the most.", min=0.1)] = None,
    output: OutputFormat = Output.TABLE,
    log_level: Log = LogLevel.ERROR,
) -> None:
    """
    Make one pass over all projects, or over those named, and show what it did.

    Exit code: 0 all in sync, 1 something failed, was blocked, skipped or is held, 2 the
    configuration or a source cannot be used.

    Example: reconciler sync --config config.yaml --timeout 300 my-group/apps
    """
    from reconciler.cli import render  # noqa: PLC0415
    from reconciler.cli.text import aside  # noqa: PLC0415
    from reconciler.service.onepass import one_pass  # noqa: PLC0415

    collect_garbage()
    set_up_log(log_level)
    with render.progress(enabled=sys.stderr.isatty(), only=tuple(projects or ())) as watcher:
        result = asyncio.run(
            one_pass(
                options,
                only=tuple(projects or ()),
                wait=wait,
                timeout=timeout,
                progress=watcher.object_changed,
                started=watcher.started,
                finished=watcher.finished,
                say=aside,
            )
        )
    if output is Output.JSON:
        render.print_json(render.pass_document(result))
    else:
        render.print_pass(result)
    raise typer.Exit(render.exit_code(result))
