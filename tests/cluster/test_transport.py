"""What becomes of every exception of aiohttp and ssl, and what a process pays for importing the client."""

import inspect
import ssl
import subprocess
import sys
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from reconciler.cluster import errors
from reconciler.cluster.kubeconfig import Access
from reconciler.cluster.replies import Doing
from reconciler.cluster.transport import Transport

# Not of the client's requests: web sockets, file uploads, headers of forms.
ELSEWHERE = {"WebSocketError", "WSMessageTypeError", "EofStream", "UploadAbortedError"}
KEY = ConnectionKey("api", 6443, True, True, None, None, None)
ARGUMENTS = {
    "ClientConnectorCertificateError": (KEY, ssl.SSLCertVerificationError("x")),
    "ClientProxyConnectionError": (KEY, OSError(111, "refused")),
    "ClientConnectorSSLError": (KEY, ssl.SSLError("x")),
    "ClientConnectorDNSError": (KEY, OSError(-2, "Name or service not known")),
    "ClientConnectorError": (KEY, OSError(111, "refused")),
    "ClientSSLError": (KEY, ssl.SSLError("x")),
    "ServerFingerprintMismatch": (b"a", b"b", "api", 6443),
}
RESPONSES = (aiohttp.ClientResponseError,)


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, RESPONSES):
        return kind(Mock(), ())
    if kind.__name__ in ARGUMENTS:
        return kind(*ARGUMENTS[kind.__name__])
    return kind("c4n4ry")


def exceptions() -> list[type[Exception]]:
    of_aiohttp = [
        kind
        for kind in vars(aiohttp).values()
        if inspect.isclass(kind)
        and issubclass(kind, Exception)
        and not issubclass(kind, Warning)
        and kind.__name__ not in ELSEWHERE
    ]
    return [*of_aiohttp, ssl.SSLError, ssl.SSLCertVerificationError, TimeoutError, ConnectionResetError]


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
async def test_every_exception_of_the_transport_becomes_unreachable(kind: type[Exception]) -> None:
    # What `_send` catches is a ClientError, OSError or ValueError; a new kind of another base fails here.
    assert issubclass(kind, aiohttp.ClientError | OSError | ValueError)
    transport = Transport(Access(server="https://api:6443"))
    try:
        got = transport.unreachable(made(kind), Doing("apply ConfigMap shop/a", write=True))
    finally:
        await transport.close()
    assert isinstance(got, errors.Unreachable)
    assert str(got).startswith("https://api:6443 (apply ConfigMap shop/a): ")
    assert "c4n4ry" not in str(got)


@pytest.mark.parametrize(
    ("kind", "maybe_written"),
    [
        (aiohttp.ClientConnectorError, False),
        (aiohttp.ClientConnectorCertificateError, False),
        (aiohttp.ConnectionTimeoutError, False),
        (aiohttp.ServerDisconnectedError, True),
        (aiohttp.ClientPayloadError, True),
        (ssl.SSLError, True),
        (TimeoutError, True),
    ],
)
async def test_whether_a_write_may_have_been_made(kind: type[Exception], maybe_written: bool) -> None:
    transport = Transport(Access(server="https://api:6443"))
    try:
        got = transport.unreachable(made(kind), Doing("apply ConfigMap shop/a", write=True))
    finally:
        await transport.close()
    assert isinstance(got, errors.Unreachable)
    assert got.maybe_written is maybe_written


@pytest.mark.parametrize(
    "access",
    [
        pytest.param(Access(server="https://api", ca=b"no certificate"), id="CA"),
        pytest.param(Access(server="https://api", ca=b"\xff"), id="CA in binary"),
    ],
)
async def test_a_ca_that_is_none_is_an_error_of_ours(access: Access) -> None:
    with pytest.raises(errors.KubeconfigInvalid, match="not a PEM certificate"):
        Transport(access)


def test_the_client_does_without_the_generated_kubernetes_library() -> None:
    """Its import costs as much as all the rest of a run that has nothing to do."""
    code = (
        "import sys, reconciler.cluster.client\n"
        "print('kubernetes' in sys.modules, 'aiohttp.web' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=15
    )
    assert done.stdout.split() == ["False", "False"]


def test_errors_and_pure_parts_do_without_aiohttp() -> None:
    code = (
        "import sys\n"
        "from reconciler.cluster import counter, errors, health, managed, replies, resource, throttle\n"
        "print('aiohttp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=15
    )
    assert done.stdout.split() == ["False"]
