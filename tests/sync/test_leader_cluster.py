"""How a holder lets its Lease go, on a real API server: at once, unless a write of its may be at work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.errors import NotFound, NotLeader, Unreachable
from reconciler.cluster.permit import Permit
from reconciler.cluster.resource import CONFIG_MAPS
from reconciler.sync.leader import Leader
from reconciler.sync.lease import Role
from tests.cluster.kinds import last_words
from tests.faults.gateway import Gateway, Moment
from tests.fix_sync import Installation, lease
from tests.objects import config_map

LIMIT = 10.0  # s
LEFT = "the lease is left to run out: a write got no answer and may still be at work"


@dataclass(frozen=True)
class Holder:
    """Holds the Lease of an installation, and writes by way of the gateway."""

    leader: Leader
    cluster: Cluster
    gateway: Gateway
    namespace: str

    async def write(self, namespace: str = "") -> None:
        where = namespace or self.namespace
        await self.cluster.apply(CONFIG_MAPS, where, "a", config_map("a"), field_manager="reconciler:test")

    def lose(self, times: int) -> None:
        """So many of the next applies lose their connection, and the server never hears of them."""
        again = partial(self.lose, times - 1) if times > 1 else self.gateway.disarm
        self.gateway.arm(1, Moment.BEFORE, again, method="PATCH")


@asynccontextmanager
async def holding(installation: Installation, kubeconfig: Path, gateway: Gateway) -> AsyncIterator[Holder]:
    permit = Permit()
    async with connect(kubeconfig=kubeconfig, permit=permit) as cluster, asyncio.timeout(LIMIT):
        leader = Leader(
            cluster,
            namespace=installation.namespace,
            instance=installation.namespace,
            role=Role.SYNC,
            permit=permit,
        )
        await leader.gain()
        yield Holder(leader, cluster, gateway, installation.namespace)
        await last_words(cluster, installation.namespace)


async def answered(holder: Holder) -> None:
    await holder.write()


async def refused(holder: Holder) -> None:
    with pytest.raises(NotFound):
        await holder.write("none-such")


async def answered_the_second_time(holder: Holder) -> None:
    holder.lose(1)
    await holder.write()


async def lost(holder: Holder) -> None:
    holder.lose(2)
    with pytest.raises(Unreachable):
        await holder.write()


async def given_up(holder: Holder) -> None:
    holder.gateway.stall = lambda method, _path: method == "PATCH"
    writing = asyncio.create_task(holder.write())
    while not any(path.endswith("/configmaps/a") for path in holder.gateway.written):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.wait([writing])


async def nothing(_holder: Holder) -> None:
    pass


@pytest.mark.parametrize(
    ("write", "released"),
    [
        pytest.param(nothing, True, id="nothing was written"),
        pytest.param(answered, True, id="the write was answered"),
        pytest.param(refused, True, id="the write was refused"),
        pytest.param(answered_the_second_time, False, id="only the second try was answered"),
        pytest.param(lost, False, id="the connection was lost, twice"),
        pytest.param(given_up, False, id="nobody waits for the answer any more"),
    ],
)
async def test_lease_is_let_go_or_left_to_run_out(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    caplog: pytest.LogCaptureFixture,
    write: Callable[[Holder], Coroutine[Any, Any, None]],
    released: bool,
) -> None:
    async with holding(installation, gateway_kubeconfig, gateway) as holder:
        await write(holder)
        await holder.leader.release()
        spec = lease(installation)["spec"]
        assert (spec.get("holderIdentity") or "") == ("" if released else holder.leader.me)
        assert (LEFT in caplog.text) is not released
        assert not holder.leader.leads
        with pytest.raises(NotLeader):
            await holder.write()
