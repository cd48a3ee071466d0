"""Seconds of what `make soak MINUTES=n` does for minutes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.gateway import Gateway
from tests.faults.sizes import SECONDS, SEED, limit
from tests.faults.soak import Soak
from tests.fix_sync import Installation


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(limit(180))
def test_cluster_inventory_and_git_agree_after_every_storm(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, say: Callable[[str], None]
) -> None:
    soak = Soak(installation, gateway, gateway_kubeconfig, seed=SEED, say=say)
    result = "FAILED"
    try:
        soak.run(SECONDS)
        result = "cluster, inventory and git agreed after each storm"
    finally:
        say("over\n" + soak.table(result))
    assert soak.tally.quiet > 0
