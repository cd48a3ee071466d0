"""
Commands that look at records or files, or sign one thing in them: status, approve, validate.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.options import (
    CLUSTER,
    AllowLocal,
    Output,
    OutputFormat,
    Projects,
    collect_garbage,
    some_path,
    some_text,
    taking,
)

if TYPE_CHECKING:
    from reconciler.service.options import Options


@taking(CLUSTER)
def status(
    projects: Projects = None,
    *,
    options: "Options",
    output: OutputFormat = Output.TABLE,
) -> None:
    """
    Show what was last recorded of every project; reads the cluster, not the service.

    Exit code: 0 shown, whatever the states are, 2 the records cannot be read,
    or a project that is named has none.

    Example: reconciler status --instance prod -o json
    """
    from reconciler.cli import render  # noqa: PLC0415
    from reconciler.service.reading import stored_statuses  # noqa: PLC0415

    collect_garbage()
    stored = asyncio.run(stored_statuses(options, only=tuple(projects or ())))
    if output is Output.JSON:
        render.print_json(render.status_document(stored))
    else:
        render.print_status(stored)


@taking(CLUSTER)
def approve(
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="The project that is held.", parser=some_text)
    ],
    plan_hash: Annotated[
        str,
        typer.Argument(
            metavar="HASH", help="The hash that sync or status shows, or its first 12 digits or more."
        ),
    ],
    *,
    options: "Options",
) -> None:
    """
    Let exactly the prune go ahead that is held under this hash.

    A prune of other objects, or of other uids, has another hash and is held again.

    Exit code: 0 approved, 2 not.

    Example: reconciler approve my-group/apps 3f2c9ab04d1e
    """
    from reconciler.cli.text import number_of, plain  # noqa: PLC0415
    from reconciler.service.reading import approve as approve_plan  # noqa: PLC0415

    collect_garbage()
    approved = asyncio.run(approve_plan(options, project, plan_hash))
    if not approved.objects:
        typer.echo(f"approved {approved.plan_hash}: {plain(project)} goes on with the next run")
        return
    objects = number_of(approved.objects, "object")
    verb = "is" if approved.objects == 1 else "are"
    typer.echo(
        f"approved {approved.plan_hash}: {objects} of {plain(project)} {verb} pruned with the next run"
    )


def validate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A configuration file, or a directory that holds some.", parser=some_path
        ),
    ],
    *,
    allow_local: AllowLocal = False,
) -> None:
    """
    Check configuration files offline; nothing is contacted.

    Exit code: 0 all files are valid, 1 a file has a mistake.

    Example: reconciler validate .gitlab/agents/prod/config.yaml
    """
    from reconciler.cli import render  # noqa: PLC0415
    from reconciler.config.validate import validate as check  # noqa: PLC0415

    collect_garbage()
    raise typer.Exit(render.print_validation(check(path, allow_local=allow_local)))
