"""`python -m localcluster` as make and people use it, and clusters that must not outlive anybody."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, build, versions
from tests.localcluster.waiting import children, eventually, runs

ROOT = versions.PACKAGE.parent
HOLD_A_CLUSTER = """
import sys, json
from localcluster import Role, running
with running() as cluster:
    print(json.dumps({"pids": [cluster.pid(r) for r in Role], "data": str(cluster.data_dir)}), flush=True)
    sys.stdin.read()
"""
FORGET_A_CLUSTER = """
import json
from localcluster import Role, running
block = running()
cluster = block.__enter__()
print(json.dumps({"pids": [cluster.pid(r) for r in Role], "data": str(cluster.data_dir)}), flush=True)
"""

pytestmark = pytest.mark.usefixtures("binaries")  # no command here waits for a build


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "localcluster", *arguments]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=19, check=False
    )


def start(program: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        program,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # as a shell does for a job
    )


def printed_kubeconfig(up: "subprocess.Popen[str]") -> str:
    """The path that it prints when its cluster is ready."""
    assert up.stdout
    for line in up.stdout:
        if line.endswith(".yaml\n"):
            return line.rstrip("\n")
    raise AssertionError(f"it has ended with code {up.wait()}")


def reachable(kubeconfig: str) -> bool:
    """Ask the cluster of a kubeconfig for its version, as any client would."""
    config = json.loads(Path(kubeconfig).read_text())
    server = config["clusters"][0]["cluster"]
    token = config["users"][0]["user"]["token"]
    api = Api(server["server"], ca_file=Path(server["certificate-authority"]), token=token)
    return bool(api.get("/version")["gitVersion"] == versions.read().kubernetes)


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a detached cluster that no other test uses; ended afterwards."""
    own = f"test-{uuid.uuid4().hex[:8]}"
    yield own
    run("down", "--name", own)
    (build.cache_directory(os.environ) / "clusters" / f"{own}.lock").unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_its_kubeconfig_last_and_stays_until_a_signal(number: signal.Signals) -> None:
    with start(command("up")) as up:
        assert up.stdout
        kubeconfig = printed_kubeconfig(up)
        assert reachable(kubeconfig)
        roles = children(up.pid)
        assert len(roles) == 5
        up.send_signal(number)
        assert up.stdout.read() == "", "the kubeconfig must stay the last line"
        assert up.wait(timeout=10) == 0
    assert not [pid for pid in roles if runs(pid)]
    assert not Path(kubeconfig).parents[1].exists(), "keys and tokens must not be left"


def test_impatience_does_not_cut_the_end_of_a_cluster_short() -> None:
    with start(command("up")) as up:
        assert up.stdout
        kubeconfig = printed_kubeconfig(up)
        roles = children(up.pid)
        up.send_signal(signal.SIGHUP)  # the terminal was closed, and then
        eventually(lambda: len(children(up.pid)) < len(roles))  # it is being taken down
        up.send_signal(signal.SIGINT)
        assert "a moment" in up.stdout.readline()
        up.send_signal(signal.SIGTERM)
        up.stdout.read()
        assert up.wait(timeout=10) == 0
    assert not [pid for pid in roles if runs(pid)]
    assert not Path(kubeconfig).parents[1].exists(), "keys and tokens must not be left"


def test_up_ends_with_an_error_when_a_role_dies() -> None:
    with start(command("up")) as up:
        assert up.stdout
        printed_kubeconfig(up)
        os.kill(children(up.pid)[-1], signal.SIGKILL)
        assert "kwok has ended" in up.stdout.read()
        assert up.wait(timeout=10) == 1


def test_a_detached_cluster_stays_until_down(name: str) -> None:
    up = run("up", "--detach", "--name", name)
    assert up.returncode == 0, up.stderr
    kubeconfig = up.stdout.splitlines()[-1]
    assert reachable(kubeconfig)
    again = run("up", "--detach", "--name", name)
    assert again.stdout == up.stdout, "a second one is the same one"
    down = run("down", "--name", name)
    assert (down.returncode, "has ended" in down.stderr) == (0, True)
    assert not Path(kubeconfig).exists()


def test_down_without_a_cluster_is_no_error(name: str) -> None:
    down = run("down", "--name", name)
    assert (down.returncode, "no cluster" in down.stderr) == (0, True)


def test_a_state_left_by_a_crash_is_not_believed(name: str) -> None:
    state = build.cache_directory(os.environ) / "clusters" / name / "state.json"
    with start(command("up", "--detach", "--name", name)) as up:
        eventually(state.exists)
        supervisor = json.loads(state.read_text())["pid"]
        eventually(lambda: children(supervisor))
        roles = children(supervisor)
        os.kill(supervisor, signal.SIGKILL)
        assert "it did not start" in up.communicate()[0]
        assert up.returncode == 1
    eventually(lambda: not [pid for pid in (supervisor, *roles) if runs(pid)])
    # It could have been ready, and its process id may be anybody's now, for example ours.
    left = next((state.parent / "data").rglob("admin.yaml"))
    state.write_text(json.dumps({"pid": os.getpid(), "kubeconfig": str(left)}))
    after = run("up", "--detach", "--name", name)
    assert reachable(after.stdout.splitlines()[-1])


def test_a_name_cannot_leave_the_directory() -> None:
    up = run("up", "--detach", "--name", "../elsewhere")
    assert up.returncode == 1
    assert "cannot name a cluster" in up.stderr


def held(holder: "subprocess.Popen[str]") -> Any:
    assert holder.stdout
    return json.loads(holder.stdout.readline())


@pytest.mark.parametrize(
    ("number", "data_is_gone"),
    [
        pytest.param(signal.SIGTERM, True, id="SIGTERM"),
        pytest.param(signal.SIGKILL, False, id="SIGKILL, where only the kernel can act"),
    ],
)
def test_roles_end_with_the_process_that_holds_them(number: signal.Signals, data_is_gone: bool) -> None:
    with start([sys.executable, "-c", HOLD_A_CLUSTER]) as holder:
        cluster = held(holder)
        assert all(runs(pid) for pid in cluster["pids"])
        holder.send_signal(number)
        assert holder.wait(timeout=10) == -number
    eventually(lambda: not [pid for pid in cluster["pids"] if runs(pid)])
    assert Path(cluster["data"]).exists() != data_is_gone
    subprocess.run(["rm", "-rf", cluster["data"]], check=True)


def test_roles_end_with_an_interpreter_that_forgot_them() -> None:
    with start([sys.executable, "-c", FORGET_A_CLUSTER]) as holder:
        cluster = held(holder)
        assert holder.wait(timeout=10) == 0
    eventually(lambda: not [pid for pid in cluster["pids"] if runs(pid)])
    assert not Path(cluster["data"]).exists()
