"""
From measured values to rows with a verdict. Pure.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, smallest and largest of some values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """At least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, show: Callable[[float], str]) -> str:
        """`median (low–high)`, or the one value."""
        if self.low == self.high:
            return show(self.median)
        ends = [show(value).partition(" ")[0] for value in (self.low, self.high)]
        return f"{show(self.median)} ({'–'.join(ends)})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; texts are shown as they are, `data` goes into the JSON only."""

    number: int
    what: str
    measured: str
    target: str
    passed: bool | None
    """None where there was nothing to compare with."""
    reconciler: str = "–"
    kubectl: str = "–"
    loop: str = "–"
    data: Any = None


def seconds(value: float) -> str:
    """A time, with as many digits as can be meant."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.2f} ×" if value < 10 else f"{value:.1f} ×"


def megabytes(value: float) -> str:
    """Bytes as MB (10⁶)."""
    return f"{value / 1e6:.0f} MB"


def number(value: float) -> str:
    """A count."""
    return f"{value:.0f}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Pair by pair: both of a pair were measured one after the other."""
    return [mine / its for mine, its in zip(ours, theirs, strict=True)]
