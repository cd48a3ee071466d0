"""
Commands that look after an installation: delete-project, orphans, backup, restore, doctor.
"""

import asyncio
import sys
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
    collect_garbage,
    set_up_log,
    some_path,
    some_text,
    taking,
)

if TYPE_CHECKING:
    from reconciler.service.options import Options

BackupFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The file; - is standard output or input.", parser=some_path),
]


@taking(SOURCES, CLUSTER, REACH)
def delete_project(
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="Its id, as `status` shows it.", parser=some_text)
    ],
    *,
    options: "Options",
    approve: Annotated[
        str | None,
        typer.Option(
            help="The hash under which the prune is held, or its first 12 digits or more.", metavar="HASH"
        ),
    ] = None,
    without_configuration: Annotated[
        bool,
        typer.Option(
            "--without-configuration", help="Do not check that the project has left the configuration."
        ),
    ] = False,
    service_account: Annotated[
        str | None,
        typer.Option(help="ServiceAccount to act as. Default: nobody else.", metavar="NAMESPACE/NAME"),
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at the most.", min=0.1)] = None,
    output: OutputFormat = Output.TABLE,
    log_level: Log = LogLevel.ERROR,
) -> None:
    """
    Prune all objects of a project that has left the configuration, then delete its records.

    The first call deletes nothing: all is held under a hash. A second one with --approve HASH, or
    after `reconciler approve PROJECT HASH`, prunes exactly these objects. What another project
    declares, or an annotation keeps, is let go instead.

    Exit code: 0 nothing is left, 1 held, or something is left, 2 an error.

    Example: reconciler delete-project --config config.yaml my-group/old

    Example: reconciler delete-project --config config.yaml my-group/old --approve 3f2c9ab04d1e
    """
    from reconciler.cli import keepview, render  # noqa: PLC0415
    from reconciler.cli.text import aside  # noqa: PLC0415
    from reconciler.service.removing import delete_project as remove  # noqa: PLC0415

    collect_garbage()
    set_up_log(log_level)
    done = asyncio.run(
        remove(
            options,
            project,
            unconfigured=without_configuration,
            approve=approve,
            service_account=service_account,
            timeout=timeout,
            say=aside,
        )
    )
    if output is Output.JSON:
        render.print_json(keepview.removal_document(done))
    else:
        keepview.print_removal(done)
    raise typer.Exit(0 if done.removed else 1)


@taking(CLUSTER, REACH)
def orphans(*, options: "Options", output: OutputFormat = Output.TABLE) -> None:
    """
    List objects that carry our mark but are in no inventory; nothing is deleted.

    All kinds that may be listed are searched. What only has the label, copied from another
    object, is no orphan.

    Exit code: 0 none, 1 some, 2 something could not be read, so that there may be more.

    Example: reconciler orphans --instance prod -o json
    """
    from reconciler.cli import keepview, render  # noqa: PLC0415
    from reconciler.service.searching import search_orphans  # noqa: PLC0415

    collect_garbage()
    found = asyncio.run(search_orphans(options))
    if output is Output.JSON:
        render.print_json(keepview.orphans_document(found))
    else:
        keepview.print_orphans(found)
    raise typer.Exit(keepview.orphans_exit_code(found))


@taking(CLUSTER)
def backup(
    file: BackupFile,
    *,
    options: "Options",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """
    Write all records of this installation and its key into one file, readable by you alone.

    The file holds the Secret reconciler-key: keep it as you keep Secrets. It holds no manifest.

    Exit code: 0 written, 2 not.

    Example: reconciler backup --instance prod prod.backup

    Example: reconciler backup --instance prod - | age -r age1... > prod.backup.age
    """
    from reconciler.cli import keepview  # noqa: PLC0415
    from reconciler.service.saving import STREAM, save  # noqa: PLC0415

    collect_garbage()
    saved = asyncio.run(save(options, file, force=force))
    where = sys.stderr if file == STREAM else sys.stdout
    where.write(keepview.saved_line(saved, "standard output" if file == STREAM else str(file)) + "\n")


@taking(CLUSTER)
def restore(
    file: BackupFile,
    *,
    options: "Options",
    force: Annotated[
        bool, typer.Option("--force", help="Replace records and the key where others are there.")
    ] = False,
) -> None:
    """
    Put the records and the key of a backup back. A running service lets it have a turn.

    Objects are not touched: the next run compares each with its record, and deletes only what has
    the recorded uid and our mark. A file of another installation is refused, and so is one that was
    changed. What is there already as in the file is left alone, so that a restore that was
    cut off can be carried out again.

    Exit code: 0 restored, 2 not.

    Example: reconciler restore --instance prod prod.backup
    """
    from reconciler.cli import keepview  # noqa: PLC0415
    from reconciler.cli.text import aside  # noqa: PLC0415
    from reconciler.service.saving import restore as put_back  # noqa: PLC0415

    collect_garbage()
    for line in keepview.restored_lines(asyncio.run(put_back(options, file, force=force, say=aside))):
        typer.echo(line)


@taking(SOURCES, CLUSTER, REACH)
def doctor(
    *, options: "Options", output: OutputFormat = Output.TABLE, log_level: Log = LogLevel.ERROR
) -> None:
    """
    Look this installation over, and say for each finding what mends it. Nothing is changed.

    Rights are those of whom the command runs as: run it in the service's pod, or with the kubeconfig
    of its ServiceAccount. Give it the service's --namespaces: beyond them no right is missed. Without
    a configuration, what needs one is skipped.

    Exit code: 0 all fine, or what was found is minor, 1 something was found or is unknown, 2 nothing
    could be checked.

    Example: reconciler doctor --config config.yaml --instance prod

    Example: kubectl -n reconciler-system exec deploy/reconciler -- reconciler doctor
    """
    from reconciler.cli import keepview, render  # noqa: PLC0415
    from reconciler.service.doctor import examine  # noqa: PLC0415

    collect_garbage()
    set_up_log(log_level)
    diagnosis = asyncio.run(examine(options))
    if output is Output.JSON:
        render.print_json(keepview.diagnosis_document(diagnosis))
    else:
        keepview.print_diagnosis(diagnosis)
    raise typer.Exit(0 if diagnosis.is_well else 1)
