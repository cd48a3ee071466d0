"""
How many requests were sent, for metrics and for `api_requests` in the output.

Counts what goes on the wire: each page of a list and each repetition after a 429 is one.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any


class RequestCounter:
    """Totals by resource (`deployments.apps`) and verb: apply, patch, create, update, delete, and reads."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, verb: str, resource: str) -> None:
        """Count one request."""
        self._counts[verb, resource] += 1

    @property
    def total(self) -> int:
        """All requests."""
        return self._counts.total()

    @property
    def by_verb(self) -> Mapping[str, int]:
        """Requests by verb; verbs never used are missing."""
        sums: Counter[str] = Counter()
        for (verb, _), count in self._counts.items():
            sums[verb] += count
        return dict(sums)

    @property
    def by_verb_and_resource(self) -> Mapping[tuple[str, str], int]:
        """Requests by (verb, resource)."""
        return dict(self._counts)

    def as_json(self) -> dict[str, Any]:
        """The stable names of `-o json`."""
        return {"total": self.total, "by_verb": dict(sorted(self.by_verb.items()))}
