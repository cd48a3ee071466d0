"""
Which proxy the environment asks for, by the rules of kubectl (Go's net/http).

Pure but for reading the environment. aiohttp's `trust_env` is not used: it looks into
~/.netrc in a thread for every request, and it does not know the networks in NO_PROXY
(10.0.0.0/8), with which clusters keep their own API address off the proxy.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy's URL for `url`, or None: no proxy set, loopback, or excluded by NO_PROXY."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name)
    if not proxy or _is_loopback(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_covers(entry.strip().lower(), host, port) for entry in excluded.split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if not entry:
        return False
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if address is None or entry.count(":") == 1:
        entry, colon, wanted = entry.rpartition(":") if ":" in entry else (entry, "", "")
        if colon and wanted != str(port):
            return False
    if address is not None:
        return _address(entry.strip("[]")) == address
    bare = entry.removeprefix("*")
    # `example.org` covers itself and what is below it, `.example.org` only what is below it.
    return host == bare or host.endswith(bare if bare.startswith(".") else f".{bare}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
