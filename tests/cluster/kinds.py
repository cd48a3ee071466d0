"""Resources and objects that several tests of this folder use."""

from typing import Any

from reconciler.cluster.client import Cluster
from reconciler.cluster.resource import CONFIG_MAPS, Resource

DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
SERVICES = Resource("", "v1", "Service", "services", namespaced=True)


def config_map(name: str, labels: dict[str, str] | None = None, **data: Any) -> dict[str, Any]:
    """A ConfigMap with this data."""
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def secret(name: str, **data: Any) -> dict[str, Any]:
    """A Secret with this data, as it is written."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def deployment(name: str, *, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """A Deployment of one container."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod, **spec},
    }


async def last_words(cluster: Cluster, namespace: str) -> None:
    """
    A request over connections of its own, before a test ends that had writes kept from leaving.

    Each of these closes the connection that it had, which takes a few turns of the loop.
    """
    for _ in range(2):
        await cluster.get(CONFIG_MAPS, namespace, "kube-root-ca.crt")
