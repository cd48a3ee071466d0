"""
Whose marks the cluster's objects carry, of whatever kind: asked where a project has no records.

No head and no marks: a new project. No head though objects name its inventory: the records were
lost, and nothing says of which kinds the objects were, so that all kinds are asked which may be
listed at all. One LIST of metadata a kind, by label, once for all projects of a process. Decides
nothing.
"""

import asyncio
import logging
from collections.abc import Mapping

from reconciler.cluster.client import Cluster
from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import ClusterError, Forbidden
from reconciler.cluster.resource import Resource
from reconciler.cluster.rights import Rights
from reconciler.sync.compare import GroupKind, all_kinds
from reconciler.sync.live import LiveObjects

log = logging.getLogger(__name__)


class Marked:
    """
    The owners that were found, and who has asked.

    `asking` is the namespace whose rights are asked for where the whole cluster is searched.
    """

    def __init__(self, cluster: Cluster, live_objects: LiveObjects, *, asking: str) -> None:
        self._cluster = cluster
        self._live_objects = live_objects
        self._asking = asking
        self._owners: frozenset[str] | None = None
        self._asked: set[str] = set()
        self._lock = asyncio.Lock()

    async def names(self, owner: str, discovery: Discovery) -> bool:
        """
        Whether any object says that it belongs to this inventory.

        Who asks twice has lost its records since, and gets a new answer.
        """
        async with self._lock:
            if self._owners is None or owner in self._asked:
                self._owners = await self._read(discovery)
                self._asked.clear()
            self._asked.add(owner)
            return owner in self._owners

    async def kinds(self, discovery: Discovery) -> Mapping[GroupKind, Resource]:
        """The kinds to search: what we may not even list we could not have made either."""
        reach = self._cluster.reach
        known = all_kinds(discovery, reach)
        rights = [await self._rights(namespace) for namespace in reach.namespaces or (self._asking,)]
        return {
            kind: resource
            for kind, resource in known.items()
            if all(its.may("list", resource) for its in rights)
        }

    async def _rights(self, namespace: str) -> Rights:
        try:
            return await self._cluster.rights(namespace)
        except ClusterError as error:
            log.debug("rights in namespace %s are not known: %s", namespace, error)
            return Rights()  # every kind is asked, then

    async def _read(self, discovery: Discovery) -> frozenset[str]:
        kinds = await self.kinds(discovery)
        found = await asyncio.gather(*(self._of(resource) for resource in kinds.values()))
        return frozenset().union(*found)

    async def _of(self, resource: Resource) -> frozenset[str]:
        try:
            labelled = await self._live_objects.labelled(resource)
        except Forbidden:
            return frozenset()  # what we may not even list we could not have made either
        except ClusterError as error:
            log.warning("%s cannot be searched for objects of lost records: %s", resource, error)
            return frozenset()
        return frozenset(its.owner for its in labelled.objects.values() if its.owner and its.entry)
