"""Mirrors in a directory of the test's own, closed at its end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.git.mirror import Mirror
from reconciler.git.process import GitDeadlines
from tests.fix_git import Repository
from tests.git.following import DEADLINES


@pytest.fixture
def make_mirror(tmp_path: Path) -> Iterator[Callable[..., Mirror]]:
    made: list[Mirror] = []

    def make(url: str, *, deadlines: GitDeadlines = DEADLINES, max_size: int = 2 * 1024**3) -> Mirror:
        root = tmp_path / "mirrors"
        made.append(Mirror(url, root=root, deadlines=deadlines, allow_local=True, max_size=max_size))
        return made[-1]

    yield make
    for mirror in made:
        mirror.close()


@pytest.fixture
def mirror(make_mirror: Callable[..., Mirror], repo: Repository) -> Mirror:
    return make_mirror(repo.url)
