"""
How the demo shows projects: a live table on a terminal, plain lines anywhere else.

Draws what it is given, decides nothing. Neighbour: __main__.py.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

COMMIT = 10  # characters of a commit's id that are shown
STYLES = {"synced": "green", "failed": "red", "held": "magenta"}


@dataclass(frozen=True, slots=True)
class Row:
    """One project; `declared` is how many objects git holds, `seconds` since the start."""

    project: str
    commit: str
    state: str
    declared: int
    applied: int
    ready: int
    failed: int
    seconds: float

    def without_time(self) -> tuple[object, ...]:
        """What makes a row worth a new line."""
        return (self.commit, self.state, self.applied, self.ready, self.failed)

    def line(self) -> str:
        """As one line of text."""
        return (
            f"{self.project:<10} {self.commit[:COMMIT] or '-':<{COMMIT}} {self.state:<9}"
            f" applied {self.applied}/{self.declared}, ready {self.ready}, failed {self.failed},"
            f" {self.seconds:.1f} s"
        )


class Shown(Protocol):
    """Where rows go."""

    def show(self, rows: Iterable[Row]) -> None:
        """These are the rows now."""
        ...


@contextmanager
def shown() -> Iterator[Shown]:
    """A table that is drawn anew in its place on a terminal; else a line for each change."""
    if not sys.stdout.isatty():
        yield _Lines()
        return
    with Live(console=Console(), refresh_per_second=8) as live:
        yield _Live(live)


def print_table(rows: Iterable[Row]) -> None:
    """The table once, wherever standard output goes."""
    Console(soft_wrap=True).print(_table(rows))


class _Live:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, rows: Iterable[Row]) -> None:
        self._live.update(_table(rows))


class _Lines:
    def __init__(self) -> None:
        self._last: dict[str, tuple[object, ...]] = {}

    def show(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self._last.get(row.project) != row.without_time():
                self._last[row.project] = row.without_time()
                print(row.line(), flush=True)


def _table(rows: Iterable[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("PROJECT", "COMMIT", "STATE"):
        table.add_column(column, no_wrap=True)
    for column in ("APPLIED", "READY", "FAILED", "TIME"):
        table.add_column(column, no_wrap=True, justify="right")
    for row in rows:
        style = STYLES.get(row.state, "cyan")
        table.add_row(
            row.project,
            row.commit[:COMMIT] or "-",
            f"[{style}]{row.state}[/]",
            f"{row.applied}/{row.declared}",
            str(row.ready),
            str(row.failed),
            f"{row.seconds:.1f} s",
        )
    return table
