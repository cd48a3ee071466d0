"""
One pass over a graph of objects: act, wait until each is as wanted, go on with what needed it.

The engine that apply.py and prune.py share. It owns the in-flight requests, the deadlines
and the waiting; the two say what an act is and when an object is as wanted. A pass that is
told to stop starts nothing more, lets what was sent finish, and returns.

Whatever the watches miss (an object without our label, a watch that lags) is read by itself
every few seconds, and once more before a wait is given up.
"""

import asyncio
import bisect
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, Literal, Protocol

from reconciler.cluster.errors import ClusterError, NotLeader, Paused, Unreachable
from reconciler.cluster.health import Health
from reconciler.cluster.resource import Resource
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError, MirrorDamaged
from reconciler.manifests.errors import ManifestError
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.readiness import Listening, Readiness, Seen
from reconciler.sync.walk import Walk
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 16
"""Acts at a time; the cluster's throttle decides how many of them are on the wire (8 gain all there is)."""
SAVE_AFTER: Final = 0.5
"""s of mere waiting after which the records are written: most waits are over by then."""
LOST_AFTER: Final = 8
"""Acts in a row without an answer: the API server is gone, and the rest would only wait for it in turn."""
LOOK_AGAIN: Final = 5.0
"""s between two reads of an object that is waited for and of which no watch tells."""


class Timings(Protocol):
    """Whoever measures; seconds."""

    def observe_apply(self, seconds: float, kind: str) -> None:
        """One apply was answered."""
        ...

    def observe_wait(self, seconds: float) -> None:
        """One object was waited for."""
        ...

    def observe_drift(self, kind: str, manager: str) -> None:
        """One object was put right that `manager` has changed; "" where nothing tells who."""
        ...


class NoTimings:
    """Nobody measures."""

    def observe_apply(self, seconds: float, kind: str) -> None:
        """Nothing."""

    def observe_wait(self, seconds: float) -> None:
        """Nothing."""

    def observe_drift(self, kind: str, manager: str) -> None:
        """Nothing."""


class Pass(ABC):
    """
    Base of both passes.

    `timeout` in seconds from an object's own act, 0 waits without end; `stop` ends the pass
    early; `save` is called when writes have been made and only waiting is left.
    """

    end: ClassVar[str]
    """What is waited for, in one word: each has a clock of its own for the same object."""

    def __init__(
        self,
        walk: Walk,
        *,
        readiness: Readiness,
        timeout: float,
        stop: asyncio.Event,
        save: Callable[[], Awaitable[None]],
        timings: Timings,
    ) -> None:
        self.walk = walk
        self.lost: ReconcilerError | None = None
        self._readiness = readiness
        self._timeout = timeout
        self._stop = stop
        self._save = save
        self.timings = timings
        self._since: dict[ObjectRef, float] = {}
        self._unsaved = False
        self._wrote_at = 0.0
        self._again: dict[ObjectRef, None] = {}
        self._redo: dict[ObjectRef, None] = {}
        self._last_looks: set[ObjectRef] = set()
        self._look_at = 0.0
        self._in_flight = 0
        self._silent = 0
        self._wake = asyncio.Event()
        self._pending: dict[ObjectRef, Resource] = {}
        self._began: dict[ObjectRef, float] = {}
        self._settled: dict[ObjectRef, Resource] = {}
        """Waited for until it was heard of as it had to be, or as failed; it may change again."""
        self._deadlines: list[tuple[float, ObjectRef]] = []
        self._listening: Listening | None = None

    @abstractmethod
    async def act(self, ref: ObjectRef) -> None:
        """Do it; ClusterError or GitError fails this object alone."""

    def at_once(self, ref: ObjectRef) -> bool:
        """Deal with an object for which nothing is sent; False: `act` has to."""
        return False

    @abstractmethod
    async def check(self, ref: ObjectRef) -> None:
        """Read an object again: what was heard of it may be older than our own write."""

    @abstractmethod
    def failed(self, ref: ObjectRef, error: ClusterError | GitError | ManifestError) -> None:
        """Note that the act failed."""

    @abstractmethod
    def seen(self, seen: Seen) -> None:
        """Note what was heard of a pending object; call `settle` when it is as wanted, or never will be."""

    def changed(self, seen: Seen) -> None:
        """Note what was heard of an object after it was settled; `reopen` it where that counts."""
        self._settled.pop(seen.ref, None)

    @abstractmethod
    def timed_out(self, ref: ObjectRef) -> None:
        """Note that the wait for it is over."""

    @abstractmethod
    def unreadable(self, ref: ObjectRef, error: ClusterError) -> None:
        """Note that nothing can be heard of it."""

    async def run(self) -> None:
        """Until every object is settled or the pass is stopped."""
        async with self._readiness.listening(self._heard, self._listed, self._deaf) as self._listening:
            stopped = asyncio.ensure_future(self._stop.wait())
            try:
                async with task_group() as tasks:
                    await self._loop(tasks, stopped)
            finally:
                stopped.cancel()

    def _is_save_due(self) -> bool:
        return self._wrote_at + SAVE_AFTER <= asyncio.get_running_loop().time()

    async def _loop(self, tasks: asyncio.TaskGroup, stopped: "asyncio.Future[Literal[True]]") -> None:
        while True:
            self._wake.clear()
            while not self._stopping and self._in_flight < IN_FLIGHT and (ref := self.walk.next()):
                if self.at_once(ref):
                    continue
                self._in_flight += 1
                tasks.create_task(self._guarded(ref, self._act))
            while not self._stopping and self._in_flight < IN_FLIGHT and self._redo:
                self._in_flight += 1
                tasks.create_task(self._guarded(_first(self._redo), self._act))
            while self._in_flight < IN_FLIGHT and self._again:
                self._in_flight += 1
                tasks.create_task(self._guarded(_first(self._again), self._look))
            if not self._in_flight and (self._stopping or self.walk.finished):
                return
            if not self._in_flight and self._unsaved and self._is_save_due():
                self._unsaved = False
                await self._save()
                continue
            await self._rest(stopped)

    @property
    def _stopping(self) -> bool:
        return self._stop.is_set() or self.lost is not None

    async def _rest(self, stopped: "asyncio.Future[Literal[True]]") -> None:
        """Sleep until something happens: an act ends, an object is heard of, a deadline, a stop."""
        now = asyncio.get_running_loop().time()
        while self._deadlines and self._deadlines[0][1] not in self._pending:
            self._deadlines.pop(0)
        until = [self._deadlines[0][0]] if self._deadlines else []
        if self._pending:
            until.append(self._look_at)
        if self._unsaved and not self._in_flight:
            until.append(self._wrote_at + SAVE_AFTER)
        limit = max(0.0, min(until) - now) if until else None
        woken = asyncio.ensure_future(self._wake.wait())
        waits: list[asyncio.Future[Literal[True]]] = [woken] if self._stop.is_set() else [woken, stopped]
        try:
            await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        self._expire()

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, ref = self._deadlines.pop(0)
            if ref in self._pending:
                self._last_looks.add(ref)
                self.again(ref)
        if self._look_at <= now:
            self._look_at = now + LOOK_AGAIN
            for ref in [ref for ref, resource in self._pending.items() if self.is_look_due(ref, resource)]:
                self.again(ref)

    def is_look_due(self, ref: ObjectRef, resource: Resource) -> bool:
        """Whether the watch does not tell how a pending object is: of what has lost our label it does not."""
        seen = self._readiness.known(resource, ref)
        return seen is None or seen.status.health is Health.NOT_FOUND

    async def _guarded(self, ref: ObjectRef, work: Callable[[ObjectRef], Awaitable[None]]) -> None:
        try:
            await work(ref)
        finally:
            self._in_flight -= 1
            self._wake.set()

    async def _act(self, ref: ObjectRef) -> None:
        try:
            await self.act(ref)
        except (MirrorDamaged, NotLeader, Paused) as error:
            # Nothing more can be read of git, or may be sent; what was sent is to be finished.
            self.lost = error
            self.settle(ref, ready=False)
        except (ClusterError, GitError, ManifestError) as error:
            self.failed(ref, error)
            self.settle(ref, ready=False)
            self._count_silence(error)
        else:
            self._silent = 0

    async def _look(self, ref: ObjectRef) -> None:
        last = ref in self._last_looks
        self._last_looks.discard(ref)
        try:
            await self.check(ref)
        except ClusterError as error:
            self._count_silence(error)
            if ref not in self._pending:
                return
            if last or not error.retry:
                self.unreadable(ref, error)
                self.give_up(ref)
            else:
                log.debug("%s is looked at again: %s", ref, error)
        else:
            self._silent = 0
            if last and ref in self._pending:
                self.timed_out(ref)
                self.give_up(ref)

    def _count_silence(self, error: ReconcilerError) -> None:
        self._silent = self._silent + 1 if isinstance(error, Unreachable) else 0
        if self._silent >= LOST_AFTER:
            self.lost = error

    def pending(self, ref: ObjectRef) -> Resource | None:
        """The kind of an object that is waited for; None for any other."""
        return self._pending.get(ref)

    def again(self, ref: ObjectRef) -> None:
        """Have `check` called for a pending object."""
        self._again[ref] = None
        self._wake.set()

    def redo(self, ref: ObjectRef) -> None:
        """Have `act` called once more for a pending object, which is waited for no longer."""
        self._end_wait(ref)
        self._deadlines = [due for due in self._deadlines if due[1] != ref]
        self._redo[ref] = None
        self._wake.set()

    def _end_wait(self, ref: ObjectRef) -> Resource | None:
        """Its kind, where it was waited for."""
        if (since := self._since.pop(ref, None)) is not None:
            self.timings.observe_wait(asyncio.get_running_loop().time() - since)
        return self._pending.pop(ref, None)

    def wrote(self) -> None:
        """A write was acknowledged that the records do not hold yet."""
        self._unsaved = True
        self._wrote_at = asyncio.get_running_loop().time()

    def await_status(
        self,
        ref: ObjectRef,
        resource: Resource,
        uid: str,
        *,
        since: str = "",
        end: str = "",
        timeout: float | None = None,
    ) -> None:
        """
        The object is waited for from now on; its events after `since` (a resourceVersion) are enough.

        `end` and `timeout` where they are not those of the pass.
        """
        now = asyncio.get_running_loop().time()
        self._since[ref] = now
        if not self._pending:
            self._look_at = now + LOOK_AGAIN
        waiting = self._readiness.waiting_since(ref, uid, now, end=end or self.end)
        self._began[ref] = waiting
        if timeout := self._timeout if timeout is None else timeout:
            bisect.insort(self._deadlines, (waiting + timeout, ref))
        self._pending[ref] = resource
        if self._listening is None:
            raise RuntimeError("the pass does not run")
        known = resource in self._listening.resources
        self._listening.add(resource, since=since)
        if known and (seen := self._readiness.known(resource, ref)):
            self._heard(seen)

    def settle(self, ref: ObjectRef, *, ready: bool) -> None:
        """The object is as wanted, or never will be; what needs it goes on or is blocked."""
        if resource := self._end_wait(ref):
            self._settled[ref] = resource
        if ready:
            if resource:
                # Settled without a look, as before the waiting, says nothing of how it is.
                self._readiness.forget_wait(ref)
            self.walk.ready(ref)
        else:
            self.walk.bad(ref)
        self._wake.set()

    def give_up(self, ref: ObjectRef) -> None:
        """It will not become as wanted, whatever is heard of it from now on."""
        self.settle(ref, ready=False)
        self._settled.pop(ref, None)

    def reopen(self, ref: ObjectRef) -> None:
        """
        Wait again for an object that is not as it was when it was settled.

        What was not started yet waits with it. Its time has been running since it was first
        waited for: an object that comes and goes must not keep a pass for ever.
        """
        self._pending[ref] = self._settled.pop(ref)
        self._since[ref] = asyncio.get_running_loop().time()
        if self._timeout:
            bisect.insort(self._deadlines, (self._began[ref] + self._timeout, ref))
        self.walk.reopen(ref)
        self._wake.set()

    def _heard(self, seen: Seen) -> None:
        if seen.ref in self._pending:
            self.seen(seen)
        elif seen.ref in self._settled:
            self.changed(seen)

    def _listed(self, resource: Resource, namespace: str) -> None:
        # Gone before the first LIST: no event will ever tell.
        for ref in [ref for ref, its in self._pending.items() if its == resource]:
            if namespace in ("", ref.namespace) and self._readiness.known(resource, ref) is None:
                self.again(ref)

    def _deaf(self, resource: Resource, error: ClusterError) -> None:
        for ref in [ref for ref, its in self._pending.items() if its == resource]:
            self.unreadable(ref, error)
            self.give_up(ref)


def _first(refs: dict[ObjectRef, None]) -> ObjectRef:
    ref = next(iter(refs))
    del refs[ref]
    return ref
