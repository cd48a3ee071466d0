"""The running service, and an API server and etcd that are killed and come back, also with an older state."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import ControlPlane, running
from tests.faults.rounds import changing, check_equal, declared, live, numbered, put
from tests.fix_git import Repository
from tests.fix_sync import AuditLog, Installation
from tests.service.process import ServiceProcess, service, until

ETCD, API_SERVER = "etcd", "kube-apiserver"
NUMBERS = range(9)
LISTED_AGAIN = 20.0  # s: a watch is opened again after 15 s at most
RESTORED = 60.0  # s: the lease is of another time as well, and has to be taken anew
REST = 2.0  # s in which a false correction would come


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[ControlPlane]:
    with running(data_dir=tmp_path / "cluster", audit=True) as plane:
        yield plane


@pytest.fixture
def installed(mortal: ControlPlane, repo: Repository, tmp_path: Path) -> Installation:
    """An installation in a cluster of its own, which follows its repository closely."""
    api = mortal.api()
    api.post("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    directory = tmp_path / "installation"
    directory.mkdir()
    made = Installation(
        api, AuditLog(mortal), namespace="shop", kubeconfig=mortal.kubeconfig, repo=repo, directory=directory
    )
    made.configure(interval="1s", prune_limit="100%")
    return made


def is_equal(installation: Installation, wanted: dict[str, dict[str, object]]) -> bool:
    return changing(live(installation)) == changing(wanted)


def synced(process: ServiceProcess, commit: str) -> None:
    process.said(f"synced at {commit[:12]}", seconds=LISTED_AGAIN)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_restarted_api_server_makes_no_false_correction_and_hides_no_real_one(
    mortal: ControlPlane, installed: Installation
) -> None:
    wanted = {numbered(n): declared(n, "value", "a") for n in NUMBERS}
    with service(installed) as process:
        synced(process, put(installed, wanted))
        with installed.recorded() as requests:
            mortal.kill(API_SERVER)
            mortal.restart(API_SERVER)
            installed.api.patch(installed.path("configmaps", numbered(0)), {"data": {"value": "theirs"}})
            installed.api.delete(installed.path("services", numbered(2)))
            until(lambda: is_equal(installed, wanted), "both are put right", seconds=LISTED_AGAIN)
            time.sleep(REST)
        assert sorted(requests.of_objects) == ["patch configmaps/o00", "patch services/o02"], process.text
        check_equal(installed, wanted, process.text)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert "Traceback" not in process.text


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_etcd_that_is_restored_to_an_older_state_is_brought_to_what_git_holds(
    mortal: ControlPlane, installed: Installation
) -> None:
    """Objects, inventory and lease go back in time together, below resourceVersions that were seen."""
    data, copy = mortal.data_dir / "etcd", mortal.data_dir / "copy"
    wanted = {numbered(n): declared(n, "value", "a") for n in NUMBERS[:6]}
    with service(installed) as process:
        synced(process, put(installed, wanted))
        for role in (API_SERVER, ETCD):
            mortal.kill(role)
        shutil.copytree(data, copy)
        for role in (ETCD, API_SERVER):
            mortal.restart(role)
        wanted = {numbered(n): declared(n, "value", "b") for n in NUMBERS[3:]}
        synced(process, put(installed, wanted))
        until(lambda: is_equal(installed, wanted), "all is as git holds it", seconds=LISTED_AGAIN)
        for role in (API_SERVER, ETCD):
            mortal.kill(role)
        shutil.rmtree(data)
        copy.rename(data)
        for role in (ETCD, API_SERVER):
            mortal.restart(role)
        assert not is_equal(installed, wanted)
        until(lambda: is_equal(installed, wanted), "the older state is put right", seconds=RESTORED)
        until(lambda: installed.recorded_names() == wanted.keys(), "it is recorded")
        check_equal(installed, wanted, process.text)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert "Traceback" not in process.text
