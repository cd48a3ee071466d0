import asyncio
import logging
import socket

import aiohttp
import pytest

from reconciler.sync.outcome import ProjectReport, State
from reconciler.web.errors import ListenFailed
from reconciler.web.metrics import Metrics
from reconciler.web.server import LONGEST_REASON, STOP_LIMIT, serving

from .exposition import series

LOCAL = "127.0.0.1:0"


class Service:
    """What the pages are about; `dead` and `unready` are reasons or None."""

    def __init__(self):
        self.dead = None
        self.unready = None
        self.metrics = Metrics()

    def serving(self, address=LOCAL):
        return serving(address, alive=lambda: self.dead, ready=lambda: self.unready, metrics=self.metrics)


@pytest.fixture
def service():
    return Service()


@pytest.fixture
async def ask(service):
    """Send a request, get status, text and headers."""
    async with service.serving() as address, aiohttp.ClientSession(f"http://{address}") as http:

        async def ask(path, method="GET", **more):
            async with http.request(method, path, **more) as reply:
                return reply.status, await reply.text(), reply.headers

        yield ask


async def test_a_service_that_lives_and_is_ready_says_ok(ask):
    assert (await ask("/healthz"))[:2] == (200, "ok\n")
    assert (await ask("/readyz"))[:2] == (200, "ok\n")


async def test_a_dead_task_is_503_with_its_reason(service, ask):
    service.dead = "the task that polls ended"
    assert (await ask("/healthz"))[:2] == (503, "the task that polls ended\n")
    assert (await ask("/readyz"))[0] == 200


async def test_not_ready_is_503_with_its_reason_until_it_is_ready(service, ask):
    service.unready = "no configuration was accepted yet"
    assert (await ask("/readyz"))[:2] == (503, "no configuration was accepted yet\n")
    assert (await ask("/healthz"))[0] == 200
    service.unready = None
    assert (await ask("/readyz"))[0] == 200


async def test_a_reason_is_one_line_of_bounded_length(service, ask):
    service.unready = "first\nsecond " + "x" * 10_000
    text = (await ask("/readyz"))[1]
    assert text.startswith("first second x")
    assert len(text) == LONGEST_REASON + 1
    assert text.count("\n") == 1


async def test_metrics_are_those_of_this_moment(service, ask):
    for state in (State.PENDING, State.SYNCED):
        service.metrics.observe(ProjectReport(project="shop", state=state, commit="c1"))
        status, text, headers = await ask("/metrics")
        assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert series(text.encode(), "reconciler_project_state")[f"project=shop state={state}"] == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_gives_the_headers_of_get_alone(ask, path):
    status, text, headers = await ask(path, "HEAD")
    got = await ask(path)
    assert (status, text) == (200, "")
    assert headers["Content-Length"] == str(len(got[1].encode()))


async def test_head_of_an_unready_service_is_503(service, ask):
    service.unready = "no configuration"
    assert (await ask("/readyz", "HEAD"))[:2] == (503, "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_and_head_are_answered(ask, method):
    status, _, headers = await ask("/readyz", method, data=b"x" * 100_000)
    assert (status, headers["Allow"]) == (405, "GET,HEAD")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/debug", "/%2e%2e/etc/passwd"])
async def test_anything_else_is_404_and_repeats_nothing(ask, path):
    status, text, _ = await ask(path)
    assert (status, text) == (404, "404: Not Found")


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"path": "/metrics?" + "x" * 5000}, id="line"),
        pytest.param({"path": "/metrics", "headers": {"X-Long": "x" * 20_000}}, id="header"),
    ],
)
async def test_an_oversized_request_is_refused(ask, wanted):
    assert (await ask(**wanted))[0] == 400
    assert (await ask("/healthz"))[0] == 200


async def test_answers_name_no_versions_and_are_not_cached(ask):
    headers = (await ask("/nothing"))[2]
    assert (headers["Server"], headers["Cache-Control"]) == ("reconciler", "no-store")


async def test_requests_leave_no_line_in_the_log(ask, caplog):
    with caplog.at_level(logging.INFO):
        await ask("/healthz")
        await ask("/nothing")
    assert caplog.messages == []


async def test_the_bound_address_is_given_and_free_again_afterwards(service):
    async with service.serving() as address:
        assert address.host == "127.0.0.1"
        assert address.port > 0
    async with service.serving(str(address)) as again:
        assert again == address


async def test_every_address_can_be_listened_on(service):
    async with service.serving(":0") as address, aiohttp.ClientSession() as http:
        host = f"[::1]:{address.port}" if ":" in address.host else f"127.0.0.1:{address.port}"
        async with http.get(f"http://{host}/healthz") as reply:
            assert reply.status == 200


async def test_a_port_in_use_says_which_option_to_change(service):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenFailed) as caught:
            async with service.serving(address):
                pass
    assert str(caught.value) == (
        f"listening on {address}: the port is in use; "
        "give another one with --listen HOST:PORT, or stop what listens there"
    )


async def test_an_address_of_another_machine_says_which_option_to_change(service):
    with pytest.raises(ListenFailed, match=r"no such address; .*--listen HOST:PORT"):
        async with service.serving("192.0.2.1:0"):
            pass


async def test_clients_that_hang_do_not_delay_the_end(service):
    """One has sent half a request, one is idle, one never reads the long page it asked for."""
    for n in range(3000):
        service.metrics.observe(ProjectReport(project=f"shop-{n}", state=State.SYNCED, commit="c1"))
    loop = asyncio.get_running_loop()
    async with service.serving() as address:
        clients = [await asyncio.open_connection(address.host, address.port, limit=1) for _ in range(3)]
        sent = (
            b"GET /metr",
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        for (_, writer), request in zip(clients, sent, strict=True):
            writer.write(request)
            await writer.drain()
        async with asyncio.timeout(10):
            assert await clients[1][0].read(8) == b"HTTP/1.1"
            assert await clients[2][0].read(8) == b"HTTP/1.1"
        ending = loop.time()
    assert loop.time() - ending < STOP_LIMIT + 1
    for _, writer in clients:
        writer.transport.abort()
    assert len(asyncio.all_tasks()) == 1
