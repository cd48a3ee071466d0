"""
Whether a pass has done what it says: its report against the cluster and the examples.

Pure. Neighbours: declared.py (what git holds), observed.py (what the cluster has),
service.py (the report).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from demo.declared import Declared, differences
from demo.observed import Name, Observed

WELL = ("created", "updated", "unchanged")
SCHEMA = "reconciler/v1"


def complaints(
    document: Mapping[str, Any],
    declared: Iterable[Declared],
    observed: Mapping[str, Observed],
    *,
    commits: Mapping[str, str],
) -> list[str]:
    """Everything that is not as it should be, a sentence each; `commits` are those in the repositories."""
    if document.get("schema") != SCHEMA:
        return [f"the report's schema is {document.get('schema')!r} instead of {SCHEMA!r}"]
    reports = {report["id"]: report for report in document["projects"]}
    wanted: dict[str, list[Declared]] = {}
    for its in declared:
        wanted.setdefault(its.project, []).append(its)
    if reports.keys() != wanted.keys():
        return [f"the report is about {sorted(reports)} instead of {sorted(wanted)}"]
    return [
        f"{project}: {text}"
        for project, own in wanted.items()
        for text in (
            *_about_report(reports[project], own, commit=commits[project]),
            *_about_cluster(observed[project], own),
        )
    ]


def _about_report(report: Mapping[str, Any], declared: Sequence[Declared], *, commit: str) -> Iterator[str]:
    if report["state"] != "synced":
        yield f"the report says {report['state']}: {report['reason']}"
    if report["revision"]["commit"] != commit:
        yield f"the report is about commit {report['revision']['commit']}, the repository is at {commit}"
    applied = sum(report["counts"][outcome] for outcome in WELL)
    if applied != len(declared) or len(report["objects"]) != len(declared):
        yield f"the report has {applied} applied objects, the examples declare {len(declared)}"


def _about_cluster(observed: Observed, declared: Sequence[Declared]) -> Iterator[str]:
    found = dict(observed.objects)
    for its in declared:
        name = _match(its, found)
        if name is None:
            yield f"{its.kind} {its.name} is not in the cluster"
            continue
        for text in differences(its.body, found.pop(name)):
            yield f"{its.kind} {its.name} in the cluster: {text}"
    for kind, namespace, name_ in found:
        yield f"{kind} {namespace}/{name_} is in the cluster, and the examples do not declare it"
    if observed.ready != len(declared):
        yield f"{observed.ready} objects are ready in the cluster, the examples declare {len(declared)}"
    if observed.state != "synced":
        yield f"the status record in the cluster says {observed.state}"


def _match(its: Declared, found: Iterable[Name]) -> Name | None:
    """The object of a manifest. The examples' default namespaces are named as their projects."""
    places = (its.namespace,) if its.namespace else ("", its.project)
    wanted = [(its.kind, place, its.name) for place in places]
    return next((name for name in found if name in wanted), None)
