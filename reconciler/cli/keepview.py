"""
How what the commands of keeping.py found looks: tables, and one JSON document for each.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from reconciler.cli import render
from reconciler.cli.text import number_of, plain
from reconciler.service.doctor import Diagnosis
from reconciler.service.onepass import PassResult
from reconciler.service.removing import Removal
from reconciler.service.saving import Saved
from reconciler.service.searching import Search
from reconciler.sync.backup import Kept
from reconciler.sync.orphans import Orphan
from reconciler.sync.outcome import SCHEMA, document
from reconciler.sync.saving import Restored


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


def removal_document(removal: Removal) -> dict[str, Any]:
    """`delete-project -o json`: as of sync, and whether all is gone."""
    return {**document([removal.report], requests=dict(removal.requests)), "removed": removal.removed}


def print_removal(removal: Removal) -> None:
    """`delete-project` as a table, and what is to be done next."""
    report, requests = removal.report, dict(removal.requests)
    render.print_pass(PassResult(reports=(report,), requests=requests, unusable=False))
    if removal.removed:
        say(f"{report.project}: nothing is left of it, and its records are deleted")
    elif report.held and report.held.plan_hash:
        say(f"then, or at once: reconciler delete-project {report.project} --approve {report.held.plan_hash}")
    else:
        say(f"{report.project}: something is left of it; its records stay. Run this again")


def diagnosis_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """`doctor -o json`."""
    checks = [
        {
            "name": check.name,
            "result": check.result,
            "findings": [{"what": its.what, "mend": its.mend, "minor": its.minor} for its in check.findings],
            "unknown": check.unknown,
            "skipped": check.skipped,
        }
        for check in diagnosis.checks
    ]
    return {"schema": SCHEMA, "checks": checks, "api_requests": dict(diagnosis.requests)}


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """`doctor` as a table, and beneath it what was found."""
    render.print_table(("CHECK", "RESULT"), [(its.name, its.result) for its in diagnosis.checks])
    for check in diagnosis.checks:
        for finding in check.findings:
            weight = "minor: " if finding.minor else ""
            say(f"{check.name}: {weight}{finding.what}; {finding.mend}")
        if check.unknown:
            say(f"{check.name}: could not be checked: {check.unknown}")
        if check.skipped:
            say(f"{check.name}: not checked: {check.skipped}")


def saved_line(saved: Saved, where: str) -> str:
    """What a backup holds."""
    key = "and the key: keep it as you keep Secrets" if saved.has_key else "no key: there is none yet"
    return plain(f"{where}: {_content(saved.projects)}, {key}")


def restored_lines(restored: Restored) -> Iterator[str]:
    """What was put back."""
    written = number_of(restored.written, "record")
    yield f"restored {_content(restored.projects)}; {written} written; {restored.key}"
    for its in restored.projects:
        if its.inventory.damage:
            yield plain(
                f"{its.project}: as in the file, its inventory is not to be believed: {its.inventory.damage}"
            )


def _content(projects: Sequence[Kept]) -> str:
    objects = sum(len(its.inventory.records) for its in projects)
    return f"records of {number_of(len(projects), 'project')} with {number_of(objects, 'object')}"
