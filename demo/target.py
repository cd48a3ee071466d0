"""
The cluster that the demo runs in front of: one of its own, or a context of the visitor's.

Neighbours: localcluster makes the one, the kubeconfig names the other.
"""

import asyncio
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import RoleError, running
from localcluster.build import Say
from reconciler.cluster.client import connect


@dataclass(frozen=True, slots=True)
class Target:
    """How commands reach it; `ended` says why the demo's own cluster is no more, None while it runs."""

    kubeconfig: Path | None
    context: str | None
    ended: Callable[[], RoleError | None]

    @property
    def options(self) -> tuple[str, ...]:
        """Options for our own commands."""
        if self.kubeconfig is not None:
            return ("--kubeconfig", str(self.kubeconfig))
        return ("--context", self.context or "")


@contextmanager
def target(context: str | None, *, root: Path, say: Say) -> Iterator[Target]:
    """
    A running cluster below `root`, ended afterwards; or `context`, of which nothing is ended.

    Raises ReconcilerError when the one does not start, or the other does not answer.
    """
    if context is not None:
        asyncio.run(_reach(context))
        yield Target(None, context, ended=lambda: None)
        return
    say("starting a cluster on this machine (four seconds, once its binaries are built)")
    with running(data_dir=root / "cluster", say=say) as cluster:
        kubeconfig = root / "kubeconfig"
        kubeconfig.symlink_to(cluster.kubeconfig)  # a path that a person can type
        yield Target(kubeconfig, None, ended=cluster.ended)


async def _reach(context: str) -> None:
    """Raises a ReconcilerError now, rather than after something was written there."""
    async with connect(context=context) as cluster:
        await cluster.discover()


def stays(context: str) -> tuple[str, ...]:
    """What the demo leaves in a visitor's cluster, and how it goes; for a person to decide."""
    kubectl = f"kubectl --context {shlex.quote(context)}"
    return (
        f"Nothing was deleted in {context}. It still has what examples/ declare (label",
        "reconciler.dev/instance=demo) and the records in namespace reconciler-system. To remove all of it:",
        f"  {kubectl} delete namespace shop platform reconciler-system",
        f"  {kubectl} delete crd,clusterrole,clusterrolebinding -l reconciler.dev/instance=demo",
    )
