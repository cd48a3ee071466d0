"""The targets of the Makefile that start something, as a person types them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from localcluster import build
from tests.localcluster.waiting import eventually
from tests.terminal import CTRL_C, ROOT, terminal

PATIENCE = 60.0  # s until a cluster is ready; four on two idle cores
STAMPS = (ROOT / ".venv/.dependencies", ROOT / ".venv/.installed")


@pytest.fixture
def environment(binaries: build.Binaries, tmp_path: Path) -> dict[str, str]:
    """That of a shell in which somebody types `make`, with a cache that holds the binaries alone."""
    cache = build.cache_directory({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    cache.mkdir(parents=True)
    for binary in (binaries.controlplane, binaries.kwok):
        (cache / binary.parent.name).symlink_to(binary.parent)
    (tmp_path / "tmp").mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return {**inherited, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}


def make(*arguments: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_demo_once_needs_no_set_up_where_all_is_cached(environment: dict[str, str], tmp_path: Path) -> None:
    assert make("setup", environment=environment).returncode == 0
    before = [stamp.stat().st_mtime_ns for stamp in STAMPS]
    done = make("demo", "ONCE=1", environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("checked: 14 objects in the cluster are what examples/")
    assert not re.search(r"install|build|compil|making", done.stderr), done.stderr
    assert [stamp.stat().st_mtime_ns for stamp in STAMPS] == before
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_cluster_stays_until_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    with terminal("make", "cluster", environment=environment) as cluster:
        cluster.until(lambda text: text.endswith(".yaml\n"), seconds=PATIENCE)
        kubeconfig = Path(cluster.text.splitlines()[-1])
        assert kubeconfig.is_file()
        for _ in range(3):
            cluster.press(CTRL_C)
        cluster.wait()
    eventually(lambda: not list((tmp_path / "tmp").iterdir()), seconds=PATIENCE)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_detached_cluster_stays_until_it_is_stopped(environment: dict[str, str]) -> None:
    up = make("cluster", "DETACH=1", environment=environment)
    try:
        assert up.returncode == 0, up.stderr
        kubeconfig = Path(up.stdout.splitlines()[-1])
        assert kubeconfig.is_file()
    finally:
        stop = make("cluster-stop", environment=environment)
    assert (stop.returncode, stop.stderr) == (0, "cluster default has ended\n")
    assert not kubeconfig.exists()
