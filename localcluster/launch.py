"""
Become the program named on the command line, and die with the parent.

Runs as a script (`python launch.py PARENT_PID PROGRAM ARGUMENT...`) between the harness and
each role: asking the kernel for the death signal here, instead of between fork and exec in
the harness, is safe when the harness has threads. Imports nothing of ours.

The kernel sends the signal when the *thread* that started the role ends, so start a cluster
from a thread that lives as long as the cluster should.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, command: list[str]) -> None:
    """Replace this process by `command`, which the kernel kills when `parent` is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - becoming another program is the purpose


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
