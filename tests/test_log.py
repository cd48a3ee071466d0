"""A log line is one line, whatever it repeats of git and of servers."""

import json
import logging
from collections.abc import Iterator

import pytest

from reconciler import log

HOSTILE = "file a\nerror: fake\x1b[2J\x9b31m\u2028b\udcff.yaml"


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    ours = logging.getLogger("reconciler")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.usefixtures("restored")
def test_readable_line_shows_what_is_not_printable(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", as_json=False)
    logging.getLogger("reconciler.test").info("project %s", HOSTILE, extra={"cause": HOSTILE})
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert "file a\\x0aerror: fake\\x1b[2J\\x9b31m\\x2028b\\xdcff.yaml" in line
    assert "\x1b" not in line


@pytest.mark.usefixtures("restored")
def test_json_line_holds_the_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", as_json=True)
    logging.getLogger("reconciler.test").info("project %s", HOSTILE)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["msg"] == f"project {HOSTILE}"


@pytest.mark.usefixtures("restored")
def test_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", as_json=False)
    try:
        int("broken")
    except ValueError:
        logging.getLogger("reconciler.test").exception("defect")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert lines[-1].startswith("ValueError: ")
