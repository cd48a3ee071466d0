"""
Until when this process may write: the one number that fences a replica whose lease runs out.

Asked by transport.py when the head of a write is about to leave, also when a request had to
wait its turn, for a connection, or is sent a second time. Who holds the lease says until
when (sync/leader.py); a process that takes part in no election may always write.
"""

import asyncio
import math

from reconciler.cluster import errors

AT_WORK = 35.0
"""s for which the server may still be at work on a request whose client is gone; it gives up after 34 s."""


class Permit:
    """Shared by all that write for one process; times are the loop's."""

    def __init__(self, *, until: float = math.inf) -> None:
        self._until = until
        self._unanswered = -math.inf

    def allow(self, *, until: float) -> None:
        """Writes may leave before `until`."""
        self._until = until

    def revoke(self) -> None:
        """No write may leave any more."""
        self._until = -math.inf

    def unanswered(self) -> None:
        """A write has left, and nobody will hear what became of it."""
        self._unanswered = asyncio.get_running_loop().time()

    def is_settled(self) -> bool:
        """Whether no write of ours can still be on its way to the server, or at work there."""
        return asyncio.get_running_loop().time() - self._unanswered > AT_WORK

    def check(self) -> None:
        """Raise NotLeader where no write may leave now."""
        if asyncio.get_running_loop().time() >= self._until:
            raise errors.NotLeader(
                what="the lease of this process is not held for long enough to write",
                where="leader election",
                mend="nothing was sent; whoever holds the lease goes on",
            )
