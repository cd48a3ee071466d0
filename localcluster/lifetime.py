"""
End clusters together with the process that holds them.

A `with` block ends its cluster itself; this module is for the ways out that skip it: SIGTERM
(Python's default dies on the spot) and an interpreter that exits with a block still open, as a
generator fixture can. Ctrl-C needs nothing, it is an exception.
"""

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_open: list[Callable[[], None]] = []


@contextmanager
def ended_with_process(end: Callable[[], None]) -> Iterator[None]:
    """
    Call `end` if the process ends inside the block by SIGTERM or by exiting.

    `end` must bear being called twice. A program that has its own SIGTERM handler keeps it: it
    has to leave the block itself.
    """
    ours = (
        not _open
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, _on_sigterm)
    _open.append(end)
    try:
        yield
    finally:
        _open.remove(end)
        if ours and signal.getsignal(signal.SIGTERM) is _on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@atexit.register
def _end_all() -> None:
    for end in reversed(_open):
        end()


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    _end_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)  # so that the parent sees by which signal we ended
