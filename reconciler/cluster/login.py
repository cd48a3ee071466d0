"""
Credentials for each request, renewed when they rotate.

Plain users are handled here; `exec` and `auth-provider` users by `kubernetes.aio.config`,
imported only then (kubeconfig.py says why). Tokens are handed out only to build a
header and have no repr; what a plugin prints is never shown.

Neighbour: transport.py asks for the header before each request, and after a 401 once
more with `renew()`.
"""

import asyncio
import base64
import datetime
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from reconciler.cluster import errors
from reconciler.cluster.kubeconfig import Access

PLUGIN_DEADLINE = 60.0  # s; a plugin may wait for a person to touch a key
EXPIRY_MARGIN = 60.0  # s before a plugin's token ends at which it is renewed

_AUTH_PROVIDERS = frozenset({"gcp", "oidc"})  # those that the library knows; kubectl has given up the others
_EXIT_CODE = re.compile(r"exec: process returned (-?\d+)")  # how the library says it


class Login(Protocol):
    """A source of the Authorization header."""

    async def header(self) -> str | None:
        """Return the header's value as of now, or None when there is none (client certificates)."""

    def renew(self) -> bool:
        """Forget what is cached after a 401; False when asking again cannot help."""


class StaticLogin:
    """A fixed header or none."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    async def header(self) -> str | None:
        return self._value

    def renew(self) -> bool:
        return False


class FileLogin:
    """A token file, read again as soon as it is another file or has another time (kubelet rotation)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._value = ""

    async def header(self) -> str | None:
        return self._read()

    def renew(self) -> bool:
        before, self._seen = self._value, None
        return self._read() != before

    def _read(self) -> str:
        try:
            stat = os.stat(self._path)
            now = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if now != self._seen:
                self._value = "Bearer " + _printable(self._path.read_text("ascii").strip(), str(self._path))
                self._seen = now
        except (OSError, UnicodeDecodeError) as exc:
            what = exc.strerror if isinstance(exc, OSError) else "it is not ASCII text"
            raise errors.KubeconfigInvalid(
                what=f"cannot read the token: {what}",
                where=str(self._path),
                mend="check that the token is mounted and readable for this user",
            ) from None
        return self._value


class PluginLogin:
    """An `exec` or `auth-provider` user, by kubernetes.aio.config; cached until it expires."""

    def __init__(self, user: Mapping[str, Any], *, where: str) -> None:
        self._user = user
        self._where = where
        self._name = _name_of(user, where)
        self._lock = asyncio.Lock()
        self._value: str | None = None
        self._until = 0.0  # seconds since the epoch; 0: not asked yet
        self.certificate = b""
        self.key = b""

    async def header(self) -> str | None:
        async with self._lock:
            if _wall_clock() >= self._until:
                await self._ask()
            return self._value

    def renew(self) -> bool:
        self._until = 0.0
        return True

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(PLUGIN_DEADLINE):
                # Importing the library takes 0.4 s: off the loop.
                kube = await asyncio.to_thread(_library)
                if "exec" in self._user:
                    status = await _run_exec(kube, self._user["exec"], self._where)
                else:
                    status = await _ask_auth_provider(kube, self._user)
        except TimeoutError:
            raise self._failed(f"gave no answer within {PLUGIN_DEADLINE:.0f} s") from None
        except _PluginFailed as exc:
            raise self._failed(str(exc)) from None
        token = status.get("token")
        self._value = None if not token else "Bearer " + _printable(str(token), self._where)
        self.certificate = str(status.get("clientCertificateData") or "").encode()
        self.key = str(status.get("clientKeyData") or "").encode()
        if self._value is None and not (self.certificate and self.key):
            raise self._failed("gave neither a token nor a certificate with its key")
        self._until = _expiry(status.get("expirationTimestamp"))

    def _failed(self, what: str) -> errors.Unauthorized:
        mend = "run it by hand to see why, and log in again"
        if "exec" not in self._user:
            mend = "log in again, or use exec or a token"
        return errors.Unauthorized(what=f"{self._name} {what}", where=self._where, mend=mend)


def _name_of(user: Mapping[str, Any], where: str) -> str:
    """`credential plugin aws`, `auth-provider oidc`; raises KubeconfigInvalid for what cannot be asked."""
    kind, key = ("exec", "command") if "exec" in user else ("auth-provider", "name")
    entry = user[kind]
    name = entry.get(key) if isinstance(entry, Mapping) else None
    if kind == "exec" and name:
        return f"credential plugin {name}"
    if kind == "exec":
        raise errors.KubeconfigInvalid(
            what="exec has no command", where=where, mend="correct users[].user.exec"
        )
    if name not in _AUTH_PROVIDERS:
        raise errors.KubeconfigInvalid(
            what=f"auth-provider {name or 'without a name'} is not supported",
            where=where,
            mend="use exec or a token",
        )
    return f"auth-provider {name}"


class _PluginFailed(Exception):
    """What is safe to say about a plugin's failure."""


async def _run_exec(kube: Any, config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    try:
        provider = kube.ExecProvider(kube.ConfigNode("exec", dict(config)))
    except (kube.ConfigException, ValueError, LookupError, TypeError):
        raise errors.KubeconfigInvalid(
            what="exec has no apiVersion, or its args or env are wrong",
            where=where,
            mend="correct users[].user.exec",
        ) from None
    # The library's text holds the plugin's stderr and may hold its stdout: no more is taken from it.
    try:
        status = await provider.run()
    except OSError as exc:
        raise _PluginFailed(f"cannot be started: {exc.strerror}") from None
    except kube.ConfigException as exc:
        if ended := _EXIT_CODE.match(str(exc)):
            raise _PluginFailed(f"ended with exit code {ended[1]}") from None
        raise _PluginFailed(f"printed no ExecCredential of {provider.api_version}") from None
    except (ValueError, TypeError):
        status = None
    if not isinstance(status, Mapping):
        raise _PluginFailed(f"printed no ExecCredential of {provider.api_version}")
    return status


async def _ask_auth_provider(kube: Any, user: Mapping[str, Any]) -> Mapping[str, Any]:
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "http://unused.invalid"}}],
        "users": [{"name": "it", "user": dict(user)}],
    }
    target = kube.Configuration()
    try:
        await kube.KubeConfigLoader(config).load_and_set(target)
    except (kube.ConfigException, OSError, ValueError, LookupError, TypeError):
        raise _PluginFailed("gave no token") from None
    return {"token": str(target.api_key.get("BearerToken") or "").removeprefix("Bearer ")}


class _Library:
    """The parts of kubernetes.aio.config that plugins need, imported once and late."""

    def __init__(self) -> None:
        from kubernetes.aio.client import Configuration  # noqa: PLC0415
        from kubernetes.aio.config import ConfigException  # noqa: PLC0415
        from kubernetes.aio.config.exec_provider import ExecProvider  # noqa: PLC0415
        from kubernetes.aio.config.kube_config import ConfigNode, KubeConfigLoader  # noqa: PLC0415

        self.Configuration = Configuration
        self.ConfigException = ConfigException
        self.ExecProvider = ExecProvider
        self.ConfigNode = ConfigNode
        self.KubeConfigLoader = KubeConfigLoader


def _library() -> Any:
    return _Library()


def login_for(access: Access) -> Login:
    """Choose the source of credentials; order as kubectl: plugin, token file, token, password."""
    user = access.user
    if user.plugin is not None:
        return PluginLogin(user.plugin, where=access.where)
    if user.token_file is not None:
        return FileLogin(user.token_file)
    if user.token:
        return StaticLogin("Bearer " + _printable(user.token, access.where))
    if user.username:
        pair = f"{user.username}:{user.password}".encode()
        return StaticLogin("Basic " + base64.b64encode(pair).decode())
    return StaticLogin(None)


def _printable(token: str, where: str) -> str:
    # A token with a line break would become a second header, or an error of aiohttp that quotes it.
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise errors.KubeconfigInvalid(
            what="the token is empty or not one word of ASCII text",
            where=where,
            mend="write the token anew",
        )
    return token


def _expiry(text: object) -> float:
    """Seconds since the epoch until which a plugin's answer may be used; no time given: for ever."""
    if not isinstance(text, str) or not text:
        return float("inf")
    try:
        return datetime.datetime.fromisoformat(text).timestamp() - EXPIRY_MARGIN
    except ValueError:
        return float("inf")


def _wall_clock() -> float:
    # Expiry is a moment of the outside world, so the loop's clock does not serve.
    return datetime.datetime.now(datetime.UTC).timestamp()
