"""
Who owns the fields of an object before and after our apply.

Before it: one JSON patch makes predecessors' fields ours, and lets go of those that leave git
and whose live value is to stay (`reconciler-released`). No value is read or sent, only the
server's account of who owns what. After it: which fields left git and are still there since
another owns them too. What is to be done is decided in cluster/takeover.py and fieldsets.py.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from reconciler.cluster import fieldsets, takeover
from reconciler.cluster.client import Cluster
from reconciler.cluster.drift import Changed, changed_by_others
from reconciler.cluster.errors import (
    ClusterError,
    Conflict,
    ConversionFailed,
    Forbidden,
    Invalid,
    NotFound,
    ServerFault,
    Unreachable,
    WebhookUnavailable,
)
from reconciler.cluster.fieldsets import Fields
from reconciler.cluster.resource import Resource
from reconciler.cluster.takeover import Heir, Ownership
from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.sync import marks
from reconciler.sync.live import live_of, with_managed
from reconciler.sync.plan import Live, told_predecessors

_TRIES: Final = 5  # a busy controller may write in between each time
SLOW: Final = (WebhookUnavailable, ConversionFailed)
"""Each try may take a webhook's whole timeout, up to 30 s: they are left to the next run."""
_PAUSE: Final = 0.2  # s before a look at what a lost or failed request has done
_SHOWN: Final = 5  # fields in one message
_REPLICAS: Final = "/spec/replicas"
SCALER: Final = ("autoscaling", "HorizontalPodAutoscaler")

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """How things stood right before our apply."""

    taken: str = ""
    """From whom fields were taken over, as a sentence."""
    fields: Fields = field(default_factory=dict)
    """What we owned, without `kept`, in `version`."""
    version: str = ""
    kept: Fields = field(default_factory=dict)
    """What left git and whose live value stays."""
    why: str = ""
    """Why it stays."""
    changed: tuple[Changed, ...] = ()
    """What others have set of what is applied."""

    def notes(self, metadata: Mapping[str, Any], manager: str) -> tuple[str, ...]:
        """What to tell about fields that left git and are still there; `metadata` as the apply left it."""
        now = Ownership(tuple(metadata.get("managedFields") or ()))
        # In another version fields have other names: what seems to have left is only called otherwise.
        same = now.version_of(manager) == self.version
        left = fieldsets.minus(self.fields, now.fields_of(manager)) if same else {}
        return self.told(left, now.others(manager))

    def told(self, left: Fields, others: Iterable[tuple[str, Fields]]) -> tuple[str, ...]:
        """What there is to tell where `left` left git, and `others` own what they own."""
        said = [f"{_shown(self.kept)} left git, live value kept: {self.why}"] if self.kept else []
        for other, fields in others:
            if both := fieldsets.common(left, fields):
                said.append(f"{_shown(both)} not removed: also owned by {other}")
        return tuple(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What an apply would do beside writing what it sends; sentences as in `Settled`."""

    taken: str = ""
    removed: Fields = field(default_factory=dict)
    """What somebody applied, and would go for good."""
    inherited: Fields = field(default_factory=dict)
    """
    What goes since it is taken over, so that no dry-run shows it. Who writes without applying owns
    what the server filled in as well: that goes, and is filled in again.
    """
    kept: Fields = field(default_factory=dict)
    notes: str = ""


class Scalers:
    """Which objects a HorizontalPodAutoscaler scales; a namespace is read once, and only if asked about."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        find: Callable[[str, str], Resource | None],
        declared: Callable[[str], Awaitable[Iterable[Body]]],
    ) -> None:
        self._cluster = cluster
        self._find = find
        self._declared = declared
        self._lock = asyncio.Lock()
        self._known: dict[str, frozenset[tuple[str, str, str]] | None] = {}

    async def why(self, ref: ObjectRef) -> str:
        """Why the number of replicas of an object is not ours to drop; "" if nobody scales it."""
        async with self._lock:
            if ref.namespace not in self._known:
                self._known[ref.namespace] = await self._read(ref.namespace)
        targets = self._known[ref.namespace]
        if targets is None:
            return "whether a HorizontalPodAutoscaler scales it may not be read; grant list on them"
        scaled = (ref.group, ref.kind, ref.name) in targets
        return "a HorizontalPodAutoscaler scales it" if scaled else ""

    async def _read(self, namespace: str) -> frozenset[tuple[str, str, str]] | None:
        # Those of git count as well: one commit may bring the scaler and drop the number.
        scalers = [*await self._declared(namespace)]
        try:
            if resource := self._find(*SCALER):
                found = await self._cluster.list(resource, namespace=namespace, metadata_only=False)
                scalers += found.items
        except Forbidden:
            return None
        return frozenset(_target(scaler) for scaler in scalers)


def _target(scaler: Body) -> tuple[str, str, str]:
    target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    group, _ = split_api_version(str(target.get("apiVersion") or ""))
    return group, str(target.get("kind") or ""), str(target.get("name") or "")


class FieldOwnership:
    """Settles ownership before the applies of one project; `notes` are what there is to tell, by object."""

    def __init__(self, cluster: Cluster, *, instance: str, heir: Heir, scalers: Scalers) -> None:
        self.notes: dict[ObjectRef, str] = {}
        self._cluster = cluster
        self._instance = instance
        self._heir = heir
        self._scalers = scalers

    async def settle(
        self, resource: Resource, ref: ObjectRef, live: Live, sent: bytes, *, ignore: Sequence[str]
    ) -> Settled:
        """
        Make ownership such that our apply of `sent` removes and keeps what it should.

        `ignore` are pointers to what stays as it is if it left git. Raises Conflict where the
        object is not the one any more that the plan saw.
        """
        body = orjson.loads(sent)
        found = Ownership(tuple(orjson.loads(live.managed or b"[]")))
        changed = changed_by_others(found, self._heir.manager, body)
        for _ in range(_TRIES):
            before = Ownership(tuple(orjson.loads(live.managed or b"[]")))
            after, settled = await self._decide(ref, before, body, ignore)
            settled = replace(settled, changed=changed)
            if after == before:
                return settled
            ops = takeover.operations(
                before, after, resource_version=live.resource_version, last_applied=live.last_applied
            )
            try:
                await self._cluster.json_patch(
                    resource, ref.namespace, ref.name, ops, field_manager=self._heir.manager
                )
            except (Conflict, Invalid) as error:
                last: ClusterError = error  # written in between; Invalid if kubectl's annotation is gone
            except SLOW:
                raise
            except (Unreachable, ServerFault) as error:
                last = error  # it may have been written all the same: only a look can tell
                await asyncio.sleep(_PAUSE)
            else:
                return settled
            seen, live = live, await self._again(resource, ref, live)
            if isinstance(last, Invalid) and live.resource_version == seen.resource_version:
                break
        raise last

    async def foresee(
        self, ref: ObjectRef, metadata: Mapping[str, Any], sent: bytes, *, ignore: Sequence[str]
    ) -> "Foreseen":
        """What `settle` and our apply of `sent` would do to an object with this metadata; nothing is sent."""
        body = orjson.loads(sent)
        before = Ownership(tuple(metadata.get("managedFields") or ()))
        after, settled = await self._decide(ref, before, body, ignore)
        left = removed = fieldsets.leaving(settled.fields, body)
        for _, fields in after.others(self._heir.manager):
            removed = fieldsets.minus(removed, fields)
        notes = settled.told(left, after.others(self._heir.manager))
        return Foreseen(
            taken=settled.taken,
            removed=fieldsets.minus(removed, takeover.updated(before, self._heir)),
            inherited=fieldsets.minus(removed, before.fields_of(self._heir.manager)),
            kept=settled.kept,
            notes="; ".join(notes),
        )

    def note(self, ref: ObjectRef, settled: Settled, metadata: Mapping[str, Any]) -> None:
        """Keep what there is to tell after the apply, which left the object with this metadata."""
        if notes := settled.notes(metadata, self._heir.manager):
            self.notes[ref] = "; ".join(notes)

    async def _again(self, resource: Resource, ref: ObjectRef, planned: Live) -> Live:
        try:
            found = await self._cluster.get(resource, ref.namespace, ref.name, metadata_only=True)
        except NotFound as error:
            raise _changed(ref) from error
        metadata = found["metadata"]
        live = with_managed(live_of(metadata, instance=self._instance), metadata)
        was = (planned.uid, planned.owner, planned.elsewhere, False)
        if (live.uid, live.owner, live.elsewhere, live.terminating) != was:
            raise _changed(ref)
        return live

    async def _decide(
        self, ref: ObjectRef, before: Ownership, body: Body, ignore: Sequence[str]
    ) -> tuple[Ownership, Settled]:
        manager = self._heir.manager
        ours = takeover.taken_over(before, self._heir)
        names = told_predecessors(takeover.predecessors(before.owners, self._heir))
        fields = ours.fields_of(manager)
        left = fieldsets.leaving(fields, body)
        kept, why = await self._kept(ref, left, body, ignore)
        for _, others in ours.others(manager):
            # Whoever owns a field beside us keeps it where it is.
            kept = fieldsets.minus(kept, others)
        after = takeover.released(ours, manager, kept)
        version = ours.version_of(manager)
        return after, Settled(names, fieldsets.minus(fields, kept), version, kept, why)

    async def _kept(
        self, ref: ObjectRef, left: Fields, body: Body, ignore: Sequence[str]
    ) -> tuple[Fields, str]:
        kept: Fields = {}
        whys: list[str] = []
        for pointer in ignore:
            if found := fieldsets.below(left, body, pointer):
                kept = fieldsets.unite(kept, found)
                whys = [f"{marks.IGNORE} names it"]
        replicas = fieldsets.below(left, body, _REPLICAS)
        if replicas and not fieldsets.common(replicas, kept) and (why := await self._scalers.why(ref)):
            kept = fieldsets.unite(kept, replicas)
            whys.append(why)
        return kept, ", ".join(whys)


def ignored(ref: ObjectRef, body: Body) -> tuple[str, ...]:
    """The pointers of an object's ignore annotation. Raises Invalid where one of them is none."""
    text = str((body["metadata"].get("annotations") or {}).get(marks.IGNORE, ""))
    pointers = tuple(part.strip() for part in re.split(r"[,\n]", text) if part.strip())
    for pointer in pointers:
        try:
            fieldsets.split_pointer(pointer)
        except ValueError:
            raise Invalid(
                what=f"annotation {marks.IGNORE}: {pointer[:80]!r} is not a JSON pointer",
                where=str(ref),
                mend="write /spec/replicas, several with commas or on lines of their own",
            ) from None
    return pointers


def _shown(fields: Fields) -> str:
    names = sorted(fieldsets.paths(fields))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _changed(ref: ObjectRef) -> Conflict:
    return Conflict(
        what="the object was deleted or changed hands while its fields were taken over",
        where=str(ref),
        mend="the next run decides again",
    )
