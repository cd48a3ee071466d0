"""
As whom a project's objects are read and written: the service itself, or a ServiceAccount.

An identity has its own view of the cluster (LISTs, watches), shared by the projects that use it;
what one may see must not become known to another. Records are always the service's own.
"""

import asyncio
from dataclasses import dataclass

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import NotFound
from reconciler.cluster.resource import SERVICE_ACCOUNTS
from reconciler.sync.allowed import Allowed
from reconciler.sync.errors import IdentityUnusable
from reconciler.sync.live import LiveObjects
from reconciler.sync.marked import Marked
from reconciler.sync.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run reads and writes its objects through."""

    cluster: Cluster
    live: LiveObjects
    marked: Marked
    readiness: Readiness


class Identities:
    """All identities of a process; their tasks belong to `tasks`."""

    def __init__(
        self, cluster: Cluster, *, instance: str, records_namespace: str, tasks: asyncio.TaskGroup
    ) -> None:
        self._cluster = cluster
        self._instance = instance
        self._records_namespace = records_namespace
        self._tasks = tasks
        self._known: dict[str | None, Identity] = {}

    async def of(self, service_account: str | None, allowed: Allowed) -> Identity:
        """
        The identity of a project, confined to what the project may have.

        Raises IdentityUnusable for a ServiceAccount (`namespace/name`) that does not exist, and
        ClusterError where that cannot be told: rights may be bound to its name all the same.
        """
        if service_account is not None:
            await self._check(service_account)
        if service_account not in self._known:
            self._known[service_account] = self._make(service_account)
        whole = self._known[service_account]
        return Identity(whole.cluster.confined(allowed.check), whole.live, whole.marked, whole.readiness)

    @property
    def own(self) -> Identity:
        """The service itself."""
        if None not in self._known:
            self._known[None] = self._make(None)
        return self._known[None]

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        for identity in self._known.values():
            identity.live.close()

    def _make(self, service_account: str | None) -> Identity:
        cluster = self._cluster
        if service_account is not None:
            namespace, _, name = service_account.partition("/")
            cluster = cluster.acting_as(namespace, name)
        live = LiveObjects(cluster, instance=self._instance, tasks=self._tasks)
        readiness = Readiness(cluster, instance=self._instance, tasks=self._tasks)
        return Identity(cluster, live, Marked(cluster, live, asking=self._records_namespace), readiness)

    async def _check(self, service_account: str) -> None:
        namespace, _, name = service_account.partition("/")
        try:
            await self._cluster.get(SERVICE_ACCOUNTS, namespace, name, metadata_only=True)
        except NotFound:
            raise IdentityUnusable(
                what=f"ServiceAccount {service_account} does not exist",
                where="service_account",
                mend="create it, or correct the key; nothing is read or written as anybody else",
            ) from None
