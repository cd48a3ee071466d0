"""
Which repository URLs we open, and what they consist of.

Pure. Everything is closed that is not named here: `https`, `http`, `ssh`, the scp-like
`git@host:path`, and local paths where the service was started with them allowed. A URL
that may hold a secret is refused without being printed. credentials.py compares prefixes
with what is parsed here; command.py hands `RemoteUrl.text` to git as it was written.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from reconciler.git.errors import SourceRefused

HIGHEST_PORT = 65535
DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}

_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_USER = r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?"
# No "?", "#", "@", blank, backslash or control character: servers and git read them differently.
_PATH = r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:%/-]*)?"
_URL = re.compile(rf"(?P<scheme>https|http|ssh)://{_USER}{_HOST}(?::(?P<port>[0-9]{{1,5}}))?{_PATH}")
_SCP = re.compile(rf"{_USER.removesuffix('?')}{_HOST}:(?P<path>[A-Za-z0-9._~/][A-Za-z0-9._~!$&'()*+,;=%/-]*)")
_ABSOLUTE = re.compile(r"/[^\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """A URL that passed; `text` is for git, the rest for comparing. `path` is decoded and begins with "/"."""

    text: str
    scheme: str
    user: str
    host: str
    port: int
    path: str

    @property
    def is_loopback(self) -> bool:
        """Does the traffic stay on this machine?"""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def parse_url(text: str, *, allow_local: bool = False) -> RemoteUrl:
    """Take a URL apart, or raise `SourceRefused`; `allow_local` opens absolute paths and `file://`."""
    if allow_local and (local := _local(text)):
        return local
    match = _URL.fullmatch(text) or _SCP.fullmatch(text)
    if match is None:
        raise _refusal(text)
    parts = match.groupdict()
    scheme = parts.get("scheme") or "ssh"
    if parts["user"] and scheme != "ssh":
        raise _refusal(text)
    port = int(parts.get("port") or DEFAULT_PORTS[scheme])
    path = _plain_path(parts["path"] or "/")
    if path is None or not 0 < port <= HIGHEST_PORT:
        raise SourceRefused(
            what="the path or port of the repository URL is ambiguous",
            where=text,
            mend="write it without empty, '.' or '..' components, encoded slashes or encoded percent signs",
        )
    return RemoteUrl(text, scheme, parts["user"] or "", parts["host"].lower(), port, path)


def is_below(url: RemoteUrl, prefix: RemoteUrl) -> bool:
    """Is `url` the prefix itself or below it, counted in whole path components?"""
    if (url.scheme, url.host, url.port) != (prefix.scheme, prefix.host, prefix.port):
        return False
    if prefix.user and url.user != prefix.user:
        return False
    base = prefix.path.rstrip("/")
    return url.path.rstrip("/") == base or url.path.startswith(base + "/")


def _local(text: str) -> RemoteUrl | None:
    path = text.removeprefix("file://")
    if not _ABSOLUTE.fullmatch(path):
        return None
    return RemoteUrl(text, "file", "", "", 0, path)


def _plain_path(path: str) -> str | None:
    decoded = unquote(path if path.startswith("/") else f"/{path}", errors="surrogateescape")
    # A "%" that is left could be decoded once more by the server; a slash that appeared was hidden.
    if "%" in decoded or "\\" in decoded or decoded.count("/") != path.lstrip("/").count("/") + 1:
        return None
    parts = decoded.removesuffix("/").split("/")[1:]
    if any(part in ("", ".", "..") or part.startswith("-") for part in parts) or not decoded.isprintable():
        return None
    return decoded


def _refusal(text: str) -> SourceRefused:
    """Say why without printing the URL: what stands before an "@" is probably a password."""
    if "@" in text:
        return SourceRefused(
            what="a repository URL must not hold a user or password (a user alone is fine for ssh)",
            where="repository URL (not shown)",
            mend="put user and password into the Secret or directory that `credentials` names",
        )
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,15}(?=:)", text)
    what = "this repository URL is not one we open"
    if scheme and scheme.group() not in DEFAULT_PORTS:
        what = f"repositories are not read over '{scheme.group()}'"
    elif text.startswith(("/", ".")):
        what = "local repositories are closed"
    return SourceRefused(
        what=what,
        where="repository URL (not shown)",
        mend="use https://host/path, ssh://git@host/path or git@host:path, in percent-encoded ASCII",
    )
