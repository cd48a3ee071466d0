"""
What the retired GitLab agent left in the cluster: its inventories and its Lease.

Reads them, and marks an inventory as taken over; importing.py decides. Every read is whole
or an error, and what may not be read is told apart from what is not there.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import Forbidden
from reconciler.cluster.resource import CONFIG_MAPS, LEASES
from reconciler.manifests.decode import INVENTORY_ID
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.importing import OldInventory, lease_of, read_inventory, still_running

_PAGE: Final = 20  # ConfigMaps of up to 1 MiB each


class OldAgent:
    """One cluster's leftovers."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def inventories(
        self, namespace: str, named: str, *, namespaced: Callable[[ObjectRef], bool | None]
    ) -> tuple[OldInventory, ...]:
        """All inventories of a namespace ("": of all), or those of one id; ClusterError as a whole."""
        found = await self._cluster.list(
            CONFIG_MAPS,
            namespace=namespace,
            label_selector=f"{INVENTORY_ID}={named}" if named else INVENTORY_ID,
            metadata_only=False,
            page_size=_PAGE,
        )
        read = (read_inventory(item, namespaced=namespaced) for item in found.items)
        return tuple(its for its in read if its.id)

    async def running(self, inventory: str, *, namespaces: Collection[str]) -> str | Forbidden:
        """
        The Lease of the agent of an inventory if it runs, "" if it does not; what forbids to know.

        Where Leases of all namespaces may not be listed, those of `namespaces` are, for what they say.
        """
        reach = self._cluster.reach.namespaces
        try:
            if reach:
                raise _unseen(reach)
            leases = await self._leases(inventory, "")
        except Forbidden as error:
            leases, denied = [], error
            for namespace in reach or namespaces:
                try:
                    leases += await self._leases(inventory, namespace)
                except Forbidden:
                    continue  # `denied` says that not all was seen
            return still_running(leases, now=self._cluster.now()) or denied
        return still_running(leases, now=self._cluster.now())

    async def _leases(self, inventory: str, namespace: str) -> list[dict[str, Any]]:
        name = lease_of(inventory)
        found = await self._cluster.list(
            LEASES,
            namespace=namespace,
            field_selector=f"metadata.name={name}" if name else "",
            metadata_only=False,
        )
        return list(found.items)

    async def mark(self, inventory: OldInventory, by: str) -> None:
        """Write on it who took it over; Conflict if anybody has changed it since it was read."""
        value: Any = by
        path = "/metadata/annotations/" + marks.IMPORTED_BY.replace("/", "~1")
        if not inventory.annotated:
            path, value = "/metadata/annotations", {marks.IMPORTED_BY: by}
        await self._cluster.json_patch(
            CONFIG_MAPS,
            inventory.namespace,
            inventory.name,
            [
                {
                    "op": "replace",
                    "path": "/metadata/resourceVersion",
                    "value": inventory.resource_version,
                },
                {"op": "add", "path": path, "value": value},
            ],
            field_manager=marks.RECORDS_MANAGER,
        )


def _unseen(namespaces: Collection[str]) -> Forbidden:
    return Forbidden(
        what=f"Leases of other namespaces than {', '.join(namespaces)} are not looked at (--namespaces)",
        where="list Lease.coordination.k8s.io",
        mend="stop agentk",
    )
