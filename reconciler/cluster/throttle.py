"""
How many requests may be in flight: fewer when the server asks for it, more again later.

The upper half is pure (`Window` and its transitions, `now` is passed in); `Throttle`
below is the thin asyncio edge that makes callers wait their turn in order. Additive
increase, multiplicative decrease, as TCP does: a refusal halves the window, a whole
window of answers adds one place back. Neighbour: client.py, one throttle for writes and
one for reads, so that a long list never holds up an apply.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

IN_FLIGHT = 8  # measured: 4 is slower, 16 gains nothing and costs the server more
RETRY_AFTER_DEFAULT = 1.0  # s, when the server refuses without saying for how long; what it mostly says
RETRY_AFTER_MOST = 30.0  # s; nobody's word stops us for longer without another try


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` places, `in_flight` of them taken; nothing starts before `closed_until`."""

    limit: float = float(IN_FLIGHT)
    in_flight: int = 0
    closed_until: float = 0.0
    cut_at: float = float("-inf")  # when the limit was last halved


def wait(window: Window, *, now: float) -> float | None:
    """Return seconds until the next request may start (0: at once), None: only when one has ended."""
    if window.in_flight >= int(window.limit):
        return None
    return max(0.0, window.closed_until - now)


def started(window: Window) -> Window:
    """Take a place."""
    return replace(window, in_flight=window.in_flight + 1)


def answered(window: Window, *, most: int = IN_FLIGHT) -> Window:
    """Free a place after any answer that is not a refusal; `limit` such answers add one place."""
    limit = min(float(most), window.limit + 1.0 / window.limit)
    return replace(window, in_flight=window.in_flight - 1, limit=limit)


def broken(window: Window) -> Window:
    """Free a place after no answer at all, which says nothing about the server's load."""
    return replace(window, in_flight=window.in_flight - 1)


def refused(window: Window, *, began: float, now: float, retry_after: float | None) -> Window:
    """
    Free a place after 429, or 503 with Retry-After.

    Requests that had `began` before the last cut were sent at the old rate: their refusals
    are the same news and do not halve again.
    """
    pause = RETRY_AFTER_DEFAULT if retry_after is None else min(max(retry_after, 0.0), RETRY_AFTER_MOST)
    closed_until = max(window.closed_until, now + pause)
    window = replace(window, in_flight=window.in_flight - 1, closed_until=closed_until)
    if began < window.cut_at:
        return window
    return replace(window, limit=max(1.0, window.limit / 2), cut_at=now)


class Slot:
    """One request's place; it counts as answered unless it is marked otherwise."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.refused_for: float | None = None
        self.was_refused = False

    def refused(self, retry_after: float | None) -> None:
        """Mark that the server refused for load, with its Retry-After in seconds."""
        self.was_refused = True
        self.refused_for = retry_after


class Throttle:
    """Lets callers through one after the other as the window allows. Waiting is the caller's to bound."""

    def __init__(self, *, most: int = IN_FLIGHT) -> None:
        self._most = most
        self._window = Window(limit=float(most))
        self._queue: deque[asyncio.Future[None]] = deque()  # one entry a waiting task, removed with it
        self._timer: asyncio.TimerHandle | None = None

    @property
    def window(self) -> Window:
        """The state as of now, for metrics and tests."""
        return self._window

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a place and hold it for the block."""
        await self._enter()
        loop = asyncio.get_running_loop()
        slot = Slot(loop.time())
        try:
            yield slot
        except BaseException:
            self._window = broken(self._window)
            raise
        else:
            if slot.was_refused:
                self._window = refused(
                    self._window, began=slot.began, now=loop.time(), retry_after=slot.refused_for
                )
            else:
                self._window = answered(self._window, most=self._most)
        finally:
            self._wake()

    async def _enter(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._queue and wait(self._window, now=loop.time()) == 0.0:
            self._window = started(self._window)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._queue.append(turn)
        self._wake()  # sets the timer when only time stands between
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._window = broken(self._window)  # our turn had come: pass it on
            elif turn in self._queue:  # not if its predecessor, cancelled with us, has passed us over
                self._queue.remove(turn)
            self._wake()
            raise

    def _wake(self) -> None:
        """Give places to those who wait, in order; the place is taken here, not when they run."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            pause = wait(self._window, now=loop.time())
            if pause is None:
                return
            if pause > 0:
                self._timer = loop.call_later(pause, self._wake)
                return
            turn = self._queue.popleft()
            if not turn.done():
                self._window = started(self._window)
                turn.set_result(None)
