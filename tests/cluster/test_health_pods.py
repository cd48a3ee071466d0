"""What failed pods make of the status of what owns them, as tables."""

from typing import Any

import pytest

from reconciler.cluster.health import Health, Status
from reconciler.cluster.health_pods import is_told_by_pods, selector_of, with_pods
from reconciler.cluster.resource import Resource
from tests.cluster.test_health import CRASHING, NOW, OLD, UNSCHEDULABLE, YOUNG, given, obj, on

WAITS = Status(Health.IN_PROGRESS, "LessReady", "0 of 2 replicas are ready")
READY = given(on("Ready"), phase="Running")


def pod(name: str, status: dict[str, Any], *, owner: str = "own", **metadata: str) -> dict[str, Any]:
    return obj("Pod", status, name=name, ownerReferences=[{"uid": owner}], **metadata)


@pytest.mark.parametrize(
    ("status", "pods", "want"),
    [
        pytest.param(WAITS, [], WAITS.message, id="no pod yet"),
        pytest.param(WAITS, [pod("a", READY)], WAITS.message, id="a pod that is well"),
        pytest.param(
            WAITS,
            [pod("a", READY), pod("b", CRASHING)],
            "1 pod has failed; b: containers crash again and again: web",
            id="one crashes again and again",
        ),
        pytest.param(
            WAITS,
            [pod("b", CRASHING), pod("a", UNSCHEDULABLE, creationTimestamp=OLD)],
            "2 pods have failed; a: 0/3 nodes",
            id="two failed: the first by name is told",
        ),
        pytest.param(
            WAITS,
            [pod("a", UNSCHEDULABLE, creationTimestamp=YOUNG)],
            WAITS.message,
            id="unschedulable for 10 s only",
        ),
        pytest.param(WAITS, [pod("a", {"phase": "Failed"})], WAITS.message, id="one that ended is replaced"),
        pytest.param(
            WAITS, [pod("a", CRASHING, deletionTimestamp=OLD)], WAITS.message, id="one that is going"
        ),
        pytest.param(
            WAITS, [pod("a", CRASHING, owner="another")], WAITS.message, id="another's with the same labels"
        ),
        pytest.param(
            WAITS, [obj("Pod", CRASHING, name="a")], WAITS.message, id="nobody's with the same labels"
        ),
        pytest.param(Status(Health.CURRENT), [pod("a", CRASHING)], "", id="the object is well all the same"),
        pytest.param(
            Status(Health.TERMINATING, "Terminating", "it is being deleted"),
            [pod("a", CRASHING)],
            "it is being deleted",
            id="the object is going",
        ),
    ],
)
def test_status_with_pods(status: Status, pods: list[dict[str, Any]], want: str) -> None:
    got = with_pods(status, "own", pods, now=NOW)
    assert got.message == want
    assert got == (Status(Health.FAILED, "PodsFailed", want) if want != status.message else status)


@pytest.mark.parametrize(
    ("selector", "want"),
    [
        pytest.param({"matchLabels": {"app": "web", "tier": "x"}}, "app=web,tier=x", id="labels"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]},
            "app in (a,b)",
            id="one of several",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]},
            "app notin (a)",
            id="none of several",
        ),
        pytest.param(
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "x", "operator": "Exists"},
                    {"key": "y", "operator": "DoesNotExist"},
                ],
            },
            "app=web,x,!y",
            id="there, and not there",
        ),
        pytest.param({}, "", id="none"),
    ],
)
def test_selector_of_pods(selector: dict[str, Any], want: str) -> None:
    assert selector_of(obj("StatefulSet", spec={"selector": selector})) == want


@pytest.mark.parametrize(
    ("group", "kind", "want"),
    [
        ("apps", "StatefulSet", True),
        ("apps", "ReplicaSet", True),
        ("apps", "Deployment", False),
        ("example.com", "StatefulSet", False),
    ],
)
def test_whose_pods_are_looked_at(group: str, kind: str, want: bool) -> None:
    assert is_told_by_pods(Resource(group, "v1", kind, f"{kind.lower()}s", namespaced=True)) is want
