"""
What a run would do, found out instead of done: looks at each object where apply.py would write.

The server itself is asked what an apply would make of the object (a dry-run); who may not ask
gets a comparison of the manifest's own fields, and is told so. Never writes, waits for
nothing. run.py makes the plan, diff.py compares, and no value of a Secret gets out of here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from reconciler.cluster import fieldsets
from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Immutable,
    Invalid,
    NoDryRun,
    NotFound,
)
from reconciler.cluster.fieldsets import Fields
from reconciler.cluster.resource import Resource, is_secret
from reconciler.errors import ReconcilerError, with_mend
from reconciler.manifests.decode import CRD
from reconciler.manifests.errors import SubstitutionFailed
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import diff
from reconciler.sync.apply import Kinds, together
from reconciler.sync.compare import Comparison
from reconciler.sync.diff import FieldChange, Mask
from reconciler.sync.outcome import ObjectReport, Outcome, Reason, reason_of
from reconciler.sync.ownership import FieldOwnership, ignored
from reconciler.sync.passing import Pass, Timings
from reconciler.sync.plan import Plan, Step
from reconciler.sync.readiness import Readiness, Seen
from reconciler.sync.replacing import Replacing
from reconciler.sync.walk import Walk

_HIDDEN: Final = "refused; the words are not shown, as values of a Secret were put into it"
_NOT_CHECKED: Final = "not checked by the server, only its own fields compared"
_REFUSED: Final = (Forbidden, Invalid, NotFound)
"""What the server says of an object that needs what is not there yet."""


class Action(StrEnum):
    """What a run would do with an object."""

    CREATE = "create"
    UPDATE = "update"
    TAKE_OVER = "take_over"
    REPLACE = "replace"
    PRUNE = "prune"
    HAND_OVER = "hand_over"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that a run would apply; `unseen` says what could not be found out about it."""

    action: Action
    fields: tuple[FieldChange, ...] = ()
    unseen: str = ""


@dataclass(slots=True)
class Preview:
    """What a run that is only previewed found; it fills this in."""

    changes: dict[ObjectRef, Change] = field(default_factory=dict)
    """Of what would be applied, and of what left git."""
    unverified: str = ""
    """Why our marks cannot be checked, "" where they can: every object is compared then."""
    unrecorded: str = ""
    """Why the records could not be read: nothing is known then of what would be pruned."""
    unclear: bool = False
    """Files hold what cannot be read, so that it may declare anything."""
    unread: tuple[str, ...] = ()
    """Kinds whose objects could not be read, and why."""

    def take(self, changes: Mapping[ObjectRef, Change], work: Plan, compared: Comparison) -> None:
        """Keep what the pass saw, and what becomes of what left git."""
        left = {
            its.ref: Change(action=Action.HAND_OVER if its.live.keep else Action.PRUNE)
            for its in work.candidates
        }
        self.changes = {**changes, **left}
        self.unread = tuple(
            f"{kind}.{group}: {error.what}" if group else f"{kind}: {error.what}"
            for (group, kind), error in compared.unread.items()
        )


class PreviewPass(Pass):
    """One pass of looks; after `run` its `reports` tell what would happen, `changes` in which fields."""

    end = "seen"

    def __init__(
        self,
        walk: Walk,
        steps: Mapping[ObjectRef, Step],
        *,
        existing: Set[ObjectRef],
        needs: Mapping[ObjectRef, Set[ObjectRef]],
        cluster: Cluster,
        kinds: Kinds,
        manager: str,
        ownership: FieldOwnership,
        declared: Callable[[Step], Awaitable[Mapping[str, Any]]],
        plain: Callable[[Step], Awaitable[Mapping[str, Any]]],
        tainted: Set[ObjectRef],
        replacing: Replacing,
        mark: Callable[[Step, Mapping[str, Any]], str],
        render: Callable[[Step, Mapping[str, Any]], bytes],
        readiness: Readiness,
        stop: asyncio.Event,
        timings: Timings,
        progress: Callable[[ObjectReport], None],
    ) -> None:
        super().__init__(walk, readiness=readiness, timeout=0, stop=stop, save=_save_nothing, timings=timings)
        self.reports: dict[ObjectRef, ObjectReport] = {}
        self.changes: dict[ObjectRef, Change] = {}
        self._steps = steps
        self._existing = existing
        self._needs = needs
        self._cluster = cluster
        self._kinds = kinds
        self._manager = manager
        self._ownership = ownership
        self._declared = declared
        self._plain = plain
        self._tainted = tainted
        self._replacing = replacing
        self._mark = mark
        self._render = render
        self._progress = progress
        self._not_allowed: dict[tuple[Resource, str], str] = {}

    def at_once(self, ref: ObjectRef) -> bool:
        """What is as git has it costs nothing, and counts as ready."""
        if ref in self._steps:
            return False
        self._report(ObjectReport(ref=ref, outcome=Outcome.UNCHANGED))
        self.settle(ref, ready=True)
        return True

    async def act(self, ref: ObjectRef) -> None:
        """Look what an apply would do."""
        step = self._steps[ref]
        change, notes = await self._change_of(ref, step)
        self.changes[ref] = change
        message = together(step.why, *notes)
        outcome = Outcome.CREATED if change.action is Action.CREATE else Outcome.UPDATED
        if change.action is Action.UPDATE and not change.fields:
            outcome, message = Outcome.UNCHANGED, f"only our marks on it would be written: {message}"
        self._report(ObjectReport(ref=ref, outcome=outcome, message=message))
        self.settle(ref, ready=True)

    async def _change_of(self, ref: ObjectRef, step: Step) -> tuple[Change, tuple[str, ...]]:
        """What would change, and what there is to tell about it."""
        manifest = step.wanted.manifest
        resource = self._kinds.find(manifest.api_version, ref.kind)
        live = await self._read(ref, resource)
        declared, open_values = await self._declared_now(step)
        body = self._render(step, declared)
        pointers = ignored(ref, declared)
        after, unseen, replaced = None, open_values, ""
        if not open_values:
            try:
                after, unseen = await self._ask_or_say(ref, resource, body)
            except Immutable as error:
                if resource is None:
                    raise
                mark = self._mark(step, declared)
                await self._replacing.delete(resource, ref, error, declared=declared, body=body, mark=mark)
                replaced = f"would be deleted and created anew: {self._words(ref, error)}"
        mask = self._mask(ref, resource)
        if resource is None and step.live is not None:
            # In the version that git wants it cannot be read yet.
            moved = FieldChange(".apiVersion", "changed", step.live.api_version, manifest.api_version)
            return Change(action=Action.UPDATE, fields=(moved,), unseen=unseen), ()
        if live is None:
            fields = diff.declares(declared, mask=mask)
            return Change(action=Action.CREATE, fields=fields, unseen=unseen), ()
        if replaced:
            fields = diff.subset(live, declared, mask=mask)
            return Change(action=Action.REPLACE, fields=fields, unseen=unseen), (replaced,)
        foreseen = await self._ownership.foresee(ref, live["metadata"], body, ignore=pointers)
        removed: Fields = {}
        if resource is not None and after is not None and foreseen.inherited:
            after, unseen = await self._take_out(ref, resource, after, foreseen.inherited)
        if after is None:
            fields, removed = diff.subset(live, declared, mask=mask), foreseen.removed
        else:
            fields = diff.difference(live, after, declared, mask=mask)
        fields = diff.with_ownership(fields, live, declared, removed=removed, kept=foreseen.kept, mask=mask)
        action = Action.TAKE_OVER if step.adopts or foreseen.taken else Action.UPDATE
        return Change(action=action, fields=fields, unseen=unseen), (foreseen.taken, foreseen.notes)

    async def _declared_now(self, step: Step) -> tuple[Mapping[str, Any], str]:
        """The body with the values that it takes from others; why they are not known yet, if so."""
        changing = [its.source for its in step.wanted.manifest.substitutions if its.source in self._steps]
        if not changing:
            return await self._declared(step), ""
        unseen = f"it takes values of {changing[0]}, which this run changes first"
        try:
            return await self._declared(step), unseen
        except SubstitutionFailed:
            return await self._plain(step), unseen

    def _mask(self, ref: ObjectRef, resource: Resource | None) -> Mask:
        if ref in self._tainted:
            return Mask.EVERYTHING
        return Mask.SECRET if resource is not None and is_secret(resource) else Mask.NOTHING

    async def _read(self, ref: ObjectRef, resource: Resource | None) -> Mapping[str, Any] | None:
        if resource is None or ref not in self._existing:
            return None
        try:
            return await self._cluster.get(resource, ref.namespace, ref.name)
        except NotFound:
            return None  # deleted since the comparison: it would be created

    async def _ask_or_say(
        self, ref: ObjectRef, resource: Resource | None, body: bytes
    ) -> tuple[Mapping[str, Any] | None, str]:
        """As `_ask`; what is refused since something that comes first is not there yet is not seen either."""
        try:
            return await self._ask(ref, resource, body)
        except Immutable:
            raise  # no other object changes that
        except _REFUSED as error:
            pending = sorted(need for need in self._needs.get(ref, ()) if need in self._steps)
            if not pending:
                raise
            why = f"the server refuses it as long as {pending[0]} is as it is"
            return None, f"{why}: {self._words(ref, error)}"

    def _words(self, ref: ObjectRef, error: ReconcilerError) -> str:
        """What the server said, unless it may have quoted a value out of a Secret."""
        return _HIDDEN if ref in self._tainted else error.what

    async def _take_out(
        self, ref: ObjectRef, resource: Resource, after: Mapping[str, Any], fields: Fields
    ) -> tuple[Mapping[str, Any] | None, str]:
        """
        What the server would make of it without what is taken over and left git; else None and why not.

        Such fields go with the same apply, but no dry-run can take them over first.
        """
        body = fieldsets.without(after, fields)
        body["metadata"] = {name: its for name, its in body["metadata"].items() if name != "managedFields"}
        try:
            found = await self._cluster.try_update(
                resource, ref.namespace, ref.name, body, field_manager=self._manager
            )
        except (*_REFUSED, NoDryRun, Conflict) as error:
            return None, f"{_NOT_CHECKED}: {self._words(ref, error)}"
        return found, ""

    async def _ask(
        self, ref: ObjectRef, resource: Resource | None, body: bytes
    ) -> tuple[Mapping[str, Any] | None, str]:
        """What the server would make of it, or None and why it could not be asked."""
        if resource is None:
            return None, "its kind is not served yet; its definition comes with this run"
        if missing := self._missing_container(ref):
            return None, f"{missing} does not exist yet"
        place = resource, ref.namespace
        if place in self._not_allowed:
            return None, self._not_allowed[place]
        try:
            after = await self._cluster.try_apply(
                resource, ref.namespace, ref.name, body, field_manager=self._manager
            )
        except Forbidden as error:
            if not error.lacks_right:
                raise
            self._not_allowed[place] = f"{_NOT_CHECKED}: {self._words(ref, error)}"
            return None, self._not_allowed[place]
        except NoDryRun as error:
            return None, f"{_NOT_CHECKED}: {self._words(ref, error)}"
        return after, ""

    def _missing_container(self, ref: ObjectRef) -> ObjectRef | None:
        """The Namespace or definition that this run would create first."""
        for need in sorted(self._needs.get(ref, ())):
            container = (need.group, need.kind) in (("", "Namespace"), CRD)
            if container and need in self._steps and need not in self._existing:
                return need
        return None

    def failed(self, ref: ObjectRef, error: ReconcilerError) -> None:
        """The server refuses it, or cannot be asked."""
        message = with_mend(self._words(ref, error), error.mend)
        self._report(ObjectReport(ref=ref, outcome=Outcome.FAILED, reason=reason_of(error), message=message))

    def blocked(self) -> list[ObjectReport]:
        """Reports for what would never be started since something it needs is not well."""
        return [
            ObjectReport(
                ref=ref,
                outcome=Outcome.BLOCKED,
                reason=Reason.DEPENDENCY,
                message=f"blocked by {cause}",
            )
            for ref, cause in self.walk.blocked.items()
        ]

    def _report(self, report: ObjectReport) -> None:
        self.reports[report.ref] = report
        self._progress(report)

    async def check(self, ref: ObjectRef) -> None:
        """Nothing is waited for."""

    def seen(self, seen: Seen) -> None:
        """Nothing is waited for."""

    def timed_out(self, ref: ObjectRef) -> None:
        """Nothing is waited for."""

    def unreadable(self, ref: ObjectRef, error: ClusterError) -> None:
        """Nothing is waited for."""


async def _save_nothing() -> None:
    """A preview has nothing to write down."""
