"""
Whether a ref moved back: is the commit that it points at now an ancestor of the one before?

Mirrors are shallow, and commit dates prove nothing, so the server is asked for what the old
commit has and the ref has not (`--shallow-exclude`): exactly the commits that were taken back.
The new commit is an ancestor if and only if it is a parent of one of these. Commits only, into
a repository that is thrown away. What is not sure is an error, never a no. Neighbour: mirror.py.
"""

import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.git.errors import SourceUnreachable
from reconciler.git.failures import AGAIN
from reconciler.git.process import Finished, GitDeadlines

LIMITS: Final = GitDeadlines(connect=10.0, idle=10.0, total=20.0)
"""s; a run waits for the answer, and does without it."""
MAX_SIZE: Final = 64 * 1024**2  # bytes; a server that cannot leave out the files sends them along
_MOST_EDGES: Final = 1000  # commits where what was taken back begins; one for an ordinary move
_NOTHING_TAKEN_BACK: Final = re.compile(r"no commits selected for shallow requests")
_OLD: Final = "refs/heads/before"

Git = Callable[..., Awaitable[Finished]]
"""Runs git with these arguments, in a closed environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From `before` to `now`, where `ref` pointed when the server was asked."""

    before: str
    now: str
    ref: str


async def is_rewind(
    move: Move, *, url: str, scratch: Path, git: Git, check: Callable[[Finished, str], None]
) -> bool:
    """
    Ask the server; GitError where it does not tell. `scratch` is a path that is made and removed.

    False is right only for as long as the ref did not move again: look at it once more.
    """
    doing = "look into the history"
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    try:
        check(await git("init", "--bare", "--quiet", "--template=", str(scratch)), doing)
        here = f"--git-dir={scratch}"
        ended = await git(
            here,
            "fetch",
            "--progress",
            "--filter=tree:0",
            f"--shallow-exclude={move.ref}",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            url,
            f"+{move.before}:{_OLD}",
        )
        if ended.status != 0 and _NOTHING_TAKEN_BACK.search(ended.errors):
            return False
        check(ended, doing)
        sent = await git(here, "rev-list", _OLD)
        check(sent, doing)
        # Servers name some edges of what they did not send as well.
        edges = _edges(scratch).intersection(sent.output.decode("ascii").split())
        if not edges:
            return False  # the two have no commit in common
        if len(edges) > _MOST_EDGES:
            raise SourceUnreachable(what=f"{doing}: it is too wide", where=url, mend="compare by hand")
        # Without the list of edges git shows the parents that these have, instead of none.
        listed = await git(
            here, "--shallow-file", "/dev/null", "rev-list", "--no-walk", "--parents", *sorted(edges)
        )
        check(listed, doing)
        return any(move.now in line.split()[1:] for line in listed.output.decode("ascii").splitlines())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _edges(repository: Path) -> frozenset[str]:
    try:
        return frozenset((repository / "shallow").read_text(encoding="ascii").split())
    except FileNotFoundError:
        return frozenset()


def moved_again(url: str) -> SourceUnreachable:
    """The answer was about another commit."""
    return SourceUnreachable(what="the ref moved while its history was read", where=url, mend=AGAIN)
