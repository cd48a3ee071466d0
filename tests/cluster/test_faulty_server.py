"""
The client against a server that misbehaves on request.

A fake, because a real API server does not refuse for load, cut an answer, stall half-way,
talk garbage or lose a snapshot when a test asks for it. It speaks plain HTTP and answers
from a script; everything that a real server can be brought to do is in test_client.py,
test_watch.py and test_restart.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web

from reconciler.cluster import errors
from reconciler.cluster import requests as sending
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.follow import Listed
from reconciler.cluster.resource import CONFIG_MAPS
from tests.cluster.kinds import config_map

ME = "reconciler:test"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """What the server does with one request after the other; it keeps what it was asked."""

    def __init__(self) -> None:
        self.steps: list[Handler] = []
        self.asked: list[web.Request] = []

    def then(self, *steps: Handler) -> None:
        self.steps += steps

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.steps.pop(0)(request)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def url(script: Script) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", script.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def kubeconfig(path: Path, url: str, token_file: Path | None = None) -> Path:
    user = {"tokenFile": str(token_file)} if token_file else {}
    content = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": user}],
    }
    path.write_bytes(orjson.dumps(content))
    return path


@pytest.fixture
async def cluster(tmp_path: Path, url: str) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=kubeconfig(tmp_path / "config", url), request_limit=1.0) as cluster:
        yield cluster


def status(code: int, body: bytes = b"", **headers: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            status=code, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


def page(*names: str, more: str = "", version: str = "7") -> Handler:
    items = [{"metadata": {"name": name}} for name in names]
    return status(
        200, orjson.dumps({"metadata": {"resourceVersion": version, "continue": more}, "items": items})
    )


APPLIED = orjson.dumps({"metadata": {"uid": "u", "name": "a"}})


async def cut(request: web.Request) -> web.StreamResponse:
    """Promise more than is sent, then hang up."""
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"metadata":')
    assert request.transport is not None
    request.transport.close()
    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def stall(request: web.Request) -> web.StreamResponse:
    """Begin an answer and say no more."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b'{"metadata":')
    await asyncio.sleep(5)
    return answer


def stream(*lines: bytes, then: float = 0.0) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        for line in lines:
            await reply.write(line)
        await asyncio.sleep(then)
        return reply

    return answer


async def apply(cluster: Cluster) -> object:
    return await cluster.apply(CONFIG_MAPS, "shop", "a", config_map("a"), field_manager=ME)


async def listing(cluster: Cluster) -> list[str]:
    found = await cluster.list(CONFIG_MAPS, metadata_only=True)
    return [item["metadata"]["name"] for item in found.items]


@pytest.mark.parametrize("code", [429, 503])
async def test_a_refusal_for_load_is_waited_out_and_counted(
    cluster: Cluster, script: Script, code: int
) -> None:
    script.then(status(code, Retry_After="0"), status(200, APPLIED))
    await apply(cluster)
    assert cluster.requests.by_verb == {"apply": 2}


async def test_a_refusal_that_goes_on_is_too_many_requests(
    cluster: Cluster, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 5.0)
    script.then(status(429, Retry_After="9"))
    with pytest.raises(errors.TooManyRequests) as caught:
        await apply(cluster)
    assert caught.value.retry_after == 9.0


async def test_while_one_request_is_refused_the_others_wait_too(cluster: Cluster, script: Script) -> None:
    script.then(status(429, Retry_After="30"))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await apply(cluster)
    assert len(script.asked) == 1


async def test_unavailable_without_a_time_is_not_repeated(cluster: Cluster, script: Script) -> None:
    script.then(status(503))
    with pytest.raises(errors.ServerFault):
        await apply(cluster)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(stall, "no full answer in time", id="stalls half-way"),
        pytest.param(cut, "broke within the answer", id="cut half-way"),
    ],
)
async def test_an_answer_that_does_not_end_may_have_been_a_write(
    cluster: Cluster, script: Script, fault: Handler, words: str
) -> None:
    script.then(fault, fault)
    with pytest.raises(errors.Unreachable, match=words) as caught:
        await apply(cluster)
    assert caught.value.maybe_written
    with pytest.raises(errors.Unreachable, match=words) as caught:
        await listing(cluster)
    assert not caught.value.maybe_written


async def test_an_apply_whose_connection_is_lost_is_sent_once_more(cluster: Cluster, script: Script) -> None:
    script.then(hang_up, status(200, APPLIED))
    await apply(cluster)
    script.then(hang_up, hang_up)
    with pytest.raises(errors.Unreachable) as caught:
        await apply(cluster)
    assert caught.value.maybe_written
    assert len(script.asked) == 4


async def test_a_create_whose_connection_is_lost_is_not_sent_again(cluster: Cluster, script: Script) -> None:
    script.then(hang_up)
    with pytest.raises(errors.Unreachable) as caught:
        await cluster.create(CONFIG_MAPS, "shop", config_map("a"), field_manager=ME)
    assert caught.value.maybe_written
    assert len(script.asked) == 1


async def test_a_patch_whose_connection_is_lost_is_not_sent_again(cluster: Cluster, script: Script) -> None:
    script.then(hang_up)
    with pytest.raises(errors.Unreachable) as caught:
        await cluster.json_patch(CONFIG_MAPS, "shop", "a", [], field_manager=ME)
    assert caught.value.maybe_written
    assert len(script.asked) == 1


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"[]", b'"text"', b"\xff"])
async def test_garbage_with_200_is_a_fault_of_the_server(
    cluster: Cluster, script: Script, body: bytes
) -> None:
    script.then(status(200, body))
    with pytest.raises(errors.ServerFault, match="not a JSON object"):
        await listing(cluster)


@pytest.mark.parametrize("body", [b"{}", b'{"metadata":{}}', b'{"metadata":{},"items":{}}', b'{"items":[]}'])
async def test_an_answer_without_a_list_is_not_an_empty_list(
    cluster: Cluster, script: Script, body: bytes
) -> None:
    script.then(status(200, body))
    with pytest.raises(errors.ServerFault, match="not a list"):
        await listing(cluster)


async def test_garbage_with_an_error_status_keeps_the_status(cluster: Cluster, script: Script) -> None:
    script.then(status(502, b"<html>bad gateway</html>"))
    with pytest.raises(errors.ServerFault, match=r"failed \(502\)"):
        await listing(cluster)


async def test_a_redirect_is_not_followed(cluster: Cluster, script: Script, url: str) -> None:
    script.then(status(302, Location=url))
    with pytest.raises(errors.ServerFault, match="unexpected answer 302"):
        await listing(cluster)
    assert len(script.asked) == 1


async def test_half_a_list_is_no_list(cluster: Cluster, script: Script) -> None:
    script.then(page("a", "b", more="token"), status(500))
    with pytest.raises(errors.ServerFault):
        await listing(cluster)


async def test_pages_raise_in_the_middle(cluster: Cluster, script: Script) -> None:
    script.then(page("a", "b", more="token"), cut)
    pages = cluster.pages(CONFIG_MAPS, metadata_only=True)
    assert len((await anext(pages)).items) == 2
    with pytest.raises(errors.Unreachable):
        await anext(pages)


async def test_an_expired_snapshot_is_read_again_once(cluster: Cluster, script: Script) -> None:
    script.then(page("old", more="token"), status(410), page("a", more="token"), page("b"))
    assert await listing(cluster) == ["a", "b"]
    assert [request.query.get("continue") for request in script.asked] == [None, "token", None, "token"]
    assert not any("resourceVersion" in request.query for request in script.asked)


async def test_a_snapshot_that_expires_twice_is_an_error(cluster: Cluster, script: Script) -> None:
    script.then(page("a", more="token"), status(410), page("a", more="token"), status(410))
    with pytest.raises(errors.ListExpired):
        await listing(cluster)


async def test_gzip_is_asked_for_and_read(cluster: Cluster, script: Script) -> None:
    async def zipped(request: web.Request) -> web.Response:
        answer = web.json_response({"metadata": {"resourceVersion": "1"}, "items": None})
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    script.then(zipped)
    assert await listing(cluster) == []
    assert script.asked[0].headers["Accept-Encoding"] == "gzip"


async def test_a_token_that_rotated_is_read_again_after_401(tmp_path: Path, script: Script, url: str) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    async def rotate(_request: web.Request) -> web.Response:
        token.write_text("new")
        return web.Response(status=401)

    script.then(rotate, page(), status(401))
    async with connect(kubeconfig=kubeconfig(tmp_path / "config", url, token)) as cluster:
        assert await listing(cluster) == []
        assert [request.headers["Authorization"] for request in script.asked] == ["Bearer old", "Bearer new"]
        with pytest.raises(errors.Unauthorized):
            await listing(cluster)
    assert len(script.asked) == 3


async def test_an_old_server_is_asked_group_by_group(cluster: Cluster, script: Script) -> None:
    def resources(name: str, kind: str) -> Handler:
        found = {"name": name, "kind": kind, "namespaced": True, "verbs": ["get"]}
        return status(200, orjson.dumps({"resources": [found]}))

    groups = [
        {"name": "apps", "versions": [{"version": "v1"}]},
        {"name": "down.org", "versions": [{"version": "v1"}]},
    ]
    script.then(
        status(200, orjson.dumps({"kind": "APIVersions", "versions": ["v1"]})),
        status(200, orjson.dumps({"kind": "APIGroupList", "groups": groups})),
        resources("configmaps", "ConfigMap"),
        resources("deployments", "Deployment"),
        status(503),
    )
    found = await cluster.discover()
    assert found.find("", "v1", "ConfigMap") == CONFIG_MAPS
    assert found.find("apps", "v1", "Deployment") is not None
    assert found.incomplete == ("down.org/v1",)


@pytest.mark.parametrize("body", [b'{"kind":"APIGroupDiscoveryList","items":[1]}', b'{"kind":"Odd"}'])
async def test_discovery_that_is_none_is_an_error(cluster: Cluster, script: Script, body: bytes) -> None:
    script.then(status(200, body), status(200, body))
    with pytest.raises(errors.ServerFault, match="has not the form"):
        await cluster.discover()


ADDED = b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"8"}}}\n'
EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(status(410), errors.WatchExpired, id="410 as status"),
        pytest.param(stream(EXPIRED), errors.WatchExpired, id="410 as event"),
        pytest.param(status(403), errors.Forbidden, id="403"),
        pytest.param(stream(b"garbage\n"), errors.WatchLost, id="garbage"),
        pytest.param(stream(b'{"type":"ODD","object":{}}\n'), errors.WatchLost, id="unknown event"),
        pytest.param(stream(b'{"type":"ADDED"}\n'), errors.WatchLost, id="no object"),
        pytest.param(stream(ADDED[:20]), errors.WatchLost, id="ends within an event"),
        pytest.param(stream(b" ", then=3), errors.WatchLost, id="silence"),
        pytest.param(cut, errors.WatchLost, id="cut"),
        pytest.param(hang_up, errors.Unreachable, id="never answers"),
    ],
)
async def test_how_a_watch_fails(
    cluster: Cluster, script: Script, answer: Handler, kind: type[errors.ClusterError]
) -> None:
    script.then(answer, answer)
    with pytest.raises(kind) as caught:
        await read_watch(cluster)
    assert type(caught.value) is kind


async def read_watch(cluster: Cluster) -> list[str]:
    async with cluster.watch(CONFIG_MAPS, resource_version="7", metadata_only=True, silence=0.3) as events:
        return [event.object["metadata"]["name"] async for event in events]


async def test_a_watch_that_the_server_ends_just_ends(cluster: Cluster, script: Script) -> None:
    script.then(stream(ADDED, ADDED))
    assert await read_watch(cluster) == ["a", "a"]
    query = script.asked[0].query
    assert (query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "7")


async def test_follow_goes_on_where_a_watch_ended_and_lists_again_when_it_expired(
    cluster: Cluster, script: Script
) -> None:
    script.then(
        status(500),  # the first list fails and is tried again
        page("a", version="7"),
        stream(ADDED),
        stream(EXPIRED),
        page("a", "b", version="9"),
        stream(b"", then=5),
    )
    async with asyncio.timeout(10), cluster.follow(CONFIG_MAPS) as news:
        got = [await anext(news) for _ in range(3)]
    assert [type(one) is Listed for one in got] == [True, False, True]
    positions = [request.query.get("resourceVersion") for request in script.asked]
    assert positions[:5] == [None, None, "7", "8", None]


async def test_no_exception_of_the_transport_gets_out(
    cluster: Cluster, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raised in (aiohttp.ClientError("x"), OSError("x"), TimeoutError(), ValueError("x")):

        def fail(*_: object, raised: Exception = raised, **__: object) -> object:
            raise raised

        monkeypatch.setattr(aiohttp.ClientSession, "request", fail)
        with pytest.raises(errors.Unreachable):
            await listing(cluster)
