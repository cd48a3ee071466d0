"""
`make demo`: the service runs, the visitor watches it, tries things, and ends it by Ctrl-C.

Looks at the cluster all the time and tells what has changed. Neighbours: service.py (the
process), observed.py (the cluster), table.py (how it looks).
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence

from demo import declared, repositories, suggestions, table
from demo.errors import DemoError
from demo.observed import Observed, Observer, Recorded
from demo.service import Service
from demo.target import Target
from reconciler.cluster.client import connect
from reconciler.cluster.errors import ClusterError
from reconciler.service.options import DEFAULT_RECORDS_NAMESPACE
from reconciler.sync.status import StoredStatus

LOOK = 0.25  # s between two looks at our own cluster; a dozen small requests each
LOOK_FAR = 1.0  # s; a visitor's cluster has other things to do
FIRST_LIMIT = 600.0  # s for the first sync; two on a local cluster, minutes where images are pulled
PATIENCE = 3.0  # s that a change is held back until its records are whole
PROBLEMS = 5  # objects of a project that are named when it is not well


async def run(target: Target, service: Service, repos: repositories.Repositories) -> None:
    """Show the first sync, say what to try, tell what happens; until cancelled, or what runs has ended."""
    wanted = declared.read(repos.projects)
    commits = {name: repositories.commit_of(path) for name, path in repos.projects.items()}
    async with connect(kubeconfig=target.kubeconfig, context=target.context) as cluster:
        observer = Observer(
            cluster, wanted, instance=repositories.AGENT, records_namespace=DEFAULT_RECORDS_NAMESPACE
        )
        observed = await first_sync(observer, wanted, target, service, commits=commits)
        for its in observed.values():
            _print_problems(its.project, its.status)
        print(f"\n{suggestions.text(target, repos.projects['shop'], environment=os.environ)}\n", flush=True)
        await tell_changes(observer, target, service)


async def first_sync(
    observer: Observer,
    wanted: Sequence[declared.Declared],
    target: Target,
    service: Service,
    *,
    commits: Mapping[str, str],
) -> dict[str, Observed]:
    """Draw the table until nothing more happens by itself; `commits` are those in the repositories."""
    started = time.monotonic()
    settled: dict[str, float] = {}
    complaint = _Complaint()
    with table.shown() as shown:
        while True:
            _raise_if_ended(target, service)
            now = time.monotonic() - started
            try:
                observed = await observer.look(now=time.time())
            except ClusterError as error:
                complaint.about(error)
            else:
                complaint.is_over()
                for its in observed.values():
                    if its.settled:
                        settled.setdefault(its.project, now)
                shown.show(
                    _row(its, wanted, settled.get(its.project, now), commit=commits[its.project])
                    for its in observed.values()
                )
                if len(settled) == len(observed):
                    return observed
            if now > FIRST_LIMIT:
                raise DemoError(
                    what=f"the first sync was not over after {FIRST_LIMIT:g} s",
                    where="reconciler run",
                    mend=f"look into its log, {service.log}",
                )
            await asyncio.sleep(_pause(target))


async def tell_changes(observer: Observer, target: Target, service: Service) -> None:
    """Print a line for each change of a project's records, without the moments in between."""
    known: dict[str, Recorded] = {}
    changed: dict[str, float] = {}
    first = True
    complaint = _Complaint()
    while True:
        _raise_if_ended(target, service)
        try:
            recorded = await observer.recorded()
        except ClusterError as error:
            complaint.about(error)
        else:
            complaint.is_over()
            now = time.monotonic()
            for project, its in recorded.items():
                before = known.get(project)
                if before is not None and before.status == its.status:
                    changed.pop(project, None)
                elif first or its.whole or now - changed.setdefault(project, now) > PATIENCE:
                    known[project] = its
                    if not first:
                        _print_change(project, before, its)
            first = False
        await asyncio.sleep(_pause(target))


class _Complaint:
    """Says that the cluster cannot be looked at: once, not with every look."""

    def __init__(self) -> None:
        self._said = ""

    def about(self, error: ClusterError) -> None:
        if self._said != str(error):
            self._said = str(error)
            print(f"{_clock()} cannot look: {error}", flush=True)

    def is_over(self) -> None:
        self._said = ""


def _pause(target: Target) -> float:
    return LOOK_FAR if target.context else LOOK


def _raise_if_ended(target: Target, service: Service) -> None:
    if (gone := target.ended() or service.ended()) is not None:
        raise gone


def _row(its: Observed, wanted: Sequence[declared.Declared], seconds: float, *, commit: str) -> table.Row:
    """`commit` is on its way while none is recorded."""
    total = sum(one.project == its.project for one in wanted)
    return table.Row(
        its.project, its.commit or commit, its.state, total, len(its.objects), its.ready, its.failed, seconds
    )


def _print_change(project: str, before: Recorded | None, now: Recorded) -> None:
    status = now.status
    numbers = ", ".join(f"{status.counts.get(name, 0)} {name}" for name in ("objects", "ready", "failed"))
    had = before.inventory if before else frozenset()
    news = [f"new: {ref}" for ref in sorted(now.inventory - had)]
    news += [f"pruned: {ref}" for ref in sorted(had - now.inventory)]
    line = f"{_clock()} {project} {status.commit[: table.COMMIT] or '-'} {status.state}: {numbers}"
    print("; ".join([line, *news]), flush=True)
    _print_problems(project, status)


def _print_problems(project: str, status: StoredStatus | None) -> None:
    if status is None:
        return
    if status.reason and not status.objects:
        print(f"  {project}: {status.reason}", flush=True)
    for entry in status.objects[:PROBLEMS]:
        place = f" ({project}/{entry['file']}:{entry.get('line', 0)})" if entry.get("file") else ""
        word = entry.get("outcome") or entry.get("status") or ""
        text = entry.get("message") or entry.get("reason") or ""
        print(f"  {word}: {entry.get('kind')} {entry.get('name')}{place}: {text}", flush=True)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
