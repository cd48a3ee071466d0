"""
Hears of foreign changes: one metadata watch for each kind that the inventories hold, for all projects.

What is heard is compared with what was recorded after our last apply (gitops-engine.md 6.1): the
server takes a field out of our managedFields entry when another writes it. What is equal is dropped;
anything else wakes the project, whose run reads the cluster anew and decides. So a watch that lags,
repeats or lies costs a LIST, and never a wrong write. Kinds that cannot be watched are left to the
comparison that every project makes anyway, and are named in the log.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.cluster.errors import ClusterError
from reconciler.cluster.follow import Listed
from reconciler.cluster.managed import with_replicas
from reconciler.cluster.resource import Resource, is_secret
from reconciler.cluster.watch import EventKind, WatchEvent
from reconciler.config.models import ManifestProject
from reconciler.errors import ReconcilerError
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.inventory import Record
from reconciler.sync.live import LiveObjects
from reconciler.sync.plan import Live
from reconciler.sync.records import Records
from reconciler.tasks import cancel, task_group

log = logging.getLogger(__name__)

GATHER: Final = 0.03
"""s from the first news until they are looked at: an answer to our own write comes when its event does."""
GATHER_BESIDE_WRITES: Final = 1.5
"""s while a run waits for objects: what it still applies is recorded half a second after the last one."""
DEAF_FOR: Final = 300.0
"""s until a kind whose watch was refused is tried again."""
MOST: Final = 3
WITHIN: Final = 600.0
"""s; an object that changes `MOST` times within them is fought for, and left to the comparison."""

GroupKind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What of an object's metadata moves when anything moves that we have applied."""

    uid: str
    entry: str
    time: str
    api_version: str
    whole: bool
    """It carries our label, and is not being deleted."""
    scaled: str = ""
    """What `entry` would be if nobody had scaled it; see `scaled`."""


def fingerprint(live: Live, *, scaled: str = "") -> Fingerprint:
    """Of an object as a watch shows it."""
    whole = live.labelled and not live.terminating
    return Fingerprint(live.uid, live.entry, live.time, live.api_version, whole, scaled)


def is_as_recorded(record: Record, heard: Fingerprint | None) -> bool:
    """Whether nothing has happened to an object since our last apply; None: it is gone."""
    if heard is None:
        return not record.uid
    same = (heard.uid, heard.time, heard.api_version) == (record.uid, record.time, record.api_version)
    return same and heard.whole and record.entry in (heard.entry, heard.scaled or heard.entry)


@dataclass(slots=True)
class _Watched:
    """One project: what was heard of its objects and not looked at yet."""

    project: ManifestProject
    news: dict[ObjectRef, Fingerprint | None] = field(default_factory=dict)
    busy: bool = False
    beside_writes: bool = False
    looking: asyncio.Task[None] | None = None
    woken: dict[ObjectRef, deque[float]] = field(default_factory=dict)
    met: dict[ObjectRef, tuple[Fingerprint | None, Record]] = field(default_factory=dict)
    """What a run was woken for: it is not woken again for what it has seen, and left or could not mend."""

    def forget(self, *, before: float) -> None:
        """Objects that were quiet since then are fought for no more."""
        self.woken = {ref: times for ref, times in self.woken.items() if times and times[-1] > before}


class Watching:
    """
    `find` gives the endpoint of a kind, `drifted` is told which project is to run.

    A run says when it begins, when it only waits, and when it is over: what is heard of its own
    writes is looked at when they are recorded.
    """

    def __init__(
        self,
        live: LiveObjects,
        records: Records,
        *,
        find: Callable[[GroupKind], Resource | None],
        drifted: Callable[[str], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._live = live
        self._records = records
        self._find = find
        self._drifted = drifted
        self._tasks = tasks
        self._projects: dict[str, _Watched] = {}
        self._following: dict[GroupKind, asyncio.Task[None]] = {}
        self._deaf: dict[GroupKind, float] = {}
        self._told: set[str] = set()
        self._unwatched: set[str] = set()

    def retain(self, projects: Iterable[ManifestProject]) -> None:
        """These are all projects there are now; what a ServiceAccount sees is left to the comparison."""
        before, every = self._projects, tuple(projects)
        self._projects = {p.id: _Watched(p) for p in every if p.service_account is None}
        self._unwatched = {p.id for p in every} - self._projects.keys()
        for name in self._projects.keys() & before.keys():
            before[name].project = self._projects[name].project
            self._projects[name] = before[name]

    async def close(self) -> None:
        """Hear nothing more."""
        looking = [its.looking for its in self._projects.values()]
        self._projects = {}
        await cancel(*self._following.values(), *looking)
        self._following.clear()

    # -- what a run says -----------------------------------------------------------------

    def begins(self, project: str) -> None:
        """It is about to read and write."""
        if its := self._projects.get(project):
            its.busy, its.beside_writes = True, False

    def waits(self, project: str) -> None:
        """Nothing is sent until `begins` or `ends`; what was is recorded in a moment."""
        if its := self._projects.get(project):
            its.busy, its.beside_writes = False, True
            self._look_soon(its)

    async def ends(self, project: str) -> None:
        """It is over, and what it did is recorded."""
        if its := self._projects.get(project):
            its.busy = its.beside_writes = False
            its.forget(before=asyncio.get_running_loop().time() - WITHIN)
            self._look_soon(its)
            await self._follow_recorded()

    # -- what the watches say ------------------------------------------------------------

    async def _follow_recorded(self) -> None:
        kinds: set[GroupKind] = set()
        for one in tuple(self._projects.values()):
            recorded = await self._recorded(one)
            if recorded is None:
                kinds |= self._following.keys()  # what is not known is no reason to hear less
            else:
                kinds |= {(ref.group, ref.kind) for ref in recorded}
        self._follow(kinds)

    def _follow(self, wanted: Iterable[GroupKind]) -> None:
        kinds = set(wanted)
        for gone in self._following.keys() - kinds:
            self._following.pop(gone).cancel()
        now = asyncio.get_running_loop().time()
        for kind in kinds - self._following.keys():
            if now < self._deaf.get(kind, 0.0) or (resource := self._find(kind)) is None:
                continue
            if why := why_not_watched(resource):
                self._tell(f"{resource} are not watched, and compared from time to time: {why}")
                continue
            hearing = self._tasks.create_task(self._hear(kind, resource), name=f"watch {resource}")
            self._following[kind] = hearing

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            log.info("%s", text)

    async def _hear(self, kind: GroupKind, resource: Resource) -> None:
        """Until cancelled, or until the server refuses."""
        try:
            async with task_group() as places:
                for namespace in self._live.reach.places(resource):
                    places.create_task(self._hear_in(resource, namespace))
        except ClusterError as error:
            self._tell(f"{resource} are not watched, and compared from time to time: {error}")
        except Exception:
            # What one kind runs into must not take the service along.
            log.exception("%s: defect in the service", resource)
        # Whoever dropped the kind in the meantime may follow it anew by now.
        if self._following.get(kind) is asyncio.current_task():
            self._deaf[kind] = asyncio.get_running_loop().time() + DEAF_FOR
            del self._following[kind]

    async def _hear_in(self, resource: Resource, namespace: str) -> None:
        async with self._live.follow(resource, namespace) as stream:
            async for news in stream:
                match news:
                    case Listed(items=items):
                        await self._take_list(resource, namespace, items)
                    case WatchEvent(kind=EventKind.DELETED, object=found):
                        ref, live = self._live.found(resource, found)
                        self._note(live.project, ref, None)
                    case WatchEvent(object=found):
                        self._take(resource, found)

    async def _take_list(
        self, resource: Resource, namespace: str, items: Iterable[Mapping[str, Any]]
    ) -> None:
        """Events may have been missed: what is not in the list is gone."""
        shown = {self._take(resource, item) for item in items}
        for its in tuple(self._projects.values()):
            for ref in await self._recorded(its) or ():
                here = namespace in ("", ref.namespace)
                if here and (ref.group, ref.kind) == (resource.group, resource.kind) and ref not in shown:
                    self._note(its.project.id, ref, None)

    def _take(self, resource: Resource, item: Mapping[str, Any]) -> ObjectRef:
        ref, live = self._live.found(resource, item)
        self._note(live.project, ref, live, scaled=scaled(item["metadata"], live.project))
        return ref

    def _note(self, project: str, ref: ObjectRef, live: Live | None, *, scaled: str = "") -> None:
        if project in self._unwatched:
            return
        # Whoever took our annotations off has not made it another project's object.
        some = self._projects.get(project)
        heard = fingerprint(live, scaled=scaled) if live else None
        for its in (some,) if some else tuple(self._projects.values()):
            if its.news.get(ref, heard) != heard:
                its.met.pop(ref, None)  # it was otherwise in between: the same change was made once more
            its.news[ref] = heard
            if not its.busy:
                self._look_soon(its)

    # -- what has changed ----------------------------------------------------------------

    def _look_soon(self, its: _Watched) -> None:
        if its.looking is None or its.looking.done():
            its.looking = self._tasks.create_task(self._guarded(its), name=f"drift of {its.project.id}")

    async def _guarded(self, its: _Watched) -> None:
        try:
            await self._look(its)
        except Exception:
            log.exception("project %s: defect in the service", its.project.id)

    async def _look(self, its: _Watched) -> None:
        """Wake the project if anything that was heard is not as it was recorded."""
        while its.news and not its.busy:
            await asyncio.sleep(GATHER_BESIDE_WRITES if its.beside_writes else GATHER)
            if its.busy:
                return
            recorded = await self._recorded(its)
            if recorded is None or its.busy:
                return  # the next run says that it is over, and then it is looked at again
            news, its.news = its.news, {}
            drifted = [
                ref
                for ref, heard in news.items()
                if ref in recorded
                and self._is_new_drift(its, recorded[ref], heard)
                and self._may_wake(its, ref)
            ]
            if drifted:
                log.info("project %s: changed by another hand: %s", its.project.id, _some(drifted))
                self._drifted(its.project.id)

    def _is_new_drift(self, its: _Watched, record: Record, heard: Fingerprint | None) -> bool:
        if is_as_recorded(record, heard):
            its.met.pop(record.ref, None)
            return False
        met = (heard, record)
        if its.met.get(record.ref) == met:
            return False
        its.met[record.ref] = met
        return True

    def _may_wake(self, its: _Watched, ref: ObjectRef) -> bool:
        now = asyncio.get_running_loop().time()
        times = its.woken.setdefault(ref, deque(maxlen=MOST))
        if len(times) == MOST and times[0] > now - WITHIN:
            self._tell(
                f"project {its.project.id}: {ref} was changed {MOST} times within {WITHIN / 60:.0f} minutes: "
                "it is left to the comparison; look who else writes it"
            )
            return False
        times.append(now)
        return True

    async def _recorded(self, its: _Watched) -> Mapping[ObjectRef, Record] | None:
        """The project's inventory; None where it cannot be known."""
        try:
            return (await self._records.of(its.project.id)).inventory.records
        except ReconcilerError as error:
            log.debug("the run will say it again: %s", error)
            return None


def scaled(metadata: Mapping[str, Any], project: str) -> str:
    """
    Hash of our entry with the number of replicas in it, where that was taken through the scale subresource.

    Autoscalers and `kubectl scale` do that, and nobody is to fight with them; "" where nobody did.
    """
    entries = [entry for entry in metadata.get("managedFields") or () if isinstance(entry, dict)]
    if not any(entry.get("subresource") == "scale" for entry in entries):
        return ""
    return with_replicas(metadata, marks.field_manager(project))


def why_not_watched(resource: Resource) -> str:
    """Why a kind is left to the comparison; "" where it is watched."""
    if is_secret(resource):
        return "the right to watch them is the right to read them"
    return "" if "watch" in resource.verbs else "the server offers no watch of them"


def _some(refs: list[ObjectRef]) -> str:
    named = ", ".join(str(ref) for ref in refs[:3])
    return f"{named} and {len(refs) - 3} more" if len(refs) > 3 else named  # noqa: PLR2004 - as many as fit a line
