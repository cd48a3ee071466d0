"""Objects as other tools left them, with their field managers and marks."""

import json
from collections.abc import Mapping
from typing import Any

from localcluster import Api
from reconciler.cluster.managed import LAST_APPLIED
from tests.fix_sync import Installation

AGENTK = "agentk"
KUBECTL = "kubectl-client-side-apply"
OWNER = "config.k8s.io/owning-inventory"


class Predecessor:
    """Another tool that applied objects to the namespace of an installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._api: Api = installation.api

    def path(self, kind: str, name: str = "") -> str:
        return self._installation.path(kind, name)

    def applied(
        self, kind: str, body: Mapping[str, Any], *, manager: str = AGENTK, owner: str = "1-42"
    ) -> Any:
        """By a server-side apply, as agentk, Flux or Argo CD do it; `owner` "" leaves out agentk's mark."""
        metadata = {**body["metadata"]}
        if owner:
            metadata["annotations"] = {**metadata.get("annotations", {}), OWNER: owner}
        path = self.path(kind, metadata["name"])
        return self._api.apply(path, {**body, "metadata": metadata}, field_manager=manager)

    def created(self, kind: str, body: Mapping[str, Any], *, manager: str = KUBECTL) -> Any:
        """By a client-side apply, which keeps what it sent in an annotation."""
        return self._api.post(f"{self.path(kind)}?fieldManager={manager}", client_side(body))

    def edited(self, kind: str, body: Mapping[str, Any], *, manager: str = KUBECTL) -> Any:
        """By a client-side apply to an object that exists."""
        path = f"{self.path(kind, body['metadata']['name'])}?fieldManager={manager}"
        return self._api.patch(path, client_side(body))


def client_side(body: Mapping[str, Any]) -> dict[str, Any]:
    """What kubectl sends: the object with all of itself in an annotation."""
    metadata = {**body["metadata"]}
    metadata["annotations"] = {**metadata.get("annotations", {}), LAST_APPLIED: json.dumps(body)}
    return {**body, "metadata": metadata}


def managers(found: Mapping[str, Any]) -> dict[str, str]:
    """Managers of the object itself, each with its operation."""
    return {
        entry["manager"]: entry["operation"]
        for entry in found["metadata"]["managedFields"]
        if not entry.get("subresource")
    }
