"""
How a command gets its turn to write: it takes the lease, renews it while it works, lets it go.

Where a service holds it, that is asked to do the work instead (`sync`), or to let the command have
a turn (whatever no service does). Where another command holds it, its end is waited for. Says what
it waits for. What writes nothing needs no turn.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from reconciler.cluster.client import Cluster
from reconciler.cluster.permit import Permit
from reconciler.errors import ReconcilerError
from reconciler.service.options import Options, records_namespace
from reconciler.sync import marks
from reconciler.sync.errors import LeaseUnusable
from reconciler.sync.leader import Gained, Leader
from reconciler.sync.lease import Claim, Role
from reconciler.sync.records import Records
from reconciler.tasks import cancel

Say = Callable[[str], None]
"""Told in one line what is waited for."""
Hear = Callable[[Mapping[str, str], str], None]
"""Told of the annotations of the Lease, and of when it was renewed, by its holder's clock."""


def nothing_said(_line: str) -> None:
    """Nobody listens."""


def nothing_heard(_notes: Mapping[str, str], _renewed: str) -> None:
    """Nobody listens."""


def leader_of(
    cluster: Cluster,
    permit: Permit,
    options: Options,
    role: Role,
    *,
    waiting: Callable[[Claim], None],
    heard: Hear = nothing_heard,
) -> Leader:
    """Take part in the election: from now on nothing is written but by the holder of the Lease."""
    return Leader(
        cluster,
        namespace=records_namespace(options),
        instance=options.instance_name,
        role=role,
        permit=permit,
        waiting=waiting,
        heard=heard,
    )


class Turn:
    """`ours`: this process may write. `served`: a service may, and can be asked."""

    def __init__(self, leader: Leader, records: Records, stop: asyncio.Event) -> None:
        self.leader = leader
        self.ours = False
        self.served = False
        self._records = records
        self._stop = stop
        self._holding: asyncio.Task[None] | None = None

    async def take(self, *, insist: bool) -> None:
        """
        Until the lease is ours, a service holds it, or `stop` is set. Raises ReconcilerError.

        With `insist` a service is asked to let us have a turn, and waited for.
        """
        gained = await self._gain(lambda claim: claim.role == Role.SERVICE)
        self.served = gained is None and not self._stop.is_set()
        if self.served and insist:
            await self.leader.ask_holder(marks.TURN_FOR, lambda _notes: self.leader.me)
            gained = await self._gain(lambda _claim: False)
        await self._begin(gained)

    async def while_served(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` until it is done, `stop` is set, or the service is gone and the lease ours."""
        working = asyncio.create_task(work)
        gaining = asyncio.create_task(self.leader.gain())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([working, gaining, stopped], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            elif gaining.done():
                await self._begin(gaining.result())
        finally:
            await cancel(working, gaining, stopped)

    async def _gain(self, unless: Callable[[Claim], bool]) -> Gained | None:
        gaining = asyncio.create_task(self.leader.gain(unless=unless))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([gaining, stopped], return_when=asyncio.FIRST_COMPLETED)
            return gaining.result() if gaining.done() else None
        finally:
            await cancel(gaining, stopped)

    async def _begin(self, gained: Gained | None) -> None:
        if gained is None:
            return
        self.served, self.ours = False, True
        self._holding = asyncio.create_task(self.leader.hold())
        self._records.forget_all()
        if not gained.clean:
            await self._records.raise_epochs()

    async def end(self) -> None:
        """Let the lease go."""
        await cancel(self._holding)
        await self.leader.release()


@asynccontextmanager
async def turn(
    cluster: Cluster,
    permit: Permit,
    options: Options,
    records: Records,
    *,
    stop: asyncio.Event,
    insist: bool,
    say: Say = nothing_said,
    heard: Hear = nothing_heard,
) -> AsyncIterator[Turn]:
    """Take a turn for the block (see `Turn.take`); the lease is let go at its end."""

    def waiting(claim: Claim) -> None:
        say(_waiting(claim, insist=insist))

    leader = leader_of(cluster, permit, options, Role.SYNC, waiting=waiting, heard=heard)
    its = Turn(leader, records, stop)
    try:
        await its.take(insist=insist)
        yield its
    finally:
        await its.end()


def no_turn(where: str) -> ReconcilerError:
    """For a command that was stopped while it waited."""
    return LeaseUnusable(
        what="stopped while another process held the lease; nothing was written",
        where=where,
        mend="run it again, and give it more time",
    )


def _waiting(claim: Claim, *, insist: bool) -> str:
    if claim.role == Role.SERVICE:
        for_what = "asking the running service for a turn" if insist else "asking the running service"
        return f"{for_what} ({claim.holder}), which holds the lease"
    who = f"another command ({claim.holder})" if claim.role == Role.SYNC else claim.holder
    return f"waiting: {who} holds the lease, until it ends or has been silent for {claim.duration:g} s"
