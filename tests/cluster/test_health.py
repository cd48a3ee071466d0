"""The status rules as tables: section 6.9 of the GitLab agent specification, then each check of its 3.13."""

from typing import Any

import pytest

from reconciler.cluster.health import Health, Status, always_current, compute
from reconciler.cluster.health_kinds import ALWAYS_CURRENT, RULES

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
YOUNG, OLD = "2027-01-15T07:59:50Z", "2027-01-15T07:59:44Z"  # 10 s and 16 s before

GROUPS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "Widget": "example.org/v1",
}


def obj(
    kind: str, status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {"apiVersion": GROUPS.get(kind, "v1"), "kind": kind, "metadata": metadata}
    if spec is not None:
        made["spec"] = spec
    if status is not None:
        made["status"] = status
    return made


def on(kind: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def given(*conditions: dict[str, str], **counts: Any) -> dict[str, Any]:
    return {**counts, "conditions": list(conditions)}


UNSCHEDULABLE = given(on("PodScheduled", "False", "Unschedulable", "0/3 nodes"), phase="Pending")
CRASHING = {
    "phase": "Running",
    "conditions": [on("Ready", "False")],
    "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
}
ROLLED_OUT = (on("Progressing", "True", "NewReplicaSetAvailable"), on("Available"))
ALL_ONE = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
SET_OF_4 = {"replicas": 4, "readyReplicas": 4, "currentReplicas": 4, "updatedReplicas": 4}
DAEMONS_4 = {
    "observedGeneration": 1,
    "desiredNumberScheduled": 4,
    "currentNumberScheduled": 4,
    "updatedNumberScheduled": 4,
    "numberAvailable": 4,
    "numberReady": 4,
}
LABELLED_2 = {"replicas": 2, "fullyLabeledReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
LABELLED_4 = {"replicas": 4, "fullyLabeledReplicas": 4, "availableReplicas": 4, "readyReplicas": 4}
FOUR = {"replicas": 4}


def verdict(status: Status) -> str:
    """`Current`, or `InProgress LessReady`."""
    return f"{status.health} {status.reason}".strip()


@pytest.mark.parametrize(
    ("given_object", "want"),
    [
        pytest.param(obj("Pod"), "InProgress PodNotObserved", id="Pod without status"),
        pytest.param(obj("Pod", given(on("Ready"), phase="Running")), "Current", id="Pod running and ready"),
        pytest.param(obj("Pod", {"phase": "Succeeded"}), "Current", id="Pod succeeded"),
        pytest.param(obj("Pod", {"phase": "Failed"}), "Current", id="Pod failed"),
        pytest.param(
            obj("Pod", UNSCHEDULABLE, creationTimestamp="2027-01-15T08:00:00Z"),
            "InProgress PodNotScheduled",
            id="Pod unschedulable, created now",
        ),
        pytest.param(obj("Pod", UNSCHEDULABLE), "Failed PodUnschedulable", id="Pod unschedulable, no time"),
        pytest.param(obj("Pod", CRASHING), "Failed ContainerCrashLooping", id="Pod in a crash loop"),
        pytest.param(obj("PersistentVolumeClaim"), "InProgress NotBound", id="PVC without status"),
        pytest.param(obj("PersistentVolumeClaim", {"phase": "Bound"}), "Current", id="PVC bound"),
        pytest.param(obj("StatefulSet"), "InProgress LessReplicas", id="StatefulSet without status"),
        pytest.param(
            obj("StatefulSet", {"currentReplicas": 1}),
            "InProgress LessReplicas",
            id="StatefulSet, only currentReplicas 1",
        ),
        pytest.param(obj("StatefulSet", SET_OF_4, FOUR), "Current", id="StatefulSet 4 of 4"),
        pytest.param(
            obj("StatefulSet", {**SET_OF_4, "readyReplicas": 2}, FOUR),
            "InProgress LessReady",
            id="StatefulSet ready 2",
        ),
        pytest.param(
            obj("StatefulSet", {**SET_OF_4, "currentReplicas": 2}, FOUR),
            "InProgress LessCurrent",
            id="StatefulSet current 2",
        ),
        pytest.param(
            obj("StatefulSet", {**SET_OF_4, "replicas": 8}, FOUR),
            "InProgress ExtraPods",
            id="StatefulSet replicas 8",
        ),
        pytest.param(
            obj("DaemonSet", generation=1), "InProgress NoObservedGeneration", id="DaemonSet without status"
        ),
        pytest.param(
            obj("DaemonSet", {"observedGeneration": 1}, generation=1),
            "InProgress NoDesiredNumber",
            id="DaemonSet observed, no desired number",
        ),
        pytest.param(obj("DaemonSet", DAEMONS_4, generation=1), "Current", id="DaemonSet 4 of 4"),
        pytest.param(
            obj("DaemonSet", {**DAEMONS_4, "numberReady": 2}, generation=1),
            "InProgress LessReady",
            id="DaemonSet ready 2",
        ),
        pytest.param(
            obj("DaemonSet", {**DAEMONS_4, "numberAvailable": 2}, generation=1),
            "InProgress LessAvailable",
            id="DaemonSet available 2",
        ),
        pytest.param(
            obj("DaemonSet", DAEMONS_4, generation=2),
            "InProgress LatestGenerationNotObserved",
            id="DaemonSet generation 2, observed 1",
        ),
        pytest.param(obj("Deployment"), "InProgress LessReplicas", id="Deployment without status"),
        pytest.param(obj("Deployment", given(*ROLLED_OUT, **ALL_ONE)), "Current", id="Deployment all 1"),
        pytest.param(
            obj(
                "Deployment",
                given(on("Progressing", "False", "Waiting"), on("Available"), **ALL_ONE),
                {"progressDeadlineSeconds": 45},
            ),
            "InProgress ReplicaSetNotAvailable",
            id="Deployment with a deadline, Progressing=False",
        ),
        pytest.param(
            obj("Deployment", given(on("Available"), **ALL_ONE)),
            "Current",
            id="Deployment without deadline and Progressing",
        ),
        pytest.param(
            obj("Deployment", given(ROLLED_OUT[0], on("Available", "False"), **ALL_ONE)),
            "InProgress DeploymentNotAvailable",
            id="Deployment Available=False",
        ),
        pytest.param(obj("ReplicaSet"), "InProgress LessLabelled", id="ReplicaSet without status"),
        pytest.param(obj("ReplicaSet", LABELLED_2, {"replicas": 2}), "Current", id="ReplicaSet 2 of 2"),
        pytest.param(
            obj("ReplicaSet", {**LABELLED_4, "availableReplicas": 2}, FOUR),
            "InProgress LessAvailable",
            id="ReplicaSet available 2 of 4",
        ),
        pytest.param(
            obj("ReplicaSet", {**LABELLED_4, "readyReplicas": 2}, FOUR),
            "InProgress LessReady",
            id="ReplicaSet ready 2 of 4",
        ),
        pytest.param(
            obj("ReplicaSet", given(on("ReplicaFailure"), **LABELLED_2), {"replicas": 2}),
            "InProgress ReplicaFailure",
            id="ReplicaSet ReplicaFailure=True",
        ),
        pytest.param(
            obj("PodDisruptionBudget", {"observedGeneration": 1}, generation=2),
            "InProgress LatestGenerationNotObserved",
            id="PDB not observed",
        ),
        pytest.param(
            obj("PodDisruptionBudget", {"observedGeneration": 2}, generation=2), "Current", id="PDB observed"
        ),
        pytest.param(obj("Job"), "InProgress JobNotStarted", id="Job without status"),
        pytest.param(obj("Job", given(on("Complete"))), "Current", id="Job complete"),
        pytest.param(obj("Job", given(on("Failed"))), "Failed JobFailed", id="Job failed"),
        pytest.param(obj("Job", {"startTime": YOUNG, "active": 1}), "Current", id="Job started"),
        pytest.param(obj("CronJob"), "Current", id="CronJob without status"),
        pytest.param(obj("CronJob", {"lastScheduleTime": OLD}), "Current", id="CronJob with status"),
        pytest.param(obj("Service", {}, {}), "Current", id="Service default"),
        pytest.param(obj("Service", {}, {"type": "NodePort"}), "Current", id="Service NodePort"),
        pytest.param(
            obj("Service", {}, {"type": "LoadBalancer"}),
            "InProgress NoIPAssigned",
            id="LoadBalancer without clusterIP",
        ),
        pytest.param(
            obj("Service", {}, {"type": "LoadBalancer", "clusterIP": "10.0.0.9"}),
            "Current",
            id="LoadBalancer with clusterIP",
        ),
        pytest.param(obj("CustomResourceDefinition"), "InProgress Installing", id="CRD without conditions"),
        pytest.param(
            obj("CustomResourceDefinition", given(on("Established", "False", "Installing"))),
            "InProgress Installing",
            id="CRD installing",
        ),
        pytest.param(
            obj("CustomResourceDefinition", given(on("NamesAccepted", "False", "PluralConflict"))),
            "Failed PluralConflict",
            id="CRD names not accepted",
        ),
        pytest.param(
            obj("CustomResourceDefinition", given(on("NamesAccepted"), on("Established"))),
            "Current",
            id="CRD established",
        ),
        pytest.param(obj("Widget"), "Current", id="custom resource without status"),
        pytest.param(
            obj("Widget", given(on("Other", "False"))), "Current", id="custom resource without Ready"
        ),
        pytest.param(obj("Widget", given(on("Ready"))), "Current", id="custom resource Ready=True"),
        pytest.param(
            obj("Widget", given(on("Ready", "False", "Starting"))),
            "InProgress Starting",
            id="custom resource Ready=False",
        ),
        pytest.param(
            obj("Widget", given(on("Ready"), observedGeneration=1), generation=2),
            "InProgress LatestGenerationNotObserved",
            id="custom resource, generation not observed",
        ),
    ],
)
def test_status_as_the_old_agents_engine_computed_it(given_object: dict[str, Any], want: str) -> None:
    assert verdict(compute(given_object, now=NOW)) == want, given_object


@pytest.mark.parametrize(
    ("given_object", "want"),
    [
        pytest.param(
            obj("Deployment", given(*ROLLED_OUT, **ALL_ONE), deletionTimestamp=OLD),
            "Terminating Terminating",
            id="deletion comes before everything",
        ),
        pytest.param(
            obj("Widget", given(on("Ready"), on("Reconciling", "True", "Progressing"))),
            "InProgress Progressing",
            id="Reconciling beats Ready",
        ),
        pytest.param(
            obj("Widget", given(on("Stalled", "True", "BadSpec"), on("Reconciling"))),
            "Failed BadSpec",
            id="the first of Stalled and Reconciling in the list decides",
        ),
        pytest.param(
            obj("Widget", given(on("Stalled", "False"))), "Current", id="Stalled=False says nothing"
        ),
        pytest.param(
            obj("Widget", given(on("Ready", "Unknown"))), "InProgress NotReady", id="Ready=Unknown waits"
        ),
        pytest.param(
            obj("Deployment", given(on("Progressing", "False", "ProgressDeadlineExceeded"))),
            "Failed ProgressDeadlineExceeded",
            id="Deployment past its deadline",
        ),
        pytest.param(
            obj("Deployment", {**ALL_ONE, "updatedReplicas": 0}), "InProgress LessUpdated", id="LessUpdated"
        ),
        pytest.param(obj("Deployment", {**ALL_ONE, "replicas": 2}), "InProgress ExtraPods", id="ExtraPods"),
        pytest.param(
            obj("Deployment", {**ALL_ONE, "availableReplicas": 0}),
            "InProgress LessAvailable",
            id="LessAvailable",
        ),
        pytest.param(
            obj("Deployment", {**ALL_ONE, "readyReplicas": 0}), "InProgress LessReady", id="LessReady"
        ),
        pytest.param(
            obj("Deployment", given(on("Available"), **ALL_ONE), {"progressDeadlineSeconds": 2147483647}),
            "Current",
            id="the largest deadline means none",
        ),
        pytest.param(
            obj("Deployment", given(on("Available")), {"replicas": 0}),
            "Current",
            id="Deployment of 0 replicas",
        ),
        pytest.param(
            obj("StatefulSet", {}, {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}),
            "Current",
            id="StatefulSet OnDelete",
        ),
        pytest.param(
            obj(
                "StatefulSet",
                {**SET_OF_4, "updatedReplicas": 1},
                {**FOUR, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            ),
            "InProgress PartitionRollout",
            id="StatefulSet partition not rolled out",
        ),
        pytest.param(
            obj(
                "StatefulSet",
                {**SET_OF_4, "updatedReplicas": 2, "currentReplicas": 2},
                {**FOUR, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            ),
            "Current",
            id="StatefulSet partition rolled out",
        ),
        pytest.param(
            obj("StatefulSet", {**SET_OF_4, "currentRevision": "a", "updateRevision": "b"}, FOUR),
            "InProgress RevisionMismatch",
            id="StatefulSet revisions differ",
        ),
        pytest.param(
            obj("DaemonSet", DAEMONS_4), "InProgress NoGeneration", id="DaemonSet without generation"
        ),
        pytest.param(
            obj("DaemonSet", {**DAEMONS_4, "currentNumberScheduled": 3}, generation=1),
            "InProgress LessCurrent",
            id="DaemonSet LessCurrent",
        ),
        pytest.param(
            obj("DaemonSet", {**DAEMONS_4, "updatedNumberScheduled": 3}, generation=1),
            "InProgress LessUpdated",
            id="DaemonSet LessUpdated",
        ),
        pytest.param(
            obj("DaemonSet", {"observedGeneration": 1, "desiredNumberScheduled": 0}, generation=1),
            "Current",
            id="DaemonSet without matching nodes",
        ),
        pytest.param(
            obj("ReplicaSet", {**LABELLED_2, "replicas": 3}, {"replicas": 2}),
            "InProgress ExtraPods",
            id="ReplicaSet ExtraPods",
        ),
        pytest.param(
            obj("Pod", UNSCHEDULABLE, creationTimestamp=YOUNG),
            "InProgress PodNotScheduled",
            id="unschedulable for 10 s",
        ),
        pytest.param(
            obj("Pod", UNSCHEDULABLE, creationTimestamp=OLD),
            "Failed PodUnschedulable",
            id="unschedulable for 16 s",
        ),
        pytest.param(obj("Pod", {"phase": "Pending"}), "InProgress PodPending", id="Pod pending"),
        pytest.param(obj("Pod", {"phase": "Running"}), "InProgress PodRunningNotReady", id="Pod not ready"),
        pytest.param(obj("Pod", {"phase": "Odd"}), "Unknown UnknownPhase", id="Pod in an unknown phase"),
        pytest.param(
            obj("CustomResourceDefinition", given(on("Established", "False", "Broken"))),
            "Failed Broken",
            id="CRD not established and not installing",
        ),
        pytest.param(
            {**obj("Deployment"), "apiVersion": "extensions/v1beta1"},
            "InProgress LessReplicas",
            id="the old group has the same rule",
        ),
        pytest.param(
            {**obj("Deployment"), "apiVersion": "example.org/v1"},
            "Current",
            id="a foreign kind of the same name has not",
        ),
        pytest.param(obj("Deployment", {"replicas": "many"}), "Unknown UnreadableStatus", id="count as text"),
        pytest.param(obj("Widget", {"conditions": "bad"}), "Current", id="conditions that are no list"),
    ],
)
def test_each_check_of_the_status_rules(given_object: dict[str, Any], want: str) -> None:
    assert verdict(compute(given_object, now=NOW)) == want, given_object


def test_messages_name_the_numbers_a_person_looks_for() -> None:
    got = compute(obj("Deployment", {"replicas": 1, "updatedReplicas": 1}, {"replicas": 3}), now=NOW)
    assert got == Status(Health.IN_PROGRESS, "LessReplicas", "1 of 3 replicas exist")


def test_kinds_that_are_always_current_have_no_rule_that_could_say_otherwise() -> None:
    assert always_current("", "ConfigMap")
    assert not always_current("apps", "Deployment")
    for group, kind in ALWAYS_CURRENT & RULES.keys():
        assert RULES[group, kind]({"kind": kind}, NOW).health == "Current", f"{kind}.{group}"
