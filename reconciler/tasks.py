"""
A task group whose one expected failure comes out as itself.

`asyncio.TaskGroup` wraps whatever ends it in an exception group, also an error that its own
body raises. Our errors have one shape and one line; a bug stays a group with its traceback.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from reconciler.errors import ReconcilerError


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """As `asyncio.TaskGroup`; if nothing but ReconcilerErrors ended it, the first of them is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        expected, others = group.split(ReconcilerError)
        if others is not None or expected is None:
            raise
        raise first_of(expected) from None


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    """End tasks, and return when they have; what they raise stays theirs."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception in nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
