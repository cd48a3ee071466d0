"""The fence of a lease: no write leaves after its end, wherever it waited; what changes nothing may."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api
from reconciler.cluster import permit as permits
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.errors import NotLeader
from reconciler.cluster.permit import Permit
from reconciler.cluster.resource import CONFIG_MAPS
from reconciler.cluster.throttle import IN_FLIGHT
from tests.cluster.kinds import config_map, last_words
from tests.faults.gateway import Gateway, Moment

ME = "reconciler:test"
LIMIT = 10.0  # s
LOADED = {"kind": "Status", "code": 429}
Write = Callable[[Cluster, str], Coroutine[Any, Any, object]]


def apply(cluster: Cluster, namespace: str, name: str = "a") -> Coroutine[Any, Any, object]:
    return cluster.apply(CONFIG_MAPS, namespace, name, config_map(name, k="2"), field_manager=ME)


def patch(cluster: Cluster, namespace: str) -> Coroutine[Any, Any, object]:
    add = {"op": "add", "path": "/data", "value": {"k": "2"}}
    return cluster.json_patch(CONFIG_MAPS, namespace, "a", [add], field_manager=ME)


def create(cluster: Cluster, namespace: str) -> Coroutine[Any, Any, object]:
    return cluster.create(CONFIG_MAPS, namespace, config_map("b"), field_manager=ME)


def update(cluster: Cluster, namespace: str) -> Coroutine[Any, Any, object]:
    return cluster.update(CONFIG_MAPS, namespace, "a", config_map("a", k="2"), field_manager=ME)


async def delete(cluster: Cluster, namespace: str) -> None:
    found = await cluster.get(CONFIG_MAPS, namespace, "a")
    await cluster.delete(CONFIG_MAPS, namespace, "a", uid=found["metadata"]["uid"])


WRITES = [
    pytest.param(apply, "PATCH", id="apply"),
    pytest.param(patch, "PATCH", id="patch"),
    pytest.param(create, "POST", id="create"),
    pytest.param(update, "PUT", id="update"),
    pytest.param(delete, "DELETE", id="delete"),
]


@pytest.mark.parametrize(
    ("until", "may"),
    [
        pytest.param(math.inf, True, id="takes part in no election"),
        pytest.param(1.0, True, id="held for a second more"),
        pytest.param(0.0, False, id="over in this moment"),
        pytest.param(-1.0, False, id="over for a second"),
        pytest.param(-math.inf, False, id="never held, or let go"),
    ],
)
async def test_when_a_write_may_leave(monkeypatch: pytest.MonkeyPatch, until: float, may: bool) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 100.0)
    permit = Permit(until=100.0 + until)
    said = "may leave"
    try:
        permit.check()
    except NotLeader as error:
        said = error.mend
    assert (said == "may leave") is may, said


@pytest.mark.parametrize(
    ("later", "settled"),
    [
        pytest.param(0.0, False, id="a write has just been lost"),
        pytest.param(permits.AT_WORK, False, id="the server may still be at work on it"),
        pytest.param(permits.AT_WORK + 0.1, True, id="the server has given up"),
    ],
)
async def test_when_no_write_can_be_on_its_way(
    monkeypatch: pytest.MonkeyPatch, later: float, settled: bool
) -> None:
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    permit = Permit()
    assert permit.is_settled()
    permit.unanswered()
    now += later
    assert permit.is_settled() is settled


@pytest.fixture
def permit() -> Permit:
    return Permit()


@pytest.fixture
async def cluster(
    gateway_kubeconfig: Path, permit: Permit, api: Api, namespace: str
) -> AsyncIterator[Cluster]:
    """Fenced by `permit`; ConfigMap `a` is there, and so is a connection that has been used."""
    api.post(f"/api/v1/namespaces/{namespace}/configmaps", config_map("a", k="1"))
    async with connect(kubeconfig=gateway_kubeconfig, permit=permit) as cluster, asyncio.timeout(LIMIT):
        await cluster.get(CONFIG_MAPS, namespace, "a")
        yield cluster
        await last_words(cluster, namespace)


def names(api: Api, namespace: str) -> set[str]:
    found = api.get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]
    return {item["metadata"]["name"] for item in found} - {"kube-root-ca.crt"}


def value(api: Api, namespace: str) -> str:
    return str(api.get(f"/api/v1/namespaces/{namespace}/configmaps/a")["data"]["k"])


@pytest.mark.parametrize(("write", "method"), WRITES)
async def test_write_that_waits_out_a_refusal_beyond_the_end_is_not_sent(
    cluster: Cluster, permit: Permit, gateway: Gateway, api: Api, namespace: str, write: Write, method: str
) -> None:
    """The server refuses for load; the second try would be due in a second, and the lease ends before."""
    loop = asyncio.get_running_loop()

    def instead(asked: str, _path: str) -> tuple[int, dict[str, Any]] | None:
        if asked != method:
            return None
        loop.call_soon_threadsafe(lambda: permit.allow(until=loop.time() + 0.1))
        return 429, LOADED

    gateway.instead = instead
    with pytest.raises(NotLeader):
        await write(cluster, namespace)
    assert len(gateway.written) == 1
    assert (names(api, namespace), value(api, namespace)) == ({"a"}, "1")
    assert permit.is_settled()


async def test_write_that_waits_out_a_refusal_is_sent_where_the_lease_was_renewed(
    cluster: Cluster, permit: Permit, gateway: Gateway, api: Api, namespace: str
) -> None:
    loop = asyncio.get_running_loop()
    permit.allow(until=loop.time() + 0.5)

    def instead(method: str, _path: str) -> tuple[int, dict[str, Any]] | None:
        if method != "PATCH" or len(gateway.written) > 1:
            return None
        loop.call_soon_threadsafe(lambda: permit.allow(until=loop.time() + LIMIT))
        return 429, LOADED

    gateway.instead = instead
    await apply(cluster, namespace)
    assert (len(gateway.written), value(api, namespace)) == (2, "2")


async def test_write_behind_others_is_not_sent_after_the_end(
    cluster: Cluster, permit: Permit, gateway: Gateway, api: Api, namespace: str
) -> None:
    """All places are taken by writes that nobody answers; when they are free, the lease is over."""
    gateway.stall = lambda method, _path: method == "PATCH"
    writes = [asyncio.create_task(apply(cluster, namespace, f"c{n}")) for n in range(IN_FLIGHT + 3)]
    while len(gateway.written) < IN_FLIGHT:  # noqa: ASYNC110 - counted in the gateway's own thread
        await asyncio.sleep(0.01)
    permit.revoke()
    for task in writes[:IN_FLIGHT]:
        task.cancel()
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(end) for end in ended] == [asyncio.CancelledError] * IN_FLIGHT + [NotLeader] * 3
    assert len(gateway.written) == IN_FLIGHT
    assert names(api, namespace) == {"a"}
    assert not permit.is_settled()


@pytest.mark.parametrize(
    ("write", "method"), [case for case in WRITES if case.id in ("apply", "update", "delete")]
)
async def test_write_that_lost_its_connection_is_not_sent_again_after_the_end(
    cluster: Cluster, permit: Permit, gateway: Gateway, api: Api, namespace: str, write: Write, method: str
) -> None:
    """What was sent first may still be at work: nobody has heard what became of it."""
    gateway.arm(1, Moment.BEFORE, permit.revoke, method=method)
    with pytest.raises(NotLeader):
        await write(cluster, namespace)
    assert len(gateway.written) == 1
    assert (names(api, namespace), value(api, namespace)) == ({"a"}, "1")
    assert not permit.is_settled()


async def test_write_that_lost_its_connection_and_is_answered_the_second_time_is_not_settled(
    cluster: Cluster, permit: Permit, gateway: Gateway, api: Api, namespace: str
) -> None:
    """The answer is that of the second try; the first may be held up by a webhook."""
    gateway.arm(1, Moment.BEFORE, lambda: None, method="PATCH")
    await apply(cluster, namespace)
    assert (len(gateway.written), value(api, namespace)) == (2, "2")
    assert not permit.is_settled()


async def test_what_changes_nothing_may_always_be_asked(
    cluster: Cluster, permit: Permit, gateway: Gateway, api: Api, namespace: str
) -> None:
    permit.revoke()
    body = config_map("a", k="2")
    found = await cluster.get(CONFIG_MAPS, namespace, "a")
    await cluster.list(CONFIG_MAPS, namespace=namespace, metadata_only=True)
    await cluster.discover()
    await cluster.rights(namespace)
    await cluster.apply(CONFIG_MAPS, namespace, "a", body, field_manager=ME, dry_run=True)
    tried = await cluster.try_apply(CONFIG_MAPS, namespace, "a", body, field_manager=ME)
    await cluster.try_update(CONFIG_MAPS, namespace, "a", {**found, "data": {}}, field_manager=ME)
    assert (tried["data"], value(api, namespace)) == ({"k": "2"}, "1")
    with pytest.raises(NotLeader):
        await apply(cluster, namespace)
    assert permit.is_settled()


async def test_fence_holds_also_for_who_acts_as_another(
    cluster: Cluster, permit: Permit, gateway: Gateway, namespace: str
) -> None:
    permit.revoke()
    with pytest.raises(NotLeader):
        await apply(cluster.acting_as(namespace, "default"), namespace)
    assert gateway.written == []


async def test_election_is_not_fenced_by_what_it_decides(
    cluster: Cluster, permit: Permit, api: Api, namespace: str
) -> None:
    permit.revoke()
    await apply(cluster.unfenced(), namespace)
    assert value(api, namespace) == "2"
