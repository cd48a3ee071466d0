"""The demo in a terminal, in front of a cluster of the visitor's: the live table, the typing, Ctrl-C."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import localcluster
from localcluster import build
from tests.terminal import CTRL_C, terminal

START = 60.0  # s until the first sync is over; five on two idle cores
UP = "\x1b[1A"  # the cursor goes a line up, to draw the table anew in its place


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_visitor_watches_the_table_and_follows_what_is_suggested(
    binaries: build.Binaries, tmp_path: Path
) -> None:
    without = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    with localcluster.running() as cluster:
        environment = {**without, "TMPDIR": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig)}
        program = (sys.executable, "-m", "demo", "--context", "localcluster")
        with terminal(*program, environment=environment) as demo:
            demo.until(lambda text: "\n  remove " in text, seconds=START)
            drawn = plain(demo.text)
            assert re.search(r"PROJECT +COMMIT +STATE +APPLIED +READY +FAILED +TIME", drawn), drawn
            assert UP in demo.text, "the table was not drawn in its place"
            assert re.search(r"^shop +\w{10} +synced +6/6 +6 +0 +[\d.]+ s", drawn, re.MULTILINE), drawn
            assert not re.search(r"^(shop|platform) +- ", drawn, re.MULTILINE), "a row without a commit"

            first = re.search(r"^  first +(.*)$", drawn, re.MULTILINE)
            status = re.search(r"# report: (.*); undo", drawn)
            assert first, drawn
            assert status, drawn
            asked = subprocess.run(
                ["bash", "-c", f"{first[1]}; {status[1]}"],
                env=without,
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
            assert re.search(r"^shop +\w{12} +synced ", asked.stdout, re.MULTILINE), asked.stdout

            demo.press(CTRL_C)
            assert demo.wait() == 0
            assert "Nothing was deleted in localcluster" in demo.text
        assert cluster.api().exists("/apis/apps/v1/namespaces/shop/deployments/web")
    assert list(tmp_path.iterdir()) == []


def plain(text: str) -> str:
    """What was drawn, without the codes."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")
