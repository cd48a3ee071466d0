"""
The command behind `make demo`.

    python -m demo                  a local cluster, the service on examples/, until Ctrl-C
    python -m demo --context NAME   the same in front of a cluster of yours; nothing there is deleted
    python -m demo --once           one pass, checked against the cluster; exit code 0 or 1

Results go to standard output, what the demo does meanwhile to standard error.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo import live, once, repositories, service
from demo.target import stays, target
from localcluster.leaving import leave_once
from reconciler.errors import ReconcilerError

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C has ended


def main() -> int:
    """Run the command in sys.argv; returns the exit code."""
    arguments = _parser().parse_args()
    leave_once(say=_say, first="\nending the demo")
    try:
        _show(arguments.context, only_once=arguments.once)
    except ReconcilerError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED if arguments.once else 0
    return 0


def _show(context: str | None, *, only_once: bool) -> None:
    started = time.monotonic()
    with _directory() as root:
        repos = repositories.make(root)
        with target(context, root=root, say=_say) as cluster:
            try:
                if only_once:
                    count = once.run(cluster, repos, root=root)
                    print(
                        f"checked: {count} objects in the cluster are what examples/ declare"
                        f" ({time.monotonic() - started:.1f} s in all)",
                        flush=True,
                    )
                else:
                    with service.running(cluster, repos, root=root) as child:
                        asyncio.run(live.run(cluster, child, repos))
            finally:
                for line in stays(context) if context is not None else ():
                    _say(line)


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory for all that the demo makes; gone with it."""
    root = Path(tempfile.mkdtemp(prefix="reconciler-demo-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)  # a dying role of the cluster may still write


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="The service on examples/, live.")
    parser.add_argument(
        "--context", metavar="NAME", help="a kubeconfig context, instead of a cluster of our own"
    )
    parser.add_argument(
        "--once", action="store_true", help="one pass, checked against the cluster, then exit"
    )
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
