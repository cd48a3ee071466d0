"""
kstatus rules of the built-in kinds, one function each, checks in the order of the source table.

Pure; called by health.py after its generic checks. Missing numbers count as 0 and a
missing `spec.replicas` as 1, as the API server's defaults have it. Source: GitLab agent
specification, section 3.13.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SCHEDULE_GRACE = 15.0  # s that an unschedulable pod counts as in progress; autoscalers and volumes need them
NO_DEADLINE = 2147483647  # progressDeadlineSeconds that means "none"

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`health` is one of the kstatus words."""

    health: str
    reason: str = ""
    message: str = ""


CURRENT = Verdict("Current")


def conditions(obj: Object) -> list[Mapping[str, Any]]:
    """`status.conditions`, in the order of the list."""
    return [found for found in _status(obj).get("conditions") or () if isinstance(found, dict)]


def condition(obj: Object, kind: str) -> Mapping[str, Any] | None:
    """The first condition of this type."""
    return next((found for found in conditions(obj) if found.get("type") == kind), None)


def text_of(found: Mapping[str, Any], key: str, otherwise: str = "") -> str:
    """A text of a condition, on one line."""
    return " ".join(str(found.get(key) or otherwise).split())


def _status(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _replicas(obj: Object) -> int:
    value = _spec(obj).get("replicas")
    return 1 if value is None else int(value)


def _count(obj: Object, key: str) -> int:
    return int(_status(obj).get(key) or 0)


def _is_true(obj: Object, kind: str) -> bool:
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def _wait(reason: str, message: str) -> Verdict:
    return Verdict("InProgress", reason, message)


Check = tuple[bool, str, str]  # holds it back, reason, message


def _first(checks: Iterable[Check]) -> Verdict:
    return next((_wait(reason, message) for holds, reason, message in checks if holds), CURRENT)


def deployment(obj: Object, _now: float) -> Verdict:
    """Deployment: Failed past its progress deadline; else replicas, rollout, availability."""
    progressing = condition(obj, "Progressing") or {}
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(
            "Failed",
            "ProgressDeadlineExceeded",
            text_of(progressing, "message", "progress deadline exceeded"),
        )
    wanted, replicas, updated = _replicas(obj), _count(obj, "replicas"), _count(obj, "updatedReplicas")
    available, ready = _count(obj, "availableReplicas"), _count(obj, "readyReplicas")
    deadline = _spec(obj).get("progressDeadlineSeconds")
    rolled_out = deadline in {None, NO_DEADLINE} or (
        progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"
    )
    return _first([
        (wanted > replicas, "LessReplicas", f"{replicas} of {wanted} replicas exist"),
        (wanted > updated, "LessUpdated", f"{updated} of {wanted} replicas are updated"),
        (replicas > wanted, "ExtraPods", f"{replicas - wanted} replicas are still to be removed"),
        (updated > available, "LessAvailable", f"{available} of {updated} updated replicas are available"),
        (wanted > ready, "LessReady", f"{ready} of {wanted} replicas are ready"),
        (not rolled_out, "ReplicaSetNotAvailable", "the new ReplicaSet is not available"),
        (not _is_true(obj, "Available"), "DeploymentNotAvailable", "the Deployment is not available"),
    ])  # fmt: skip


def stateful_set(obj: Object, _now: float) -> Verdict:
    """StatefulSet: replicas, then the rollout (or its partition), then revisions."""
    strategy = _spec(obj).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return CURRENT
    wanted, replicas, ready = _replicas(obj), _count(obj, "replicas"), _count(obj, "readyReplicas")
    counts = _first([
        (wanted > replicas, "LessReplicas", f"{replicas} of {wanted} replicas exist"),
        (wanted > ready, "LessReady", f"{ready} of {wanted} replicas are ready"),
        (replicas > wanted, "ExtraPods", f"{replicas - wanted} replicas are still to be removed"),
    ])  # fmt: skip
    if counts is not CURRENT:
        return counts
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if partition:
        updated, due = _count(obj, "updatedReplicas"), wanted - int(partition)
        return _first(
            [
                (
                    updated < due,
                    "PartitionRollout",
                    f"{updated} of {due} replicas above the partition are updated",
                )
            ]
        )
    current, revisions = _count(obj, "currentReplicas"), _status(obj)
    same = revisions.get("currentRevision") == revisions.get("updateRevision")
    return _first([
        (wanted > current, "LessCurrent", f"{current} of {wanted} replicas are current"),
        (not same, "RevisionMismatch", "not all replicas have the updated revision"),
    ])  # fmt: skip


def daemon_set(obj: Object, _now: float) -> Verdict:
    """DaemonSet: the controller must have seen it, then counts against the wanted number of nodes."""
    status = _status(obj)
    if (obj.get("metadata") or {}).get("generation") is None:
        return _wait("NoGeneration", "the object has no generation")
    if status.get("observedGeneration") is None:
        return _wait("NoObservedGeneration", "the controller has not seen it")
    if status.get("desiredNumberScheduled") is None:
        return _wait("NoDesiredNumber", "the controller has not counted the nodes")
    wanted = _count(obj, "desiredNumberScheduled")
    current, updated = _count(obj, "currentNumberScheduled"), _count(obj, "updatedNumberScheduled")
    available, ready = _count(obj, "numberAvailable"), _count(obj, "numberReady")
    return _first([
        (wanted > current, "LessCurrent", f"{current} of {wanted} nodes have a pod"),
        (wanted > updated, "LessUpdated", f"{updated} of {wanted} pods are updated"),
        (wanted > available, "LessAvailable", f"{available} of {wanted} pods are available"),
        (wanted > ready, "LessReady", f"{ready} of {wanted} pods are ready"),
    ])  # fmt: skip


def replica_set(obj: Object, _now: float) -> Verdict:
    """ReplicaSet: a failure to create pods is in progress, since the controller goes on trying."""
    failure = condition(obj, "ReplicaFailure")
    if failure is not None and failure.get("status") == "True":
        return _wait("ReplicaFailure", text_of(failure, "message", "pods cannot be created"))
    wanted, replicas, labelled = _replicas(obj), _count(obj, "replicas"), _count(obj, "fullyLabeledReplicas")
    available, ready = _count(obj, "availableReplicas"), _count(obj, "readyReplicas")
    return _first([
        (wanted > labelled, "LessLabelled", f"{labelled} of {wanted} replicas have all labels"),
        (wanted > available, "LessAvailable", f"{available} of {wanted} replicas are available"),
        (wanted > ready, "LessReady", f"{ready} of {wanted} replicas are ready"),
        (replicas > wanted, "ExtraPods", f"{replicas - wanted} replicas are still to be removed"),
    ])  # fmt: skip


def job(obj: Object, _now: float) -> Verdict:
    """Job: complete or running is current; a failed one has failed."""
    if _is_true(obj, "Complete"):
        return CURRENT
    failed = condition(obj, "Failed")
    if failed is not None and failed.get("status") == "True":
        return Verdict("Failed", "JobFailed", text_of(failed, "message", "the Job failed"))
    return _first([(not _status(obj).get("startTime"), "JobNotStarted", "the Job has not started")])


def pod(obj: Object, now: float) -> Verdict:
    """Pod: by phase; ended is current, whatever the end."""
    phase = _status(obj).get("phase")
    match phase:
        case "Succeeded" | "Failed":
            return CURRENT
        case "Running":
            return _running_pod(obj)
        case "Pending":
            return _pending_pod(obj, now)
        case None | "":
            return _wait("PodNotObserved", "no kubelet has seen the pod")
    return Verdict("Unknown", "UnknownPhase", f"pod phase {phase!r} is not known")


def _running_pod(obj: Object) -> Verdict:
    if _is_true(obj, "Ready"):
        return CURRENT
    crashing = sorted(
        str(container.get("name"))
        for container in _status(obj).get("containerStatuses") or ()
        if ((container.get("state") or {}).get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    )
    if crashing:
        return Verdict(
            "Failed", "ContainerCrashLooping", f"containers crash again and again: {', '.join(crashing)}"
        )
    return _wait("PodRunningNotReady", "the pod runs and is not ready")


def _pending_pod(obj: Object, now: float) -> Verdict:
    scheduled = condition(obj, "PodScheduled") or {}
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return _wait("PodPending", "the pod is pending")
    message = text_of(scheduled, "message", "no node can take the pod")
    # Without a creation time the pod counts as old, as in kstatus.
    if now - _seconds((obj.get("metadata") or {}).get("creationTimestamp")) < SCHEDULE_GRACE:
        return _wait("PodNotScheduled", message)
    return Verdict("Failed", "PodUnschedulable", message)


def _seconds(timestamp: object) -> float:
    return (
        datetime.datetime.fromisoformat(timestamp).timestamp()
        if isinstance(timestamp, str) and timestamp
        else 0.0
    )


def persistent_volume_claim(obj: Object, _now: float) -> Verdict:
    """PersistentVolumeClaim: bound."""
    return _first([(_status(obj).get("phase") != "Bound", "NotBound", "the claim is not bound")])


def service(obj: Object, _now: float) -> Verdict:
    """Service: a LoadBalancer needs its cluster IP; the external address is not awaited."""
    spec = _spec(obj)
    waits = spec.get("type") == "LoadBalancer" and not spec.get("clusterIP")
    return _first([(waits, "NoIPAssigned", "the LoadBalancer has no cluster IP yet")])


def custom_resource_definition(obj: Object, _now: float) -> Verdict:
    """CustomResourceDefinition: the first condition that decides, in the order of the list."""
    for found in conditions(obj):
        kind, holds = found.get("type"), found.get("status") == "True"
        message = text_of(found, "message", f"{kind} is {found.get('status')}")
        if kind == "NamesAccepted" and found.get("status") == "False":
            return Verdict("Failed", text_of(found, "reason", "NamesNotAccepted"), message)
        if kind == "Established" and holds:
            return CURRENT
        if kind == "Established" and found.get("status") == "False" and found.get("reason") != "Installing":
            return Verdict("Failed", text_of(found, "reason", "NotEstablished"), message)
    return _wait("Installing", "the kind is not served yet")


def current(_obj: Object, _now: float) -> Verdict:
    """Kinds that are current as soon as they exist (and their generation is observed)."""
    return CURRENT


Rule = Callable[[Object, float], Verdict]

RULES: Mapping[tuple[str, str], Rule] = {
    ("apps", "Deployment"): deployment,
    ("extensions", "Deployment"): deployment,
    ("apps", "StatefulSet"): stateful_set,
    ("apps", "DaemonSet"): daemon_set,
    ("extensions", "DaemonSet"): daemon_set,
    ("apps", "ReplicaSet"): replica_set,
    ("extensions", "ReplicaSet"): replica_set,
    ("batch", "Job"): job,
    ("batch", "CronJob"): current,
    ("", "Secret"): current,
    ("", "ConfigMap"): current,
    ("", "Pod"): pod,
    ("", "PersistentVolumeClaim"): persistent_volume_claim,
    ("policy", "PodDisruptionBudget"): current,
    ("", "Service"): service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_resource_definition,
}

# Kinds without a controller that reports back: existing is enough, nobody reads their status.
ALWAYS_CURRENT = frozenset({
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("batch", "CronJob"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "StorageClass"),
})  # fmt: skip
