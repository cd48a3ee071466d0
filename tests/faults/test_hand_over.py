"""A move between projects that is killed anywhere deletes nothing, and the next runs put it right."""

import signal
from pathlib import Path

import pytest

from reconciler.sync.outcome import State
from tests.faults.gateway import Gateway, Moment
from tests.faults.rounds import Command
from tests.fix_sync import Installation
from tests.sync.test_hand_over_cluster import Pair

LIMIT = 180  # s; 60 on an idle machine


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("moment", list(Moment))
def test_killed_at_any_write(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, moment: Moment
) -> None:
    pair = Pair(installation)
    pair.run()
    command = Command(installation, gateway_kubeconfig)
    uid, owner = pair.metadata()["uid"], "one"
    killed = 0
    for method, call in [("PATCH", 1), ("PATCH", 2), *(("PUT", n) for n in range(1, 7)), ("POST", 1)]:
        owner = {"one": "two", "two": "one"}[owner]
        pair.declare(owner)
        gateway.arm(call, moment, lambda: command.signal(signal.SIGKILL), method=method)
        code, said = command.run()
        killed += code == -signal.SIGKILL
        gateway.settle()
        gateway.disarm()
        for _ in range(2):
            reports = pair.run().reports
        where = f"{method} {call}, {moment.value}: {said}"
        assert [report.state for report in reports] == [State.SYNCED, State.SYNCED], where
        assert (pair.metadata()["uid"], pair.owner()) == (uid, owner), where
        left = {"one": "two", "two": "one"}[owner]
        assert pair.inventory(owner) == {"a", f"own-{owner}"}, where
        assert pair.inventory(left) == {f"own-{left}"}, where
    assert killed >= 5, killed
