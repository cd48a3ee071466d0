"""
Commands that look after an installation: orphans, backup, restore.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.options import CLUSTER, Output, OutputFormat, collect_garbage, taking

if TYPE_CHECKING:
    from reconciler.service.options import Options

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file; - is standard output or input.")]


@taking(CLUSTER)
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
    Put the records and the key of a backup back. Stop the service before.

    Objects are not touched: the next run compares each with its record, and deletes only what has
    the recorded uid and our mark. A file of another installation is refused, and so is one that was
    changed. What is there already as in the file is left alone, so that a restore that was
    cut off can be carried out again.

    Exit code: 0 restored, 2 not.

    Example: reconciler restore --instance prod prod.backup
    """
    from reconciler.cli import keepview  # noqa: PLC0415
    from reconciler.service.saving import restore as put_back  # noqa: PLC0415

    collect_garbage()
    for line in keepview.restored_lines(asyncio.run(put_back(options, file, force=force))):
        typer.echo(line)
