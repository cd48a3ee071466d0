"""
`make demo ONCE=1`: one pass, checked against the cluster, for CI and scripts.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from demo import check, declared, repositories, service, table
from demo.errors import DemoError
from demo.observed import Observed, Observer
from demo.target import Target
from reconciler.cluster.client import connect
from reconciler.service.options import DEFAULT_RECORDS_NAMESPACE


def run(target: Target, repos: repositories.Repositories, *, root: Path) -> int:
    """Make the pass, print what it did; returns how many objects are right. Raises DemoError."""
    wanted = declared.read(repos.projects)
    document = service.one_pass(target, repos, root=root)
    table.print_table(_row(report, wanted) for report in document["projects"])
    observed = asyncio.run(_look(target, wanted))
    commits = {name: repositories.commit_of(path) for name, path in repos.projects.items()}
    wrong = check.complaints(document, wanted, observed, commits=commits)
    if wrong:
        raise DemoError(
            what="; ".join(wrong), where="check of the cluster", mend="look at what the pass says above"
        )
    return len(wanted)


def _row(report: Mapping[str, Any], wanted: Sequence[declared.Declared]) -> table.Row:
    counts = report["counts"]
    return table.Row(
        report["id"],
        report["revision"]["commit"],
        report["state"],
        sum(its.project == report["id"] for its in wanted),
        sum(counts[outcome] for outcome in check.WELL),
        counts["ready"],
        counts["failed"] + counts["blocked"] + counts["skipped"],
        report["duration_seconds"],
    )


async def _look(target: Target, wanted: Sequence[declared.Declared]) -> dict[str, Observed]:
    async with connect(kubeconfig=target.kubeconfig, context=target.context) as cluster:
        observer = Observer(
            cluster, wanted, instance=repositories.AGENT, records_namespace=DEFAULT_RECORDS_NAMESPACE
        )
        return await observer.look(now=time.time())
