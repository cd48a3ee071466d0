"""
One local cluster, the identities of those who are measured, and what the API server says of them.

Requests are counted in the API server's audit log, by user, from and to a moment: the metric
`apiserver_request_total` knows no user, and the controllers of the cluster never rest. The log
costs the server a tenth of its speed, so that what is timed beside others runs without it.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.gitserver import GitServer, serving
from localcluster import ControlPlane, running

RECONCILER, KUBECTL, LOOP = "reconciler", "kubectl", "loop"
IDENTITIES = (RECONCILER, KUBECTL, LOOP)
AUDIT_LIMIT = "--audit-log-maxsize=4096"  # MB; the default turns the log over at 100
WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
# What follows from our objects; Leases, Events and Nodes are written all the time.
FOLLOWING = frozenset(
    {"deployments", "replicasets", "services", "endpoints", "endpointslices", "configmaps"}
    | {"namespaces", "serviceaccounts"}
)
QUIET = 1.0  # s without such a write: the controllers have caught up
SETTLE_LIMIT = 300.0
WIPE_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as the audit log has it; wall clock in seconds."""

    user: str
    verb: str
    what: str
    """`group/resource/subresource` without what is empty, else the path."""
    name: str
    received: float
    answered: float

    @property
    def is_apply(self) -> bool:
        """Only server-side apply is a PATCH here."""
        return self.verb == "patch"


def count(requests: list[Asked]) -> dict[str, int]:
    """Requests by `verb what`, most frequent first."""
    return dict(Counter(f"{asked.verb} {asked.what}" for asked in requests).most_common())


class Lab:
    """What every row needs: the cluster, the git server, a directory, and patience."""

    def __init__(self, cluster: ControlPlane, git: GitServer, directory: Path) -> None:
        self.cluster = cluster
        self.git = git
        self.directory = directory
        self.api = cluster.api()

    @property
    def _audit(self) -> Path:
        if self.cluster.audit_log is None:
            raise RuntimeError("requests are counted in a lab that was opened for it")
        return self.cluster.audit_log

    def mark(self) -> int:
        """A place in the audit log, for `requests`."""
        return self._audit.stat().st_size

    def requests(self, user: str, *, since: int) -> list[Asked]:
        """
        What a user has asked for since a mark.

        A request is in the log once it has been answered, a watch once it has ended: read it
        when the client is gone.
        """
        with self._audit.open("rb") as log:
            log.seek(since)
            return [asked for line in log if (asked := _asked(json.loads(line))).user == user]

    def make_namespace(self, name: str) -> None:
        """Make a namespace and let the controllers fill it."""
        self.api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        self.api.until(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
        self.api.until(f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt", bool)

    def count_objects(self, namespace: str) -> int:
        """How many of the bench's objects a namespace holds."""
        return len(self._metadata(namespace))

    def appliers(self, namespace: str) -> set[str]:
        """The field managers that have applied the bench's objects of a namespace."""
        return {
            entry["manager"]
            for metadata in self._metadata(namespace)
            for entry in metadata["managedFields"]
            if entry["operation"] == "Apply"
        }

    def _metadata(self, namespace: str) -> list[dict[str, Any]]:
        lists = ("apis/apps/v1/namespaces/{}/deployments", "api/v1/namespaces/{}/services")
        paths = [path.format(namespace) for path in (*lists, "api/v1/namespaces/{}/configmaps")]
        query = "?labelSelector=app.kubernetes.io/part-of=bench&resourceVersion=0"
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        found = [self.api.get(f"/{path}{query}", accept=accept)["items"] for path in paths]
        return [item["metadata"] for items in found for item in items]

    def wipe(self, *namespaces: str) -> None:
        """Delete namespaces and return when they and all that followed from them are gone."""
        paths = [f"/api/v1/namespaces/{name}" for name in namespaces]
        for path in paths:
            if self.api.exists(path):
                self.api.delete(path)
        for path in paths:
            self.api.until(path, lambda found: found is None, seconds=WIPE_LIMIT)
        self.settle()

    def settle(self) -> None:
        """Return when the controllers have caught up with what was written."""
        deadline = time.monotonic() + SETTLE_LIMIT
        before, since = self._written(), time.monotonic()
        while time.monotonic() - since < QUIET:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the controllers still write after {SETTLE_LIMIT:g} s")
            time.sleep(QUIET / 4)
            now = self._written()
            if now != before:
                before, since = now, time.monotonic()

    def _written(self) -> int:
        return sum(
            number
            for request, number in self.cluster.request_counts().items()
            if request.verb in WRITES and request.resource.split("/")[0] in FOLLOWING
        )


@contextmanager
def open_lab(directory: Path, *, counting: bool) -> Iterator[Lab]:
    """A lab in the new `directory`, for the length of a block; one that counts requests times nothing."""
    served = directory / "served"
    served.mkdir(parents=True)
    with (
        running(
            data_dir=directory / "cluster",
            audit=counting,
            identities=IDENTITIES,
            api_server_flags=[AUDIT_LIMIT] if counting else [],
        ) as cluster,
        serving(served) as git,
    ):
        cluster.api().post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _binding())
        yield Lab(cluster, git, directory)


def _binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": "bench"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name} for name in IDENTITIES],
    }


def _asked(event: dict[str, Any]) -> Asked:
    ref = event.get("objectRef", {})
    parts = (ref.get("apiGroup"), ref.get("resource"), ref.get("subresource"))
    return Asked(
        user=event["user"]["username"],
        verb=event["verb"],
        what="/".join(part for part in parts if part) or event["requestURI"].partition("?")[0],
        name=ref.get("name", ""),
        received=_seconds(event["requestReceivedTimestamp"]),
        answered=_seconds(event["stageTimestamp"]),
    )


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
