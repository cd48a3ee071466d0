"""
What `metadata.managedFields` says about an object: our own entry, and who else writes.

Pure. Any other writer that changes a value we applied takes the field out of our entry,
so an unchanged entry (hash, time, apiVersion) means that our fields hold our values.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

HASH_LENGTH = 16  # hex digits; 64 bits tell two states of one object apart


@dataclass(frozen=True, slots=True)
class OurEntry:
    """Our Apply entry: `hash` of the canonical fieldsV1, `time` as the server wrote it (whole seconds)."""

    hash: str
    time: str
    api_version: str


def our_entry(metadata: Mapping[str, Any], field_manager: str) -> OurEntry | None:
    """Return the entry of our applies to the object itself (no subresource), None when there is none."""
    for entry in _entries(metadata):
        if (
            entry.get("manager") == field_manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            fields = orjson.dumps(entry.get("fieldsV1") or {}, option=orjson.OPT_SORT_KEYS)
            return OurEntry(
                hash=hashlib.sha256(fields).hexdigest()[:HASH_LENGTH],
                time=str(entry.get("time") or ""),
                api_version=str(entry.get("apiVersion") or ""),
            )
    return None


def other_managers(metadata: Mapping[str, Any], field_manager: str) -> frozenset[str]:
    """
    Return the names of others who own fields of the object itself.

    Writers of subresources (status, scale) are left out: they own no field we apply.
    Our own name with operation Update counts as another: someone wrote under our name.
    """
    return frozenset(
        str(entry.get("manager") or "")
        for entry in _entries(metadata)
        if not entry.get("subresource")
        and (entry.get("manager") != field_manager or entry.get("operation") != "Apply")
    )


def _entries(metadata: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    # A person may clear the list (`[{}]`), and an aggregated server may leave it out.
    entries = metadata.get("managedFields")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
