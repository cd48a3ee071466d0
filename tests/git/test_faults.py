"""A server that stalls, cuts, lies or sends without end: a clear error in time, and nothing is lost."""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.git import storage
from reconciler.git.credentials import Credentials
from reconciler.git.errors import (
    AuthenticationFailed,
    GitError,
    LimitExceeded,
    MirrorDamaged,
    RepositoryNotFound,
    SourceUnreachable,
)
from reconciler.git.mirror import Mirror, Revision
from reconciler.git.process import GitDeadlines
from reconciler.git.refs import RefSpec
from tests.fix_git import Fault, HttpServer, LoopThread, Repository, SilentServer, SshServer

SHORT = GitDeadlines(connect=1.5, idle=1.5, total=3.5)
REFS = ("ls-refs",)
FETCH = ("fetch",)
MID_PACK = 5_000  # bytes of some 20,000; words about its progress come first


@pytest.fixture
def mirror(http_server: HttpServer, repo: Repository, tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(f"{http_server.url}/repo.git", root=tmp_path / "mirrors", deadlines=SHORT)
    yield mirror
    mirror.close()


async def follow(mirror: Mirror, credentials: Credentials | None = None) -> Revision:
    found = await mirror.resolve(RefSpec(), credentials)
    await mirror.fetch(found, credentials)
    return mirror.revision(found)


async def fails(mirror: Mirror, credentials: Credentials | None = None) -> GitError:
    """The error of a run that must fail within the deadline and leave no rubbish."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(GitError) as error:
        await follow(mirror, credentials)
    assert asyncio.get_running_loop().time() - began < 2 * SHORT.total + 2
    repository = mirror.directory / "repository.git"
    assert not [*repository.glob("**/*.lock"), *repository.glob("objects/pack/tmp_*")]
    return error.value


NO_ANSWER = "no answer within 1.5 s"
SILENT = "the server fell silent for 1.5 s"
NOT_GIT = "the server's answer is not the git protocol"
ENDED = "the server ended the connection in the middle"

HTTP_FAULTS = [
    pytest.param(Fault("stall"), SourceUnreachable, NO_ANSWER, id="stalls at once"),
    pytest.param(Fault("stall", after=0), SourceUnreachable, NO_ANSWER, id="stalls after the headers"),
    pytest.param(
        Fault("stall", on=FETCH, after=MID_PACK), SourceUnreachable, SILENT, id="stalls in mid-pack"
    ),
    pytest.param(Fault("stall", on=FETCH), SourceUnreachable, SILENT, id="stalls before the pack"),
    pytest.param(Fault("drip", on=FETCH, after=MID_PACK), SourceUnreachable, "", id="1 byte/s in mid-pack"),
    pytest.param(Fault("drip", after=0), SourceUnreachable, NO_ANSWER, id="1 byte/s from the start"),
    pytest.param(Fault("cut"), SourceUnreachable, ENDED, id="cut at once"),
    pytest.param(Fault("cut", on=FETCH, after=MID_PACK), SourceUnreachable, ENDED, id="cut in mid-pack"),
    pytest.param(Fault("garbage"), SourceUnreachable, NOT_GIT, id="garbage for refs"),
    pytest.param(Fault("garbage", on=("ls-refs",)), SourceUnreachable, NOT_GIT, id="garbage for ls-refs"),
    pytest.param(Fault("garbage", on=FETCH), SourceUnreachable, NOT_GIT, id="garbage for the pack"),
    pytest.param(Fault("empty"), SourceUnreachable, NOT_GIT, id="empty answer"),
    pytest.param(Fault("empty", on=FETCH), SourceUnreachable, "", id="empty pack"),
    pytest.param(Fault("status", code=500), SourceUnreachable, "HTTP 5xx", id="500"),
    pytest.param(Fault("status", code=503, on=FETCH), SourceUnreachable, "HTTP 5xx", id="503 for the pack"),
    pytest.param(Fault("status", code=429), SourceUnreachable, "HTTP 429", id="429"),
    pytest.param(Fault("status", code=401), AuthenticationFailed, "did not accept", id="401"),
    pytest.param(Fault("status", code=403), AuthenticationFailed, "did not accept", id="403"),
    pytest.param(Fault("status", code=404), RepositoryNotFound, "knows no such repository", id="404"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), HTTP_FAULTS)
async def test_faulty_http_server(
    mirror: Mirror, repo: Repository, http_server: HttpServer, fault: Fault, kind: type[GitError], words: str
) -> None:
    repo.commit({"a.yaml": "good"})
    good = await follow(mirror)
    repo.commit({"a.yaml": "new", "b.yaml": random_text(20_000)})
    http_server.fault = fault
    error = await fails(mirror)
    assert type(error) is kind, str(error)
    assert words in error.what
    assert "remote says" not in str(error), "a server's own words are not passed on"
    assert still_reads(mirror, good)
    http_server.fault = None
    assert len(mirror.files(await follow(mirror), ("*.yaml",))) == 2


SSH_FAULTS = [
    pytest.param(Fault("stall"), NO_ANSWER, id="stalls at once"),
    pytest.param(Fault("stall", after=10), NO_ANSWER, id="stalls in the greeting"),
    pytest.param(Fault("stall", on=REFS, after=10), SILENT, id="stalls in the list of refs"),
    pytest.param(Fault("stall", on=FETCH), SILENT, id="stalls before the pack"),
    pytest.param(Fault("stall", on=FETCH, after=MID_PACK), SILENT, id="stalls in mid-pack"),
    pytest.param(Fault("drip"), NO_ANSWER, id="1 byte/s from the start"),
    pytest.param(Fault("drip", on=REFS, after=10), SILENT, id="1 byte/s in the list of refs"),
    pytest.param(Fault("drip", on=FETCH, after=MID_PACK), "", id="1 byte/s in mid-pack"),
    pytest.param(Fault("garbage"), NOT_GIT, id="garbage at once"),
    pytest.param(Fault("garbage", on=REFS), NOT_GIT, id="garbage for the list of refs"),
    pytest.param(Fault("garbage", on=REFS, after=10), NOT_GIT, id="garbage in the list of refs"),
    pytest.param(Fault("garbage", on=FETCH), NOT_GIT, id="garbage for the pack"),
    pytest.param(
        Fault("garbage", on=FETCH, after=MID_PACK), "sent objects that are broken", id="garbage in mid-pack"
    ),
    pytest.param(Fault("empty"), ENDED, id="empty answer"),
    pytest.param(Fault("empty", on=FETCH), ENDED, id="empty pack"),
    pytest.param(Fault("cut"), ENDED, id="cut at once"),
    pytest.param(Fault("cut", on=REFS, after=10), ENDED, id="cut in the list of refs"),
    pytest.param(Fault("cut", on=FETCH, after=MID_PACK), ENDED, id="cut in mid-pack"),
]


@pytest.mark.parametrize(("fault", "words"), SSH_FAULTS)
async def test_faulty_ssh_server(
    repo: Repository, ssh_server: SshServer, tmp_path: Path, fault: Fault, words: str
) -> None:
    key = Credentials("c", ssh_server.url, identity=ssh_server.identity, known_hosts=ssh_server.known_hosts)
    mirror = Mirror(f"{ssh_server.url}/repo.git", root=tmp_path / "mirrors", deadlines=SHORT)
    repo.commit({"a.yaml": "good"})
    good = await follow(mirror, key)
    repo.commit({"a.yaml": "new", "b.yaml": random_text(20_000)})
    ssh_server.fault = fault
    error = await fails(mirror, key)
    assert type(error) is SourceUnreachable, str(error)
    assert words in error.what
    assert still_reads(mirror, good)
    ssh_server.fault = None
    assert len(mirror.files(await follow(mirror, key), ("*.yaml",))) == 2
    mirror.close()


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize(
    "words", [b"", b"SSH-2.0-nobody\r\n", b"\x00" * 5000], ids=["silent", "ssh", "zeros"]
)
async def test_server_that_talks_something_else(
    server_thread: LoopThread, tmp_path: Path, scheme: str, words: bytes
) -> None:
    server = SilentServer(server_thread, words)
    mirror = Mirror(f"{scheme}://localhost:{server.port}/repo.git", root=tmp_path, deadlines=SHORT)
    assert isinstance(await fails(mirror), SourceUnreachable)
    server.stop()


async def test_server_that_is_gone(server_thread: LoopThread, tmp_path: Path) -> None:
    server = SilentServer(server_thread)
    server.stop()
    mirror = Mirror(f"https://localhost:{server.port}/repo.git", root=tmp_path, deadlines=SHORT)
    assert isinstance(await fails(mirror), SourceUnreachable)


async def test_host_without_address(tmp_path: Path) -> None:
    mirror = Mirror("https://nowhere.invalid/repo.git", root=tmp_path, deadlines=SHORT)
    assert isinstance(await fails(mirror), SourceUnreachable)


async def test_pack_without_end_stops_at_the_size_limit(
    http_server: HttpServer, repo: Repository, tmp_path: Path
) -> None:
    repo.commit({"a.yaml": "good"})
    limit = 8 * 1024**2
    mirror = Mirror(f"{http_server.url}/repo.git", root=tmp_path / "mirrors", max_size=limit)
    good = await follow(mirror)
    repo.commit({"a.yaml": "new"})
    http_server.fault = Fault("endless", on=FETCH)
    with pytest.raises(LimitExceeded, match="the server sends more than 8 MiB"):
        await follow(mirror)
    assert storage.size(mirror.directory / "repository.git") < limit / 2
    assert still_reads(mirror, good)
    mirror.close()


async def test_lying_server_cannot_talk_us_out_of_a_good_mirror(
    mirror: Mirror, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over ssh the server's own stderr arrives unmarked, so it can print git's words for damage."""
    repo.commit({"a.yaml": "good"})
    good = await follow(mirror)
    repo.commit({"a.yaml": "new"})
    found = await mirror.resolve(RefSpec(), None)
    monkeypatch.setattr("reconciler.git.mirror.explain", says_our_copy_is_damaged)
    with pytest.raises(SourceUnreachable) as error:
        await mirror.fetch(found, None)
    assert type(error.value) is SourceUnreachable
    assert still_reads(mirror, good)


def says_our_copy_is_damaged(*_: object, doing: str, where: str, **__: object) -> GitError:
    return MirrorDamaged(what=doing, where=where, mend="")


async def test_others_do_not_notice_a_stalled_server(
    mirror: Mirror,
    repo: Repository,
    http_server: HttpServer,
    make_repo: Callable[..., Repository],
    tmp_path: Path,
) -> None:
    http_server.fault = Fault("stall")
    stalled = asyncio.create_task(fails(mirror))
    other = make_repo("other")
    other.commit({"a.yaml": "1"})
    neighbour = Mirror(other.url, root=tmp_path / "mirrors", deadlines=SHORT, allow_local=True)
    await follow(neighbour)
    assert not stalled.done()
    await stalled
    neighbour.close()


async def test_cancelled_fetch_leaves_a_mirror_that_works(
    mirror: Mirror, repo: Repository, http_server: HttpServer
) -> None:
    repo.commit({"a.yaml": random_text(50_000)})
    http_server.fault = Fault("stall", on=FETCH, after=2000)
    task = asyncio.create_task(follow(mirror))
    async with asyncio.timeout(5):
        while not http_server.counts["fetch"]:  # noqa: ASYNC110 - counted in another thread
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    http_server.fault = None
    assert len(mirror.files(await follow(mirror), ("**",))) == 1


def still_reads(mirror: Mirror, revision: Revision) -> bool:
    (file,) = mirror.files(revision, ("a.yaml",))
    return mirror.read(file.blob, limit=100) == b"good"


def random_text(length: int) -> bytes:
    return random.Random(7).randbytes(length)
