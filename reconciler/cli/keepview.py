"""
How what the commands of keeping.py found looks: tables, and one JSON document for each.
"""

import sys
from typing import Any

from reconciler.cli import render
from reconciler.cli.text import number_of, plain
from reconciler.service.searching import Search
from reconciler.sync.orphans import Orphan
from reconciler.sync.outcome import SCHEMA


def orphans_exit_code(search: Search) -> int:
    """0 none, 1 some, 2 there may be more than was seen."""
    if search.orphans.unread:
        return 2
    return 1 if search.orphans.found else 0


def orphans_document(search: Search) -> dict[str, Any]:
    """`orphans -o json`."""
    return {
        "schema": SCHEMA,
        "orphans": [_orphan_json(its) for its in search.orphans.found],
        "forbidden": list(search.orphans.forbidden),
        "unread": list(search.orphans.unread),
        "api_requests": dict(search.requests),
    }


def _orphan_json(its: Orphan) -> dict[str, Any]:
    return {
        "group": its.ref.group,
        "kind": its.ref.kind,
        "namespace": its.ref.namespace,
        "name": its.ref.name,
        "uid": its.uid,
        "project": its.project,
        "inventory": its.inventory,
        "terminating": its.terminating,
    }


def print_orphans(search: Search) -> None:
    """`orphans` as a table."""
    found = search.orphans
    if found.found:
        rows = [(str(its.ref), its.project, its.inventory) for its in found.found]
        render.print_table(("OBJECT", "PROJECT", "INVENTORY"), rows)
    say(f"{number_of(len(found.found), 'object')} with our mark in no inventory")
    if found.forbidden:
        say(f"may not be listed, and were not searched: {', '.join(found.forbidden)}")
    for text in found.unread:
        say(f"not read: {text}")


def say(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(plain(line) + "\n")
