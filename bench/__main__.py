"""
The command line of the bench; exit code 1 where a target was missed (not with --quick).
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench import applying, drift, machine, planning, show, takeover
from bench import service as running_service
from bench.contenders import contenders, make_load
from bench.lab import LOOP, Lab, open_lab
from bench.verdict import Row

RESULTS = Path(__file__).with_name("results")
ROWS = (1, 2, 3, 4, 5, 6, 7, 8)
WARM_UP = 30
PLANNED = 2  # installations that plans are measured on, several times each


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; `idle` in seconds."""

    small: int
    large: int
    repeat: int
    repeat_large: int
    idle: float
    changes: int
    trials: int


FULL = Size(small=1_000, large=10_000, repeat=5, repeat_large=1, idle=60.0, changes=4, trials=100)
QUICK = Size(small=100, large=300, repeat=1, repeat_large=1, idle=3.0, changes=2, trials=4)


def main() -> int:
    """Measure, print, save."""
    arguments = _parser().parse_args()
    size = QUICK if arguments.quick else FULL
    if arguments.repeat:
        size = replace(size, repeat=arguments.repeat, repeat_large=1)
    rows = frozenset(arguments.rows)
    here = machine.look(shutil.which("kubectl"))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        found = sorted(measure(Path(directory), size, rows), key=lambda row: row.number)
    if arguments.readme:
        print(show.markdown(here, found))
    else:
        show.print_table(here, found)
    _say(f"all numbers: {show.save(here, found, directory=arguments.results)}")
    missed = any(row.passed is False for row in found)
    return 1 if missed and not arguments.quick else 0


def measure(directory: Path, size: Size, rows: frozenset[int]) -> Iterator[Row]:
    """Measure the rows that are wanted: what is timed on one server, what is counted on another."""
    if rows & {1, 2, 3, 6, 7, 8}:
        with open_lab(directory / "timed", counting=False) as lab:
            yield from _timed(lab, size, rows)
    if rows & {3, 4, 5}:
        with open_lab(directory / "counted", counting=True) as lab:
            yield from _counted(lab, size, rows)


def _timed(lab: Lab, size: Size, rows: frozenset[int]) -> Iterator[Row]:
    everybody = contenders(lab)
    _say("warming up")
    applying.warm_up(lab, everybody, make_load(lab, WARM_UP))
    load = make_load(lab, size.small)
    if 6 in rows:
        yield takeover.take_over_row(lab, load, repeat=size.repeat, say=_say)
    if 7 in rows:
        yield planning.plan_row(lab, load, repeat=min(size.repeat, PLANNED), say=_say)
    if 8 in rows:
        yield drift.drift_row(lab, load, trials=size.trials, say=_say)
    if not rows & {1, 2, 3}:
        return
    small = applying.measure_applies(lab, everybody, load, repeat=size.repeat, again=3 in rows, say=_say)
    if 1 in rows:
        yield applying.first_row(small)
    if 3 in rows:
        yield from applying.second_rows(small)
    if 2 in rows:
        load = make_load(lab, size.large)
        peers = [who for who in everybody if who.identity != LOOP]
        large = applying.measure_applies(lab, peers, load, repeat=size.repeat_large, again=False, say=_say)
        yield from applying.large_rows(small, large)


def _counted(lab: Lab, size: Size, rows: frozenset[int]) -> Iterator[Row]:
    load = make_load(lab, size.small)
    if 3 in rows:
        _say("counting requests")
        yield from applying.request_rows(applying.count_second(lab, contenders(lab), load))
    if rows & {4, 5}:
        idle = size.idle if 4 in rows else 0.0
        changes = size.changes if 5 in rows else 0
        seen = running_service.watch_service(lab, load, idle=idle, changes=changes, say=_say)
        if 4 in rows:
            yield from running_service.idle_rows(seen)
        if 5 in rows:
            yield from running_service.change_rows(seen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few objects, once: does the bench work?")
    parser.add_argument("--rows", type=int, nargs="+", choices=ROWS, default=ROWS, help="only these rows")
    parser.add_argument("--repeat", type=int, help="repetitions of the small load")
    parser.add_argument("--readme", action="store_true", help="print README's Markdown instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    return parser


_STARTED = time.monotonic()


def _say(line: str) -> None:
    print(f"{time.monotonic() - _STARTED:6.1f} s  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
