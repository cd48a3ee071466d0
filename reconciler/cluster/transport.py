"""
One HTTP exchange with the API server: with body.py the only module of this layer that knows aiohttp.

Bytes go in and come out; it never decides about statuses (replies.py), turns (throttle.py)
or paging (listing.py). No exception of aiohttp or ssl leaves it. TLS is verified with the
cluster's CA; redirects are never followed, since they would carry the token elsewhere.
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import yarl

from reconciler.cluster import errors
from reconciler.cluster.body import Body
from reconciler.cluster.kubeconfig import Access
from reconciler.cluster.login import Login, PluginLogin, login_for
from reconciler.cluster.proxy import proxy_for
from reconciler.cluster.replies import Doing

REQUEST_LIMIT = 30.0  # s in all for one request; the server itself gives up a write after 34 s
CONNECT_LIMIT = 10.0  # s until the connection stands, waiting for a free one included
WRITE_LIMIT = 3 * 1024 * 1024  # bytes; the server's own bound, after which it may just hang up
BODY_LIMIT = 256 * 1024 * 1024  # bytes; 500 objects of the 0.5 MiB that large ConfigMaps have
WATCH_CONNECTIONS = 1024  # each open watch holds one: kinds times `--namespaces`, and what is waited for
REQUEST_CONNECTIONS = 20  # the two throttles' places, and some for discovery
READ_BUFFER = 256 * 1024  # bytes; a page of a list in a few reads

_UNAUTHORIZED = 401
_NOT_SENT = (  # no connection stood, so no request has left
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `retry_after` in seconds, `date` as the server wrote it."""

    status: int
    body: bytes
    retry_after: float | None
    date: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; `idempotent` allows a second try at once when the connection is lost."""

    method: str
    path: str
    doing: Doing
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None = field(default=None, repr=False)
    idempotent: bool = False
    check: Callable[[], None] | None = None
    """Of a write: called when it is about to leave, each time; what it raises keeps it from leaving."""


class Transport:
    """Connections to one API server with one user's credentials."""

    def __init__(self, access: Access, *, request_limit: float = REQUEST_LIMIT) -> None:
        self.server = access.server
        self._access = access
        self._login: Login = login_for(access)
        self._tls = _tls_context(access)
        self._proxy = access.proxy or proxy_for(access.server, os.environ)
        self._requests = self._session(REQUEST_CONNECTIONS)
        self._watches = self._session(WATCH_CONNECTIONS)
        self._limit = aiohttp.ClientTimeout(total=request_limit, connect=CONNECT_LIMIT)

    async def prepare(self) -> None:
        """Get a plugin's client certificate, which TLS needs before the first request."""
        if isinstance(self._login, PluginLogin) and self._tls is not None:
            await self._login.header()
            if self._login.certificate:
                _load_pair(self._tls, self._login.certificate, self._login.key, self._access.where)

    async def close(self) -> None:
        """Close all connections at once."""
        await self._requests.close()
        await self._watches.close()

    async def send(self, request: Request) -> Answer:
        """Send one request (a second time with fresh credentials after a 401) and read the whole answer."""
        if request.body is not None and len(request.body) > WRITE_LIMIT:
            raise errors.TooLarge(
                what=f"the object has {len(request.body)} bytes, the API server takes {WRITE_LIMIT}",
                where=request.doing.text,
                mend="make the object smaller or split it",
            )
        answer = await self._send(request)
        if answer.status == _UNAUTHORIZED and self._login.renew():
            answer = await self._send(request)
        return answer

    async def _send(self, request: Request) -> Answer:
        try:
            return await self._exchange(request)
        except (aiohttp.ClientError, OSError, ValueError, EOFError) as exc:
            if not (request.idempotent and isinstance(exc, _LOST)):
                raise self.unreachable(exc, request.doing) from exc
        # The server may close an idle connection in the moment in which we use it. aiohttp
        # repeats GET, PUT and DELETE then, but cannot know that an apply may be repeated too.
        try:
            return await self._exchange(request)
        except (aiohttp.ClientError, OSError, ValueError, EOFError) as exc:
            lost = self.unreachable(exc, request.doing)
            raise _maybe_written(lost, request.doing) from exc

    async def _exchange(self, request: Request) -> Answer:
        data = _payload(request)
        try:
            async with self._requests.request(
                request.method,
                self._url(request.path, request.query),
                data=data,
                timeout=self._limit,
                **await self._arguments(request.headers),
            ) as reply:
                date = reply.headers.get("Date", "")
                return Answer(reply.status, await _read(reply, request.doing), _retry_after(reply), date)
        except aiohttp.ClientError:
            if isinstance(data, Body) and data.refused is not None:
                raise data.refused from None
            raise

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], doing: Doing, headers: Mapping[str, str], silence: float
    ) -> AsyncIterator["Stream"]:
        """
        Open a watch: the caller reads chunks as they come, at most `silence` seconds apart.

        Leaving the block closes the connection at once, whatever is still on its way.
        """
        limit = aiohttp.ClientTimeout(total=None, connect=CONNECT_LIMIT, sock_read=silence)
        reply = await self._open(path, query, headers, limit, doing)
        if reply.status == _UNAUTHORIZED and self._login.renew():
            _abort(reply)
            reply = await self._open(path, query, headers, limit, doing)
        try:
            yield Stream(reply, self, doing)
        finally:
            _abort(reply)

    async def _open(
        self,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        limit: aiohttp.ClientTimeout,
        doing: Doing,
    ) -> aiohttp.ClientResponse:
        arguments = await self._arguments(headers)
        try:
            return await self._watches.get(self._url(path, query), timeout=limit, **arguments)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise self.unreachable(exc, doing) from exc

    def unreachable(self, exc: BaseException, doing: Doing) -> errors.ClusterError:
        """Say in our words why no whole answer came."""
        where = f"{self.server} ({doing.text})"
        if isinstance(exc, errors.ClusterError):
            return exc
        what, mend = _explain(exc)
        sent = not isinstance(exc, _NOT_SENT)
        kind = errors.RequestTimeout if _is_timeout(exc) else errors.Unreachable
        return kind(what=what, where=where, mend=mend, maybe_written=doing.write and sent)

    async def _arguments(self, headers: Mapping[str, str]) -> dict[str, Any]:
        pairs = [*headers.items(), *self._access.user.headers]
        if (authorization := await self._login.header()) is not None:
            pairs.append(("Authorization", authorization))
        arguments: dict[str, Any] = {"headers": pairs, "allow_redirects": False}
        if self._proxy is not None:
            arguments["proxy"] = self._proxy
        if self._access.server_name is not None:
            arguments["server_hostname"] = self._access.server_name
        return arguments

    def _url(self, path: str, query: Mapping[str, str]) -> yarl.URL:
        text = f"{self.server}{path}?{urlencode(query)}" if query else f"{self.server}{path}"
        return yarl.URL(text, encoded=True)

    def _session(self, connections: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, ssl=self._tls if self._tls is not None else True)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BUFFER,
            headers={"User-Agent": "reconciler", "Accept-Encoding": "gzip"},
        )


class Stream:
    """An open answer that is read in chunks."""

    def __init__(self, reply: aiohttp.ClientResponse, transport: Transport, doing: Doing) -> None:
        self._reply = reply
        self._transport = transport
        self._doing = doing
        self.status = reply.status
        self.retry_after = _retry_after(reply)

    async def body(self) -> bytes:
        """Read all that is left, for an answer that is not a stream but an error."""
        try:
            async with asyncio.timeout(REQUEST_LIMIT):
                return await _read(self._reply, self._doing)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise self._transport.unreachable(exc, self._doing) from exc

    async def chunk(self) -> bytes:
        """Return the next bytes; b"" when the server ended the stream. Raises WatchLost."""
        try:
            return await self._reply.content.readany()
        except TimeoutError:
            raise self._lost("nothing came for too long") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise self._lost(_explain(exc)[0]) from exc

    def _lost(self, what: str) -> errors.WatchLost:
        return errors.WatchLost(
            what=what,
            where=f"{self._transport.server} ({self._doing.text})",
            mend="it is opened again; if it repeats, look at the network and proxies in between",
        )


def _abort(reply: aiohttp.ClientResponse) -> None:
    # A polite end of TLS waits for the other side, up to 30 s where that side is stalled.
    if reply.connection is not None and reply.connection.transport is not None:
        reply.connection.transport.abort()
    reply.close()


def _maybe_written(error: errors.ClusterError, doing: Doing) -> errors.ClusterError:
    """The second try says nothing about the first, which may have been committed before it was lost."""
    if isinstance(error, errors.Unreachable):
        error.maybe_written = doing.write
    return error


def _payload(request: Request) -> Body | None:
    return Body(request.body, request.check or _always) if request.body is not None else None


def _always() -> None:
    """Nothing keeps it from leaving."""


async def _read(reply: aiohttp.ClientResponse, doing: Doing) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in reply.content.iter_any():
        size += len(chunk)
        if size > BODY_LIMIT:
            reply.close()
            raise errors.TooLarge(
                what=f"the answer is larger than {BODY_LIMIT} bytes",
                where=doing.text,
                mend="ask for metadata only, or for fewer objects",
            )
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _retry_after(reply: aiohttp.ClientResponse) -> float | None:
    text = reply.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None  # the API server sends seconds, never a date


def _explain(exc: BaseException) -> tuple[str, str]:
    """Return what happened and how to mend it."""
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            what = f"the server's certificate is not trusted: {exc.certificate_error}"
            return what, "correct certificate-authority or the server's name in the kubeconfig"
        case aiohttp.ClientConnectorDNSError():
            return "the server's name cannot be resolved", "correct the server in the kubeconfig, or DNS"
        case ssl.SSLError():
            return f"TLS failed: {_cause(exc)}", "check that the address speaks TLS, and the certificates"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the proxy cannot be reached or refuses", "correct HTTPS_PROXY, NO_PROXY or proxy-url"
        case aiohttp.ClientConnectorError():
            what = f"cannot connect: {_cause(exc)}"
            return what, "check that the API server runs and that its address is right"
        case aiohttp.ConnectionTimeoutError():
            what = f"no connection within {CONNECT_LIMIT:.0f} s"
            return what, "check the network and firewalls in between"
        case TimeoutError():
            what = "no full answer in time"
            return what, "it is tried again; if it repeats, look at the server's load"
        case aiohttp.ClientPayloadError() | EOFError():
            return "the connection broke within the answer", "it is tried again"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            # A kubeconfig's were checked when it was read.
            return "the proxy's address is no URL", "correct HTTPS_PROXY or HTTP_PROXY"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP", "check that the address is an API server"
    return f"the connection was lost ({type(exc).__name__})", "it is tried again"


def _is_timeout(exc: BaseException) -> bool:
    """The connection stood, and the answer did not come."""
    return isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ConnectionTimeoutError)


def _cause(exc: BaseException) -> str:
    """The system's words (`Connection refused`), without address tuples and addresses of objects."""
    inner = getattr(exc, "os_error", exc)
    if isinstance(inner, ssl.SSLError):
        return getattr(inner, "reason", None) or "handshake failed"
    number = getattr(inner, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else str(inner)


def _tls_context(access: Access) -> ssl.SSLContext | None:
    if urlsplit(access.server).scheme != "https":
        return None
    # Not create_default_context: on Python 3.13 it refuses CAs without key identifiers,
    # as kubeadm and others make them; kubectl takes them.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, access.ca, access.where)
    if access.user.client_certificate:
        _load_pair(context, access.user.client_certificate, access.user.client_key, access.where)
    return context


def _load_ca(context: ssl.SSLContext, ca: bytes, where: str) -> None:
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError):
        raise errors.KubeconfigInvalid(
            what="certificate-authority is not a PEM certificate", where=where, mend="write the CA anew"
        ) from None


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes, where: str) -> None:
    # OpenSSL reads pairs from files only: ours is readable by us alone, and gone right after.
    try:
        with tempfile.TemporaryDirectory(prefix="reconciler-") as directory:
            pair = Path(directory) / "pair.pem"
            pair.touch(0o600)
            pair.write_bytes(certificate + b"\n" + key)
            context.load_cert_chain(pair)
    except (ssl.SSLError, OSError):
        raise errors.KubeconfigInvalid(
            what="client certificate and key do not form a pair, or cannot be read",
            where=where,
            mend="write client-certificate and client-key anew",
        ) from None
