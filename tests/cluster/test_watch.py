"""Watching a real API server; line framing as a table."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from localcluster import ControlPlane
from reconciler.cluster import errors, health
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.follow import Backoff, Listed
from reconciler.cluster.replies import Doing
from reconciler.cluster.resource import CONFIG_MAPS, Resource
from reconciler.cluster.watch import EventKind, LineBuffer, WatchEvent, error_event
from tests.cluster.kinds import DEPLOYMENTS, config_map, deployment

ME = "reconciler:test"


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=control_plane.kubeconfig) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("chunks", "want"),
    [
        pytest.param([b"a\nb\n"], [b"a", b"b"], id="two lines in a chunk"),
        pytest.param([b"a", b"b", b"\nc"], [b"ab"], id="a line in three chunks"),
        pytest.param([b"\n\n a\n"], [b" a"], id="empty lines are left out"),
        pytest.param([b"a\r\n"], [b"a\r"], id="carriage returns are JSON white space"),
        pytest.param([b"12345", b"6789\n"], [b"123456789"], id="just below the bound"),
    ],
)
def test_lines_are_cut_from_chunks(chunks: list[bytes], want: list[bytes]) -> None:
    lines = LineBuffer(10)
    assert [line for chunk in chunks for line in lines.feed(chunk)] == want


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"a\n" + b"x" * 11]])
def test_a_line_without_end_is_refused(chunks: list[bytes]) -> None:
    lines = LineBuffer(10)
    with pytest.raises(OverflowError):
        [lines.feed(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param({"kind": "Status", "code": 410, "reason": "Expired"}, errors.WatchExpired, id="410"),
        pytest.param({"kind": "Status", "code": 500}, errors.ServerFault, id="500"),
        pytest.param({"kind": "Status"}, errors.WatchLost, id="no code"),
        pytest.param("odd", errors.WatchLost, id="no object"),
    ],
)
def test_error_events(body: Any, kind: type[errors.ClusterError]) -> None:
    assert type(error_event(body, Doing("watch ConfigMap"))) is kind


def test_pauses_grow_to_a_bound() -> None:
    pauses, backoff = [], Backoff()
    for _ in range(40):
        pauses.append(backoff.pause(1.0))
        backoff = backoff.next()
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert max(pauses) == 15.0
    assert Backoff().pause(0.0) == 0.05


async def test_a_watch_shows_what_happens_after_its_start(cluster: Cluster, namespace: str) -> None:
    listed = await cluster.list(CONFIG_MAPS, namespace=namespace, metadata_only=True)
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="1"), field_manager=ME)
    applied = await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", k="2"), field_manager=ME)
    await cluster.delete(CONFIG_MAPS, namespace, "a", uid=applied.metadata["uid"])
    async with cluster.watch(
        CONFIG_MAPS, namespace=namespace, resource_version=listed.resource_version, metadata_only=True
    ) as events:
        got = [(await anext(events)) for _ in range(3)]
        assert events.resource_version == got[-1].object["metadata"]["resourceVersion"]
    assert [event.kind for event in got] == [EventKind.ADDED, EventKind.MODIFIED, EventKind.DELETED]
    assert "data" not in got[0].object


async def test_full_objects_and_selectors(cluster: Cluster, namespace: str) -> None:
    listed = await cluster.list(CONFIG_MAPS, namespace=namespace, metadata_only=True)
    for name, label in (("a", "no"), ("b", "yes")):
        await cluster.apply(
            CONFIG_MAPS, namespace, name, config_map(name, {"t": label}, k="v"), field_manager=ME
        )
    async with cluster.watch(
        CONFIG_MAPS,
        namespace=namespace,
        label_selector="t=yes",
        resource_version=listed.resource_version,
        metadata_only=False,
    ) as events:
        event = await anext(events)
    assert (event.object["metadata"]["name"], event.object["data"]) == ("b", {"k": "v"})


async def test_an_open_watch_closes_at_once_when_it_is_cancelled(cluster: Cluster, namespace: str) -> None:
    opened = asyncio.Event()

    async def listen() -> None:
        async with cluster.follow(CONFIG_MAPS, namespace=namespace) as stream:
            async for _ in stream:
                opened.set()

    task = asyncio.create_task(listen())
    await asyncio.wait_for(opened.wait(), 10)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done
    assert task.cancelled()


async def test_silence_ends_a_watch(cluster: Cluster, namespace: str) -> None:
    listed = await cluster.list(CONFIG_MAPS, namespace=namespace, metadata_only=True)
    async with cluster.watch(
        CONFIG_MAPS,
        namespace=namespace,
        resource_version=listed.resource_version,
        metadata_only=True,
        silence=0.3,
    ) as events:
        with pytest.raises(errors.WatchLost, match="nothing came for too long"):
            await asyncio.wait_for(anext(events), 10)


async def test_follow_lists_first_and_lists_again_after_silence(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(CONFIG_MAPS, namespace, "a", config_map("a", {"t": "1"}), field_manager=ME)
    async with cluster.follow(CONFIG_MAPS, namespace=namespace, label_selector="t=1", silence=0.3) as stream:
        first = await anext(stream)
        await cluster.apply(CONFIG_MAPS, namespace, "b", config_map("b", {"t": "1"}), field_manager=ME)
        second = await asyncio.wait_for(anext(stream), 10)
        third = await asyncio.wait_for(anext(stream), 10)
    assert isinstance(first, Listed)
    assert [item["metadata"]["name"] for item in first.items] == ["a"]
    assert isinstance(second, WatchEvent)
    assert second.object["metadata"]["name"] == "b"
    assert isinstance(third, Listed)
    assert [item["metadata"]["name"] for item in third.items] == ["a", "b"]


async def test_follow_raises_that_a_right_is_missing(control_plane: ControlPlane, namespace: str) -> None:
    async with (
        connect(kubeconfig=control_plane.kubeconfig_for("nobody")) as nobody,
        nobody.follow(CONFIG_MAPS, namespace=namespace) as stream,
    ):
        with pytest.raises(errors.Forbidden):
            await anext(stream)


async def test_follow_raises_that_a_kind_is_not_served(cluster: Cluster, namespace: str) -> None:
    widgets = Resource("example.org", "v1", "Widget", "widgets", namespaced=True)
    async with cluster.follow(widgets, namespace=namespace) as stream:
        with pytest.raises(errors.KindNotServed):
            await anext(stream)


async def test_following_a_deployment_until_it_is_current(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(DEPLOYMENTS, namespace, "web", deployment("web", replicas=2), field_manager=ME)
    async with asyncio.timeout(15), cluster.follow(DEPLOYMENTS, namespace=namespace) as stream:
        async for news in stream:
            objects = news.items if isinstance(news, Listed) else (news.object,)
            if any(health.compute(obj, now=0.0).health is health.Health.CURRENT for obj in objects):
                return
