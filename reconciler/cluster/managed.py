"""
What `metadata.managedFields` says about an object: our own entry, and who else writes.

Pure. Any other writer that changes a value we applied takes the field out of our entry,
so an unchanged entry (hash, time, apiVersion) means that our fields hold our values.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

HASH_LENGTH = 16  # hex digits; 64 bits tell two states of one object apart
APPLY: Final = "Apply"
UPDATE: Final = "Update"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_LAST_APPLIED_FIELD = f"f:{LAST_APPLIED}"


@dataclass(frozen=True, slots=True)
class OurEntry:
    """Our Apply entry: `hash` of the canonical fieldsV1, `time` as the server wrote it (whole seconds)."""

    hash: str
    time: str
    api_version: str


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry, without its fields. `client_side`: it wrote kubectl's last-applied annotation."""

    manager: str
    operation: str
    api_version: str
    client_side: bool = False


def our_entry(metadata: Mapping[str, Any], field_manager: str) -> OurEntry | None:
    """Return the entry of our applies to the object itself (no subresource), None when there is none."""
    for entry in _entries(metadata):
        if _is_ours(entry, field_manager):
            return OurEntry(
                hash=_hash(entry.get("fieldsV1") or {}),
                time=str(entry.get("time") or ""),
                api_version=str(entry.get("apiVersion") or ""),
            )
    return None


def with_replicas(metadata: Mapping[str, Any], field_manager: str) -> str:
    """`hash` of our entry as it would be if it held `spec.replicas` as well; "" where there is no entry."""
    for entry in _entries(metadata):
        if _is_ours(entry, field_manager):
            fields = entry.get("fieldsV1") or {}
            return _hash({**fields, "f:spec": {**(fields.get("f:spec") or {}), "f:replicas": {}}})
    return ""


def _hash(fields: Mapping[str, Any]) -> str:
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:HASH_LENGTH]


def _is_ours(entry: Mapping[str, Any], field_manager: str) -> bool:
    ours = entry.get("manager") == field_manager and entry.get("operation") == APPLY
    return ours and not entry.get("subresource")


def owners(metadata: Mapping[str, Any]) -> tuple[Owner, ...]:
    """
    Who owns fields of the object itself, ourselves included, in the server's order.

    Writers of subresources (status, scale) are left out: what they own is not to be taken over.
    Equal answers are one value, since most objects of a cluster have the same owners.
    """
    found = (owner_of(entry) for entry in _entries(metadata) if not entry.get("subresource"))
    return _shared(tuple(found))


@lru_cache(maxsize=1024)
def _shared(found: tuple[Owner, ...]) -> tuple[Owner, ...]:
    return found


def owner_of(entry: Mapping[str, Any]) -> Owner:
    return Owner(
        manager=str(entry.get("manager") or ""),
        operation=str(entry.get("operation") or ""),
        api_version=str(entry.get("apiVersion") or ""),
        client_side=entry.get("operation") == UPDATE and _LAST_APPLIED_FIELD in _annotations(entry),
    )


def _annotations(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    found = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations")
    return found if isinstance(found, dict) else {}


def _entries(metadata: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    # A person may clear the list (`[{}]`), and an aggregated server may leave it out.
    entries = metadata.get("managedFields")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
