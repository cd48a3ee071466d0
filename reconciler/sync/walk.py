"""
Which object may be acted on next.

Pure bookkeeping over a graph: an object is startable as soon as all that *it* needs is
ready; there is no barrier between layers. Used for applies (needs = dependencies) and for
deletes (needs = dependents, so the same graph reversed). Who acts and waits is apply.py.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence, Set
from enum import Enum

from reconciler.manifests.identity import ObjectRef


class _State(Enum):
    WAITING = 1
    STARTED = 2
    READY = 3
    BAD = 4


class Walk:
    """
    One pass over a set of objects.

    `order` decides among those that are startable; `needs` may name objects outside of
    `order`: these count as ready, unless `bad` says otherwise (reference to what is wrong).
    Objects that need each other in a circle are blocked by each other: a pass always ends.
    """

    def __init__(
        self,
        order: Sequence[ObjectRef],
        needs: Mapping[ObjectRef, Set[ObjectRef]],
        *,
        bad: Iterable[ObjectRef] = (),
    ) -> None:
        self._state = dict.fromkeys(order, _State.WAITING)
        self._position = {ref: n for n, ref in enumerate(self._state)}
        self._missing: dict[ObjectRef, int] = {}
        self._dependants: dict[ObjectRef, list[ObjectRef]] = {}
        self._startable: list[tuple[int, ObjectRef]] = []
        self._open = len(self._state)
        self.blocked: dict[ObjectRef, ObjectRef] = {}
        """Every object that cannot be started, with the one that it is blocked by."""
        broken = set(bad)
        self._needs: dict[ObjectRef, list[ObjectRef]] = {}
        self._causes = broken
        """What blocks others, and is itself blocked by nothing."""
        for ref in self._state:
            inside = [need for need in needs.get(ref, ()) if need in self._state or need in broken]
            self._needs[ref] = inside
            self._missing[ref] = len(inside)
            for need in inside:
                self._dependants.setdefault(need, []).append(ref)
            if not inside:
                heapq.heappush(self._startable, (self._position[ref], ref))
        for ref in sorted(broken):
            self._block_dependants(ref)
        self._block_circles(needs)

    def _block_circles(self, needs: Mapping[ObjectRef, Set[ObjectRef]]) -> None:
        missing = dict(self._missing)
        resolved = [ref for ref in self._position if not missing[ref]]
        for ref in resolved:  # grows while it is walked
            for dependant in self._dependants.get(ref, ()):
                missing[dependant] -= 1
                if not missing[dependant]:
                    resolved.append(dependant)
        circle = {ref for ref, state in self._state.items() if state is _State.WAITING}.difference(resolved)
        for ref in sorted(circle):
            self._state[ref] = _State.BAD
            self._open -= 1
            self.blocked[ref] = min(need for need in needs[ref] if need in circle)

    @property
    def finished(self) -> bool:
        """Every object is ready, bad or blocked."""
        return self._open == 0

    def next(self) -> ObjectRef | None:
        """Start the first startable object; None while nothing can be started."""
        while self._startable:
            _, ref = heapq.heappop(self._startable)
            if self._state[ref] is _State.WAITING and not self._missing[ref]:
                self._state[ref] = _State.STARTED
                return ref
        return None

    def has_dependants(self, ref: ObjectRef) -> bool:
        """Somebody inside the walk still waits for it."""
        return any(self._state[d] is _State.WAITING for d in self._dependants.get(ref, ()))

    def ready(self, ref: ObjectRef) -> None:
        """What needs `ref` may go on."""
        if self._state[ref] in (_State.READY, _State.BAD):
            return
        self._state[ref] = _State.READY
        self._open -= 1
        for dependant in self._dependants.get(ref, ()):
            self._missing[dependant] -= 1
            if not self._missing[dependant] and self._state[dependant] is _State.WAITING:
                heapq.heappush(self._startable, (self._position[dependant], dependant))

    def bad(self, ref: ObjectRef) -> None:
        """`ref` failed or will not become ready: all that needs it is blocked."""
        if self._state[ref] in (_State.READY, _State.BAD):
            return
        self._state[ref] = _State.BAD
        self._open -= 1
        self._causes.add(ref)
        self._block_dependants(ref)

    def reopen(self, ref: ObjectRef) -> None:
        """
        `ref` is not as it was said to be: what needs it, and was not started yet, waits for it again.

        Only for what is ready or bad by itself, not for what is blocked.
        """
        before, self._state[ref] = self._state[ref], _State.STARTED
        self._open += 1
        if before is _State.READY:
            for dependant in self._dependants.get(ref, ()):
                self._missing[dependant] += 1
        else:
            self._causes.discard(ref)
            self._unblock_dependants(ref)

    def _unblock_dependants(self, ref: ObjectRef) -> None:
        freed = [dependant for dependant, cause in self.blocked.items() if cause == ref]
        for dependant in freed:
            del self.blocked[dependant]
            self._state[dependant] = _State.WAITING
            self._open += 1
        for dependant in freed:
            cause = next(filter(None, map(self._cause_of, self._needs[dependant])), None)
            if cause is not None and self._state[dependant] is _State.WAITING:
                self._block(dependant, cause)
                self._block_dependants(cause, of=dependant)

    def _cause_of(self, need: ObjectRef) -> ObjectRef | None:
        """What blocks those that need it: itself, or what it is still blocked by."""
        return need if need in self._causes else self.blocked.get(need)

    def _block(self, ref: ObjectRef, cause: ObjectRef) -> None:
        self._state[ref] = _State.BAD
        self._open -= 1
        self.blocked[ref] = cause

    def _block_dependants(self, cause: ObjectRef, *, of: ObjectRef | None = None) -> None:
        """Block what needs `cause`, or `of`, which is blocked by it."""
        stack = [of or cause]
        while stack:
            for dependant in self._dependants.get(stack.pop(), ()):
                if self._state[dependant] is _State.WAITING:
                    self._block(dependant, cause)
                    stack.append(dependant)
