"""Two replicas of one installation: one works, the other takes over, and never do both write."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.faults.gateway import Fault, Gateway, Moment
from tests.fix_sync import PROJECT, Installation, lease
from tests.objects import config_map
from tests.service.process import ServiceProcess, service, until

LEADS = "holds the lease .* and leads"
STANDS_BY = "standing by: "
TERMINATED, KILLED = 2.0, 12.0  # s until the other leads
UNANSWERED = 25.0  # s until it does where the first one waits in vain for an answer
NAMES = {f"c{n:02}" for n in range(60)}


@pytest.fixture(autouse=True)
def impatient(installation: Installation) -> None:
    installation.configure(interval="1s")


@contextmanager
def replica(installation: Installation, name: str, *more: str) -> Iterator[ServiceProcess]:
    """A service with a data directory of its own, as a pod has."""
    with service(installation, f"--data-dir={installation.directory / name}", *more) as process:
        yield process


def has_led(process: ServiceProcess) -> bool:
    return re.search(LEADS, process.text) is not None


def epoch(installation: Installation) -> int:
    return int(installation.record()["data"]["epoch"])


def synced(commit: str) -> str:
    return f"project {PROJECT} synced at {commit[:12]}"


def by_others(gateway: Gateway, since: int) -> list[str]:
    """What the replica behind the gateway asked to be changed since then, but for the lease; no questions."""
    return [path for path in gateway.written[since:] if "/leases/" not in path and "reviews" not in path]


def test_the_second_replica_stands_by_and_costs_nothing(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    commit = installation.commit({"a.yaml": config_map("a")})
    with replica(installation, "first") as first:
        first.said(synced(commit))
        with replica(installation, "second", f"--kubeconfig={gateway_kubeconfig}") as second:
            second.said(STANDS_BY + lease(installation)["spec"]["holderIdentity"])
            until(lambda: second.get("/readyz") == (200, "ok\n"), "its configuration is read")
            assert first.get("/readyz") == (200, "ok\n")
            assert "\nreconciler_leader 1.0\n" in first.get("/metrics")[1]
            assert "\nreconciler_leader 0.0\n" in second.get("/metrics")[1]
            until(lambda: gateway.count == 3, "a look at the lease, a list of it, and a watch")
            later = installation.commit({"a.yaml": config_map("a", a="2")})
            first.said(synced(later))
            renewed = lease(installation)["spec"]["renewTime"]
            until(lambda: lease(installation)["spec"]["renewTime"] != renewed, "a renewal")
            assert gateway.count == 3
            assert not list((installation.directory / "second" / "mirrors").glob("*"))


def test_terminated_leader_hands_over_within_two_seconds(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": config_map("a")})
    with replica(installation, "first") as first:
        first.said(synced(commit))
        with replica(installation, "second") as second:
            second.said(STANDS_BY)
            before = epoch(installation)
            first.signal(signal.SIGTERM)
            began = time.monotonic()
            second.said(LEADS)
            assert time.monotonic() - began < TERMINATED, first.text
            assert first.wait() == 0
            later = installation.commit({"a.yaml": config_map("a", a="2")})
            second.said(synced(later))
            assert epoch(installation) > before
            assert lease(installation)["spec"]["leaseTransitions"] == 1


def is_held(installation: Installation, name: str) -> Callable[[str, str], bool]:
    """Applies of ConfigMaps from this name on."""
    base = installation.path("configmaps", "c")
    return lambda method, path: method == "PATCH" and base + name <= path < base + "~"


def test_leader_that_is_terminated_while_it_applies_hands_over_when_its_writes_are_answered(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    """It sends no more of them than are on their way, and the other does the rest of the same commit."""
    gateway.hold = is_held(installation, "20")
    commit = installation.commit({"a.yaml": [config_map(name) for name in sorted(NAMES)]})
    with replica(installation, "first", f"--kubeconfig={gateway_kubeconfig}") as first:
        until(lambda: installation.exists("configmaps", "c19"), "all that is not held")
        with replica(installation, "second") as second:
            second.said(STANDS_BY)
            first.signal(signal.SIGTERM)
            first.said("stopping")
            renewed = lease(installation)["spec"]["renewTime"]
            until(lambda: lease(installation)["spec"]["renewTime"] != renewed, "a renewal while it waits")
            assert not has_led(second)
            gateway.let_go()
            began = time.monotonic()
            second.said(LEADS)
            assert time.monotonic() - began < TERMINATED, first.text
            assert first.wait() == 0
            assert len([path for path in gateway.written if "/configmaps/c" in path]) < len(NAMES)
            second.said(synced(commit))
    assert installation.recorded_names() == NAMES


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_leader_that_is_terminated_and_hears_no_answer_leaves_its_lease_to_run_out(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    gateway.stall = is_held(installation, "20")
    commit = installation.commit({"a.yaml": [config_map(name) for name in sorted(NAMES)]})
    with replica(installation, "first", f"--kubeconfig={gateway_kubeconfig}") as first:
        until(lambda: installation.exists("configmaps", "c19"), "all that is not held")
        with replica(installation, "second") as second:
            second.said(STANDS_BY)
            first.signal(signal.SIGTERM)
            began = time.monotonic()
            assert first.wait() == 0
            first.said("the lease is left to run out")
            assert lease(installation)["spec"]["holderIdentity"]
            assert not has_led(second)
            second.said(LEADS, seconds=UNANSWERED)
            assert time.monotonic() - began < UNANSWERED
            second.said(synced(commit))
    assert installation.recorded_names() == NAMES


def test_new_holder_corrects_what_was_changed_by_hand_before(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    """Without a new commit: it reads the cluster anew when it begins."""
    commit = installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    with replica(installation, "first") as first:
        first.said(synced(commit))
        with replica(installation, "second", f"--kubeconfig={gateway_kubeconfig}") as second:
            second.said(STANDS_BY)
            installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "by hand"}})
            installation.api.delete(installation.path("configmaps", "b"))
            first.signal(signal.SIGTERM)
            second.said(synced(commit))
            written = {path.rpartition("/")[2] for path in by_others(gateway, 0)}
            assert {"a", "b"} <= written
    assert installation.get("configmaps", "a")["data"] == {"a": "1"}
    assert installation.exists("configmaps", "b")


def test_standby_that_is_terminated_leaves_the_lease_alone(installation: Installation) -> None:
    with replica(installation, "first") as first:
        first.said(LEADS)
        holder = lease(installation)["spec"]["holderIdentity"]
        with replica(installation, "second") as second:
            second.said(STANDS_BY)
            second.signal(signal.SIGTERM)
            assert second.wait() == 0
        assert lease(installation)["spec"]["holderIdentity"] == holder


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_killed_leader_is_replaced_within_twelve_seconds(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": config_map("a")})
    with replica(installation, "first") as first:
        first.said(synced(commit))
        with replica(installation, "second") as second:
            second.said(STANDS_BY)
            before = epoch(installation)
            first.signal(signal.SIGKILL)
            began = time.monotonic()
            second.said(LEADS, seconds=KILLED)
            assert time.monotonic() - began < KILLED
            later = installation.commit({"a.yaml": config_map("a", a="2")})
            second.said(synced(later))
            assert epoch(installation) > before


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("at", [12, 30, 45])
def test_leader_that_slept_through_its_lease_writes_nothing_more(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, at: int
) -> None:
    """Paused in the middle of an apply, as a machine is that swaps or is moved to another host."""
    installation.commit({"a.yaml": [config_map(name, a="1") for name in sorted(NAMES)]})
    with replica(installation, "first", f"--kubeconfig={gateway_kubeconfig}") as first:
        gateway.arm(at, Moment.AFTER, partial(first.signal, signal.SIGSTOP))
        with replica(installation, "second") as second:
            second.said(LEADS, seconds=30)
            later = installation.commit({"a.yaml": [config_map(name, a="2") for name in sorted(NAMES)]})
            second.said(synced(later), seconds=20)
            before, seen = installation.record(), len(gateway.written)
            first.signal(signal.SIGCONT)
            first.said(STANDS_BY, seconds=20)
            # Between the last look at the lease and the system's own send there is no time to speak of.
            assert len(by_others(gateway, seen)) <= 1
            assert installation.record() == before
            assert first.get("/healthz") == (200, "ok\n")
            second.signal(signal.SIGTERM)
            first.said(LEADS)
    assert "Traceback" not in first.text + second.text
    assert installation.recorded_names() == NAMES


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_leader_that_is_cut_off_stops_before_the_other_begins(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    commit = installation.commit({"a.yaml": config_map("a")})
    with replica(installation, "first", f"--kubeconfig={gateway_kubeconfig}") as first:
        first.said(synced(commit))
        with replica(installation, "second") as second:
            second.said(STANDS_BY)
            gateway.fault = Fault.CUT
            first.said("could not be renewed in time", seconds=12)
            assert not has_led(second)
            assert first.get("/readyz")[0] == 503
            second.said(LEADS, seconds=KILLED)
            later = installation.commit({"a.yaml": config_map("a", a="2")})
            second.said(synced(later))
            seen = len(gateway.written)
            gateway.disarm()
            first.said(STANDS_BY, seconds=30)
            assert by_others(gateway, seen) == []
            assert first.get("/readyz")[0] == 200
    assert installation.get("configmaps", "a")["data"] == {"a": "2"}


def test_without_rights_on_leases_it_says_so_and_writes_nothing(
    installation: Installation, grant: Callable[..., Path]
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    kubeconfig = grant({"apiGroups": [""], "resources": ["*"], "verbs": ["*"]})
    with replica(installation, "first", f"--kubeconfig={kubeconfig}") as process:
        process.said(r"grant get, list, watch, create and update on leases\.coordination\.k8s\.io")
        assert process.get("/readyz")[0] == 503
        assert process.get("/healthz")[0] == 200
    assert installation.record() is None
    assert not installation.exists("configmaps", "a")
