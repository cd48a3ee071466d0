"""Roles are killed, frozen, restarted, and fail to start; clusters run side by side."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import (
    Api,
    ControlPlane,
    LocalClusterError,
    Role,
    RoleError,
    background,
    build,
    ports,
    running,
    versions,
)
from tests.localcluster.waiting import eventually, runs

pytestmark = pytest.mark.usefixtures("binaries")
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def cluster(binaries: build.Binaries) -> Iterator[ControlPlane]:
    """A cluster that only these tests break; each leaves it whole."""
    with running() as own:
        yield own


@pytest.mark.parametrize("role", list(Role))
def test_a_killed_role_can_be_restarted(cluster: ControlPlane, role: Role) -> None:
    before = cluster.pid(role)
    cluster.kill(role)
    assert cluster.pid(role) is None
    cluster.restart(role)
    assert cluster.pid(role) not in (None, before)
    eventually(lambda: cluster.api().text("/readyz") == "ok")


@pytest.mark.parametrize("role", [Role.ETCD, Role.API_SERVER])
def test_data_survives_a_kill(cluster: ControlPlane, role: Role) -> None:
    cluster.api().post(MAPS, {"metadata": {"name": f"kept-{role}"}, "data": {"a": "1"}})
    cluster.kill(role)
    cluster.restart(role)
    found = cluster.api().until(f"{MAPS}/kept-{role}", bool)
    assert found["data"] == {"a": "1"}


def test_a_killed_api_server_refuses_connections(cluster: ControlPlane) -> None:
    cluster.kill(Role.API_SERVER)
    with pytest.raises(ConnectionRefusedError):
        cluster.api().get("/version")
    cluster.restart(Role.API_SERVER)


def test_a_paused_api_server_does_not_answer_and_then_does(cluster: ControlPlane) -> None:
    impatient = Api(cluster.url, ca_file=cluster.ca_file, token=cluster.tokens["admin"], limit=0.3)
    cluster.pause(Role.API_SERVER)
    try:
        with pytest.raises(TimeoutError):
            impatient.get("/version")
    finally:
        cluster.resume(Role.API_SERVER)
    assert cluster.api().get("/version")["major"] == "1"


def test_a_paused_role_can_be_restarted(cluster: ControlPlane) -> None:
    cluster.pause(Role.SCHEDULER)
    cluster.restart(Role.SCHEDULER)
    assert cluster.pid(Role.SCHEDULER)


def test_a_role_that_has_ended_is_named_with_its_log(cluster: ControlPlane) -> None:
    assert cluster.ended() is None
    cluster.kill(Role.KWOK)
    with pytest.raises(RoleError, match="kwok has ended"):
        background.watch(cluster)
    cluster.restart(Role.KWOK)


def test_an_unknown_role_is_refused(cluster: ControlPlane) -> None:
    with pytest.raises(ValueError, match="kube-proxy"):
        cluster.kill("kube-proxy")


def test_a_role_that_cannot_start_is_named_with_the_tail_of_its_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with (
        pytest.raises(RoleError) as failed,
        running(data_dir=data, api_server_flags=["--no-such-flag"]),
    ):
        pass
    assert failed.value.what.startswith("kube-apiserver ended")
    assert "unknown flag: --no-such-flag" in str(failed.value)
    assert (data / "logs" / "kube-apiserver.log").exists(), "a directory of the caller's own stays"


def test_a_role_that_is_not_ready_in_time_is_named_with_the_tail_of_its_log(
    cluster: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.kill(Role.API_SERVER)
    cluster.pause(Role.ETCD)  # for which the API server waits when it starts
    try:
        with monkeypatch.context() as impatient:
            impatient.setattr("localcluster.cluster.READY_LIMIT", 1.5)
            with pytest.raises(RoleError) as late:
                cluster.restart(Role.API_SERVER)
    finally:
        cluster.kill(Role.API_SERVER)
        cluster.resume(Role.ETCD)
        cluster.restart(Role.API_SERVER)
    assert late.value.what == "kube-apiserver was not ready within 1.5 s"
    assert f"Version: {versions.read().kubernetes}" in late.value.log, str(late.value)


def test_a_port_that_was_lost_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = ports.draw
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        lost = iter([taken])
        monkeypatch.setattr(ports, "draw", lambda n, *, host: [*lost, *draw(n, host=host)][:n])
        with running() as cluster:
            assert cluster.api().text("/readyz") == "ok"


def test_clusters_run_side_by_side_and_share_nothing(
    control_plane: ControlPlane, cluster: ControlPlane
) -> None:
    cluster.api().post(MAPS, {"metadata": {"name": "here-only"}})
    assert cluster.api().exists(f"{MAPS}/here-only")
    assert not control_plane.api().exists(f"{MAPS}/here-only")
    stranger = Api(cluster.url, ca_file=control_plane.ca_file, token=None)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.get("/version")


def test_a_cluster_leaves_nothing_behind() -> None:
    with running(nodes=2) as own:
        pids = [own.pid(role) for role in Role]
        data = own.data_dir
        assert len(own.api().get("/api/v1/nodes")["items"]) == 2
    assert not data.exists()
    assert not [pid for pid in pids if pid and runs(pid)]


def test_a_data_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    with pytest.raises(LocalClusterError, match="not empty"), running(data_dir=tmp_path):
        pass
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("name", ["admin", "two,fields", ""])
def test_an_identity_that_would_gain_rights_is_refused(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(LocalClusterError, match="cannot be an identity"),
        running(data_dir=tmp_path, identities=[name]),
    ):
        pass
