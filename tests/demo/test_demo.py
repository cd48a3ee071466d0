"""`make demo` as a visitor has it: the program is started, looked at, and ended."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import localcluster
from localcluster import build

ROOT = Path(__file__).parents[2]
START = 60.0  # s until the first sync is over; six on two idle cores
REACTION = 10.0  # s from a commit to its effect; one in fact, but tests share the machine
END = 30.0  # s from Ctrl-C to the end; two in fact


class Demo:
    """A running `python -m demo`."""

    def __init__(self, child: "subprocess.Popen[bytes]", output: Path) -> None:
        self.child = child
        self._output = output

    @property
    def text(self) -> str:
        return self._output.read_text(encoding="utf-8")

    @property
    def root(self) -> Path:
        found = re.search(r"cd (\S+)/shop && export", self.text)
        assert found is not None, self.text
        return Path(found[1])

    def until(self, holds: Callable[[str], bool], *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not holds(self.text):
            assert self.child.poll() is None, f"it has ended: {self.text}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {self.text}"
            time.sleep(0.05)

    def run(self, command: str) -> str:
        """A line that the demo suggests, typed into the shell that its first line has prepared."""
        first = re.search(r"^  first +(.*)$", self.text, re.MULTILINE)
        assert first is not None, self.text
        done = subprocess.run(
            ["bash", "-c", f"{first[1]}; {command}"], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def suggestion(self, name: str) -> str:
        found = re.search(rf"^  {name} +(.*?)(  #.*)?$", self.text, re.MULTILINE)
        assert found is not None, self.text
        return found[1]


@contextlib.contextmanager
def started(tmp_path: Path) -> Iterator[Demo]:
    output = tmp_path / "output"
    with output.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Demo(child, output)
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.wait(END)


def once(tmp_path: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "demo", "--once", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=START,
        check=False,
    )


def replicas(root: Path) -> int:
    """Of the Deployment in the demo's own cluster."""
    config = json.loads((root / "kubeconfig").read_text(encoding="utf-8"))
    at = config["clusters"][0]["cluster"]
    api = localcluster.Api(
        at["server"],
        ca_file=Path(at["certificate-authority"]),
        token=config["users"][0]["user"]["token"],
    )
    return int(api.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"]["replicas"])


def processes_below(directory: Path) -> list[str]:
    """Command lines of processes that name something in the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(directory) in line:
                found.append(line)
    return found


@pytest.mark.timeout(60)
def test_one_pass_is_checked_and_leaves_nothing(binaries: build.Binaries, tmp_path: Path):
    done = once(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^platform +\w{10} +synced +8/8 +8 +0 ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^shop +\w{10} +synced +6/6 +6 +0 ", done.stdout, re.MULTILINE), done.stdout
    assert "checked: 14 objects" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_visitor_edits_breaks_mends_removes_and_leaves(binaries: build.Binaries, tmp_path: Path):
    with started(tmp_path) as demo:
        demo.until(lambda text: "  remove " in text, seconds=START)
        assert re.search(r"^shop +\w{10} synced +applied 6/6, ready 6", demo.text, re.MULTILINE), demo.text

        demo.run(demo.suggestion("change"))
        edited = demo.run("git rev-parse --short=10 HEAD").strip()
        demo.until(lambda text: f"shop {edited} synced: 6 objects, 6 ready" in text, seconds=REACTION)
        assert replicas(demo.root) == 3

        demo.run(demo.suggestion("break"))
        broken = demo.run("git rev-parse --short=10 HEAD").strip()
        demo.until(
            lambda text: f"shop {broken} failed: 6 objects, 5 ready, 1 failed" in text, seconds=REACTION
        )
        demo.until(lambda text: "(shop/maintenance.yaml:2): " in text, seconds=REACTION)
        assert "maintenance.yaml" in demo.run("reconciler status --agent-name demo")

        demo.run("git revert --no-edit HEAD")
        mended = demo.run("git rev-parse --short=10 HEAD").strip()
        demo.until(lambda text: f"shop {mended} synced: 6 objects, 6 ready" in text, seconds=REACTION)

        demo.run(demo.suggestion("remove"))
        demo.until(lambda text: "pruned: Service shop/web" in text, seconds=REACTION)

        root = demo.root
        assert processes_below(root)
        demo.child.send_signal(signal.SIGINT)
        assert demo.child.wait(END) == 0
    assert not root.exists()
    assert processes_below(root) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_context_of_the_visitor_keeps_everything(binaries: build.Binaries, tmp_path: Path):
    with localcluster.running() as cluster:
        done = once(tmp_path, "--context", "localcluster", KUBECONFIG=str(cluster.kubeconfig))
        assert done.returncode == 0, done.stderr
        assert "Nothing was deleted in localcluster" in done.stderr
        assert cluster.api().exists("/apis/apps/v1/namespaces/shop/deployments/web")

        foreign = cluster.api().apply(
            "/apis/apps/v1/namespaces/shop/deployments/web",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web"},
                "spec": {"replicas": 4},
            },
        )
        assert foreign["spec"]["replicas"] == 4
        again = once(tmp_path, "--context", "localcluster", KUBECONFIG=str(cluster.kubeconfig))
        assert again.returncode == 0, "a second demo takes its objects over, and mends what was changed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(30)
def test_a_context_that_does_not_exist_is_one_line(tmp_path: Path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}", encoding="utf-8")
    done = once(tmp_path, "--context", "nowhere", KUBECONFIG=str(kubeconfig))
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Nothing was deleted" not in done.stderr
    assert list(tmp_path.iterdir()) == [kubeconfig]
