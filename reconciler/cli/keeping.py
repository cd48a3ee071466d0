"""
Commands that look after an installation: orphans.
"""

import asyncio
from typing import TYPE_CHECKING

import typer

from reconciler.cli.options import CLUSTER, Output, OutputFormat, collect_garbage, taking

if TYPE_CHECKING:
    from reconciler.service.options import Options


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
