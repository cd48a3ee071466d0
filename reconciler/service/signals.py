"""
SIGTERM, SIGINT and a time limit as one event. Linux only, like the rest of the service.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


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
