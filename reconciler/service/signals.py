"""
SIGTERM, SIGINT and a time limit as one event. Linux only, like the rest of the service.
"""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from reconciler.errors import ReconcilerError

T = TypeVar("T")


class Interrupted(ReconcilerError):
    """SIGINT or SIGTERM came before the end."""


@contextmanager
def stopping(stop: asyncio.Event, *, timeout: float | None = None) -> Iterator[None]:
    """Set `stop` at the first signal, or after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(timeout, stop.set) if timeout else None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        if timer:
            timer.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Carry out work that writes nothing, to its end or to the first signal; raises Interrupted."""
    stop = asyncio.Event()
    with stopping(stop):
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Interrupted(what="was interrupted; nothing was written", where="", mend="")
        finally:
            for one in (task, stopped):
                one.cancel()
            await asyncio.wait([task, stopped])
