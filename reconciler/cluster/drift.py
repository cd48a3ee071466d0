"""
Who has changed what we applied, as `managedFields` tell it.

Pure. The server takes a field out of our entry when another writer sets it to another value, and keeps
when each manager last wrote, per entry and not per field (gitops-engine.md 6.1). What somebody removed
leaves no trace but our smaller entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.cluster import fieldsets
from reconciler.cluster.fieldsets import Fields
from reconciler.cluster.takeover import Ownership

SHOWN: Final = 5  # paths in one sentence


@dataclass(frozen=True, slots=True)
class Changed:
    """Fields that `manager` has set since we did, and the time of its last write, as the server wrote it."""

    manager: str
    time: str
    fields: Fields

    def __str__(self) -> str:
        """`.spec.replicas by kubectl at 2026-11-25T04:35:37Z`."""
        paths = list(fieldsets.paths(self.fields))
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        when = f" at {self.time}" if self.time else ""
        return f"{', '.join(paths[:SHOWN])}{more} by {self.manager or 'somebody without a name'}{when}"


def changed_by_others(now: Ownership, manager: str, body: Mapping[str, Any]) -> tuple[Changed, ...]:
    """What others own of what the manifest `body` says, and `manager`, who applied it, owns no more."""
    ours = now.fields_of(manager)
    found = []
    for entry in now.writers(manager):
        fields = fieldsets.minus(fieldsets.named_by(entry.get("fieldsV1") or {}, body), ours)
        if fields:
            found.append(Changed(str(entry.get("manager") or ""), str(entry.get("time") or ""), fields))
    return tuple(found)
