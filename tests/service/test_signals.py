"""Work that writes nothing ends at the first signal, and all that it had begun ends with it."""

import asyncio
import os
import signal

import pytest

from reconciler.service.signals import Interrupted, interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it(number: int) -> None:
    ended = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(Interrupted, match="nothing was written"):
        await interruptible(work())
    assert ended == [True]


async def test_its_result_and_its_errors_come_through() -> None:
    async def give() -> int:
        return 1

    async def fail() -> None:
        raise ValueError("no")

    assert await interruptible(give()) == 1
    with pytest.raises(ValueError, match="no"):
        await interruptible(fail())
