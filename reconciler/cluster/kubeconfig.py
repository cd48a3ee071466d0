"""
Where the API server is and how to log in: kubeconfig files and in-cluster files.

Read here rather than by `kubernetes.aio.config` for one reason: importing any part of
`kubernetes.aio` runs its whole package (client models, informer, aiohttp.web, both
clients), about 0.25 s of a no-op sync that has 0.5 s in all. Plain users (token, token
file, client certificate, password) need none of it. Users of `exec` or `auth-provider`
are left to the library by login.py, which imports it then. Rules as kubectl's:
$KUBECONFIG may name several files, the first to name a thing wins, relative paths
count from the file that holds them.

Never connects. Neighbours: login.py makes credentials of `Access`, transport.py uses both.
"""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from reconciler.cluster import errors

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FILE_LIMIT = 4 * 1024 * 1024  # bytes; a kubeconfig with inline certificates has some KiB a cluster


@dataclass(frozen=True, slots=True)
class User:
    """How to log in; the plain ways, or `plugin` as the kubeconfig holds it. No repr: all is secret."""

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    client_certificate: bytes = field(default=b"", repr=False)
    client_key: bytes = field(default=b"", repr=False)
    plugin: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()  # impersonation


@dataclass(frozen=True, slots=True)
class Access:
    """One cluster and one user; `ca` None means the system's trust store."""

    server: str
    user: User = User()
    ca: bytes | None = None
    insecure: bool = False
    server_name: str | None = None
    proxy: str | None = None
    namespace: str = "default"
    where: str = ""  # file and context, for error texts


def find_access(
    *,
    kubeconfig: Path | None,
    context: str | None,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """
    Choose as kubectl does: the file given, else $KUBECONFIG, else the pod's ServiceAccount
    (when no context is asked for), else ~/.kube/config. Raises KubeconfigInvalid.
    """
    if kubeconfig is not None:
        return read([kubeconfig], context)
    if listed := [Path(name) for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]:
        return read(listed, context)
    token = service_account / "token"
    if context is None and environ.get("KUBERNETES_SERVICE_HOST") and token.exists():
        return _in_cluster(environ, service_account)
    return read([Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"], context)


def _in_cluster(environ: Mapping[str, str], service_account: Path) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    namespace = service_account / "namespace"
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        user=User(token_file=service_account / "token"),
        ca=_read_file(service_account / "ca.crt", "the cluster's CA"),
        namespace=_read_file(namespace, "the pod's namespace").decode().strip(),
        where=str(service_account),
    )


def read(paths: Sequence[Path], context: str | None) -> Access:
    """Read and merge kubeconfig files, then pick `context` (None: the current one)."""
    present = [path for path in paths if path.exists()]
    if not present:
        raise _invalid(
            what="there is no such kubeconfig file",
            where=", ".join(map(str, paths)),
            mend="give --kubeconfig, set KUBECONFIG, or run inside a cluster with a ServiceAccount",
        )
    merged = _Merged()
    for path in present:
        merged.add(path, _load(path))
    return merged.pick(context, where=", ".join(map(str, present)))


class _Merged:
    """Named entries of several files; each remembers its file's directory for relative paths."""

    def __init__(self) -> None:
        self.current = ""
        self.entries: dict[str, dict[str, tuple[Mapping[str, Any], Path]]] = {
            "contexts": {},
            "clusters": {},
            "users": {},
        }

    def add(self, path: Path, content: Mapping[str, Any]) -> None:
        self.current = self.current or str(content.get("current-context") or "")
        for section, known in self.entries.items():
            for name, body in _named(content.get(section), section, path):
                known.setdefault(name, (body, path.parent))

    def pick(self, context: str | None, *, where: str) -> Access:
        name = context or self.current
        contexts = self.entries["contexts"]
        if name not in contexts:
            known = ", ".join(sorted(contexts)) or "none"
            what = (
                f"there is no context {name!r}"
                if name
                else "no context is given and current-context is not set"
            )
            raise _invalid(what, where, f"choose one with --context; the file has: {known}")
        chosen, _ = contexts[name]
        where = f"{where} (context {name})"
        cluster, base = self._entry("clusters", chosen.get("cluster"), where)
        user: Mapping[str, Any] = {}
        user_base = base
        if chosen.get("user"):
            user, user_base = self._entry("users", chosen.get("user"), where)
        return _access(
            cluster, base, _user(user, user_base, where), str(chosen.get("namespace") or "default"), where
        )

    def _entry(self, section: str, name: object, where: str) -> tuple[Mapping[str, Any], Path]:
        try:
            return self.entries[section][str(name)]
        except KeyError:
            known = ", ".join(sorted(self.entries[section])) or "none"
            raise _invalid(
                f"the context names {section[:-1]} {name!r}, which is not there",
                where,
                f"the file has: {known}",
            ) from None


def _named(entries: object, section: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    named: list[tuple[str, Mapping[str, Any]]] = []
    for entry in entries if isinstance(entries, list) else [entries] if entries else []:
        body = entry.get(section[:-1]) if isinstance(entry, dict) else 0
        if not isinstance(entry, dict) or not isinstance(body, dict | None):
            raise _invalid(f"{section} is not a list of named entries", str(path), "mend the file")
        named.append((str(entry.get("name")), body or {}))
    return named


def _access(cluster: Mapping[str, Any], base: Path, user: User, namespace: str, where: str) -> Access:
    server = str(cluster.get("server") or "").rstrip("/")
    if "@" in server:  # it would be shown with every error
        raise _invalid("the server's URL holds a user name or password", where, "move them to users[].user")
    if not _is_http_url(server):
        raise _invalid(
            f"server {server!r} is not an http or https URL", where, "correct clusters[].cluster.server"
        )
    proxy = str(cluster.get("proxy-url") or "")
    if proxy and not _is_http_url(proxy):  # not shown: it may hold a password
        raise _invalid("proxy-url is not an http or https URL", where, "correct clusters[].cluster.proxy-url")
    return Access(
        server=server,
        user=user,
        ca=_data_or_file(cluster, "certificate-authority", base, where) or None,
        insecure=cluster.get("insecure-skip-tls-verify") is True,
        server_name=str(cluster.get("tls-server-name") or "") or None,
        proxy=proxy or None,
        namespace=namespace,
        where=where,
    )


def _is_http_url(text: str) -> bool:
    """Whether it has a host that can be looked up, and a port that is one if any."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")
        _ = parts.port
    except ValueError:
        return False
    return text.startswith(("https://", "http://")) and bool(host)


def _user(user: Mapping[str, Any], base: Path, where: str) -> User:
    token_file = user.get("tokenFile")
    return User(
        token="" if token_file else str(user.get("token") or ""),  # kubectl: the file wins
        token_file=base / str(token_file) if token_file else None,
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
        client_certificate=_data_or_file(user, "client-certificate", base, where),
        client_key=_data_or_file(user, "client-key", base, where),
        plugin=user if "exec" in user or "auth-provider" in user else None,
        headers=tuple(_impersonation(user)),
    )


def _impersonation(user: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not user.get("as"):
        return []
    listed = user.get("as-groups")
    groups = [("Impersonate-Group", str(group)) for group in listed] if isinstance(listed, list) else []
    return [("Impersonate-User", str(user["as"])), *groups]


def _data_or_file(entry: Mapping[str, Any], key: str, base: Path, where: str) -> bytes:
    """`key-data` (base64) wins over `key` (a path), as in kubectl; b"" when there is neither."""
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(str(data), validate=True)
        except binascii.Error:
            raise _invalid(f"{key}-data is not base64", where, "write the file anew") from None
    return _read_file(base / str(entry[key]), key) if entry.get(key) else b""


def _read_file(path: Path, role: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as exc:
        raise _invalid(
            f"cannot read {role}: {exc.strerror}", str(path), "correct the path or its rights"
        ) from exc
    if len(content) > FILE_LIMIT:
        raise _invalid(f"{role} is larger than {FILE_LIMIT} bytes", str(path), "give the right file")
    return content


def _load(path: Path) -> Mapping[str, Any]:
    # A kubeconfig is no manifest: YAML's safe schema is what kubectl's users write in it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = _read_file(path, "the kubeconfig")
    try:
        loaded = yaml.load(content, Loader=loader)  # noqa: S506  # the safe loader, in C where it can be had
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        # Only the place: the parser's own text quotes the line, which may hold a token.
        raise _invalid("the kubeconfig is not YAML", place, "correct the file") from None
    if not isinstance(loaded, dict):
        raise _invalid("the kubeconfig is empty or no mapping", str(path), "give a kubeconfig file")
    return loaded


def _invalid(what: str, where: str, mend: str) -> errors.KubeconfigInvalid:
    return errors.KubeconfigInvalid(what=what, where=where, mend=mend)
