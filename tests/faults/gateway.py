"""
A gateway in front of the API server that counts requests and may act on each of them.

It speaks TLS on both sides and HTTP/1.1 as our client does, so a test can end a process at an
exact API call: before the server has heard of it, or after the server has answered.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from localcluster import ControlPlane
from tests.fix_git import Authority, LoopThread

SETTLE = 5.0  # s for requests that the server has already to be answered
Ending = Callable[[web.Request], web.StreamResponse]
HOP_BY_HOP = frozenset({"host", "connection", "transfer-encoding", "content-length", "keep-alive"})


class Moment(Enum):
    """When the gateway calls back: around the one request that it was told to stop at."""

    BEFORE = "before the server hears of it"
    AFTER = "after the server has answered"


class Fault(Enum):
    """What happens to every request while it is set."""

    CUT = "the connection is reset"
    STALL = "nobody answers"
    LOSE = "it is carried out, and the answer is lost"
    BUSY = "answered with 429"
    BROKEN = "answered with 500"
    DOWN = "answered with 503"


STATUS = {Fault.BUSY: 429, Fault.BROKEN: 500, Fault.DOWN: 503}


class Gateway:
    """
    `url` is the API server for those who trust `authority`; `count` requests came so far.

    `written` are the paths of all changes that it was asked for, in order.
    """

    def __init__(self, thread: LoopThread, control_plane: ControlPlane, authority: Authority) -> None:
        self.count = 0
        self.written: list[str] = []
        self.fault: Fault | None = None
        self.strikes: Callable[[], bool] = lambda: True
        """Asked for each request while a fault is set: whether it meets with it."""
        self.instead: Callable[[str, str], tuple[int, Mapping[str, Any]] | None] = lambda _method, _path: None
        """Given method and path (with query) of a request: status and body to answer without the server."""
        self.stall: Callable[[str, str], bool] = lambda _method, _path: False
        """Which requests nobody answers."""
        self.hold: Callable[[str, str], bool] = lambda _method, _path: False
        """Which requests wait until `let_go`, before the server hears of them."""
        self._let_go = asyncio.Event()
        self._method = ""
        self._thread = thread
        self._upstream = control_plane.url
        self._trust = ssl.create_default_context(cafile=control_plane.ca_file)
        self._stop_at: tuple[int, Moment] | None = None
        self._callback: Callable[[], Any] = lambda: None
        self._watches: set[asyncio.Task[Any]] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.url = f"https://localhost:{thread.call(self._start(authority.server))}"

    def arm(self, at: int, moment: Moment, callback: Callable[[], Any], *, method: str = "") -> None:
        """
        Count from 0 again, and call back once at request number `at` (from 1); it gets no answer.

        With `method` only requests of that method count.
        """
        self.count = 0
        self._method = method
        self._stop_at, self._callback = (at, moment), callback

    def disarm(self) -> None:
        """Count from 0 again and let everything through."""
        self.count = 0
        self._method = ""
        self._stop_at = self.fault = None

    def let_go(self) -> None:
        """Pass on what is held, and hold nothing more."""
        self.hold = lambda _method, _path: False
        self._thread.call(self._pass_on_held())

    def cut(self) -> None:
        """Reset all watches, and all requests that nobody answers."""
        self._thread.call(self._cut())

    def settle(self) -> None:
        """Return when no request is on its way any more, watches cut."""
        self._thread.call(self._settle())

    def stop(self) -> None:
        self._thread.call(self._stop())

    def kubeconfig(self, like: Path, path: Path, authority: Authority) -> Path:
        """Write a kubeconfig like another, but of this gateway."""
        config = json.loads(like.read_text())
        ca = path.with_suffix(".ca")
        ca.write_bytes(authority.pem)
        cluster = config["clusters"][0]["cluster"]
        cluster.clear()
        cluster.update({"server": self.url, "certificate-authority": str(ca)})
        path.write_text(json.dumps(config))
        return path

    async def _start(self, context: ssl.SSLContext) -> int:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=0), auto_decompress=False
        )
        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "localhost", 0, ssl_context=context).start()
        return int(self._runner.addresses[0][1])

    async def _stop(self) -> None:
        await self._settle()
        server = self._runner.server
        transports = [connection.transport for connection in server.connections] if server else []
        await self._runner.cleanup()
        for transport in transports:
            if transport is not None:
                transport.abort()  # a client that was killed says no goodbye
        await self._session.close()

    async def _pass_on_held(self) -> None:
        self._let_go.set()

    async def _cut(self) -> None:
        watches = tuple(self._watches)
        for task in watches:
            task.cancel()
        async with asyncio.timeout(SETTLE):
            await asyncio.gather(*watches, return_exceptions=True)

    async def _settle(self) -> None:
        await self._cut()
        async with asyncio.timeout(SETTLE):
            await self._idle.wait()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        counts = self._method in ("", request.method)
        self.count += counts
        if request.method != "GET":
            self.written.append(request.path)
        stopping = counts and self._stop_at and self._stop_at[0] == self.count
        moment = self._stop_at[1] if self._stop_at and stopping else None
        if moment is Moment.BEFORE:
            return self._end(request)
        fault = self.fault if self.fault and self.strikes() else None
        stalls = fault is Fault.STALL or self.stall(request.method, request.path_qs)
        task = asyncio.current_task()
        if task and (stalls or "watch" in request.query):
            self._watches.add(task)
            task.add_done_callback(self._watches.discard)
        if stalls:
            await asyncio.Event().wait()
        if self.hold(request.method, request.path_qs):
            await self._let_go.wait()
        if fault is Fault.CUT:
            return _reset(request)
        if answer := _instead(fault) or self.instead(request.method, request.path_qs):
            status, body = answer
            return web.json_response(body, status=status)
        end = self._ending(moment, fault)
        if "watch" in request.query:
            return await self._forward(request, end)
        self._busy += 1
        self._idle.clear()
        try:
            return await self._forward(request, end)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    def _end(self, request: web.Request) -> web.StreamResponse:
        self._stop_at = None
        self._callback()
        return _reset(request)

    def _ending(self, moment: Moment | None, fault: Fault | None) -> Ending | None:
        """What is done in place of handing on the answer of the server."""
        if moment is Moment.AFTER:
            return self._end
        return _reset if fault is Fault.LOSE else None

    async def _forward(self, request: web.Request, end: Ending | None) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = await request.read()
        async with self._session.request(
            request.method, self._upstream + request.path_qs, headers=headers, data=body or None
        ) as reply:
            try:
                if end:
                    if "watch" not in request.query:
                        await reply.read()
                    return end(request)
                return await _pass_on(reply, request)
            finally:
                # A polite end of TLS, of what was not read to its end, would outlive the loop.
                if reply.connection and reply.connection.transport:
                    reply.connection.transport.abort()


async def _pass_on(reply: aiohttp.ClientResponse, request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(
        status=reply.status,
        headers={n: v for n, v in reply.headers.items() if n.lower() not in HOP_BY_HOP},
    )
    with contextlib.suppress(ConnectionError):  # the client was killed
        await answer.prepare(request)
        async for piece in reply.content.iter_any():
            await answer.write(piece)
        await answer.write_eof()
    return answer


def _instead(fault: Fault | None) -> tuple[int, Mapping[str, Any]] | None:
    """What a proxy in front of the API server answers, or the server itself when it is not well."""
    if fault is None or (code := STATUS.get(fault)) is None:
        return None
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}


def _reset(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response(status=503)  # nobody reads it
