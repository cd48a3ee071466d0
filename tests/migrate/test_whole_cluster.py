"""A cluster of 2,000 objects as agentk left it is taken over: nothing anew, nothing restarted."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localcluster import Api
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.agentk import MANAGER, RBAC, Agentk, key_of
from tests.fix_sync import Installation
from tests.objects import Manifest, config_map, deployment, manifest

OBJECTS = 2000
DEPLOYMENTS = 40
ROLES = 100
"""Of each of four kinds, with colons in their names."""
CLIENT_SIDE = "kubectl-client-side-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def everything(prefix: str) -> list[Manifest]:
    """What git holds; `prefix` makes the names of what has no namespace unique."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    subjects = [{"kind": "User", "apiGroup": RBAC, "name": "somebody"}]
    found = [deployment(f"web{n:02}") for n in range(DEPLOYMENTS)]
    for n in range(ROLES):
        role, cluster_role = f"team:reader:{n:03}", f"{prefix}:node:{n:03}"
        found += [
            manifest(f"{RBAC}/v1", "Role", role, rules=rules),
            manifest(f"{RBAC}/v1", "ClusterRole", cluster_role, rules=rules),
            manifest(
                f"{RBAC}/v1",
                "RoleBinding",
                role,
                subjects=subjects,
                roleRef={"apiGroup": RBAC, "kind": "Role", "name": role},
            ),
            manifest(
                f"{RBAC}/v1",
                "ClusterRoleBinding",
                cluster_role,
                subjects=subjects,
                roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": cluster_role},
            ),
        ]
    return found + [config_map(f"c{n:04}", n=str(n)) for n in range(OBJECTS - len(found))]


PLURALS = {
    "Deployment": "apis/apps/v1/{}deployments",
    "ConfigMap": "api/v1/{}configmaps",
    "Role": "apis/rbac.authorization.k8s.io/v1/{}roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/{}rolebindings",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


class Cluster:
    """All objects of one test, with and without a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def path(self, body: Manifest) -> str:
        return "/" + PLURALS[body["kind"]].format(f"namespaces/{self.namespace}/")

    def space(self, body: Manifest) -> str:
        return "" if body["kind"].startswith("Cluster") else self.namespace

    def metadata(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By kind and name, of all objects and of the ReplicaSets and Pods made for them."""
        more = {"ReplicaSet": "apis/apps/v1/{}replicasets", "Pod": "api/v1/{}pods"}
        found = {}
        for kind, plural in (PLURALS | more).items():
            path = "/" + plural.format(f"namespaces/{self.namespace}/")
            for item in self.api.get(path)["items"]:
                name = item["metadata"]["name"]
                ours = not kind.startswith("Cluster") or name.startswith(self.namespace)
                if ours and not name.startswith("reconciler-"):
                    found[kind, name] = item["metadata"]
        return found


@pytest.fixture
def cluster(api: Api, namespace: str) -> Iterator[Cluster]:
    cluster = Cluster(api, namespace)
    yield cluster
    bodies = [body for body in everything(namespace) if body["kind"].startswith("Cluster")]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda it: api.delete(f"{cluster.path(it)}/{it['metadata']['name']}"), bodies))


def leave(agentk: Agentk, cluster: Cluster, objects: list[Manifest]) -> None:
    """Put everything there as agentk did, the last Deployment by kubectl before."""
    first = next(body for body in objects if body["kind"] == "Deployment")
    note = {LAST_APPLIED: json.dumps(first)}
    metadata = {**first["metadata"], "annotations": note}
    agentk.api.post(f"{cluster.path(first)}?fieldManager={CLIENT_SIDE}", {**first, "metadata": metadata})
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda it: agentk.apply(it, cluster.path(it), namespace=cluster.space(it) or ""), objects
            )
        )
    agentk.record(key_of(body, namespace=cluster.space(body)) for body in objects)
    edited = f"{cluster.path(config_map('c0000'))}/c0000"
    agentk.api.patch(f"{edited}?fieldManager=kubectl-edit", {"data": {"n": "by hand", "more": "x"}})
    for body in objects[:DEPLOYMENTS]:
        agentk.api.until(
            f"{cluster.path(body)}/{body['metadata']['name']}",
            lambda it: it["status"].get("observedGeneration") and it["status"].get("readyReplicas") == 1,
        )


def managers(metadata: dict[str, Any]) -> set[str]:
    return {entry["manager"] for entry in metadata["managedFields"] if not entry.get("subresource")}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_thousand_objects_are_taken_over(installation: Installation, cluster: Cluster) -> None:
    agentk = Agentk(cluster.api, namespace=cluster.namespace)
    objects = everything(cluster.namespace)
    leave(agentk, cluster, objects)
    before = cluster.metadata()
    installation.configure(reconcile_timeout="60s")
    installation.commit({f"{n:02}.yaml": objects[n::20] for n in range(20)})

    with installation.recorded() as requests:
        report = installation.sync()
    assert report.state is State.SYNCED, report.reason
    assert report.counts()["updated"] == OBJECTS
    after = cluster.metadata()
    assert {key: its["uid"] for key, its in after.items()} == {key: its["uid"] for key, its in before.items()}
    # Each change of an annotation counts up a Deployment's generation; its ReplicaSet's and Pods tell.
    made = [key for key in before if key[0] in ("ReplicaSet", "Pod")]
    assert len(made) == 2 * DEPLOYMENTS
    assert all(after[key].get("generation") == before[key].get("generation") for key in made)
    patches = Counter(
        (asked.resource, asked.name)
        for asked in requests.writes
        if not asked.name.startswith(("reconciler-", "inventory-"))
    )
    assert len(patches) == OBJECTS
    assert max(patches.values()) <= 2
    assert {asked.verb for asked in requests.writes if (asked.resource, asked.name) in patches} == {"patch"}
    ours = marks.field_manager(report.project)
    for body in objects:
        metadata = after[body["kind"], body["metadata"]["name"]]
        assert marks.owner_of(metadata) == agentk.id
        assert ours in managers(metadata)
        assert not managers(metadata) & {MANAGER, CLIENT_SIDE}, metadata
    assert LAST_APPLIED not in (after["Deployment", "web00"].get("annotations") or {})
    assert installation.get("configmaps", "c0000")["data"]["n"] == "0"

    with installation.recorded() as requests:
        assert installation.sync().state is State.SYNCED
    assert requests.writes == []
    assert len(installation.inventory()) == OBJECTS
