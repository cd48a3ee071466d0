"""
The result for people (a table, or Markdown for the README) and for programs (JSON).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.machine import Machine
from bench.verdict import Row

HEADINGS = ("#", "What", "reconciler", "kubectl", "bare loop", "Measured", "Target", "")
PIPE_WIDTH = 180
COUNTED = (
    "Times: median (smallest–largest). Requests: the API server's audit log, by user, in runs of their own. "
    "kubectl: `apply --server-side --validate=false` of the same files on the same server. "
    "Bare loop: aiohttp, 8 requests in flight, decoded bodies, nothing else."
)


def print_table(machine: Machine, rows: Sequence[Row]) -> None:
    """For a terminal."""
    table = Table(title=escape(machine.text()), caption=escape(COUNTED), title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    for row in rows:
        cells = [escape(cell) for cell in _cells(row)]
        table.add_row(*cells, style="red" if row.passed is False else None)
    console = Console()
    # A file or a pipe has no width of its own, and rich would take 80 columns.
    console.print(table, width=None if console.is_terminal else PIPE_WIDTH)


def markdown(machine: Machine, rows: Sequence[Row]) -> str:
    """README's table, with what it was measured on beneath it."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    text = [f"| {' | '.join(cells)} |" for cells in lines]
    text.insert(1, "|" + "---|" * len(HEADINGS))
    return "\n".join([*text, "", f"Measured {machine.text()}.", COUNTED])


def save(machine: Machine, rows: Sequence[Row], *, directory: Path) -> Path:
    """Write everything that was measured to a new file, return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"machine": asdict(machine), "rows": [asdict(r) for r in rows]}, indent=1))
    return path


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {True: "pass", False: "FAIL", None: "–"}[row.passed]
    what = (row.what, row.reconciler, row.kubectl, row.loop, row.measured, row.target)
    return (str(row.number), *what, verdict)
