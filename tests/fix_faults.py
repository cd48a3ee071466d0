"""
A broken link between our command and the API server, and rounds of work that it breaks.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcluster import Api, ControlPlane
from tests.faults import sizes
from tests.faults.gateway import Gateway
from tests.faults.rounds import Rounds
from tests.faults.webhooks import Webhook
from tests.fix_git import Authority, LoopThread
from tests.fix_sync import Installation


@pytest.fixture
def gateway(
    server_thread: LoopThread, control_plane: ControlPlane, authority: Authority
) -> Iterator[Gateway]:
    """A gateway in front of the control plane, still without a fault."""
    gateway = Gateway(server_thread, control_plane, authority)
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway_kubeconfig(
    gateway: Gateway, control_plane: ControlPlane, authority: Authority, tmp_path: Path
) -> Path:
    """The admin's kubeconfig, by way of the gateway."""
    return gateway.kubeconfig(control_plane.kubeconfig, tmp_path / "gateway.json", authority)


@pytest.fixture
def rounds(installation: Installation, gateway: Gateway, gateway_kubeconfig: Path) -> Rounds:
    """Two rounds are done and whole; more are the test's."""
    return Rounds(installation, gateway, gateway_kubeconfig)


@pytest.fixture
def webhook(server_thread: LoopThread, api: Api, authority: Authority) -> Iterator[Webhook]:
    """A webhook that guards nothing yet."""
    webhook = Webhook(server_thread, api, authority)
    yield webhook
    webhook.stop()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Tell who waits for a long run how far it is; in `make test` nobody does."""
    began = time.monotonic()

    def tell(text: str) -> None:
        if sizes.LONG:
            with capsys.disabled():
                print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    if sizes.LONG:
        with capsys.disabled():
            print()
    return tell


def pytest_report_header() -> str:
    """What repeats the random choices of kills and soaks."""
    return f"faults: SEED={sizes.SEED}"
