"""
How long to wait before the next try. Pure: it is handed the random number, and never sleeps.

Delay n = min(cap, first · 2ⁿ) plus up to `jitter` of it (the old agent's rule, gitlab-agent.md
2.9), so that many projects on one broken server do not come back in step.
"""

from dataclasses import dataclass, replace

JITTER = 0.5


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first` and `cap` in seconds; `failures` in a row so far."""

    first: float
    cap: float
    failures: int = 0

    def failed(self) -> "Backoff":
        """One more failure."""
        return replace(self, failures=self.failures + 1)

    def succeeded(self) -> "Backoff":
        """Start over."""
        return replace(self, failures=0)

    def delay(self, random: float) -> float:
        """Seconds until the next try; `random` in [0, 1)."""
        exponent = max(0, min(self.failures - 1, 30))
        base = min(self.cap, self.first * 2.0**exponent)
        return base * (1 + JITTER * random)
