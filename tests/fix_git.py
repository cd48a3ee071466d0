"""
Real repositories and real git servers, with faults that a test switches on.

git_repository.py and git_servers.py say how they work; tests take the names from here.
Nothing has to be installed but git and ssh.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.git_repository import (
    GIT_ENVIRONMENT,
    Authority,
    Repository,
    Submodule,
    Symlink,
    make_authority,
)
from tests.git_servers import Fault, HttpServer, LoopThread, SilentServer, SshServer, endless_pack

__all__ = [
    "GIT_ENVIRONMENT",
    "Authority",
    "Fault",
    "HttpServer",
    "LoopThread",
    "Repository",
    "SilentServer",
    "SshServer",
    "Submodule",
    "Symlink",
    "endless_pack",
    "make_authority",
]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say before the first test what is missing: failures in the middle would look like ours."""
    if shutil.which("ssh") is None and any(
        "ssh_server" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        pytest.exit("ssh is not on PATH: install openssh-client", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[..., Repository]:
    """Make a bare repository `<name>.git` below `served`, the directory that the servers show."""

    def make(name: str = "repo") -> Repository:
        return Repository(tmp_path / "served" / f"{name}.git")

    return make


@pytest.fixture
def repo(make_repo: Callable[..., Repository]) -> Repository:
    """One bare repository, `repo.git`, still without a commit."""
    return make_repo()


@pytest.fixture
def server_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def http_server(server_thread: LoopThread, tmp_path: Path) -> Iterator[HttpServer]:
    """Plain http on the loopback, open to everybody."""
    server = HttpServer(server_thread, tmp_path / "served")
    yield server
    server.stop()


@pytest.fixture
def https_server(server_thread: LoopThread, tmp_path: Path, authority: Authority) -> Iterator[HttpServer]:
    """TLS by `authority`; set `login` to ask for user and password."""
    server = HttpServer(server_thread, tmp_path / "served", tls=authority.server)
    yield server
    server.stop()


@pytest.fixture
def ssh_server(server_thread: LoopThread, tmp_path: Path) -> Iterator[SshServer]:
    server = SshServer(server_thread, tmp_path / "served")
    yield server
    server.stop()
