"""
Real git repositories out of `examples/`, in a directory of the demo's own.

They are ordinary work trees with one commit each, so that a visitor edits and commits in
them as anywhere. Only one thing differs from the examples: URLs lead here. Neighbours:
declared.py reads what they declare, service.py runs on them.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from demo.errors import DemoError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
AGENT = "demo"
CONFIG = "config"
PROJECTS = ("platform", "shop")
SERVER = "https://git.example.com"
GIT_LIMIT = 30.0  # s for one git command on small local files


@dataclass(frozen=True, slots=True)
class Repositories:
    """Where they are: `config` holds the configuration, each project has a directory of its own."""

    config: Path
    projects: dict[str, Path]


def make(root: Path) -> Repositories:
    """Make all repositories below `root`; raises DemoError if git is not there."""
    projects = {name: root / name for name in PROJECTS}
    for name in (CONFIG, *PROJECTS):
        shutil.copytree(EXAMPLES / name, root / name)
    _lead_here(root / CONFIG / ".gitlab" / "agents" / AGENT / "config.yaml", root)
    for name in (CONFIG, *PROJECTS):
        _first_commit(root / name)
    return Repositories(root / CONFIG, projects)


def commit_of(repository: Path) -> str:
    """The id of the newest commit."""
    return _git(repository, "rev-parse", "HEAD").strip()


def _lead_here(config: Path, root: Path) -> None:
    text = config.read_text(encoding="utf-8")
    if text.count(SERVER) != len(PROJECTS):
        raise DemoError(
            what=f"not every project has a URL below {SERVER}", where=str(config), mend="restore examples/"
        )
    config.write_text(text.replace(SERVER, str(root)), encoding="utf-8")


def _first_commit(repository: Path) -> None:
    _git(repository, "init", "--quiet", "--initial-branch=main", "--template=")
    # Of this repository only, so that a visitor without any settings can commit, too.
    for key, value in (
        ("user.name", "Demo"),
        ("user.email", "demo@example.com"),
        ("commit.gpgSign", "false"),
        ("core.hooksPath", os.devnull),
    ):
        _git(repository, "config", key, value)
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message", "First commit of the demo")


def _git(repository: Path, *arguments: str) -> str:
    # GIT_DIR and its like, as a hook that runs us has them, would lead to another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_LIMIT,
            check=True,
        )
    except FileNotFoundError:
        raise DemoError(what="git was not found", where="PATH", mend="install git") from None
    except subprocess.CalledProcessError as error:
        raise DemoError(
            what=f"git {arguments[0]} failed", where=str(repository), mend=error.stderr.strip()
        ) from None
    return done.stdout
