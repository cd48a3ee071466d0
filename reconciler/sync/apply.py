"""
Carry out the applies of a plan: one forced server-side apply for each object that needs it.

Never decides what to apply (plan.py) or in which order (walk.py). An object is in the
inventory before it gets here; what comes back (uid, our managedFields entry) is collected
in `applied` for the inventory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.cluster import health
from reconciler.cluster.client import Applied, Cluster
from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import (
    ClusterError,
    DiscoveryIncomplete,
    Immutable,
    KindNotServed,
    NotFound,
    ServerFault,
    Unreachable,
)
from reconciler.cluster.health import Health
from reconciler.cluster.health_pods import PODS_FAILED, is_told_by_pods
from reconciler.cluster.managed import our_entry
from reconciler.cluster.resource import Resource
from reconciler.errors import ReconcilerError, with_mend
from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.manifests.manifest import Scope
from reconciler.sync.inventory import Record
from reconciler.sync.outcome import ObjectReport, Outcome, Reason, reason_of
from reconciler.sync.ownership import SLOW, FieldOwnership, Settled, ignored
from reconciler.sync.passing import Pass, Timings
from reconciler.sync.plan import Step
from reconciler.sync.readiness import Readiness, Seen
from reconciler.sync.replacing import Replacing, is_gone
from reconciler.sync.walk import Walk

log = logging.getLogger(__name__)

RETRY_DELAYS: Final = (0.2, 1.0)
"""s; an apply may be repeated safely, and one broken connection should not fail a project."""
DISCOVERY_LAG: Final = 15.0
"""s that a new CRD may take to show up in discovery after it is Established."""
PODS_AFTER: Final = 15.0
"""s of waiting before the pods of an object are looked at: most are ready by then, and cost no request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """The plain values of a project that every apply needs."""

    manager: str
    timeout: float
    """`reconcile_timeout`, s; 0 waits without end."""
    wait: bool
    """Wait for all objects, not only for those that others need."""
    going: float = 0.0
    """`prune_timeout`, s, for what is deleted to be created anew; 0 waits without end."""
    dry_run: bool = False
    secret: Set[ObjectRef] = frozenset()
    """Objects that hold a Secret's values though they are none: what the server says of them is not told."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An object that is as git has it, also by this run; `resource` None where its kind is not served."""

    resource: Resource | None
    uid: str
    resource_version: str = ""
    generation: int = 0
    """The least that its status must have observed; 0 for an object that was not applied now."""
    since: str = ""
    """A resourceVersion after which an event must come, as we wrote it after that; "" if none need come."""


class Kinds:
    """Discovery that can be refreshed: the kinds of a CRD exist only once it is established."""

    def __init__(self, cluster: Cluster, discovery: Discovery) -> None:
        self.discovery = discovery
        self._cluster = cluster
        self._lock = asyncio.Lock()

    def find(self, api_version: str, kind: str) -> Resource | None:
        """What is known now; DiscoveryIncomplete where the server could not say."""
        group, version = split_api_version(api_version)
        return self.discovery.find(group, version, kind)

    def scope(self, group: str, version: str, kind: str) -> Scope:
        """Where objects of a kind live; UNKNOWN also where the server could not say."""
        try:
            resource = self.discovery.find(group, version, kind)
        except DiscoveryIncomplete:
            return Scope.UNKNOWN
        if resource is None:
            return Scope.UNKNOWN
        return Scope.NAMESPACED if resource.namespaced else Scope.CLUSTER

    async def know(self, refs: Iterable[ObjectRef]) -> None:
        """What is known may be minutes old: before a kind of these counts as not served, ask again."""
        before = self.discovery
        for group, kind in {(ref.group, ref.kind) for ref in refs}:
            if not before.is_incomplete(group) and before.preferred(group, kind) is None:
                await self.refresh(before)
                return

    async def refresh(self, before: Discovery) -> None:
        """Ask again, unless somebody else has done so since `before`."""
        async with self._lock:
            if self.discovery is before:
                self.discovery = await self._cluster.discover()

    async def await_kind(self, api_version: str, kind: str, *, ref: ObjectRef) -> Resource:
        """Ask again until the kind is served; KindNotServed after `DISCOVERY_LAG`."""
        delay = 0.05
        try:
            async with asyncio.timeout(DISCOVERY_LAG):
                while True:
                    await self.refresh(self.discovery)
                    if found := self.find(api_version, kind):
                        return found
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 1.0)
        except TimeoutError:
            raise KindNotServed(
                what=f"{api_version} {kind} is not served, {DISCOVERY_LAG:.0f} s after its definition was",
                where=str(ref),
                mend="look at the conditions of its CustomResourceDefinition",
            ) from None


class ApplyPass(Pass):
    """
    One pass of applies; after `run` its `reports`, `applied` and `lost` tell what happened.

    `declared` gives an object as git has it, `mark` its applied mark and `render` the JSON to send;
    `since` says from which
    resourceVersion on events show what became of an object at this version. Objects of `standing`
    are not sent, only waited for.
    """

    end = "ready"

    def __init__(
        self,
        walk: Walk,
        steps: Mapping[ObjectRef, Step],
        standing: Mapping[ObjectRef, Standing],
        *,
        cluster: Cluster,
        kinds: Kinds,
        readiness: Readiness,
        settings: Applying,
        ownership: FieldOwnership,
        replacing: Replacing,
        declared: Callable[[Step], Awaitable[Mapping[str, Any]]],
        mark: Callable[[Step, Mapping[str, Any]], str],
        render: Callable[[Step, Mapping[str, Any]], bytes],
        since: Callable[[ObjectRef, str], str],
        stop: asyncio.Event,
        save: Callable[[], Awaitable[None]],
        timings: Timings,
        progress: Callable[[ObjectReport], None],
        so_far: Mapping[ObjectRef, ObjectReport] | None = None,
    ) -> None:
        super().__init__(
            walk, readiness=readiness, timeout=settings.timeout, stop=stop, save=save, timings=timings
        )
        self.reports: dict[ObjectRef, ObjectReport] = dict(so_far or {})
        self.sent: dict[ObjectRef, Standing] = {}
        self.applied: dict[ObjectRef, Record] = {}
        self._steps = steps
        self._standing = standing
        self._cluster = cluster
        self._kinds = kinds
        self._settings = settings
        self._ownership = ownership
        self._replacing = replacing
        self._going: dict[ObjectRef, str] = {}
        self._replaced: dict[ObjectRef, str] = {}
        self._declared = declared
        self._mark = mark
        self._render = render
        self._since_version = since
        self._progress = progress
        self._expected: dict[ObjectRef, tuple[str, int]] = {}
        self._whys: dict[ObjectRef, str] = {}
        self._pods_at: dict[ObjectRef, float] = {}
        """When to look at the pods of what is waited for, and does not say how they are."""

    def at_once(self, ref: ObjectRef) -> bool:
        """Nothing is sent for an unchanged object; it is only waited for, if need be."""
        if ref in self._steps or ref not in self._standing:
            return False
        self._stand(ref)
        return True

    def _stand(self, ref: ObjectRef) -> None:
        known = self._standing[ref]
        if ref not in self.reports:
            self._report(ObjectReport(ref=ref, outcome=Outcome.UNCHANGED))
        if self._readiness.is_current(ref, known.uid, known.resource_version):
            self._health(ref, Health.CURRENT.value)
            self.settle(ref, ready=True)
        else:
            self._wait_or_settle(ref, known)

    async def act(self, ref: ObjectRef) -> None:
        """Apply the object."""
        step = self._steps[ref]
        manifest = step.wanted.manifest
        resource = self._kinds.find(manifest.api_version, ref.kind) or await self._kinds.await_kind(
            manifest.api_version, ref.kind, ref=ref
        )
        declared = await self._declared(step)
        if step.settled and self._mark(step, declared) == step.settled:
            self._stand(ref)
            return
        began = asyncio.get_running_loop().time()
        body = self._render(step, declared)
        pointers = ignored(ref, declared)
        settled = Settled()
        if step.live and not self._settings.dry_run and ref not in self._replaced:
            settled = await self._ownership.settle(resource, ref, step.live, body, ignore=pointers)
        try:
            sent = await self._send(resource, ref, body)
        except Immutable as error:
            mark = self._mark(step, declared)
            uid = await self._replacing.delete(resource, ref, error, declared=declared, body=body, mark=mark)
            self._replaced[ref] = f"replaced, since it cannot be changed: {error.what}"
            if uid:
                await self._await_end(ref, resource, uid)
            else:
                message = f"would be deleted and created anew: {error.what}"
                held = ObjectReport(ref=ref, outcome=Outcome.HELD, reason=Reason.DRY_RUN, message=message)
                self._report(held)
                self.settle(ref, ready=True)
            return
        self.timings.observe_apply(asyncio.get_running_loop().time() - began, ref.kind)
        metadata = sent.metadata
        entry = our_entry(metadata, self._settings.manager)
        self.applied[ref] = Record(
            ref,
            manifest.api_version,
            uid=metadata["uid"],
            entry=entry.hash if entry else "",
            time=entry.time if entry else "",
        )
        outcome = Outcome.CREATED if sent.created else Outcome.UPDATED
        drift = settled.changed if step.corrects else ()
        self._whys[ref] = together(self._replaced.get(ref, step.why), settled.taken, *map(str, drift))
        self._ownership.note(ref, settled, metadata)
        message = together(self._whys[ref], self._ownership.notes.get(ref, ""))
        self._report(ObjectReport(ref=ref, outcome=outcome, message=message))
        if self._settings.dry_run:
            self.settle(ref, ready=True)
            return
        if step.corrects:
            log.info("%s is put right: %s", ref, self._whys[ref])
            self.timings.observe_drift(ref.kind, drift[0].manager if drift else "")
        self.wrote()
        self._readiness.forget_wait(ref)
        self.sent[ref] = self._now_standing(ref, resource, metadata)
        if health.is_current_as_declared(declared) and not metadata.get("deletionTimestamp"):
            self._readiness.note_current(ref, metadata["uid"], metadata["resourceVersion"])
            self._health(ref, Health.CURRENT.value, message=self._why(ref))
            self.settle(ref, ready=True)
        else:
            self._wait_or_settle(ref, self.sent[ref])

    async def _await_end(self, ref: ObjectRef, resource: Resource, uid: str) -> None:
        self._going[ref] = uid
        self.await_status(ref, resource, uid, end="gone", timeout=self._settings.going)
        await self._check_end(ref, resource)

    async def _check_end(self, ref: ObjectRef, resource: Resource) -> None:
        """Create it anew as soon as the old one is gone."""
        gone, taken = await is_gone(self._cluster, resource, ref, self._going[ref])
        if not gone or self.pending(ref) is None or ref not in self._going:
            return
        del self._going[ref]
        if taken:
            message = "another hand created it anew while it was being replaced; the next run decides again"
            self._fail(ref, Reason.REPLACED, message)
            self.give_up(ref)
        else:
            self.redo(ref)

    def _now_standing(self, ref: ObjectRef, resource: Resource, metadata: Mapping[str, Any]) -> Standing:
        version = metadata.get("resourceVersion", "")
        return Standing(
            resource,
            metadata["uid"],
            version,
            generation=metadata.get("generation", 0),
            since=self._since_version(ref, version),
        )

    async def _send(self, resource: Resource, ref: ObjectRef, body: bytes) -> Applied:
        delays = iter(RETRY_DELAYS)
        while True:
            try:
                return await self._cluster.apply(
                    resource,
                    ref.namespace,
                    ref.name,
                    body,
                    field_manager=self._settings.manager,
                    dry_run=self._settings.dry_run,
                    secret=ref in self._settings.secret,
                )
            except (Unreachable, ServerFault) as error:
                delay = next(delays, None)
                if delay is None or isinstance(error, SLOW):
                    raise
                await asyncio.sleep(delay)

    def _wait_or_settle(self, ref: ObjectRef, known: Standing) -> None:
        if health.always_current(ref.group, ref.kind):
            self._health(ref, Health.CURRENT.value, message=self._why(ref))
            self.settle(ref, ready=True)
        elif self._settings.dry_run:
            self.settle(ref, ready=True)  # it only tells what would be sent, and waits for nothing
        elif known.resource is not None and (self._settings.wait or self.walk.has_dependants(ref)):
            self._expected[ref] = (known.uid, known.generation)
            self.await_status(ref, known.resource, known.uid, since=known.since)
            if is_told_by_pods(known.resource) and self.pending(ref):
                self._pods_at[ref] = self._began[ref] + PODS_AFTER
                # The run before has told of them already: that they fail is no news of this one.
                if self._are_pods_due(ref):
                    self.again(ref)
        else:
            self.settle(ref, ready=True)

    def _why(self, ref: ObjectRef) -> str:
        """Why it was applied; "" if it was not."""
        return self._whys.get(ref, "")

    def seen(self, seen: Seen) -> None:
        """Compare what was heard with what was applied."""
        if seen.ref in self._going:
            if seen.status.health is Health.NOT_FOUND or seen.uid != self._going[seen.ref]:
                self.again(seen.ref)
            return
        uid, generation = self._expected[seen.ref]
        if seen.uid != uid or seen.status.health is Health.NOT_FOUND:
            self.again(seen.ref)  # replaced, or heard before our apply: only a read can tell
        elif seen.generation >= generation:
            status = seen.status
            why = self._why(seen.ref) if status.health is Health.CURRENT else ""
            self._health(seen.ref, status.health.value, status.reason, status.message or why)
            if status.health is Health.CURRENT:
                self.settle(seen.ref, ready=True)
            elif status.health is Health.FAILED:
                self.settle(seen.ref, ready=False)

    def changed(self, seen: Seen) -> None:
        """A failed object may recover, and a current one fall back, while others are waited for."""
        uid, generation = self._expected[seen.ref]
        said = self.reports[seen.ref]
        if (seen.uid, seen.status.health.value) == (uid, said.health) or seen.generation < generation:
            return
        if said.reason == PODS_FAILED and seen.status.health is Health.IN_PROGRESS:
            return  # which it has been all the time: of its pods it says nothing
        self.reopen(seen.ref)
        self.seen(seen)

    async def check(self, ref: ObjectRef) -> None:
        """Whether the object that was applied is still the one in the cluster."""
        if (resource := self.pending(ref)) is None:
            return
        if ref in self._going:
            await self._check_end(ref, resource)
            return
        try:
            found = await self._cluster.get(resource, ref.namespace, ref.name)
        except NotFound:
            self._fail_wait(ref, Reason.DELETED, "was deleted while it was waited for")
            return
        if found["metadata"]["uid"] != self._expected[ref][0]:
            self._fail_wait(ref, Reason.REPLACED, "was replaced by another hand while it was waited for")
            return
        if ref in self._pods_at:
            # Ever more rarely: what fails late has been waited for long.
            now = asyncio.get_running_loop().time()
            self._pods_at[ref] = now + max(PODS_AFTER, now - self._began[ref])
        seen = await self._readiness.look(resource, found)
        if self.pending(ref):
            self.seen(seen)

    def is_look_due(self, ref: ObjectRef, resource: Resource) -> bool:
        """Nor does the watch tell of its pods."""
        return super().is_look_due(ref, resource) or self._are_pods_due(ref)

    def _are_pods_due(self, ref: ObjectRef) -> bool:
        return ref in self._pods_at and self._pods_at[ref] <= asyncio.get_running_loop().time()

    def _fail_wait(self, ref: ObjectRef, reason: str, message: str) -> None:
        self._health(ref, Health.UNKNOWN.value, reason, message)
        self.give_up(ref)

    def timed_out(self, ref: ObjectRef) -> None:
        """The time is over, and the object not ready; or not gone, to be created anew."""
        if self._going.pop(ref, None):
            waited = f"still being deleted after {self._settings.going:g} s, to be created anew"
            self._fail(ref, Reason.PRUNE_TIMEOUT, f"{waited}; look at its finalizers")
            return
        report = self.reports[ref]
        waited = f"not ready after {self._settings.timeout:g} s"
        # Before anything was heard of it the message still says why it was applied.
        message = f"{waited}: {report.message}" if report.health else waited
        self._health(ref, report.health or Health.IN_PROGRESS.value, report.reason or Reason.TIMEOUT, message)

    def unreadable(self, ref: ObjectRef, error: ClusterError) -> None:
        """Applied, but its status cannot be read."""
        if self._going.pop(ref, None):
            self._fail(ref, error.reason, f"whether it is gone, to be created anew, cannot be seen: {error}")
            return
        self._health(ref, Health.UNKNOWN.value, error.reason, f"its status cannot be read: {error}")

    def failed(self, ref: ObjectRef, error: ReconcilerError) -> None:
        """The apply was refused or got lost."""
        # The report names the object already; what and mend are enough.
        self._fail(ref, reason_of(error), with_mend(error.what, error.mend))

    def _fail(self, ref: ObjectRef, reason: str, message: str) -> None:
        self._report(ObjectReport(ref=ref, outcome=Outcome.FAILED, reason=reason, message=message))

    def blocked(self) -> Iterable[ObjectReport]:
        """Reports for what was never started since something it needs is not ready."""
        for ref, cause in self.walk.blocked.items():
            message = f"blocked by {cause}"
            yield ObjectReport(ref=ref, outcome=Outcome.BLOCKED, reason=Reason.DEPENDENCY, message=message)

    def _health(self, ref: ObjectRef, word: str, reason: str = "", message: str = "") -> None:
        # What stands about its fields stays true, however it is.
        message = together(message, self._ownership.notes.get(ref, ""))
        self._report(replace(self.reports[ref], health=word, reason=reason, message=message))

    def _report(self, report: ObjectReport) -> None:
        self.reports[report.ref] = report
        self._progress(report)


def together(*parts: str) -> str:
    """Sentences in one line, each once."""
    return "; ".join(dict.fromkeys(part for part in parts if part))
