"""
Commands that say what would be done, and what is: plan, explain. Neither ever writes.
"""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.options import (
    CLUSTER,
    REACH,
    SOURCES,
    Log,
    LogLevel,
    Output,
    OutputFormat,
    Projects,
    collect_garbage,
    set_up_log,
    some_path,
    taking,
)

if TYPE_CHECKING:
    from reconciler.service.options import Options


class PlanOutput(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


@taking(SOURCES, CLUSTER, REACH)
def plan(
    projects: Projects = None,
    *,
    options: "Options",
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or whole commit id to read, instead of what each project follows."),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            help="Directory to read instead of the one project's repository, committed or not.",
            metavar="DIR",
            parser=some_path,
        ),
    ] = None,
    output: Annotated[
        PlanOutput, typer.Option("--output", "-o", help="text, json, or markdown for a merge request.")
    ] = PlanOutput.TEXT,
    log_level: Log = LogLevel.ERROR,
) -> None:
    """
    Show what a sync would do, field by field, and write nothing. Works with rights to read.

    Exit code: 0 nothing to do, 1 changes, or something would be held, blocked or skipped, 2 an
    error: something would fail, or could not be read, so that the plan may not be all.

    Example: reconciler plan --config config.yaml --revision my-branch -o markdown my-group/apps
    """
    from reconciler.cli import diffview, render  # noqa: PLC0415
    from reconciler.service.planning import plan_projects  # noqa: PLC0415

    collect_garbage()
    set_up_log(log_level)
    planned = asyncio.run(plan_projects(options, only=tuple(projects or ()), revision=revision, path=path))
    match output:
        case PlanOutput.JSON:
            render.print_json(diffview.document(planned))
        case PlanOutput.MARKDOWN:
            sys.stdout.write(diffview.markdown(planned))
        case PlanOutput.TEXT:
            diffview.print_text(planned)
    raise typer.Exit(diffview.exit_code(planned))


@taking(SOURCES, CLUSTER, REACH)
def explain(
    what: Annotated[
        str, typer.Argument(metavar="KIND/NAME", help="The kind as kubectl takes it: deploy/web, Secret/key.")
    ],
    *,
    options: "Options",
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Default: that of the kubeconfig's context, else default."),
    ] = None,
    output: OutputFormat = Output.TABLE,
    log_level: Log = LogLevel.ERROR,
) -> None:
    """
    Show whose an object is, where it comes from, and who owns each of its fields; no values.

    Where it is not told where the configuration is, file and line stay unknown.

    Exit code: 0 shown, 2 there is no such object or kind, or it cannot be read.

    Example: reconciler explain deployment/web -n shop --config config.yaml
    """
    from reconciler.cli import explainview, render  # noqa: PLC0415
    from reconciler.service.explaining import explain_object  # noqa: PLC0415

    collect_garbage()
    set_up_log(log_level)
    explained = asyncio.run(explain_object(options, what, namespace=namespace))
    if output is Output.JSON:
        render.print_json(explainview.document(explained))
    else:
        explainview.print_explained(explained)
