"""
Carry out the deletes of a plan, dependants first, and see that the objects are gone.

Never decides what may be deleted (plan.py, guard.py). Each DELETE names the uid and the
resourceVersion at which our owner mark was read: if anything changed since, the mark is
read again before a second try. What an annotation keeps is let go instead: our marks are
taken off, and only then it is forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, Conflict, NotFound
from reconciler.cluster.health import Health
from reconciler.cluster.resource import Resource
from reconciler.errors import ReconcilerError, with_mend
from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.findings import would_become
from reconciler.sync.live import live_of
from reconciler.sync.outcome import ObjectReport, Outcome, Reason, reason_of
from reconciler.sync.passing import Pass, Timings
from reconciler.sync.plan import Candidate
from reconciler.sync.readiness import Readiness, Seen
from reconciler.sync.walk import Walk

LOOK_AGAIN: Final = 1.0
"""s between two looks at an object without our label, of which no watch by label tells that it is gone."""
_TRIES: Final = 5  # a busy controller may write the status in between each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """The plain values of a project that every delete needs."""

    instance: str
    project: str
    inventory: str
    propagation: str
    timeout: float
    """`prune_timeout`, s; 0 waits without end."""
    dry_run: bool = False
    """Only say what would become of each."""


class PrunePass(Pass):
    """One pass of deletes; after `run`, `gone` may be forgotten and `reports` tell what happened."""

    end = "gone"

    def __init__(
        self,
        walk: Walk,
        candidates: Mapping[ObjectRef, tuple[Candidate, Resource]],
        *,
        cluster: Cluster,
        readiness: Readiness,
        settings: Pruning,
        stop: asyncio.Event,
        save: Callable[[], Awaitable[None]],
        timings: Timings,
        progress: Callable[[ObjectReport], None],
    ) -> None:
        super().__init__(
            walk, readiness=readiness, timeout=settings.timeout, stop=stop, save=save, timings=timings
        )
        self.reports: dict[ObjectRef, ObjectReport] = {}
        self.gone: set[ObjectRef] = set()
        self._candidates = candidates
        self._cluster = cluster
        self._settings = settings
        self._progress = progress

    async def act(self, ref: ObjectRef) -> None:
        """Delete it, or look whether it is gone after it was reported so."""
        candidate, resource = self._candidates[ref]
        live = candidate.live
        if self._settings.dry_run:
            self._report(ref, Outcome.HELD, Reason.DRY_RUN, would_become(candidate))
            self.settle(ref, ready=True)
            return
        if live.keep:
            await self._let_go(ref, resource)
            return
        for _ in range(_TRIES):
            if not live.belongs_to(self._settings.inventory) or live.uid != candidate.live.uid:
                self._changed(ref)
                return
            if live.keep:
                await self._let_go(ref, resource)  # annotated since it was planned
                return
            if live.terminating:
                break  # by us in a run that was cut off, or by another: once is enough
            try:
                await self._cluster.delete(
                    resource,
                    ref.namespace,
                    ref.name,
                    uid=live.uid,
                    resource_version=live.resource_version,
                    propagation=self._settings.propagation,
                )
                break
            except Conflict as conflict:
                last: ClusterError = conflict
            try:
                found = await self._cluster.get(resource, ref.namespace, ref.name, metadata_only=True)
            except NotFound:
                break
            live = live_of(found["metadata"], instance=self._settings.instance)
        else:
            raise last
        if await self._is_gone(ref, resource):
            self._pruned(ref)
        else:
            self.await_status(ref, resource, live.uid)
            self._look_again(ref)

    def _look_again(self, ref: ObjectRef) -> None:
        if not self._candidates[ref][0].live.labelled:
            asyncio.get_running_loop().call_later(LOOK_AGAIN, self.again, ref)

    def _changed(self, ref: ObjectRef) -> None:
        self._report(
            ref,
            Outcome.SKIPPED,
            Reason.NOT_OURS,
            "changed before it could be pruned; the next run decides again",
        )
        self.settle(ref, ready=False)

    async def _let_go(self, ref: ObjectRef, resource: Resource) -> None:
        """Take our marks off what is to be kept; then it may be forgotten."""
        settings = self._settings
        for _ in range(_TRIES):
            try:
                found = await self._cluster.get(resource, ref.namespace, ref.name, metadata_only=True)
            except NotFound:
                self._pruned(ref)
                return
            metadata = found["metadata"]
            live = live_of(metadata, instance=settings.instance)
            kept = live.keep and (live.owner is None or live.belongs_to(settings.inventory))
            if not kept or live.uid != self._candidates[ref][0].live.uid:
                self._changed(ref)
                return
            marked = marks.unmark(
                metadata,
                instance=settings.instance,
                project=settings.project,
                inventory=settings.inventory,
            )
            try:
                if marked:
                    await self._cluster.json_patch(
                        resource, ref.namespace, ref.name, marked, field_manager=marks.RECORDS_MANAGER
                    )
                break
            except Conflict as conflict:
                last = conflict
        else:
            raise last
        self.gone.add(ref)
        self.wrote()
        self._report(
            ref, Outcome.HANDED_OVER, Reason.KEPT, f"left git; kept ({live.keep}), and no longer ours"
        )
        self.settle(ref, ready=True)

    async def _is_gone(self, ref: ObjectRef, resource: Resource) -> bool:
        try:
            found = await self._cluster.get(resource, ref.namespace, ref.name, metadata_only=True)
        except NotFound:
            return True
        # Another object of the same name is not ours to wait for.
        return bool(found["metadata"]["uid"] != self._candidates[ref][0].live.uid)

    def _pruned(self, ref: ObjectRef) -> None:
        self.gone.add(ref)
        self.wrote()
        self._report(ref, Outcome.PRUNED, "", "left git")
        self.settle(ref, ready=True)

    def seen(self, seen: Seen) -> None:
        """A DELETED event of a selecting watch may also mean a lost label: look before believing it."""
        if seen.status.health is Health.NOT_FOUND or seen.uid != self._candidates[seen.ref][0].live.uid:
            self.again(seen.ref)

    async def check(self, ref: ObjectRef) -> None:
        """Confirm by a GET that it is gone."""
        if (resource := self.pending(ref)) is None:
            return
        if await self._is_gone(ref, resource):
            self._pruned(ref)
        else:
            self._look_again(ref)

    def timed_out(self, ref: ObjectRef) -> None:
        """`prune_timeout` is over; it stays in the inventory."""
        waited = f"still being deleted after {self._settings.timeout:g} s; look at its finalizers"
        self._report(ref, Outcome.FAILED, Reason.PRUNE_TIMEOUT, waited)

    def unreadable(self, ref: ObjectRef, error: ClusterError) -> None:
        """Deleted, but whether it is gone cannot be seen; it stays in the inventory."""
        self._report(ref, Outcome.FAILED, error.reason, f"whether it is gone cannot be seen: {error}")

    def failed(self, ref: ObjectRef, error: ReconcilerError) -> None:
        """The delete was refused or got lost."""
        self._report(ref, Outcome.FAILED, reason_of(error), with_mend(error.what, error.mend))

    def _report(self, ref: ObjectRef, outcome: Outcome, reason: str, message: str) -> None:
        report = ObjectReport(ref=ref, outcome=outcome, reason=reason, message=message)
        self.reports[ref] = report
        self._progress(report)


def prune_walk(
    candidates: Sequence[Candidate], declared: order.Graph, *, staying: Sequence[Candidate] = ()
) -> Walk:
    """
    Dependants first; a candidate that something else still needs is not started.

    `declared` is the graph of what git holds, `staying` left git and is kept. What left git
    has the references of the live object, since its manifest is gone.
    """
    refs = {candidate.ref for candidate in candidates}
    applied = {ref for layer in declared.layers for ref in layer} | declared.invalid.keys()
    left = (*candidates, *staying)
    graph = order.build(
        [order.Node(c.ref, _references(c.live.depends_on)) for c in left], known=frozenset(applied)
    )
    users: dict[ObjectRef, set[ObjectRef]] = {ref: set() for ref in refs}
    keeping = {candidate.ref for candidate in staying} | applied - refs
    for ref, needs in (*graph.needs.items(), *declared.needs.items()):
        for need in needs & refs:
            # Annotations of different commits may form a circle, which orders nothing.
            if not {ref, need} <= graph.invalid.keys():
                users[need].add(ref)
    _instances_before_definitions(users, (candidate.ref for candidate in left))
    for candidate in candidates:
        if candidate.live.keep:
            users[candidate.ref].clear()  # nothing that depends on it is lost
    # A broken reference of a live object orders nothing, and keeps nothing from being pruned.
    acting = [ref for ref in (*order.prune_order(graph), *sorted(graph.invalid)) if ref in refs]
    return Walk(list(dict.fromkeys(acting)), {ref: frozenset(its) for ref, its in users.items()}, bad=keeping)


def _references(text: str) -> tuple[ObjectRef, ...]:
    try:
        return order.parse_depends_on(text) if text else ()
    except ValueError:
        return ()


def _instances_before_definitions(
    users: Mapping[ObjectRef, set[ObjectRef]], left: Iterable[ObjectRef]
) -> None:
    """Custom resources go before their definition, whose name ends with their group."""
    by_group: dict[str, list[ObjectRef]] = {}
    for ref in left:
        by_group.setdefault(ref.group, []).append(ref)
    for ref, its in users.items():
        if ref.kind == "CustomResourceDefinition":
            its.update(by_group.get(ref.name.partition(".")[2], ()))
