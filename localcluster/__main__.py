"""
The commands behind `make cluster` and `make cluster-stop`.

    python -m localcluster up            start a cluster, stay until Ctrl-C
    python -m localcluster up --detach   start one that goes on in the background
    python -m localcluster down          end that one
    python -m localcluster build         only build the binaries
    python -m localcluster ready-to-build
                                         exit 1 if building needs a Go that is not there

Progress goes to standard error; `up` prints one line to standard output, the kubeconfig's path,
after everything else, so that a script can take the last line.
"""

import argparse
import os
import sys
import time

from localcluster import background, build, versions
from localcluster.cluster import running
from localcluster.errors import LocalClusterError
from localcluster.leaving import leave_once


def main() -> int:
    """Run the command in sys.argv; returns the exit code."""
    arguments = _parser().parse_args()
    leave_once(say=_say)  # without a word at first: the kubeconfig's path stays the last line
    try:
        match arguments.command:
            case "ready-to-build":
                return 0 if build.is_possible(os.environ) else 1
            case "build":
                build.ensure(say=_say)
            case "down":
                background.down(arguments.name, say=_say)
            case "up" if arguments.detach:
                print(background.up(arguments.name, say=_say), flush=True)
            case "up":
                _stay()
    except LocalClusterError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0 if arguments.command == "up" and not arguments.detach else 130
    return 0


def _stay() -> None:
    started = time.monotonic()
    with running(say=_say) as cluster:
        _say(
            f"Kubernetes {versions.read().kubernetes} is ready at {cluster.url}"
            f" after {time.monotonic() - started:.1f} s; Ctrl-C ends it. KUBECONFIG:"
        )
        print(cluster.kubeconfig, flush=True)
        background.watch(cluster)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcluster", description="A real control plane here.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a cluster and print its kubeconfig's path")
    up.add_argument("--detach", action="store_true", help="return when it is ready; `down` ends it")
    down = commands.add_parser("down", help="end the cluster that was detached")
    for command in (up, down):
        command.add_argument(
            "--name", default="default", help="which detached cluster (default: %(default)s)"
        )
    commands.add_parser("build", help="build the binaries, if they are not cached")
    commands.add_parser("ready-to-build", help="exit 0 if they are cached or Go is there, else 1")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
