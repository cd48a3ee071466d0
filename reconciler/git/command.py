"""
The one way we call git over a network: closed configuration, bare environment, hidden secrets.

`access` puts the secrets into files that only this user can read, in a directory that is
gone after the call (in memory where the system has /dev/shm); git and ssh are told paths,
so neither an argument list nor an environment holds a secret. The user's and the system's
git configuration are not read: what git may do is listed here and nowhere else.
"""

import fcntl
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from reconciler.git.credentials import Credentials, check_url
from reconciler.git.errors import SourceRefused
from reconciler.git.urls import RemoteUrl

PRIVATE_PREFIX = "reconciler-git-"
MEMORY = Path("/dev/shm")  # noqa: S108 - only a 0700 directory of ours is made there
STREAM_FROM = "32m"  # bigger blobs are not held in memory while a pack is checked
LARGEST_BLOCK = str(512 * 1024 * 1024)  # bytes; git gives up rather than ask for more memory at once
ORPHAN_SECONDS = "60"  # a git whose parent was killed ends when the server is silent that long

_PROXIES = ("https_proxy", "http_proxy", "no_proxy", "all_proxy")
PASSED_ON = ("PATH", "TMPDIR", "TZ", *_PROXIES, *(name.upper() for name in _PROXIES))

CLOSED = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "core.bigFileThreshold": STREAM_FROM,
    "credential.helper": "",  # an empty value forgets helpers named before
    "http.followRedirects": "false",  # a redirect could lead inside the cluster's own network
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": ORPHAN_SECONDS,
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.unpackLimit": "1",  # always a pack: one file to watch, and quick to read
    "transfer.fsckObjects": "true",
    # Harmless, and in the history of many old repositories; every big host lets them pass.
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "protocol.version": "2",
}

SSH_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)


@dataclass(frozen=True, slots=True)
class Access:
    """How to call git for one URL; neither field holds a secret."""

    arguments: tuple[str, ...]  # `git` and what stands before the subcommand
    environment: Mapping[str, str]
    directory: Path  # empty home and working directory, gone after the call


@contextmanager
def access(url: RemoteUrl | None, credentials: Credentials | None) -> Iterator[Access]:
    """Prepare calls to `url` (None: the mirror alone); `SourceRefused` comes before anything is sent."""
    if url is not None and url.scheme != "file":
        _check(url, credentials)
    with _private_directory() as private:
        home = private / "home"
        home.mkdir(mode=0o700)
        config = dict(CLOSED)
        environment = _environment(home, local=url is not None and url.scheme == "file")
        arguments = ["git"]
        if credentials is not None and url is not None:
            if url.scheme == "ssh":
                environment["GIT_SSH_COMMAND"] = _ssh(private, credentials)
            elif url.scheme != "file":
                config |= _http(private, url, credentials)
        for key, value in config.items():
            arguments += ["-c", f"{key}={value}"]
        if credentials is not None and url is not None and credentials.password and url.scheme != "ssh":
            # After the empty one, which would forget it; only for this host, whatever a server answers.
            helper = f"store --file={_write(private, 'http', _store_line(url, credentials))}"
            arguments += ["-c", f"credential.{_origin(url)}.helper={helper}"]
        yield Access(tuple(arguments), environment, home)


def _check(url: RemoteUrl, credentials: Credentials | None) -> None:
    if credentials is not None:
        check_url(credentials, url.text)
    elif url.scheme == "ssh":
        raise SourceRefused(
            what="ssh needs credentials: an identity and the server's known_hosts",
            where=url.text,
            mend="name credentials with the keys ssh-privatekey and known_hosts",
        )


def _environment(home: Path, *, local: bool) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "LC_ALL": "C",  # failures.py reads the messages
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(home.parent),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:file" if local else "https:http:ssh",
        "GIT_ALLOC_LIMIT": LARGEST_BLOCK,
        "GIT_TRACE_PACKET": "2",  # process.py takes these lines as signs of life
        "GIT_SSH_VARIANT": "ssh",
        "GIT_SSH_COMMAND": "false",  # replaced where ssh is wanted
    }


def _http(private: Path, url: RemoteUrl, credentials: Credentials) -> dict[str, str]:
    if not credentials.ca or url.scheme != "https":
        return {}
    return {"http.sslCAInfo": str(_write(private, "ca", credentials.ca))}


def _store_line(url: RemoteUrl, credentials: Credentials) -> bytes:
    user, password = quote(credentials.username, safe=""), quote(credentials.password, safe="")
    scheme, _, host = _origin(url).partition("://")
    return f"{scheme}://{user}:{password}@{host}\n".encode()


def _origin(url: RemoteUrl) -> str:
    """Scheme, host and port as the URL writes them: git compares text."""
    origin = re.match(r"[a-z]+://[^/]+", url.text)
    return origin.group() if origin else ""


def _ssh(private: Path, credentials: Credentials) -> str:
    options = [
        *SSH_OPTIONS,
        f"UserKnownHostsFile={_write(private, 'known_hosts', credentials.known_hosts)}",
        f"IdentityFile={_write(private, 'identity', credentials.identity)}",
    ]
    return shlex.join(["ssh", "-F", os.devnull, *(word for option in options for word in ("-o", option))])


def _write(private: Path, name: str, content: bytes) -> Path:
    path = private / name
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path


@contextmanager
def _private_directory() -> Iterator[Path]:
    base = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    _remove_left_behind(base)
    path, lock = _made_and_held(base)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.close()


def _made_and_held(base: Path) -> tuple[Path, IO[bytes]]:
    """
    A new directory, and its lock: held for as long as we live, since a directory that nobody holds
    was left by a process that was killed. One that was taken for such before we held it is given up.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir=base))
        lock = open(os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600), "wb")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody removes it at this moment
            lock.close()
            continue
        if (path / "lock").exists():
            return path, lock
        lock.close()


def _remove_left_behind(base: Path) -> None:
    for path in base.glob(f"{PRIVATE_PREFIX}*"):
        try:
            if path.stat().st_uid != os.getuid():
                continue
            with open(os.open(path / "lock", os.O_RDWR | os.O_NOFOLLOW), "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # held by a living process, or just being removed
