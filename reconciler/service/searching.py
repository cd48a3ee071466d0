"""
Objects of this installation that no inventory names: `reconciler orphans`. Never writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.cluster.client import connect
from reconciler.service.options import Options, records_namespace
from reconciler.service.signals import interruptible
from reconciler.sync.live import LiveObjects
from reconciler.sync.orphans import Orphans, find_orphans
from reconciler.sync.records import Records
from reconciler.tasks import task_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found, and what it took."""

    orphans: Orphans
    requests: Mapping[str, Any]


async def search_orphans(options: Options) -> Search:
    """Raises ClusterError or SyncError where the cluster or the records cannot be read at all."""
    return await interruptible(_search(options))


async def _search(options: Options) -> Search:
    instance = options.instance_name
    async with (
        connect(kubeconfig=options.kubeconfig, context=options.context) as whole,
        task_group() as tasks,
    ):
        cluster = whole.within(options.namespaces)
        live = LiveObjects(cluster, instance=instance, tasks=tasks)
        records = Records(whole, namespace=records_namespace(options), instance=instance)
        try:
            found = await find_orphans(records, live, await cluster.discover())
        finally:
            live.close()
        return Search(orphans=found, requests=cluster.requests.as_json())
