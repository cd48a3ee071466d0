"""
A cluster as the retired GitLab agent left it: objects, inventory, Lease.

Written through the real API as agentk 16 did: server-side apply with its field manager and
the owner annotation, an inventory ConfigMap found by its label, a Lease that it renews.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from localcluster import Api
from reconciler.manifests.decode import INVENTORY_ID
from reconciler.sync import marks

MANAGER = "agentk"
RBAC = "rbac.authorization.k8s.io"

Object = Mapping[str, Any]


def key_of(body: Object, *, namespace: str) -> str:
    """The inventory key of an object; RBAC names carry `:` as `__`."""
    group = body["apiVersion"].rpartition("/")[0]
    name = body["metadata"]["name"]
    if group == RBAC:
        name = name.replace(":", "__")
    return f"{namespace}_{name}_{group}_{body['kind']}"


class Agentk:
    """What one agent does for one project in one namespace; `id` is `<agentId>-<projectId>`."""

    def __init__(self, api: Api, *, namespace: str, agent: int | None = None, project: int = 278964) -> None:
        self.api = api
        self.namespace = namespace
        # Its Lease is looked for in all namespaces: another agent for each test.
        self.agent = int(namespace.rpartition("-")[2], 16) if agent is None else agent
        self.id = f"{self.agent}-{project}"
        self.name = f"inventory-{self.id}"

    def apply(self, body: Object, path: str, *, namespace: str | None = None) -> dict[str, Any]:
        """One object at the path of its kind, as agentk applied it; returns what lies in the cluster."""
        metadata = dict(body["metadata"])
        if namespace is None:
            metadata["namespace"] = self.namespace
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            marks.OWNING_INVENTORY: self.id,
        }
        found: dict[str, Any] = self.api.apply(
            f"{path}/{metadata['name']}", {**body, "metadata": metadata}, field_manager=MANAGER
        )
        return found

    def record(self, keys: Iterable[str], *, name: str = "", namespace: str = "") -> dict[str, Any]:
        """Make the inventory, with empty values as GitLab's agent did."""
        namespace = namespace or self.namespace
        body = {
            "metadata": {"name": name or self.name, "labels": {INVENTORY_ID: self.id}},
            "data": dict.fromkeys(keys, ""),
        }
        found: dict[str, Any] = self.api.post(f"/api/v1/namespaces/{namespace}/configmaps", body)
        return found

    def inventory(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}")
        return found

    def run(self, *objects: Object) -> dict[str, str]:
        """Apply ConfigMaps and record them; returns their uids by name."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps"
        uids = {its["metadata"]["name"]: self.apply(its, path)["metadata"]["uid"] for its in objects}
        self.record(key_of(its, namespace=self.namespace) for its in objects)
        return uids

    def hold_lease(self, namespace: str, *, ago: float = 0.0, stamped: bool = True) -> None:
        """
        Renew the Lease, `ago` seconds before now.

        Not `stamped`: without the server's own time in managedFields, which cannot be set back.
        """
        renewed = datetime.now(UTC) - timedelta(seconds=ago)
        name = f"agent-{self.agent}-lock"
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        spec = {
            "holderIdentity": "gitlab-agent-0",
            "leaseDurationSeconds": 15,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        self.api.post(path, {"metadata": {"name": name}, "spec": spec})
        if not stamped:
            self.api.patch(f"{path}/{name}", {"metadata": {"managedFields": [{}]}})
