"""
What an object's pods add to its own status: a StatefulSet or ReplicaSet does not say that they fail.

Pure; readiness.py reads the pods. Source: GitLab agent specification, section 3.13, "watcher
additions". A Deployment has a deadline of its own for this (health_kinds.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler.cluster.health import Health, Status, compute
from reconciler.cluster.resource import Resource

PODS: Final = Resource("", "v1", "Pod", "pods", namespaced=True)
PODS_FAILED: Final = "PodsFailed"


def is_told_by_pods(resource: Resource) -> bool:
    """Whether objects of this kind wait for pods without ever saying that these fail."""
    return resource.group in ("apps", "extensions") and resource.kind in ("ReplicaSet", "StatefulSet")


def selector_of(obj: Mapping[str, Any]) -> str:
    """The `spec.selector` of an object as a query takes it."""
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    return ",".join([*labels, *map(_requirement, selector.get("matchExpressions") or ())])


def _requirement(its: Mapping[str, Any]) -> str:
    key, values = its["key"], ",".join(its.get("values") or ())
    match its["operator"]:
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case operator:
            return f"{key} {operator.lower()} ({values})"


def with_pods(status: Status, uid: str, pods: Iterable[Mapping[str, Any]], *, now: float) -> Status:
    """The status of the object `uid`: Failed where it is in progress and owns a pod that has failed."""
    if status.health is not Health.IN_PROGRESS:
        return status
    owned = (pod for pod in pods if uid in _owners(pod))
    found = {pod["metadata"]["name"]: compute(pod, now=now) for pod in owned}
    failed = sorted(name for name, its in found.items() if its.health is Health.FAILED)
    if not failed:
        return status
    count = "1 pod has" if len(failed) == 1 else f"{len(failed)} pods have"
    return Status(Health.FAILED, PODS_FAILED, f"{count} failed; {failed[0]}: {found[failed[0]].message}")


def _owners(pod: Mapping[str, Any]) -> set[str]:
    return {its["uid"] for its in pod["metadata"].get("ownerReferences") or ()}
