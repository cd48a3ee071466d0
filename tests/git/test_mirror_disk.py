"""What lies on disk stays bounded, and a mirror survives what happens to its directory."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.git import storage
from reconciler.git.errors import LocalFailure, MirrorBusy, MirrorDamaged, RepositoryNotFound, SourceRefused
from reconciler.git.mirror import Mirror, Revision
from reconciler.git.process import GitDeadlines
from reconciler.git.refs import RefSpec, Resolved
from tests.fix_git import GIT_ENVIRONMENT, Repository
from tests.git.following import content, follow, paths


async def test_upkeep_forgets_old_commits_and_keeps_those_in_use(mirror: Mirror, repo: Repository) -> None:
    held = await commit_and_follow(mirror, repo)
    old = await commit_and_follow(mirror, repo)
    new = await commit_and_follow(mirror, repo)
    make_old(mirror)
    await mirror.upkeep({held.commit})
    assert len(paths(mirror, held)) == len(paths(mirror, new)) == 1
    assert old.commit not in git(mirror, "for-each-ref")
    with pytest.raises(MirrorDamaged):
        mirror.revision(Resolved(old.ref, old.commit))


async def test_upkeep_frees_space(mirror: Mirror, repo: Repository) -> None:
    for _ in range(3):
        await commit_and_follow(mirror, repo)
    make_old(mirror)
    before = storage.size(mirror.directory / "repository.git")
    await mirror.upkeep()
    assert storage.size(mirror.directory / "repository.git") < before / 2


async def test_upkeep_keeps_what_is_young(mirror: Mirror, repo: Repository) -> None:
    first = await commit_and_follow(mirror, repo)
    await commit_and_follow(mirror, repo)
    await mirror.upkeep()
    assert paths(mirror, first) == ["random"]


async def test_upkeep_of_a_new_process_forgets_nothing(
    mirror: Mirror, repo: Repository, make_mirror: Callable[..., Mirror]
) -> None:
    revision = await commit_and_follow(mirror, repo)
    make_old(mirror)
    await make_mirror(repo.url).upkeep()
    assert paths(mirror, revision) == ["random"]


async def test_many_fetches_do_not_leave_many_packs(
    mirror: Mirror, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.git.mirror.MANY_PACKS", 3)
    revisions = [await commit_and_follow(mirror, repo) for _ in range(8)]
    assert storage.packs(mirror.directory / "repository.git") <= 5
    assert all(paths(mirror, revision) == ["random"] for revision in revisions)


@pytest.mark.parametrize(
    "leftover", ["shallow.lock", "packed-refs.lock", "objects/pack/tmp_pack_x", "gc.pid"]
)
async def test_what_a_killed_fetch_left_is_swept(mirror: Mirror, repo: Repository, leftover: str) -> None:
    repo.commit({"a": "1"})
    await follow(mirror)
    path = mirror.directory / "repository.git" / leftover
    path.write_text("left behind")
    repo.commit({"a": "2"})
    revision = await follow(mirror)
    assert content(mirror, revision, "a") == b"2"
    assert not path.exists()


def _no_head(repository: Path) -> None:
    (repository / "HEAD").unlink()


def _bad_head(repository: Path) -> None:
    (repository / "HEAD").write_bytes(b"\0garbage")


def _bad_config(repository: Path) -> None:
    (repository / "config").write_text("[core\n")


def _bad_packs(repository: Path) -> None:
    for file in (repository / "objects" / "pack").iterdir():
        file.chmod(0o600)
        file.write_bytes(b"garbage")


def _no_packs(repository: Path) -> None:
    for file in (repository / "objects" / "pack").iterdir():
        file.unlink()


def _no_objects(repository: Path) -> None:
    (repository / "objects").rename(repository / "elsewhere")


@pytest.mark.parametrize("damage", [_no_head, _bad_head, _bad_config, _bad_packs, _no_packs, _no_objects])
async def test_damaged_mirror_is_replaced(
    mirror: Mirror, repo: Repository, make_mirror: Callable[..., Mirror], damage: Callable[[Path], None]
) -> None:
    repo.commit({"a": "1"})
    found = await mirror.resolve(RefSpec(), None)
    await mirror.fetch(found, None)
    damage(mirror.directory / "repository.git")
    fresh = make_mirror(repo.url)
    try:
        await fresh.fetch(found, None)
        revision = fresh.revision(found)
    except MirrorDamaged as error:
        assert error.transient  # noqa: PT017 - noticed when read; the next run mends it
        await fresh.fetch(found, None)
        revision = fresh.revision(found)
    assert content(fresh, revision, "a") == b"1"
    repo.commit({"a": "2"})
    assert content(fresh, await follow(fresh), "a") == b"2"


async def test_damage_that_only_a_fetch_meets_is_mended_by_it(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "1"})
    await follow(mirror)
    _bad_packs(mirror.directory / "repository.git")
    mirror.close()
    repo.commit({"a": "2"})
    assert content(mirror, await follow(mirror), "a") == b"2"


async def test_second_process_waits_for_its_turn(
    repo: Repository, make_mirror: Callable[..., Mirror], tmp_path: Path
) -> None:
    repo.commit({"a": "1"})
    mirror = make_mirror(repo.url, deadlines=GitDeadlines(5, 5, 0.5))
    found = await mirror.resolve(RefSpec(), None)
    async with storage.held(mirror.directory, seconds=1):
        with pytest.raises(MirrorBusy):
            await mirror.fetch(found, None)
    await mirror.fetch(found, None)


async def test_hooks_of_a_mirror_never_run(mirror: Mirror, repo: Repository, tmp_path: Path) -> None:
    repo.commit({"a": "1"})
    await follow(mirror)
    hooks = mirror.directory / "repository.git" / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-merge", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o700)
    repo.commit({"a": "2"})
    await follow(mirror)
    await mirror.upkeep()
    assert not (tmp_path / "ran").exists()


async def test_mirror_belongs_to_this_user_alone(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "1"})
    await follow(mirror)
    assert mirror.directory.stat().st_mode & 0o077 == 0


def test_local_repository_is_refused_unless_allowed(repo: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="local repositories are closed"):
        Mirror(repo.url, root=tmp_path)


async def test_disk_that_cannot_be_used_is_said_to_be_ours(repo: Repository, tmp_path: Path) -> None:
    repo.commit({"a": "1"})
    (tmp_path / "mirrors").write_text("a file where a directory is wanted")
    mirror = Mirror(repo.url, root=tmp_path / "mirrors", allow_local=True)
    found = await mirror.resolve(RefSpec(), None)
    with pytest.raises(LocalFailure, match=r"this machine fails at .*: Not a directory; let --data-dir name"):
        await mirror.fetch(found, None)


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """From the call on no file may hold more than 50,000 bytes, for git and for us: as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        monkeypatch.setattr("reconciler.git.process._limit_files", lambda *_: None)  # would set its own
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_full_disk_is_not_blamed_on_the_server(
    mirror: Mirror, repo: Repository, no_room: Callable[[], None]
) -> None:
    """git itself says "invalid index-pack output" here, which sounds like a broken server."""
    repo.commit({"random": os.urandom(200_000)})
    found = await mirror.resolve(RefSpec(), None)
    no_room()
    with pytest.raises(LocalFailure, match=r"the disk of the mirrors is full; make room where --data-dir is"):
        await mirror.fetch(found, None)


async def test_full_disk_does_not_hide_a_server_that_is_gone(
    mirror: Mirror, repo: Repository, no_room: Callable[[], None]
) -> None:
    repo.path.rename(repo.path.with_name("gone.git"))
    no_room()
    with pytest.raises(RepositoryNotFound):
        await mirror.resolve(RefSpec(), None)


async def test_missing_git_is_said_to_be_ours(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalFailure, match="this machine fails at git: No such file"):
        await mirror.resolve(RefSpec(), None)


async def commit_and_follow(mirror: Mirror, repo: Repository) -> Revision:
    repo.commit({"random": os.urandom(50_000)})
    return await follow(mirror)


def make_old(mirror: Mirror) -> None:
    """As if two hours had passed since the last fetch."""
    for path in (mirror.directory / "repository.git").rglob("*"):
        status = path.stat()
        os.utime(path, (status.st_atime - 7200, status.st_mtime - 7200))


def git(mirror: Mirror, *arguments: str) -> str:
    return subprocess.run(
        ["git", f"--git-dir={mirror.directory / 'repository.git'}", *arguments],
        env=GIT_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
