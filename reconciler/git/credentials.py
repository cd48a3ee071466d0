"""
Credentials for one system's repositories, and the check that they go nowhere else.

Whoever writes the configuration names credentials, but does not own them. So a Secret
(or a mounted directory) says itself which URLs it is for, and `check_url` compares scheme,
host, port and whole path components before anything is sent. Nothing here logs, and no
repr or error holds a value. command.py hands the values to git.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.git.errors import CredentialsInvalid, SourceRefused
from reconciler.git.urls import is_below, parse_url

CREDENTIALS_LABEL = "reconciler.dev/credentials"
CREDENTIALS_LABEL_VALUE = "git"
URL_PREFIX_ANNOTATION = "reconciler.dev/url-prefix"
URL_PREFIX_FILE = "url-prefix"

# A Secret's name in Kubernetes, which is also a safe name for a directory: no slash, no leading dot.
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_MAX = 253

# The first name of each row is ours, the others are those of Flux and of kubernetes.io/ssh-auth.
KEYS = {
    "username": ("username",),
    "password": ("password",),
    "token": ("token", "bearerToken"),
    "identity": ("ssh-privatekey", "identity"),
    "known_hosts": ("known_hosts",),
    "ca": ("ca.crt", "caFile"),
}
TOKEN_USERNAME = "oauth2"  # noqa: S105 - GitLab asks for this name, GitHub and Gitea take any
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_FILE = 1024 * 1024  # bytes; the most that a Secret can hold


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the repositories below `url_prefix`; empty text or bytes mean "not given"."""

    name: str
    url_prefix: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity: bytes = field(default=b"", repr=False)
    known_hosts: bytes = field(default=b"", repr=False)
    ca: bytes = field(default=b"", repr=False)


def is_name(text: str) -> bool:
    """Can credentials have this name, as a Secret and as a directory?"""
    return len(text) <= _NAME_MAX and NAME.fullmatch(text) is not None


def from_secret(
    name: str, *, labels: Mapping[str, str], annotations: Mapping[str, str], data: Mapping[str, bytes]
) -> Credentials:
    """Read a Secret's decoded `data`; it must say itself that it is for git, and for which URLs."""
    where = f"Secret {name}"
    if labels.get(CREDENTIALS_LABEL) != CREDENTIALS_LABEL_VALUE:
        raise CredentialsInvalid(
            what="the Secret is not meant for git",
            where=where,
            mend=f"its owner has to set the label {CREDENTIALS_LABEL}: {CREDENTIALS_LABEL_VALUE}",
        )
    prefix = annotations.get(URL_PREFIX_ANNOTATION, "")
    return _build(name, where, prefix, f"the annotation {URL_PREFIX_ANNOTATION}", data)


def from_directory(path: Path) -> Credentials:
    """Read mounted files (named as a Secret's keys); the file `url-prefix` takes the annotation's place."""
    where = f"credentials directory {path.name}"
    wanted = {URL_PREFIX_FILE, *(key for keys in KEYS.values() for key in keys)}
    data: dict[str, bytes] = {}
    try:
        for file in path.iterdir():
            if file.name in wanted and file.is_file():  # opening a pipe would wait without end
                with file.open("rb") as stream:
                    data[file.name] = stream.read(MAX_FILE)
    except OSError as error:
        raise CredentialsInvalid(
            what=f"cannot be read ({error.strerror})",
            where=where,
            mend="mount the directory below --credentials-dir, readable for this user",
        ) from error
    prefix = data.pop(URL_PREFIX_FILE, b"").decode("ascii", "replace").strip()
    return _build(path.name, where, prefix, f"the file {URL_PREFIX_FILE}", data)


def check_url(credentials: Credentials, url: str) -> None:
    """Raise `SourceRefused` unless `url` lies below the prefix and can be used with what is there."""
    remote = parse_url(url)
    if not is_below(remote, parse_url(credentials.url_prefix)):
        raise SourceRefused(
            what=f"credentials {credentials.name} are for {credentials.url_prefix}, not for this repository",
            where=url,
            mend="name other credentials, or have their owner widen the prefix",
        )
    if remote.scheme == "http" and not remote.is_loopback:
        raise SourceRefused(
            what=f"credentials {credentials.name} would cross the network unencrypted",
            where=url,
            mend="use https, or no credentials",
        )
    if remote.scheme == "ssh" and not (credentials.identity and credentials.known_hosts):
        raise SourceRefused(
            what=f"credentials {credentials.name} hold no ssh identity with known_hosts",
            where=url,
            mend="add the keys ssh-privatekey and known_hosts",
        )


def _build(name: str, where: str, prefix: str, prefix_place: str, data: Mapping[str, bytes]) -> Credentials:
    if not prefix:
        raise CredentialsInvalid(
            what=f"{prefix_place} is missing",
            where=where,
            mend="let it say for which URLs these credentials are",
        )
    try:
        parse_url(prefix)
    except SourceRefused as error:
        raise CredentialsInvalid(
            what=f"{prefix_place} is not a usable URL prefix: {error.what}", where=where, mend=error.mend
        ) from error
    found = {kind: _pick(kind, where, data) for kind in KEYS}
    username = _line("username", where, found["username"])
    password, token = _line("password", where, found["password"]), _line("token", where, found["token"])
    problem = _contradiction(bool(username), bool(password), bool(token), found)
    if problem:
        raise CredentialsInvalid(what=problem, where=where, mend="see docs/configuration.md, credentials")
    return Credentials(
        name=name,
        url_prefix=prefix,
        username=username or (TOKEN_USERNAME if token else ""),
        password=password or token,
        identity=_key_text(found["identity"]),
        known_hosts=found["known_hosts"],
        ca=found["ca"],
    )


def _contradiction(username: bool, password: bool, token: bool, found: Mapping[str, bytes]) -> str:
    if not any(found.values()):
        keys = ", ".join(names[0] for names in KEYS.values())
        return f"none of the keys {keys} is there"
    if password and token:
        return "password and token are both given"
    if password and not username:
        return "password is given without username"
    if username and not (password or token or found["identity"]):
        return "username is given without password or token"
    if found["identity"] and not found["known_hosts"]:
        return "an ssh identity is given without known_hosts, so the server could not be recognised"
    return ""


def _pick(kind: str, where: str, data: Mapping[str, bytes]) -> bytes:
    given = [key for key in KEYS[kind] if data.get(key)]
    if len(given) > 1:
        raise CredentialsInvalid(
            what=f"{' and '.join(given)} are two names for one value", where=where, mend="remove one of them"
        )
    return data[given[0]] if given else b""


def _line(kind: str, where: str, value: bytes) -> str:
    """One line of text; the newline that editors and `echo` leave at the end is dropped."""
    try:
        text = value.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = "\0"
    # A line break inside would be a second line of git's credential protocol.
    if _CONTROL.search(text):
        # The value itself must not be seen, not even as the cause of this error.
        raise CredentialsInvalid(
            what=f"{kind} holds line breaks, control characters or bytes that are not UTF-8",
            where=where,
            mend="store the plain value, one line",
        ) from None
    return text


def _key_text(identity: bytes) -> bytes:
    # ssh refuses a private key with Windows line ends or without a last newline.
    text = identity.replace(b"\r\n", b"\n")
    return text if not text or text.endswith(b"\n") else text + b"\n"
