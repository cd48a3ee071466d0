"""The running service and an API server that stalls, goes away, and comes back."""

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from reconciler.sync.outcome import State
from tests.faults.gateway import Fault, Gateway, Moment
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map
from tests.service.process import STOP_LIMIT, service, until

NAMES = {f"c{n:02}" for n in range(60)}


def break_at(gateway: Gateway, at: int, fault: Fault) -> None:
    """From request number `at` on, all requests meet with a fault."""
    gateway.arm(at, Moment.BEFORE, partial(setattr, gateway, "fault", fault))


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_service_ends_in_time_though_the_api_server_does_not_answer(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    installation.commit({"a.yaml": [config_map(name) for name in sorted(NAMES)]})
    break_at(gateway, 30, Fault.STALL)
    with service(installation, f"--kubeconfig={gateway_kubeconfig}") as process:
        until(lambda: gateway.fault, "the API server stalls in the middle of the applies")
        process.signal(signal.SIGTERM)
        began = time.monotonic()
        process.wait(STOP_LIMIT)
        assert time.monotonic() - began < STOP_LIMIT
    assert "Traceback" not in process.text
    created = {name for name in NAMES if installation.exists("configmaps", name)}
    assert created < NAMES
    assert created <= installation.recorded_names()
    assert installation.sync().state is State.SYNCED


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_service_goes_on_when_the_api_server_is_back(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    """The first retry comes after ten to fifteen seconds."""
    installation.configure(interval="1s")
    commit = installation.commit({"a.yaml": [config_map(name) for name in sorted(NAMES)]})
    break_at(gateway, 30, Fault.CUT)
    with service(installation, f"--kubeconfig={gateway_kubeconfig}") as process:
        process.said(f"project {PROJECT}: .*connection was lost")
        assert process.get("/healthz")[0] == 200
        gateway.disarm()
        process.said(f"project {PROJECT} synced at {commit[:12]}", seconds=40)
        until(
            lambda: (installation.record("-status") or {}).get("data", {}).get("state") == "synced",
            "status",
            seconds=20,
        )
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert "Traceback" not in process.text
    assert installation.recorded_names() == NAMES
