"""A take-over that breaks between its patch and the apply is put right by the next run."""

import signal
from pathlib import Path

import pytest

from tests.faults.gateway import Gateway, Moment
from tests.faults.rounds import Command
from tests.faults.webhooks import Webhook
from tests.fix_sync import PROJECT, Installation, of
from tests.fix_takeover import Predecessor, managers
from tests.objects import config_map, manifest


@pytest.fixture
def command(installation: Installation, gateway_kubeconfig: Path) -> Command:
    """A sync that is to take one object over from agentk and kubectl."""
    installation.configure(inventory_policy="adopt_all")
    predecessor = Predecessor(installation)
    predecessor.applied("configmaps", config_map("a", kept="1", one="1"))
    predecessor.edited("configmaps", config_map("a", kept="1", two="1"))
    installation.commit({"a.yaml": config_map("a", kept="1")})
    return Command(installation, gateway_kubeconfig)


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("patch", [1, 2])
def test_killed_around_each_of_its_two_requests(
    installation: Installation, gateway: Gateway, command: Command, patch: int, moment: Moment
) -> None:
    gateway.arm(patch, moment, lambda: command.signal(signal.SIGKILL), method="PATCH")
    code, said = command.run()
    assert code == -signal.SIGKILL, said
    gateway.settle()
    its = of(installation.sync(), "a")
    assert its.outcome.value in ("updated", "unchanged"), its
    found = installation.get("configmaps", "a")
    assert found["data"] == {"kept": "1"}
    assert managers(found) == {f"reconciler:{PROJECT}": "Apply"}
    with installation.recorded() as requests:
        installation.sync()
    assert requests.writes == []


@pytest.mark.parametrize("moment", list(Moment))
def test_take_over_whose_answer_is_lost_is_decided_again(
    installation: Installation, gateway: Gateway, command: Command, moment: Moment
) -> None:
    gateway.arm(1, moment, lambda: None, method="PATCH")
    code, said = command.run()
    assert code == 0, said
    found = installation.get("configmaps", "a")
    assert (found["data"], managers(found)) == ({"kept": "1"}, {f"reconciler:{PROJECT}": "Apply"})


def test_webhook_that_is_down_is_asked_once(installation: Installation, webhook: Webhook) -> None:
    """Each try may take its whole timeout."""
    installation.configure(inventory_policy="adopt_all")
    service = manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]})
    Predecessor(installation).applied("services", service)
    webhook.guard(installation.namespace, "services")
    webhook.broken = True
    installation.commit({"a.yaml": service})
    with installation.recorded() as requests:
        report = of(installation.sync(), "s")
    assert report.reason == "WebhookUnavailable"
    assert requests.of_objects == ["patch services/s"]
    webhook.broken = False
    assert of(installation.sync(), "s").outcome == "updated"
