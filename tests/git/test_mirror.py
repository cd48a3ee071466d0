"""A mirror follows refs, fetches only what is new, and survives what happens to its directory."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from reconciler.git import storage
from reconciler.git.command import CLOSED
from reconciler.git.errors import (
    DirectoryMissing,
    LimitExceeded,
    RefInvalid,
    RefNotFound,
    RepositoryEmpty,
    SourceRefused,
)
from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Mirror
from reconciler.git.refs import RefSpec, Resolved
from tests.fix_git import GIT_ENVIRONMENT, HttpServer, Repository, Submodule, Symlink
from tests.git.following import ALL, content, follow, paths


async def test_head_moves(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a.yaml": "1"})
    first = await follow(mirror)
    assert (first.ref, content(mirror, first, "a.yaml")) == ("refs/heads/main", b"1")
    repo.commit({"a.yaml": "2", "b/c.yaml": "3"})
    second = await follow(mirror)
    assert content(mirror, second, "a.yaml") == b"2"
    assert paths(mirror, second) == ["a.yaml", "b/c.yaml"]
    assert content(mirror, first, "a.yaml") == b"1", "the revision before stays readable"


async def test_head_falls_back_to_main_then_master(mirror: Mirror, repo: Repository) -> None:
    repo.git("symbolic-ref", "HEAD", "refs/heads/gone")
    master = repo.commit({"a": "1"}, branch="master")
    assert (await follow(mirror)).commit == master
    main = repo.commit({"a": "2"}, branch="main")
    assert (await follow(mirror)).commit == main


async def test_tags_moved_and_annotated(mirror: Mirror, repo: Repository) -> None:
    one, two = repo.commit({"a": "1"}), repo.commit({"a": "2"})
    spec = RefSpec("tag", "v1")
    repo.tag("v1", one)
    assert (await follow(mirror, spec)).commit == one
    repo.tag("v1", two, annotated=True)
    assert (await follow(mirror, spec)).commit == two


async def test_force_pushed_and_recreated_branch(mirror: Mirror, repo: Repository) -> None:
    spec = RefSpec("branch", "dev")
    repo.commit({"a": "0"})
    repo.commit({"a": "1", "old": "x"}, branch="dev")
    await follow(mirror, spec)
    forced = repo.commit({"a": "2"}, branch="dev", force=True)
    revision = await follow(mirror, spec)
    assert revision.commit == forced
    assert paths(mirror, revision) == ["a"]
    repo.delete_branch("dev")
    with pytest.raises(RefNotFound, match="no branch dev"):
        await follow(mirror, spec)
    again = repo.commit({"a": "3"}, branch="dev")
    assert (await follow(mirror, spec)).commit == again


async def test_branch_becomes_a_directory_of_branches(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "1"}, branch="dev")
    await follow(mirror, RefSpec("branch", "dev"))
    repo.delete_branch("dev")
    commit = repo.commit({"a": "1"}, branch="dev/x")
    assert (await follow(mirror, RefSpec("branch", "dev/x"))).commit == commit


async def test_commit_that_is_no_tip(mirror: Mirror, repo: Repository) -> None:
    first = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    revision = await follow(mirror, RefSpec("commit", first))
    assert (revision.ref, content(mirror, revision, "a")) == ("", b"1")


async def test_commit_from_a_server_that_refuses_ids(mirror: Mirror, repo: Repository) -> None:
    first = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    await follow(mirror)  # the mirror is shallow already, and must be deepened
    with old_protocol():
        revision = await follow(mirror, RefSpec("commit", first))
    assert content(mirror, revision, "a") == b"1"
    assert "search" not in git(mirror, "for-each-ref")


@pytest.mark.parametrize("annotated", [False, True])
async def test_tag_from_a_server_that_refuses_ids(mirror: Mirror, repo: Repository, annotated: bool) -> None:
    first = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    repo.tag("v1", first, annotated=annotated)
    with old_protocol():
        assert (await follow(mirror, RefSpec("tag", "v1"))).commit == first


async def test_commit_that_is_nowhere(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "1"})
    with pytest.raises(RefNotFound, match="is on no branch or tag"):
        await follow(mirror, RefSpec("commit", "1" * 40))


async def test_id_of_a_tree_is_no_commit(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "1"})
    with pytest.raises(RefInvalid, match="is a tree, not a commit"):
        await follow(mirror, RefSpec("commit", repo.git("rev-parse", "main^{tree}")))


async def test_missing_branch_names_a_near_one(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "1"}, branch="production")
    with pytest.raises(RefNotFound, match=r"\(there is: production\)"):
        await mirror.resolve(RefSpec("branch", "prod"), None)


@pytest.mark.parametrize("spec", [RefSpec(), RefSpec("branch", "main")], ids=str)
async def test_empty_repository_is_its_own_error(mirror: Mirror, repo: Repository, spec: RefSpec) -> None:
    with pytest.raises(RepositoryEmpty):
        await mirror.resolve(spec, None)


async def test_unchanged_ref_costs_one_poll_and_no_fetch(
    http_server: HttpServer, repo: Repository, make_mirror: Callable[..., Mirror]
) -> None:
    repo.commit({"a": "1"})
    mirror = make_mirror(f"{http_server.url}/repo.git")
    await follow(mirror)
    http_server.counts.clear()
    await follow(mirror)
    assert dict(http_server.counts) == {"refs": 1, "ls-refs": 1}


async def test_fixed_commit_costs_nothing_once_it_is_there(
    http_server: HttpServer, repo: Repository, make_mirror: Callable[..., Mirror]
) -> None:
    spec = RefSpec("commit", repo.commit({"a": "1"}))
    url = f"{http_server.url}/repo.git"
    await follow(make_mirror(url), spec)
    http_server.counts.clear()
    await follow(make_mirror(url), spec)  # also in a new process
    assert not http_server.counts


async def test_two_projects_share_one_fetch(
    http_server: HttpServer, repo: Repository, make_mirror: Callable[..., Mirror]
) -> None:
    repo.commit({"a": "1"})
    mirror = make_mirror(f"{http_server.url}/repo.git")
    specs = (RefSpec(), RefSpec("branch", "main"))
    refs = await mirror.list_refs(specs, None)
    assert http_server.counts["ls-refs"] == 1
    found = Resolved("refs/heads/main", refs.commits["refs/heads/main"])
    await asyncio.gather(mirror.fetch(found, None), mirror.fetch(found, None))
    assert http_server.counts["fetch"] == 1


async def test_only_changed_files_cross_the_network(mirror: Mirror, repo: Repository) -> None:
    repo.commit({f"{n}.bin": os.urandom(20_000) for n in range(20)})
    await follow(mirror)
    before = storage.size(mirror.directory / "repository.git")
    repo.commit({"0.bin": "small"})
    await follow(mirror)
    assert storage.size(mirror.directory / "repository.git") - before < 10_000


async def test_links_are_named_and_submodules_and_hidden_directories_passed_over(
    mirror: Mirror, repo: Repository
) -> None:
    repo.commit(
        {
            "a.yaml": "1",
            "link.yaml": Symlink("/etc/passwd"),
            "dir": Symlink("../.."),
            "module": Submodule("1" * 40),
            ".gitlab/b.yaml": "1",
            "ü/ä b.yaml": "1",
        }
    )
    revision = await follow(mirror)
    assert paths(mirror, revision) == ["a.yaml", "dir", "link.yaml", "ü/ä b.yaml"]
    assert [file.path for file in mirror.files(revision, ("**/*.yaml",)) if file.link] == ["link.yaml"]


@pytest.mark.parametrize("directory", ["gone", "a.yaml", "dir", "a/../b", "./b", "b/"])
async def test_missing_directory_is_an_error(mirror: Mirror, repo: Repository, directory: str) -> None:
    repo.commit({"a.yaml": "1", "dir": Symlink("b"), "b/c.yaml": "1"})
    revision = await follow(mirror)
    with pytest.raises(DirectoryMissing) as error:
        mirror.files(revision, ("b/*.yaml", f"{directory}/*.yaml"))
    assert f"directory {directory} does not exist" in error.value.what
    assert f"glob {directory}/*.yaml" in error.value.where


async def test_glob_without_hits_is_no_error(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a.yaml": "1"})
    assert mirror.files(await follow(mirror), ("*.json",)) == ()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (FileLimits(max_files=1), "more than 1 files match"),
        (FileLimits(max_file_size=2), r"a.yaml in .*: 3 bytes, the limit is 2"),
        (
            FileLimits(max_total_size=5),
            r"b.yaml in .*: with this file the globs take 6 bytes, the limit is 5",
        ),
        (FileLimits(max_paths=0), "1 globs, the limit is 0"),
    ],
)
async def test_limits(mirror: Mirror, repo: Repository, limits: FileLimits, words: str) -> None:
    repo.commit({"a.yaml": "aaa", "b.yaml": "bbb", "big.txt": "x" * 100})
    revision = await follow(mirror)
    with pytest.raises(LimitExceeded, match=words):
        mirror.files(revision, ("*.yaml",), limits)


async def test_read_is_bounded(mirror: Mirror, repo: Repository) -> None:
    repo.commit({"a": "x" * 100})
    (file,) = mirror.files(await follow(mirror), ALL)
    assert file.size == 100
    with pytest.raises(LimitExceeded, match="100 bytes, the limit is 99"):
        mirror.read(file.blob, limit=99)


async def test_tree_that_holds_itself_many_times_over_is_refused(
    mirror: Mirror, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = repo.git("mktree", stdin=f"100644 blob {repo.git('hash-object', '-w', '--stdin')}\tf\n".encode())
    for _ in range(12):  # 8**12 files out of thirteen objects
        tree = repo.git("mktree", stdin="".join(f"040000 tree {tree}\t{n}\n" for n in range(8)).encode())
    repo.branch("main", repo.git("commit-tree", "-m", "bomb", tree))
    revision = await follow(mirror)
    monkeypatch.setattr("reconciler.git.mirror.MAX_ENTRIES", 20_000)
    with pytest.raises(LimitExceeded, match="entries or"):
        mirror.files(revision, ("*/**",))


async def test_name_that_is_not_utf_8_becomes_text_that_can_be_written(
    mirror: Mirror, repo: Repository
) -> None:
    blob = repo.git("hash-object", "-w", "--stdin")
    tree = repo.git("mktree", stdin=b"100644 blob %s\tb\xff\xfe.yaml\n" % blob.encode())
    repo.branch("main", repo.git("commit-tree", "-m", "bytes", tree))
    assert paths(mirror, await follow(mirror)) == ["b\\xff\\xfe.yaml"]


async def test_two_entries_of_one_name_are_refused(mirror: Mirror, repo: Repository) -> None:
    blob = repo.git("hash-object", "-w", "--stdin").encode()
    # As text both are the same name; the second must not vanish behind the first.
    tree = repo.git("mktree", stdin=b"100644 blob %s\ta\\xff\n100644 blob %s\ta\xff\n" % (blob, blob))
    repo.branch("main", repo.git("commit-tree", "-m", "twice", tree))
    revision = await follow(mirror)
    with pytest.raises(SourceRefused, match="two entries of one name"):
        paths(mirror, revision)


async def test_branch_whose_name_is_not_utf_8_becomes_text_that_can_be_written(
    mirror: Mirror, repo: Repository
) -> None:
    commit = repo.commit({"a": "1"})
    name = "refs/heads/m\udcff"  # the byte ff, as Python names it
    repo.git("update-ref", name, commit)
    (repo.path / "HEAD").write_bytes(b"ref: %s\n" % os.fsencode(name))
    revision = await follow(mirror)
    assert (revision.commit, revision.ref) == (commit, "refs/heads/m\\xff")


async def test_environment_of_a_git_hook_does_not_lead_astray(
    mirror: Mirror, repo: Repository, make_repo: Callable[..., Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"a": "1"})
    other = make_repo("other")
    monkeypatch.setenv("GIT_DIR", str(other.path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / "objects"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=garbage'")
    revision = await follow(mirror)
    assert content(mirror, revision, "a") == b"1"


def git(mirror: Mirror, *arguments: str) -> str:
    return subprocess.run(
        ["git", f"--git-dir={mirror.directory / 'repository.git'}", *arguments],
        env=GIT_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@contextmanager
def old_protocol() -> Iterator[None]:
    """Speak protocol 0, in which servers send by id only what they advertise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLOSED, "protocol.version", "0")
        yield
