"""Whether a ref moved back to an ancestor, asked of a real server about a shallow copy."""

from collections.abc import Callable

import pytest

from reconciler.git import history
from reconciler.git.errors import GitError, SourceUnreachable
from reconciler.git.mirror import Mirror
from reconciler.git.process import GitDeadlines
from reconciler.git.refs import RefSpec
from tests.fix_git import Fault, HttpServer, Repository
from tests.git.following import follow
from tests.git.test_mirror import old_protocol


def line(repo: Repository, count: int, *, branch: str = "main") -> list[str]:
    return [repo.commit({"a": f"{branch} {n}"}, branch=branch) for n in range(count)]


async def moved_back(mirror: Mirror, before: str, spec: RefSpec | None = None) -> bool:
    """Ask about where the ref points now."""
    await follow(mirror, spec)
    now = await mirror.resolve(spec or RefSpec(), None)
    return await mirror.moved_back(before, now, None)


@pytest.mark.parametrize("back", [1, 2, 5, 40])
async def test_ref_that_moved_back(mirror: Mirror, repo: Repository, back: int) -> None:
    commits = line(repo, back + 2)
    await follow(mirror)
    repo.branch("main", commits[-1 - back])
    assert await moved_back(mirror, commits[-1]) is True


@pytest.mark.parametrize("on", [1, 2, 5])
async def test_ref_that_moved_on(mirror: Mirror, repo: Repository, on: int) -> None:
    first = line(repo, 2)[-1]
    await follow(mirror)
    line(repo, on)
    assert await moved_back(mirror, first) is False


async def test_ref_that_moved_on_by_one_commit_asks_nobody(
    make_mirror: Callable[..., Mirror], http_server: HttpServer, repo: Repository
) -> None:
    first = repo.commit({"a": "1"})
    mirror = make_mirror(f"{http_server.url}/repo.git")
    await follow(mirror)
    repo.commit({"a": "2"})
    await follow(mirror)
    now = await mirror.resolve(RefSpec(), None)
    before = dict(http_server.counts)
    assert await mirror.moved_back(first, now, None) is False
    assert http_server.counts == before


async def test_history_that_was_rewritten_is_no_move_back(mirror: Mirror, repo: Repository) -> None:
    commits = line(repo, 4)
    await follow(mirror)
    repo.branch("main", commits[1])
    line(repo, 2)
    assert await moved_back(mirror, commits[-1]) is False


async def test_other_history_is_no_move_back(mirror: Mirror, repo: Repository) -> None:
    last = line(repo, 3)[-1]
    await follow(mirror)
    repo.commit({"a": "new"}, force=True)
    line(repo, 1)
    assert await moved_back(mirror, last) is False


async def test_move_back_to_the_side_that_was_merged(mirror: Mirror, repo: Repository) -> None:
    """The ancestor is the second parent of a commit that was taken back."""
    base = line(repo, 2)[-1]
    repo.branch("side", base)
    side = line(repo, 2, branch="side")[-1]
    top = line(repo, 2)[-1]
    tree = repo.git("rev-parse", f"{top}^{{tree}}")
    merged = repo.git("commit-tree", tree, "-p", top, "-p", side, "-m", "merge")
    repo.branch("main", merged)
    last = line(repo, 2)[-1]
    await follow(mirror)
    repo.branch("main", side)
    assert await moved_back(mirror, last) is True


@pytest.mark.parametrize("annotated", [False, True])
async def test_tag_that_moved_back(mirror: Mirror, repo: Repository, annotated: bool) -> None:
    commits = line(repo, 5)
    spec = RefSpec("tag", "v1")
    repo.tag("v1", commits[-1], annotated=annotated)
    await follow(mirror, spec)
    repo.tag("v1", commits[1], annotated=annotated)
    assert await moved_back(mirror, commits[-1], spec) is True


async def test_commit_that_the_server_has_lost_is_not_known(mirror: Mirror, repo: Repository) -> None:
    commits = line(repo, 4)
    await follow(mirror)
    repo.branch("main", commits[0])
    repo.git("reflog", "expire", "--all", "--expire=now")
    repo.git("gc", "--quiet", "--prune=now")
    with pytest.raises(GitError):
        await moved_back(mirror, commits[-1])


async def test_server_that_sends_no_old_commits_is_not_known(mirror: Mirror, repo: Repository) -> None:
    commits = line(repo, 4)
    await follow(mirror)
    repo.branch("main", commits[0])
    with old_protocol(), pytest.raises(GitError):
        await moved_back(mirror, commits[-1])


async def test_server_that_stalls_is_not_known(
    make_mirror: Callable[..., Mirror],
    http_server: HttpServer,
    repo: Repository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commits = line(repo, 4)
    mirror = make_mirror(f"{http_server.url}/repo.git")
    await follow(mirror)
    repo.branch("main", commits[0])
    await follow(mirror)
    now = await mirror.resolve(RefSpec(), None)
    monkeypatch.setattr(history, "LIMITS", GitDeadlines(connect=1, idle=1, total=1))
    http_server.fault = Fault("stall", on=("fetch",), after=0)
    with pytest.raises(SourceUnreachable):
        await mirror.moved_back(commits[-1], now, None)
    http_server.fault = None
    assert not (mirror.directory / "history.git").exists()
    assert await mirror.moved_back(commits[-1], now, None) is True


async def test_ref_that_moves_meanwhile_is_not_known(mirror: Mirror, repo: Repository) -> None:
    commits = line(repo, 4)
    await follow(mirror)
    repo.branch("main", commits[0])
    await follow(mirror)
    now = await mirror.resolve(RefSpec(), None)
    repo.branch("main", commits[-1])
    with pytest.raises(SourceUnreachable, match="moved while"):
        await mirror.moved_back(commits[-1], now, None)


async def test_what_a_killed_process_left_does_not_answer(mirror: Mirror, repo: Repository) -> None:
    commits = line(repo, 6)
    await follow(mirror)
    left = mirror.directory / "history.git"
    left.mkdir()
    (left / "shallow").write_text(commits[3] + "\n")
    repo.branch("main", commits[2])
    line(repo, 1)
    assert await moved_back(mirror, commits[-1]) is False
