"""
`/healthz`, `/readyz` and `/metrics` over HTTP, for the kubelet and for Prometheus.

Shows one-line reasons and numbers, never objects, never secrets. Decides nothing: the
service gives the answers as callables. Reads no request body and writes no access log.
Neighbours: address.py says where to listen, metrics.py makes the page of numbers.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import hdrs, web

from reconciler.web.address import OPTION, Address, parse_address
from reconciler.web.errors import ListenFailed
from reconciler.web.metrics import Metrics

log = logging.getLogger(__name__)

START_LIMIT: Final = 10.0  # s; only a host name that has to be resolved takes time
STOP_LIMIT: Final = 2.0
"""s for answers under way; aiohttp takes the half of it twice, before and after it cancels them."""
IDLE_LIMIT: Final = 75.0  # s that a connection may stay between two requests; scrapers come every 15 to 60
LINGER: Final = 1.0  # s of reading away a body that nobody asked for
LONGEST_LINE: Final = 2048  # bytes of "GET /metrics?... HTTP/1.1"; our paths have 8
LONGEST_FIELD: Final = 8190  # bytes of one header; proxies add long ones
LONGEST_REASON: Final = 1000  # characters; a probe's answer ends up in an Event, which is cut at 1024

Check = Callable[[], str | None]
"""None while all is well, else the reason in one line, without secrets."""


@asynccontextmanager
async def serving(address: str, *, alive: Check, ready: Check, metrics: Metrics) -> AsyncIterator[Address]:
    """
    Answer on `address` (`HOST:PORT`) until the block ends; gives the address that was bound.

    `alive` and `ready` are called for each request, in the event loop. Raises AddressInvalid
    or ListenFailed before the block is entered; leaving it takes at most about `STOP_LIMIT`.
    """
    wanted = parse_address(address)
    runner = web.AppRunner(
        _application(alive, ready, metrics),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=STOP_LIMIT / 2,
        keepalive_timeout=IDLE_LIMIT,
        lingering_time=LINGER,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_FIELD,
    )
    await runner.setup()
    try:
        bound = await _listen(runner, wanted)
        log.info("/healthz, /readyz and /metrics are at %s", bound)
        yield bound
    finally:
        await _stop(runner)


async def _listen(runner: web.AppRunner, wanted: Address) -> Address:
    site = web.TCPSite(runner, wanted.host or None, wanted.port)
    try:
        async with asyncio.timeout(START_LIMIT):
            await site.start()
    except OSError as error:  # TimeoutError is one of them
        raise _refusal(wanted, error) from error
    host, port = runner.addresses[0][:2]
    return Address(host, port)


async def _stop(runner: web.AppRunner) -> None:
    server = runner.server
    transports = [connection.transport for connection in server.connections] if server else []
    try:
        await runner.cleanup()
    finally:
        # A page that a client never reads would keep its closed connection open.
        for transport in transports:
            if transport is not None:
                transport.abort()


def _refusal(wanted: Address, error: OSError) -> ListenFailed:
    other = f"give another one with {OPTION}"
    match error:
        case TimeoutError():
            what, mend = f"the host name was not resolved within {START_LIMIT:.0f} s", other
        case socket.gaierror() | OSError(errno=errno.EADDRNOTAVAIL):
            what, mend = "this machine has no such address", other
        case OSError(errno=errno.EADDRINUSE):
            what, mend = "the port is in use", f"{other}, or stop what listens there"
        case OSError(errno=errno.EACCES):
            what, mend = "this user may not listen on this port", f"{other}, with a port above 1023"
        case _:
            what, mend = os.strerror(error.errno or errno.EIO), other
    return ListenFailed(what=what, where=f"listening on {wanted}", mend=mend)


def _application(alive: Check, ready: Check, metrics: Metrics) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def numbers(_: web.Request) -> web.Response:
        page, content_type = metrics.render()
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: content_type})

    application = web.Application()
    # add_get answers HEAD as well; other methods are 405, other paths 404.
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", numbers)
    application.on_response_prepare.append(_set_headers)
    return application


def _answer(reason: str | None) -> web.Response:
    if reason is None:
        return web.Response(text="ok\n")
    line = " ".join(reason.split())[:LONGEST_REASON]
    return web.Response(status=503, text=f"{line}\n")


async def _set_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers[hdrs.SERVER] = "reconciler"  # versions are nobody's business
    response.headers["X-Content-Type-Options"] = "nosniff"
