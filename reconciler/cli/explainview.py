"""
How an explanation of one object looks: a few lines and a table of its fields, or one JSON document.
"""

import sys
from collections.abc import Iterator
from typing import Any

from reconciler.cli import render
from reconciler.cli.text import plain
from reconciler.cluster.fields import Manager
from reconciler.service.explaining import Explained
from reconciler.sync.outcome import SCHEMA

_HASH = 12


def document(its: Explained) -> dict[str, Any]:
    """`-o json`."""
    origin = its.origin
    return {
        "schema": SCHEMA,
        "group": its.ref.group,
        "kind": its.ref.kind,
        "namespace": its.ref.namespace,
        "name": its.ref.name,
        "api_version": its.api_version,
        "exists": its.exists,
        "managed": its.managed,
        "standing": its.standing,
        "project": {"id": origin.project, "instance": origin.instance, "state": its.project_state},
        "repository": origin.repository,
        "revision": {"commit": origin.commit, "ref": origin.ref},
        "file": origin.path,
        "line": origin.line,
        "outcome": its.outcome,
        "status": its.status,
        "reason": its.reason,
        "message": its.message,
        "needs": [str(ref) for ref in its.needs],
        "needed_by": [str(ref) for ref in its.needed_by],
        "belongs_to": list(its.controllers),
        "fields": [
            {"path": field.path, "owners": [_owner_json(owner) for owner in field.owners]}
            for field in its.fields
        ],
        "unseen": list(its.unseen),
        "api_requests": dict(its.requests),
    }


def _owner_json(owner: Manager) -> dict[str, str]:
    return {
        "manager": owner.name,
        "operation": owner.operation,
        "subresource": owner.subresource,
        "last_write": owner.time,
    }


def print_explained(its: Explained) -> None:
    """Write it for a person."""
    for line in _head(its):
        sys.stdout.write(plain(line) + "\n")
    if its.fields:
        sys.stdout.write("\n")
        render.print_table(("FIELD", "OWNER", "LAST WRITE"), list(_rows(its)))
        sys.stdout.write(
            "\nLAST WRITE: when the owner last wrote the object, not when it wrote this field.\n"
        )


def _head(its: Explained) -> Iterator[str]:
    yield f"{its.ref} ({its.api_version}): {its.standing}"
    told = [(name, text) for name, text in _facts(its) if text]
    wide = max((len(name) for name, _ in told), default=0)
    for name, text in told:
        yield f"  {name:<{wide}}  {text}"
    for text in its.unseen:
        yield f"  ! not seen: {text}"


def _facts(its: Explained) -> Iterator[tuple[str, str]]:
    origin = its.origin
    instance = f" of installation {origin.instance}" if origin.instance else ""
    ref = f" ({origin.ref})" if origin.ref else ""
    reason = ": ".join(part for part in (its.reason, its.message) if part)
    yield "project", f"{origin.project}{instance}" if origin.project else ""
    yield "repository", origin.repository
    yield "commit", f"{origin.commit[:_HASH]}{ref}" if origin.commit else ""
    yield "file", f"{origin.path}:{origin.line}" if origin.path else ""
    yield "project is", its.project_state
    yield "object is", ", ".join(part for part in (its.outcome, its.status) if part)
    yield "reason", reason
    yield "needs", ", ".join(map(str, its.needs))
    yield "needed by", ", ".join(map(str, its.needed_by))
    yield "belongs to", ", ".join(its.controllers)


def _rows(its: Explained) -> Iterator[tuple[str, str, str]]:
    for field in its.fields:
        for number, owner in enumerate(field.owners):
            yield "" if number else field.path, _owner(owner), owner.time or "-"


def _owner(owner: Manager) -> str:
    """`kubectl (Update)`, `kube-controller-manager (Update of status)`."""
    of = f" of {owner.subresource}" if owner.subresource else ""
    return f"{owner.name} ({owner.operation}{of})"
