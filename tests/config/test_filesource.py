import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from reconciler.config import filewatch
from reconciler.config.errors import ConfigError
from reconciler.config.filesource import FileSource, lookups, read_file
from reconciler.config.parse import MAX_SIZE
from reconciler.config.source import Content, Missing, Reading, Unreadable, readings

NEVER = 3600.0  # s; what is noticed in these tests is noticed by an event, not on the interval
NOTICED = 1.0  # s; the promise, from the change to the new content


def text(reading: Reading) -> str:
    match reading:
        case Content():
            return reading.data.decode()
        case Missing():
            return "(missing)"
        case _:
            return f"({reading.what})"


def write(path: Path, content: str) -> None:
    path.write_text(content)


def replace(path: Path, content: str) -> None:
    """As editors and `kubectl` tools do: a new file under another name, then a rename over the old one."""
    beside = path.with_name(".config.yaml.swp")
    beside.write_text(content)
    beside.replace(path)


def put_back(path: Path, content: str) -> None:
    path.unlink()
    path.write_text(content)


def put_directory_back(path: Path, content: str) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    path.write_text(content)


def move_directory_away(path: Path, content: str) -> None:
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()
    path.write_text(content)


def in_two_parts(path: Path, content: str) -> None:
    with path.open("w") as file:
        file.write(content[:1])
        file.flush()
        file.write(content[1:])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(write, id="written in place"),
        pytest.param(in_two_parts, id="written in two parts"),
        pytest.param(replace, id="replaced by a rename"),
        pytest.param(put_back, id="deleted and created again"),
        pytest.param(put_directory_back, id="directory deleted and created again"),
        pytest.param(move_directory_away, id="directory moved away and created again"),
    ],
)
async def test_a_change_is_noticed_within_a_second_and_so_is_the_next(tmp_path, change):
    path = tmp_path / "etc" / "config.yaml"
    path.parent.mkdir()
    path.write_text("one")
    async with aclosing(readings(FileSource(path), interval=NEVER)) as seen:
        assert text(await anext(seen)) == "one"
        change(path, "two")
        await wait_for("two", seen)
        write(path, "three")
        await wait_for("three", seen)


async def wait_for(want: str, seen) -> None:
    async with asyncio.timeout(NOTICED):
        while text(await anext(seen)) != want:
            pass


def mount(directory: Path, version: str, content: str) -> None:
    """Put a new version into a ConfigMap volume, as the kubelet does."""
    new = directory / f"..{version}"
    new.mkdir(parents=True)
    (new / "config.yaml").write_text(content)
    link = directory / "..data"
    old = link.resolve() if link.is_symlink() else None
    (directory / "..data_tmp").symlink_to(new.name)
    (directory / "..data_tmp").replace(link)
    if old is None:
        (directory / "config.yaml").symlink_to("..data/config.yaml")
    else:
        shutil.rmtree(old)


async def test_every_symlink_swap_of_a_mounted_configmap_is_noticed(tmp_path):
    mount(tmp_path / "mount", "1", "one")
    async with aclosing(readings(FileSource(tmp_path / "mount" / "config.yaml"), interval=NEVER)) as seen:
        assert text(await anext(seen)) == "one"
        for version, content in (("2", "two"), ("3", "three")):
            mount(tmp_path / "mount", version, content)
            await wait_for(content, seen)


async def test_a_link_to_a_file_elsewhere_is_followed(tmp_path):
    real = tmp_path / "repo" / "config.yaml"
    real.parent.mkdir()
    real.write_text("one")
    link = tmp_path / "home" / "config.yaml"
    link.parent.mkdir()
    link.symlink_to(real)
    async with aclosing(readings(FileSource(link), interval=NEVER)) as seen:
        assert text(await anext(seen)) == "one"
        replace(real, "two")
        await wait_for("two", seen)
        link.unlink()
        link.write_text("three")
        await wait_for("three", seen)


async def test_missing_is_told_and_so_is_the_first_file(tmp_path):
    path = tmp_path / "not" / "yet" / "config.yaml"
    async with aclosing(readings(FileSource(path), interval=NEVER)) as seen:
        assert text(await anext(seen)) == "(missing)"
        path.parent.mkdir(parents=True)
        path.write_text("one")
        await wait_for("one", seen)
        path.unlink()
        await wait_for("(missing)", seen)


async def test_only_the_newest_of_many_changes_matters(tmp_path):
    path = tmp_path / "config.yaml"
    write(path, "one")
    async with aclosing(readings(FileSource(path), interval=NEVER)) as seen:
        assert text(await anext(seen)) == "one"
        for n in range(50):
            replace(path, f"draft {n}")
        write(path, "last")
        async with asyncio.timeout(NOTICED):
            assert text(await anext(seen)) == "last"


async def test_touching_the_file_or_its_neighbours_yields_nothing(tmp_path):
    path = tmp_path / "config.yaml"
    write(path, "one")
    async with aclosing(readings(FileSource(path), interval=NEVER)) as seen:
        assert text(await anext(seen)) == "one"
        os.utime(path)
        write(tmp_path / "neighbour", "x")
        write(path, "one")
        following = asyncio.ensure_future(anext(seen))
        write(path, "two")
        async with asyncio.timeout(NOTICED):
            assert text(await following) == "two"


async def test_without_events_the_interval_notices(tmp_path, monkeypatch, caplog):
    def no_watch_left(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(filewatch.FileWatch, "_watch", no_watch_left)
    path = tmp_path / "config.yaml"
    write(path, "one")
    async with aclosing(readings(FileSource(path), interval=0.05)) as seen:
        assert text(await anext(seen)) == "one"
        write(path, "two")
        await wait_for("two", seen)
    assert [r.message for r in caplog.records] == [
        "cannot watch the configuration file (No space left on device): looking at it on the interval only"
    ]


async def test_a_poke_makes_it_look_again(tmp_path):
    source = FileSource(tmp_path / "config.yaml")
    waiting = asyncio.ensure_future(source.changed())
    source.poke()
    async with asyncio.timeout(NOTICED):
        await waiting


async def test_an_abandoned_watch_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    write(tmp_path / "config.yaml", "one")
    async with aclosing(readings(FileSource(tmp_path / "config.yaml"), interval=NEVER)) as seen:
        await anext(seen)
    left = [t.name for t in set(threading.enumerate()) - before if not t.name.startswith("asyncio_")]
    assert left == []


def test_a_watch_that_ends_while_the_file_changes_says_nothing(tmp_path, caplog):
    """watchdog's own order of stopping logs an error in one of ten such ends."""
    file, ended = tmp_path / "config.yaml", threading.Event()

    def change() -> None:
        while not ended.is_set():
            write(file, "changed")

    loop = asyncio.new_event_loop()
    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(100):
            watch = filewatch.FileWatch(loop, lambda: None)
            watch.aim(lookups(file))
            watch.stop()
    finally:
        ended.set()
        writer.join()
        loop.close()
    assert caplog.messages == []


def directory(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def loop_of_links(path: Path) -> None:
    path.symlink_to(path.name)


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("no directory")


@pytest.mark.parametrize(
    ("make", "want"),
    [
        pytest.param(directory, "(this is not a plain file)", id="directory"),
        pytest.param(pipe, "(this is not a plain file)", id="named pipe does not block"),
        pytest.param(
            loop_of_links, "(cannot read it: Too many levels of symbolic links)", id="loop of links"
        ),
        pytest.param(dangling_link, "(missing)", id="dangling link"),
        pytest.param(below_a_file, "(missing)", id="below a file"),
    ],
)
def test_what_is_no_file(tmp_path, make: Callable[[Path], None], want):
    path = tmp_path / "etc" / "config.yaml"
    path.parent.mkdir()
    make(path)
    assert text(read_file(path, shown="config.yaml")) == want


def test_a_relative_path_needs_a_current_directory(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError) as caught:
        FileSource(Path("x.yaml"))
    assert str(caught.value) == "x.yaml: the current directory is gone; give an absolute path"


def test_a_huge_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    reading = read_file(path, shown="config.yaml")
    assert isinstance(reading, Content)
    assert len(reading.data) == MAX_SIZE + 1


def test_a_loop_of_links_ends(tmp_path):
    loop_of_links(tmp_path / "config.yaml")
    assert len(lookups(tmp_path / "config.yaml")) < 100


async def test_a_file_system_that_hangs_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("reconciler.config.filesource.READ_TIMEOUT", 0.0)
    got = await FileSource(tmp_path / "config.yaml").read()
    assert isinstance(got, Unreadable)
    assert "gave no answer" in got.what
