import asyncio

import pytest

from reconciler.cluster.throttle import Throttle, Window, answered, broken, refused, started, wait


@pytest.mark.parametrize(
    ("window", "now", "want"),
    [
        pytest.param(Window(8, 0), 0.0, 0.0, id="all places free"),
        pytest.param(Window(8, 7), 0.0, 0.0, id="one place free"),
        pytest.param(Window(8, 8), 0.0, None, id="full"),
        pytest.param(Window(4.9, 4), 0.0, None, id="a part of a place is none"),
        pytest.param(Window(8, 0, closed_until=5.0), 3.0, 2.0, id="the server asked to wait"),
        pytest.param(Window(8, 0, closed_until=5.0), 5.0, 0.0, id="the wait is over"),
        pytest.param(Window(1, 1, closed_until=5.0), 3.0, None, id="full and closed"),
    ],
)
def test_when_the_next_request_may_start(window: Window, now: float, want: float | None) -> None:
    assert wait(window, now=now) == want


@pytest.mark.parametrize(
    ("limit", "began", "retry_after", "want"),
    [
        pytest.param(8.0, 1.0, 2.0, (4.0, 12.0), id="halved and closed for as long as asked"),
        pytest.param(1.0, 1.0, 2.0, (1.0, 12.0), id="never below one"),
        pytest.param(8.0, 1.0, None, (4.0, 11.0), id="closed for a second when the server does not say"),
        pytest.param(8.0, 1.0, 3600.0, (4.0, 40.0), id="nobody stops us for an hour"),
        pytest.param(8.0, 0.5, 2.0, (8.0, 12.0), id="sent before the last cut: no second cut"),
    ],
)
def test_refusal(limit: float, began: float, retry_after: float | None, want: tuple[float, float]) -> None:
    got = refused(Window(limit, 3, cut_at=0.7), began=began, now=10.0, retry_after=retry_after)
    assert (got.limit, got.closed_until) == want
    assert got.in_flight == 2


def test_a_burst_of_refusals_halves_once() -> None:
    window = Window(8, 8)
    for _ in range(8):
        window = refused(window, began=1.0, now=2.0, retry_after=1.0)
    assert (window.limit, window.in_flight) == (4.0, 0)


def test_grows_by_about_one_place_in_a_window_of_answers_and_not_beyond_the_most() -> None:
    window = Window(4, 0)
    for _ in range(5):
        window = answered(started(window))
    assert 5.0 <= window.limit < 5.3
    for _ in range(100):
        window = answered(started(window))
    assert window.limit == 8.0


def test_a_broken_connection_changes_no_limit() -> None:
    assert broken(started(Window(3.5))) == Window(3.5)


async def test_no_more_than_the_limit_are_in_flight_and_order_is_kept() -> None:
    throttle, running, most, order = Throttle(most=3), 0, 0, []

    async def work(number: int) -> None:
        nonlocal running, most
        async with throttle.slot():
            order.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(work(number))
    assert most == 3
    assert order == list(range(20))
    assert throttle.window.in_flight == 0


async def test_cancelled_waiters_and_holders_give_their_places_back() -> None:
    throttle = Throttle(most=1)
    holding, entered = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with throttle.slot():
            holding.set()
            await asyncio.Event().wait()

    async def enter() -> None:
        async with throttle.slot():
            entered.set()

    holder = asyncio.create_task(hold())
    await holding.wait()
    waiter, last = asyncio.create_task(enter()), asyncio.create_task(enter())
    await asyncio.sleep(0)
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(waiter, holder, return_exceptions=True)
    await asyncio.wait_for(last, 5)
    assert entered.is_set()
    assert throttle.window.in_flight == 0


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_it_on() -> None:
    throttle = Throttle(most=1)
    entered = asyncio.Event()

    async def enter(event: asyncio.Event) -> None:
        async with throttle.slot():
            event.set()

    async with throttle.slot():
        waiter, last = asyncio.create_task(enter(asyncio.Event())), asyncio.create_task(enter(entered))
        await asyncio.sleep(0)
    waiter.cancel()  # its turn was given when the block above ended, and it has not run since
    await asyncio.wait_for(last, 5)
    assert entered.is_set()
    assert throttle.window.in_flight == 0


async def test_a_waiter_cancelled_after_its_holder_ends_as_cancelled() -> None:
    throttle = Throttle(most=1)
    holding = asyncio.Event()

    async def enter() -> None:
        async with throttle.slot():
            holding.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(enter())
    await holding.wait()
    waiters = [asyncio.create_task(enter()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in (holder, *waiters):  # as a service ends that is told to
        task.cancel()
    ended = await asyncio.gather(holder, *waiters, return_exceptions=True)
    assert [type(its) for its in ended] == [asyncio.CancelledError] * 4
    assert throttle.window.in_flight == 0


async def test_a_refusal_holds_the_next_back_until_its_time() -> None:
    throttle, loop = Throttle(), asyncio.get_running_loop()
    began = loop.time()
    async with throttle.slot() as slot:
        slot.refused(0.05)
    async with throttle.slot():
        assert loop.time() >= began + 0.05
    assert throttle.window.limit == pytest.approx(4.25)
