"""
What the service says of its configuration: each change at once, and a bad one again and again.

A configuration that went bad is noticed by nobody otherwise: all projects go on as before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from reconciler.config.state import Accepted, State
from reconciler.tasks import task_group

log = logging.getLogger(__name__)

REPEAT: Final = 600.0
"""s between two times that the same problems are told; an hour's log shows them, and is not full of them."""
SHOWN: Final = 20
"""Problems that are told at a time; a file may have 10,000."""


def first_of(problems: Sequence[str]) -> tuple[str, ...]:
    """As many as a person reads, and how many more there are."""
    more = len(problems) - SHOWN
    last = (f"and {more} problems more; `reconciler validate` shows all",) if more > 0 else ()
    return (*problems[:SHOWN], *last)


class ConfigurationLog:
    """Writes to the log what `tell` is told."""

    def __init__(self) -> None:
        self._problems: tuple[str, ...] = ()

    def tell(self, state: State) -> None:
        """This is what became of the newest reading."""
        if not isinstance(state, Accepted):
            self._problems = first_of(state.problems)
            self._complain()
            return
        self._problems = ()
        names = ", ".join(project.id for project in state.configuration.projects) or "no project"
        log.info("configuration %s: %s", state.revision, names)
        if state.configuration.ignored:
            ignored = ", ".join(state.configuration.ignored)
            log.info("configuration: sections without effect here: %s", ignored)

    @asynccontextmanager
    async def repeating(self) -> AsyncIterator[None]:
        """Inside, problems that last are told anew every `REPEAT` seconds."""
        async with task_group() as tasks:
            reminder = tasks.create_task(self._repeat())
            try:
                yield
            finally:
                reminder.cancel()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT)
            self._complain()

    def _complain(self) -> None:
        for problem in self._problems:
            log.error("configuration: %s", problem)
