"""What crosses the network: who is trusted, who gets the secrets, and that nobody else sees them."""

import asyncio
import base64
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from reconciler.git import command
from reconciler.git.credentials import Credentials
from reconciler.git.errors import (
    AuthenticationFailed,
    GitError,
    LocalFailure,
    SourceRefused,
    SourceUnreachable,
)
from reconciler.git.mirror import Mirror
from reconciler.git.process import GitDeadlines
from reconciler.git.refs import RefSpec
from tests.fix_git import Authority, Fault, HttpServer, LoopThread, Repository, SshServer, make_authority

DEADLINES = GitDeadlines(connect=8, idle=8, total=15)
CANARY = "c4nary/s3cret: +%"
SHAPES = tuple(
    text.encode()
    for text in (CANARY, quote(CANARY, safe=""), base64.b64encode(f"me:{CANARY}".encode()).decode())
)


@pytest.fixture(autouse=True)
def own_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private files of these tests alone: /dev/shm has those of every process on the machine."""
    monkeypatch.setattr(command, "MEMORY", tmp_path_factory.mktemp("memory"))


@pytest.fixture
def login(https_server: HttpServer, authority: Authority) -> Credentials:
    """What opens `https_server`, whose password is the canary."""
    https_server.login = ("me", CANARY)
    return Credentials("team-git", https_server.url, "me", CANARY, ca=authority.pem)


@pytest.fixture
def key(ssh_server: SshServer) -> Credentials:
    return Credentials(
        "team-git", ssh_server.url, identity=ssh_server.identity, known_hosts=ssh_server.known_hosts
    )


@pytest.fixture
def make_mirror(tmp_path: Path) -> Iterator[Callable[..., Mirror]]:
    made: list[Mirror] = []

    def make(server: HttpServer | SshServer, deadlines: GitDeadlines = DEADLINES) -> Mirror:
        made.append(Mirror(f"{server.url}/repo.git", root=tmp_path / "mirrors", deadlines=deadlines))
        return made[-1]

    yield make
    for mirror in made:
        mirror.close()


async def bring(mirror: Mirror, credentials: Credentials | None) -> list[str]:
    found = await mirror.resolve(RefSpec(), credentials)
    await mirror.fetch(found, credentials)
    return [file.path for file in mirror.files(mirror.revision(found), ("**",))]


async def test_https_with_password_and_private_ca(
    repo: Repository, https_server: HttpServer, login: Credentials, make_mirror: Callable[..., Mirror]
) -> None:
    repo.commit({"a.yaml": "1"})
    assert await bring(make_mirror(https_server), login) == ["a.yaml"]
    assert https_server.counts["unauthorized"] == 2, "once for the poll, once for the fetch"


async def test_ssh_with_identity_and_known_host(
    repo: Repository, ssh_server: SshServer, key: Credentials, make_mirror: Callable[..., Mirror]
) -> None:
    repo.commit({"a.yaml": "1"})
    assert await bring(make_mirror(ssh_server), key) == ["a.yaml"]


async def test_ssh_with_wrong_host_key_is_refused(
    repo: Repository, ssh_server: SshServer, key: Credentials, make_mirror: Callable[..., Mirror]
) -> None:
    repo.commit({"a.yaml": "1"})
    other = (
        key.known_hosts.replace(b"AAAAC3NzaC1lZDI1NTE5AAAAI", b"AAAAC3NzaC1lZDI1NTE5AAAAIA", 1)[:-2] + b"\n"
    )
    for known_hosts in (b"elsewhere ssh-ed25519 AAAA\n", other):
        with pytest.raises(AuthenticationFailed, match="host key is not in known_hosts"):
            await bring(make_mirror(ssh_server), replace(key, known_hosts=known_hosts))


async def test_ssh_with_wrong_identity_is_refused(
    repo: Repository,
    ssh_server: SshServer,
    key: Credentials,
    make_mirror: Callable[..., Mirror],
    server_thread: LoopThread,
    tmp_path: Path,
) -> None:
    repo.commit({"a.yaml": "1"})
    other = SshServer(server_thread, tmp_path / "served")
    other.stop()
    for identity in (other.identity, b"this is no key\n"):
        with pytest.raises(AuthenticationFailed, match="did not accept the credentials"):
            await bring(make_mirror(ssh_server), replace(key, identity=identity))


async def test_ssh_without_credentials_is_refused(
    ssh_server: SshServer, make_mirror: Callable[..., Mirror]
) -> None:
    with pytest.raises(SourceRefused, match="ssh needs credentials"):
        await bring(make_mirror(ssh_server), None)
    assert not ssh_server.counts


async def test_machine_without_ssh_is_named_as_the_cause(
    ssh_server: SshServer,
    key: Credentials,
    make_mirror: Callable[..., Mirror],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(LocalFailure, match=r"ssh is not installed.*install openssh-client"):
        await make_mirror(ssh_server).resolve(RefSpec(), key)
    assert not ssh_server.counts


@pytest.mark.parametrize("given", [False, True], ids=["without credentials", "with a wrong password"])
async def test_login_that_fails(
    repo: Repository,
    https_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
    given: bool,
) -> None:
    repo.commit({"a.yaml": "1"})
    credentials = replace(login, password="wrong" if given else "", username="me" if given else "")
    with pytest.raises(AuthenticationFailed, match="did not accept the credentials"):
        await bring(make_mirror(https_server), credentials)


async def test_certificate_of_an_unknown_ca_is_refused(
    repo: Repository,
    https_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
    tmp_path: Path,
) -> None:
    repo.commit({"a.yaml": "1"})
    for ca in (make_authority(tmp_path).pem, b""):
        with pytest.raises(SourceUnreachable, match="certificate may not be trusted"):
            await bring(make_mirror(https_server), replace(login, ca=ca))
    assert not https_server.counts


async def test_credentials_for_another_system_are_not_sent(
    https_server: HttpServer, login: Credentials, make_mirror: Callable[..., Mirror]
) -> None:
    with pytest.raises(SourceRefused, match=r"are for https://other\.example\.com"):
        await bring(make_mirror(https_server), replace(login, url_prefix="https://other.example.com/"))
    assert not https_server.counts


async def test_redirect_is_not_followed(
    repo: Repository,
    https_server: HttpServer,
    http_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
) -> None:
    repo.commit({"a.yaml": "1"})
    https_server.fault = Fault("redirect", to=http_server.url)
    with pytest.raises(SourceRefused, match="redirects to another address"):
        await bring(make_mirror(https_server), login)
    assert not http_server.counts


async def test_proxy_of_the_environment_is_used(
    repo: Repository,
    https_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
    server_thread: LoopThread,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo.commit({"a.yaml": "1"})
    proxy = Proxy(server_thread)
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{proxy.port}")
    assert await bring(make_mirror(https_server), login) == ["a.yaml"]
    assert set(proxy.asked) == {f"localhost:{https_server.port}"}
    proxy.asked.clear()
    monkeypatch.setenv("NO_PROXY", "localhost")
    await make_mirror(https_server).resolve(RefSpec(), login)
    assert not proxy.asked
    proxy.stop()


async def test_secrets_are_nowhere_while_a_fetch_runs(
    repo: Repository,
    https_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    repo.commit({"a.yaml": "1" * 10_000})
    mirror = make_mirror(https_server)
    found = await mirror.resolve(RefSpec(), login)
    https_server.fault = Fault("stall", on=("fetch",), after=20)
    task = asyncio.create_task(mirror.fetch(found, login))
    await until(lambda: https_server.counts["fetch"] >= 1)
    await until(lambda: any(b"remote-http" in line for line, _ in children()))
    seen = children()
    assert len(seen) >= 2
    assert not leaks([part for pair in seen for part in pair]), "in an argument list or environment"
    assert all(path.stat().st_mode & 0o077 == 0 for path in private_files()), "readable by others"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not private_files(), "left behind"
    assert not leaks(files_below(tmp_path)), "on disk"
    assert not leaks([caplog.text.encode()])


async def test_identity_is_nowhere_while_ssh_runs(
    repo: Repository,
    ssh_server: SshServer,
    key: Credentials,
    make_mirror: Callable[..., Mirror],
    tmp_path: Path,
) -> None:
    repo.commit({"a.yaml": "1"})
    ssh_server.fault = Fault("stall")
    task = asyncio.create_task(make_mirror(ssh_server).resolve(RefSpec(), key))
    await until(lambda: ssh_server.counts["refs"] >= 1)
    secret = key.identity.splitlines()[2]
    texts = [part for pair in children() for part in pair]
    assert any(b"StrictHostKeyChecking=yes" in text for text in texts)
    assert not any(secret in text for text in texts)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not private_files()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", code=401),
        Fault("status", code=403),
        Fault("status", code=500),
        Fault("garbage"),
        Fault("cut"),
        Fault("cut", on=("fetch",), after=30),
    ],
    ids=repr,
)
async def test_errors_never_show_a_secret(
    repo: Repository,
    https_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
    fault: Fault,
) -> None:
    repo.commit({"a.yaml": "1" * 1000})
    https_server.fault = fault
    with pytest.raises(GitError) as error:
        await bring(make_mirror(https_server), login)
    shown: BaseException | None = error.value
    while shown:
        assert not leaks([repr(shown).encode(), str(shown).encode()])
        shown = shown.__cause__ or shown.__context__


def test_calls_that_begin_together_do_not_remove_each_others_files() -> None:
    """Each looks for what a killed process left; a lock belongs to an open file, so threads do."""

    def begin(_: int) -> bool:
        with command.access(None, None) as how:
            return how.directory.is_dir()

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(begin, range(400)))


async def test_secrets_left_by_a_killed_process_are_removed(
    repo: Repository,
    https_server: HttpServer,
    login: Credentials,
    make_mirror: Callable[..., Mirror],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = tmp_path / "memory"
    left = memory / f"{command.PRIVATE_PREFIX}left"
    left.mkdir(parents=True, mode=0o700)
    (left / "lock").touch()
    (left / "http").write_text(CANARY)
    monkeypatch.setattr(command, "MEMORY", memory)
    repo.commit({"a.yaml": "1"})
    await bring(make_mirror(https_server), login)
    assert not list(memory.iterdir())


class Proxy:
    """An HTTP proxy that knows CONNECT and remembers to where."""

    def __init__(self, thread: LoopThread) -> None:
        self.asked: list[str] = []
        self._thread = thread
        self.port: int = thread.call(self._start())

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "localhost", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._server.close)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split()[1].decode()
        self.asked.append(target)
        host, _, port = target.partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


def children() -> list[tuple[bytes, bytes]]:
    """Argument list and environment of every process that descends from this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, waiting = [], [os.getpid()]
    while waiting:
        parent = waiting.pop()
        for pid in [pid for pid, of in parents.items() if of == parent]:
            waiting.append(pid)
            try:
                found.append(
                    ((Path(f"/proc/{pid}/cmdline")).read_bytes(), Path(f"/proc/{pid}/environ").read_bytes())
                )
            except OSError:
                continue
    return found


def leaks(texts: list[bytes]) -> list[bytes]:
    return [text for text in texts if any(shape in text for shape in SHAPES)]


def files_below(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


def private_files() -> list[Path]:
    """What lies in the private directories of calls that run now."""
    return [
        path for top in command.MEMORY.glob(f"{command.PRIVATE_PREFIX}*") for path in (top, *top.rglob("*"))
    ]
