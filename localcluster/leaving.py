"""
Leave a program's `with` blocks when a person or the system ends it, and let nothing cut that short.

The first of the signals raises KeyboardInterrupt, which the program catches at its top; those
that follow are answered in words until it has ended. Neighbours: __main__.py, background.py and
the demo call it; lifetime.py serves programs without a handler of their own.
"""

import signal
from collections.abc import Callable
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def leave_once(*, say: Callable[[str], None], first: str | None = None) -> None:
    """Have the signals leave the main thread's `with` blocks; `first` is said when they do."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        for number in ENDING:
            signal.signal(number, wait)
        if first is not None:
            say(first)
        raise KeyboardInterrupt

    def wait(_number: int, _frame: FrameType | None) -> None:
        say("a moment, it is being taken down")

    for number in ENDING:
        signal.signal(number, leave)
