"""A program in a terminal of its own, as a person has it: what it draws, what is typed, Ctrl-C."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS, COLUMNS = 50, 220  # so wide that no line is folded
CTRL_C = b"\x03"
END = 30.0  # s from Ctrl-C to the end; two in fact, but tests share the machine

# Between fork and exec nothing of ours may run while there are threads: the child asks for it itself.
BECOME = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """`text` is all that it has drawn so far, with the codes that move the cursor."""

    def __init__(self, program: Sequence[str], environment: Mapping[str, str]) -> None:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BECOME, *program],
            cwd=ROOT,
            env={**environment, "TERM": "xterm-256color"},
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
        os.close(screen)
        self._drawn = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody has it open any more
            while piece := os.read(self._keyboard, 65536):
                self._drawn += piece

    @property
    def text(self) -> str:
        return bytes(self._drawn).decode(errors="replace").replace("\r\n", "\n")

    def until(self, holds: Callable[[str], bool], *, seconds: float) -> None:
        """Wait until what it has drawn is as wanted."""
        deadline = time.monotonic() + seconds
        while not holds(self.text):
            assert self._child.poll() is None, f"it has ended: {self.text}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {self.text}"
            time.sleep(0.05)

    def press(self, key: bytes) -> None:
        os.write(self._keyboard, key)

    def wait(self) -> int:
        """The exit code; fails when it does not end in time."""
        code = self._child.wait(END)
        self._reader.join(END)
        return code

    def close(self) -> None:
        if self._child.poll() is None:
            self.press(CTRL_C)
            self._child.wait(END)
        self._reader.join(END)
        os.close(self._keyboard)


@contextlib.contextmanager
def terminal(*program: str, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """A program in the root of the project, ended by Ctrl-C at the end of the block if it still runs."""
    made = Terminal(program, environment)
    try:
        yield made
    finally:
        made.close()
