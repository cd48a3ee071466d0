"""
What an API server's end and return look like to the client; this cluster is killed, so it is our own.

Roles are started from the main thread although that holds the loop up for a second: the
kernel ends them with the thread that started them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from localcluster import ControlPlane, running
from reconciler.cluster import errors
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.follow import Listed
from reconciler.cluster.resource import CONFIG_MAPS
from tests.cluster.kinds import config_map

ME = "reconciler:test"
API_SERVER = "kube-apiserver"


@pytest.fixture(scope="module")
def mortal() -> Iterator[ControlPlane]:
    with running() as plane:
        yield plane


@pytest.fixture
async def cluster(mortal: ControlPlane) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=mortal.kubeconfig) as cluster:
        yield cluster


async def test_a_killed_server_is_unreachable_and_a_refused_write_was_not_made(
    mortal: ControlPlane, cluster: Cluster
) -> None:
    await cluster.apply(CONFIG_MAPS, "default", "a", config_map("a"), field_manager=ME)
    mortal.kill(API_SERVER)
    try:
        await probe(cluster)  # it may still use the dead connection
        with pytest.raises(errors.Unreachable) as caught:
            await cluster.apply(CONFIG_MAPS, "default", "a", config_map("a"), field_manager=ME)
        assert "cannot connect: Connection refused" in str(caught.value)
        assert mortal.url in str(caught.value)
        assert not caught.value.maybe_written
    finally:
        mortal.restart(API_SERVER)
    await cluster.apply(CONFIG_MAPS, "default", "a", config_map("a"), field_manager=ME)


async def probe(cluster: Cluster) -> None:
    with contextlib.suppress(errors.Unreachable):
        await cluster.get(CONFIG_MAPS, "default", "a")


async def test_writes_in_flight_when_the_server_is_killed_may_have_been_made(
    mortal: ControlPlane, cluster: Cluster
) -> None:
    failed: list[errors.Unreachable] = []
    under_way = asyncio.Event()

    async def write(number: int) -> None:
        for _ in range(1000):
            name = f"flight-{number}"
            try:
                await cluster.apply(CONFIG_MAPS, "default", name, config_map(name), field_manager=ME)
            except errors.Unreachable as exc:
                failed.append(exc)
                return
            under_way.set()

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(write(number))
        await under_way.wait()
        mortal.kill(API_SERVER)
    mortal.restart(API_SERVER)
    assert len(failed) == 8
    assert any(exc.maybe_written for exc in failed)


async def test_an_old_position_is_expired_after_a_restart(mortal: ControlPlane, cluster: Cluster) -> None:
    old = await cluster.list(CONFIG_MAPS, metadata_only=True)
    made = await cluster.apply(CONFIG_MAPS, "default", "expired", config_map("expired"), field_manager=ME)
    await cluster.delete(CONFIG_MAPS, "default", "expired", uid=made.metadata["uid"])
    mortal.restart(API_SERVER)
    with pytest.raises(errors.WatchExpired):
        await first_event(cluster, old.resource_version)


async def first_event(cluster: Cluster, position: str) -> None:
    async with (
        asyncio.timeout(10),
        cluster.watch(CONFIG_MAPS, resource_version=position, metadata_only=True) as events,
    ):
        await anext(events)


async def test_follow_survives_a_restart_and_shows_what_happened_meanwhile(
    mortal: ControlPlane, cluster: Cluster
) -> None:
    async with asyncio.timeout(18), cluster.follow(CONFIG_MAPS, namespace="default") as stream:
        first = await anext(stream)
        assert isinstance(first, Listed)
        mortal.kill(API_SERVER)
        mortal.restart(API_SERVER)
        await cluster.apply(CONFIG_MAPS, "default", "after", config_map("after"), field_manager=ME)
        async for news in stream:
            objects = news.items if isinstance(news, Listed) else (news.object,)
            if any(obj["metadata"]["name"] == "after" for obj in objects):
                return


async def test_a_server_that_stalls_meets_the_limit_of_a_request(mortal: ControlPlane) -> None:
    async with connect(kubeconfig=mortal.kubeconfig, request_limit=0.5) as cluster:
        await cluster.get(CONFIG_MAPS, "default", "kube-root-ca.crt")
        mortal.pause(API_SERVER)
        try:
            with pytest.raises(errors.Unreachable, match="no full answer in time") as caught:
                await cluster.apply(CONFIG_MAPS, "default", "a", config_map("a"), field_manager=ME)
        finally:
            mortal.resume(API_SERVER)
        assert caught.value.maybe_written
        await cluster.get(CONFIG_MAPS, "default", "kube-root-ca.crt")


async def test_the_callers_own_deadline_stays_a_timeout(mortal: ControlPlane, cluster: Cluster) -> None:
    await cluster.get(CONFIG_MAPS, "default", "kube-root-ca.crt")
    mortal.pause(API_SERVER)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await cluster.list(CONFIG_MAPS, metadata_only=True)
    finally:
        mortal.resume(API_SERVER)
    await cluster.get(CONFIG_MAPS, "default", "kube-root-ca.crt")


async def test_a_server_with_another_ca_is_not_trusted(
    mortal: ControlPlane, control_plane: ControlPlane
) -> None:
    text = mortal.kubeconfig.read_text()
    mixed = mortal.data_dir / "mixed.yaml"
    mixed.write_text(text.replace(str(mortal.url), str(control_plane.url)))
    async with connect(kubeconfig=mixed) as cluster:
        with pytest.raises(errors.Unreachable, match="certificate is not trusted") as caught:
            await cluster.list(CONFIG_MAPS, metadata_only=True)
    with contextlib.suppress(FileNotFoundError):
        mixed.unlink()
    assert not caught.value.maybe_written
