"""The command is killed while it takes over an inventory of agentk, around each of its writes."""

import signal
from functools import partial
from pathlib import Path

import pytest

from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.agentk import Agentk
from tests.faults.gateway import Gateway, Moment
from tests.faults.rounds import Command
from tests.fix_sync import Installation
from tests.objects import config_map

WRITES = {"POST": 4, "PATCH": 5, "PUT": 3, "DELETE": 1}
"""Key, head, two shards; the mark, then two for each object; what is known at the end; the prune."""
GONE = 1000
"""Listed objects that are there no more, so that there are two shards."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("method", sorted(WRITES))
def test_killed_take_over_is_finished_by_the_next_run(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, method: str
) -> None:
    command = Command(installation, gateway_kubeconfig)
    path = installation.path("configmaps")
    objects = [config_map("a"), config_map("b")]
    installation.commit({"a.yaml": objects})
    installation.configure(prune_limit="100%")
    killed = 0
    for at in range(1, WRITES[method] + 1):
        for moment in Moment:
            where = f"{method} {at}, {moment.value}"
            agentk = Agentk(installation.api, namespace=installation.namespace, project=at)
            before = agentk.run(*objects, config_map("gone"))
            gone = [f"{agentk.namespace}_{'m' * 200}{n:04}__ConfigMap" for n in range(GONE)]
            installation.api.patch(f"{path}/{agentk.name}", {"data": dict.fromkeys(gone, "")})
            gateway.arm(at, moment, partial(command.signal, signal.SIGKILL), method=method)
            code, _ = command.run()
            killed += code == -signal.SIGKILL
            gateway.settle()
            gateway.disarm()
            report = installation.sync()
            assert report.state is State.SYNCED, f"{where}: {report}"
            assert installation.record()["data"]["owner"] == agentk.id, where
            for name in ("a", "b"):
                metadata = installation.get("configmaps", name)["metadata"]
                assert metadata["uid"] == before[name], where
                assert marks.owner_of(metadata) == agentk.id, where
            assert not installation.exists("configmaps", "gone"), where
            assert installation.recorded_names() == {"a", "b"}, where
            note = agentk.inventory()["metadata"]["annotations"]
            assert note == {marks.IMPORTED_BY: f"{installation.namespace}/shop"}, where
            for item in installation.api.get(path)["items"]:
                if item["metadata"]["name"] != "kube-root-ca.crt":
                    installation.api.delete(f"{path}/{item['metadata']['name']}")
            installation.api.delete(installation.path("secrets", marks.KEY_SECRET))
    assert killed >= WRITES[method], f"only {killed} runs were killed"
