"""The API server's time as its answers tell it."""

from datetime import UTC, datetime, timedelta

import pytest

from localcluster import ControlPlane
from reconciler.cluster.client import connect
from reconciler.cluster.clock import ServerClock

SLACK = timedelta(seconds=5)


async def test_date_of_an_answer_is_the_time() -> None:
    clock = ServerClock()
    clock.heard("Wed, 01 Jan 2020 12:00:00 GMT")
    past = clock.now() - datetime(2020, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert timedelta() <= past < SLACK


@pytest.mark.parametrize("date", ["", "yesterday", "2020-01-01"])
async def test_what_is_no_date_changes_nothing(date: str) -> None:
    clock = ServerClock()
    clock.heard(date)
    assert abs(clock.now() - datetime.now(UTC)) < SLACK
    clock.heard("Wed, 01 Jan 2020 12:00:00 -0000")
    clock.heard(date)
    assert clock.now().year == 2020


async def test_every_answer_of_the_api_server_tells_it(control_plane: ControlPlane) -> None:
    async with connect(kubeconfig=control_plane.kubeconfig) as cluster:
        await cluster.discover()
        assert abs(cluster.now() - datetime.now(UTC)) < SLACK
