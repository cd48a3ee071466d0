"""A replacement is killed around each of its writes: the next run ends it, and deletes nothing twice."""

import signal
from functools import partial
from pathlib import Path

import pytest

from reconciler.sync.outcome import State
from tests.faults.gateway import Gateway, Moment
from tests.faults.rounds import Command, check_deletes
from tests.fix_sync import Installation
from tests.objects import config_map
from tests.sync.test_replacing_cluster import job

LIMIT = 120  # s; 30 on an idle machine


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_killed_replacement_is_ended_by_the_next_run(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    installation.configure(prune_propagation_policy="background")
    command = Command(installation, gateway_kubeconfig)
    kill = partial(command.signal, signal.SIGKILL)
    installation.commit({"a.yaml": [job("a:0", value="allowed"), config_map("keep")]})
    assert installation.sync(wait=False).state is State.SYNCED
    killed = 0
    points = [("DELETE", 1), ("PATCH", 1), ("PATCH", 2), ("PATCH", 3), ("PUT", 1)]
    for number, (method, at, moment) in enumerate(((*p, m) for p in points for m in Moment), 1):
        where = f"{method} {at} {moment.value}"
        installation.commit({"a.yaml": [job(f"a:{number}", value="allowed"), config_map("keep")]})
        with installation.recorded() as requests:
            gateway.arm(at, moment, kill, method=method)
            code, said = command.run()
            gateway.settle()
            gateway.disarm()
            assert code == -signal.SIGKILL, f"{where}: {said}"
            killed += 1
            assert "it" in installation.recorded_names(), where
            path = installation.path("batch/v1/jobs", "it")
            installation.api.until(path, lambda it: it is None or "deletionTimestamp" not in it["metadata"])
            report = installation.sync(wait=False)
        assert report.state is State.SYNCED, f"{where}: {report}"
        live = installation.get("batch/v1/jobs", "it")
        assert live["spec"]["template"]["spec"]["containers"][0]["image"] == f"a:{number}", where
        uids = {ref.name: its.uid for ref, its in installation.inventory().items()}
        assert uids["it"] == live["metadata"]["uid"], where
        check_deletes(requests, {"it"}, where)
        deleted = [a for a in requests.writes if (a.verb, a.resource, a.code) == ("delete", "jobs", 200)]
        assert len(deleted) == 1, f"{where}: {deleted}"
    assert killed == len(points) * len(Moment)
