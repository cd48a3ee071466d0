import pytest

from reconciler.config.models import Configuration
from reconciler.config.source import Content, Missing, Unreadable
from reconciler.config.state import Accepted, Kept, Nothing, advance

GOOD = Content(where="config.yaml", revision="r2", data=b"paused: true\n")
EMPTY = Content(where="config.yaml", revision="r3", data=b"# nothing\n")
BAD = Content(where="config.yaml", revision="r4", data=b"pased: true\nx: 1\n")
GONE = Missing(where="config.yaml", mend="create it")
MUTE = Unreadable(where="config.yaml", what="no answer in 10 s", mend="look at the mount")

OLD = Configuration()
RUNS = Accepted(configuration=OLD, revision="r1")
HOLDS = Kept(configuration=OLD, revision="r1", problems=("earlier trouble",))


@pytest.mark.parametrize(
    ("before", "reading", "want", "in_force", "said"),
    [
        pytest.param(Nothing(), GOOD, Accepted, "r2", [], id="first good file"),
        pytest.param(RUNS, GOOD, Accepted, "r2", [], id="a newer good file"),
        pytest.param(HOLDS, GOOD, Accepted, "r2", [], id="mended"),
        pytest.param(RUNS, EMPTY, Accepted, "r3", [], id="an empty file is a person's wish to stop"),
        pytest.param(Nothing(), BAD, Nothing, None, ["config.yaml:1:1: pased", "config.yaml:2:1: x"],
                     id="restarted with a bad file: nothing runs"),
        pytest.param(RUNS, BAD, Kept, "r1", ["config.yaml:1:1: pased", "config.yaml:2:1: x"],
                     id="a bad file never replaces a good one"),
        pytest.param(HOLDS, BAD, Kept, "r1", ["config.yaml:1:1: pased", "config.yaml:2:1: x"],
                     id="still bad: the newest reasons count"),
        pytest.param(Nothing(), GONE, Nothing, None, ["there is no such file, so nothing runs; create it"],
                     id="never was there"),
        pytest.param(RUNS, GONE, Kept, "r1", ["the file is gone; what revision r1 says stays in force"],
                     id="deleted or renamed: stops nothing"),
        pytest.param(HOLDS, GONE, Kept, "r1", ["the file is gone"], id="bad, then deleted"),
        pytest.param(Nothing(), MUTE, Nothing, None, ["no answer in 10 s; look at the mount"],
                     id="cannot be read at start"),
        pytest.param(RUNS, MUTE, Kept, "r1", ["no answer in 10 s"], id="cannot be read any more"),
    ],
)  # fmt: skip
def test_what_is_in_force(before, reading, want, in_force, said):
    got = advance(before, reading)
    assert type(got) is want
    assert getattr(got, "revision", None) == in_force
    assert got.ready is (in_force is not None)
    assert len(got.problems) == len(said)
    assert all(text in line for text, line in zip(said, got.problems, strict=True)), got.problems


def test_before_the_first_look_nothing_is_in_force():
    assert not Nothing().ready
    assert Nothing().configuration is None
    assert Nothing().problems == ("the configuration was not read yet",)


def test_content_is_not_part_of_any_repr():
    assert "paused" not in repr(GOOD)
