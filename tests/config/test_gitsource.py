import asyncio
import os
import subprocess
from contextlib import aclosing
from pathlib import Path

import pytest

from reconciler.config.errors import ConfigError
from reconciler.config.gitsource import GitSource
from reconciler.config.parse import MAX_SIZE
from reconciler.config.source import Content, Missing, Unreadable, readings
from reconciler.config.state import Accepted, Kept, Nothing, advance
from reconciler.config.urls import config_project
from reconciler.errors import ReconcilerError
from reconciler.git.mirror import Mirror
from reconciler.git.refs import RefSpec

FILE = ".gitlab/agents/prod/config.yaml"
DEADLINE = 15.0  # s


class Origin:
    """A repository on disk that a test can commit to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git("init", "--quiet", "--initial-branch=main", str(path))

    def commit(self, files: dict[str, str | None]) -> str:
        """Write these files (None: delete), commit, return the commit's id."""
        for name, text in files.items():
            file = self.path / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        return self.save()

    def save(self) -> str:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message=change")
        return self._git("rev-parse", "HEAD").strip()

    def switch(self, branch: str) -> None:
        self._git("switch", "--quiet", "--create", branch)

    def _git(self, *arguments: str) -> str:
        who = {
            f"GIT_{role}_{what}": "test@example.com"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            **who,
        }
        where = [] if arguments[0] == "init" else ["-C", str(self.path)]
        done = subprocess.run(
            ["git", *where, *arguments], env=env, check=True, capture_output=True, text=True
        )
        return done.stdout


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "agents.git")


@pytest.fixture
def mirror(origin: Origin, tmp_path: Path):
    opened = Mirror(str(origin.path), root=tmp_path / "mirrors", allow_local=True)
    yield opened
    opened.close()


async def test_the_file_of_the_default_branch_is_read_and_belongs_to_its_project(origin, mirror):
    commit = origin.commit({FILE: "gitops: {manifest_projects: [{}]}"})
    reading = await GitSource(mirror, agent="prod").read()
    assert isinstance(reading, Content)
    assert (reading.where, reading.revision) == (FILE, commit)
    state = advance(
        Nothing(),
        reading,
        config_project=config_project("https://git.example.com/g/agents.git"),
        allow_local=True,
    )
    assert isinstance(state, Accepted)
    (project,) = state.configuration.projects
    assert (project.id, project.url) == ("g/agents", "https://git.example.com/g/agents.git")


async def test_another_branch_can_be_named(origin, mirror):
    origin.commit({FILE: "paused: false"})
    origin.switch("next")
    commit = origin.commit({FILE: "paused: true"})
    reading = await GitSource(mirror, agent="prod", ref=RefSpec("branch", "next")).read()
    assert isinstance(reading, Content)
    assert (reading.data, reading.revision) == (b"paused: true", commit)


async def test_each_new_commit_is_seen_once_and_a_poke_needs_no_interval(origin, mirror):
    origin.commit({FILE: "# one"})
    source = GitSource(mirror, agent="prod")
    async with asyncio.timeout(DEADLINE), aclosing(readings(source, interval=3600.0)) as seen:
        first = await anext(seen)
        source.poke()
        following = asyncio.ensure_future(anext(seen))
        origin.commit({FILE: "# two"})
        source.poke()
        second = await following
        assert isinstance(first, Content)
        assert isinstance(second, Content)
        assert (first.data, second.data) == (b"# one", b"# two")


async def test_a_renamed_agent_directory_stops_nothing(origin, mirror):
    origin.commit({FILE: "gitops: {manifest_projects: [{id: a, url: 'https://h/a'}]}"})
    source = GitSource(mirror, agent="prod")
    before = advance(Nothing(), await source.read())
    origin.commit({FILE: None, ".gitlab/agents/production/config.yaml": "# moved"})
    reading = await source.read()
    after = advance(before, reading)
    assert isinstance(reading, Missing)
    assert isinstance(after, Kept)
    assert [project.id for project in after.configuration.projects] == ["a"]
    assert "the file is gone; what revision" in after.problems[0]


async def test_the_wrong_suffix_is_named(origin, mirror):
    origin.commit({".gitlab/agents/prod/config.yml": "paused: true"})
    reading = await GitSource(mirror, agent="prod").read()
    assert isinstance(reading, Missing)
    assert reading.mend == "rename .gitlab/agents/prod/config.yml"


async def test_a_repository_without_the_file_says_what_to_add(origin, mirror):
    commit = origin.commit({"README.md": "hello"})
    reading = await GitSource(mirror, agent="prod").read()
    assert isinstance(reading, Missing)
    assert reading.where == f"{FILE} in {origin.path} at {commit[:12]}"
    assert "--agent-name" in reading.mend


async def test_a_repository_without_a_commit_is_unreadable_and_not_empty(origin, mirror):
    reading = await GitSource(mirror, agent="prod").read()
    assert isinstance(reading, Unreadable)
    assert reading.what == "the repository has no commit yet"


async def test_a_missing_branch_is_unreadable(origin, mirror):
    origin.commit({FILE: "# here"})
    reading = await GitSource(mirror, agent="prod", ref=RefSpec("branch", "mian")).read()
    assert isinstance(reading, Unreadable)
    assert "no branch mian" in reading.what
    assert "main" in reading.mend


async def test_a_repository_that_vanished_is_unreadable(tmp_path):
    gone = Mirror(str(tmp_path / "gone"), root=tmp_path / "mirrors", allow_local=True)
    assert isinstance(await GitSource(gone, agent="prod").read(), Unreadable)


async def test_only_a_plain_file_counts(origin, mirror):
    (origin.path / FILE).parent.mkdir(parents=True)
    (origin.path / FILE).symlink_to("/etc/passwd")
    origin.save()
    reading = await GitSource(mirror, agent="prod").read()
    assert isinstance(reading, Unreadable)
    assert "not a plain file" in reading.what


async def test_a_directory_in_the_files_place_is_unreadable(origin, mirror):
    origin.commit({f"{FILE}/inside": "x"})
    assert isinstance(await GitSource(mirror, agent="prod").read(), Unreadable)


async def test_a_file_over_the_limit_is_unreadable(origin, mirror):
    origin.commit({FILE: "#" * (MAX_SIZE + 1)})
    reading = await GitSource(mirror, agent="prod").read()
    assert isinstance(reading, Unreadable)
    assert "more than 131072" in reading.what


async def test_credentials_are_asked_for_at_every_look_and_may_fail(origin, mirror):
    origin.commit({FILE: "# here"})
    asked = 0

    async def credentials() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise ReconcilerError(what="no such Secret", where="Secret ns/name", mend="create it")

    source = GitSource(mirror, agent="prod", credentials=credentials)
    assert isinstance(await source.read(), Content)
    assert await source.read() == Unreadable(where="Secret ns/name", what="no such Secret", mend="create it")


@pytest.mark.parametrize("agent", ["", "..", "a/b", "../x", "A", "-a", "a" * 64, "*"])
def test_an_agent_name_cannot_leave_its_directory(mirror, agent):
    with pytest.raises(ConfigError, match="not the name of an agent"):
        GitSource(mirror, agent=agent)
