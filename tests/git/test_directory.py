"""A working directory is read as the commit of it would be."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.git.directory import HERE, Directory
from reconciler.git.errors import BadGlob, DirectoryMissing, GitError, LimitExceeded, LocalFailure
from reconciler.git.globs import DEFAULT_GLOB, FileLimits
from reconciler.git.mirror import Mirror
from tests.fix_git import Repository, Submodule, Symlink
from tests.git.following import follow

ENTRIES: Mapping[str, str | Symlink | Submodule] = {
    "a.yaml": "a",
    "b.txt": "b",
    ".hidden.yaml": "a hidden file is taken",
    ".github/c.yaml": "in a hidden directory",
    "deep/er/d.yaml": "d",
    "deep/.x/e.yaml": "hidden",
    "größe/f.yml": "f",
    "link.yaml": Symlink("a.yaml"),
    "out.yaml": Symlink("/etc/passwd"),
    "linked": Symlink("deep"),
    "inner": Submodule("1" * 40),
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The entries as they would be checked out."""
    root = tmp_path / "work"
    for name, content in ENTRIES.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        match content:
            case Symlink(target):
                place.symlink_to(target)
            case Submodule():
                place.mkdir()
                (place / ".git").write_text("gitdir: ../.git/modules/inner")
                (place / "g.yaml").write_text("of the submodule")
            case text:
                place.write_text(text)
    (root / ".git").mkdir()
    (root / ".git" / "h.yaml").write_text("git's own")
    os.mkfifo(root / "pipe.yaml")
    return root


@pytest.mark.parametrize(
    "globs",
    [
        (DEFAULT_GLOB,),
        ("*.yaml",),
        ("deep/**/*.yaml", "a.yaml"),
        ("linked/*.yaml",),
        ("inner/*.yaml",),
        ("nowhere/*.yaml",),
        ("../*.yaml",),
        ("/a.yaml",),
        ("deep//er/*.yaml",),
        (".github/*.yaml",),
        ("[.yaml",),
    ],
    ids=" ".join,
)
async def test_the_same_files_as_from_git(
    mirror: Mirror, repo: Repository, work: Path, globs: tuple[str, ...]
) -> None:
    repo.commit(ENTRIES)
    revision = await follow(mirror)
    from_git, from_disk = await asyncio.gather(
        asyncio.to_thread(found, mirror, revision, globs),
        asyncio.to_thread(found, Directory(work), HERE, globs),
    )
    assert from_disk == from_git


def found(files, revision, globs):
    """Path and link of each file and its content, or the type of the error."""
    try:
        its = files.files(revision, globs)
    except GitError as error:
        return type(error)
    return [(file.path, file.link or files.read(file.blob, limit=1000)) for file in its]


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        pytest.param(FileLimits(max_files=1), "more than 1 files", id="files"),
        pytest.param(FileLimits(max_file_size=3), "bytes, the limit is 3", id="size of one"),
        pytest.param(FileLimits(max_total_size=5), "take", id="size of all"),
        pytest.param(FileLimits(max_paths=0), "1 globs", id="globs"),
    ],
)
def test_limits_hold(work: Path, limits: FileLimits, what: str) -> None:
    with pytest.raises(LimitExceeded, match=what):
        Directory(work).files(HERE, (DEFAULT_GLOB,), limits)


def test_a_change_in_between_is_an_error(work: Path) -> None:
    directory = Directory(work)
    (file,) = directory.files(HERE, ("a.yaml",))
    (work / "a.yaml").write_text("other")
    with pytest.raises(LocalFailure, match="was changed while it was read"):
        directory.read(file.blob, limit=100)
    (work / "a.yaml").unlink()
    (work / "a.yaml").symlink_to("/etc/passwd")
    with pytest.raises(LocalFailure, match="cannot be read"):
        directory.read(file.blob, limit=100)


def test_a_link_to_the_directory_is_followed(work: Path, tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(work)
    assert [file.path for file in Directory(tmp_path / "here").files(HERE, ("a.yaml",))] == ["a.yaml"]


@pytest.mark.parametrize("name", ["nowhere", "work/a.yaml"])
def test_no_directory_is_an_error_and_never_empty(work: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(DirectoryMissing):
        Directory(tmp_path / name).files(HERE, (DEFAULT_GLOB,))


def test_a_name_that_is_no_text_can_be_told(work: Path) -> None:
    (work / os.fsdecode(b"n\xff.yaml")).write_text("x")
    names = [file.path for file in Directory(work).files(HERE, ("n*.yaml",))]
    assert names == ["n\\xff.yaml"]


def test_a_bad_glob_is_told_as_such(work: Path) -> None:
    with pytest.raises(BadGlob):
        Directory(work).files(HERE, ("*" * 2000,))
