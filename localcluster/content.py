"""
What a new cluster is given: its files before the start, its first objects after it.

Neighbours: certs.py makes the keys, cluster.py calls both halves in order.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import certs, roles
from localcluster.api import Api
from localcluster.errors import LocalClusterError
from localcluster.roles import Audit

STAGES = Path(__file__).resolve().parent / "stages"
KUBECONFIG_CONTEXT = "localcluster"
NODE_NAME = "fake-node-{}"
# Enough for any test; the scheduler places nothing on a node without capacity.
NODE_CAPACITY = {"cpu": "1000", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "10000"}
NOT_READY_TAINT = "node.kubernetes.io/not-ready"

# The cluster's own identities: (user, groups). RBAC gives the system users their rights.
OWN_IDENTITIES = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kwok": ("kwok", ""),
}


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a cluster and the tokens in them, by identity."""

    keys: certs.KeyFiles
    tokens: Mapping[str, str]
    token_file: Path
    kubeconfigs: dict[str, Path]
    stages: Path
    audit: Audit | None


def write(data: Path, *, url: str, identities: Sequence[str], audit: bool) -> Files:
    """Write keys, tokens, kubeconfigs and configurations below `data`, for a server at `url`."""
    data.mkdir(mode=0o700, exist_ok=True)
    for name in ("logs", "kubeconfigs"):
        (data / name).mkdir(mode=0o700)
    keys = certs.write(data / "keys")
    _check(identities)
    users = {**OWN_IDENTITIES, **{name: (name, "") for name in identities}}
    tokens = {identity: secrets.token_hex(24) for identity in users}
    token_file = data / "keys" / "tokens.csv"
    _write_private(token_file, "".join(_token_line(tokens[i], *users[i]) for i in users))
    kubeconfigs = {identity: data / "kubeconfigs" / f"{identity}.yaml" for identity in users}
    for identity, path in kubeconfigs.items():
        _write_private(path, json.dumps(_kubeconfig(url, keys.ca, identity, tokens[identity]), indent=2))
    stages = data / "stages.yaml"
    stages.write_text("\n---\n".join(path.read_text() for path in sorted(STAGES.glob("*.yaml"))))
    (data / "scheduler.json").write_text(roles.scheduler_config(kubeconfigs["scheduler"]))
    return Files(keys, tokens, token_file, kubeconfigs, stages, _write_audit(data) if audit else None)


def create(api: Api, *, nodes: int) -> None:
    """Create what the controllers need to find: kwok's rights and the nodes."""
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", _kwok_role())
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _kwok_binding())
    for number in range(nodes):
        api.post("/api/v1/nodes", _node(NODE_NAME.format(number)))


def wait_usable(api: Api, *, nodes: int, seconds: float) -> None:
    """Return when pods can be scheduled and created; raises LocalClusterError after `seconds` for each."""
    for number in range(nodes):
        api.until(f"/api/v1/nodes/{NODE_NAME.format(number)}", _takes_pods, seconds=seconds)
    # Admission refuses pods of a namespace until its default ServiceAccount exists.
    api.until("/api/v1/namespaces/default/serviceaccounts/default", bool, seconds=seconds)


def _takes_pods(node: Any) -> bool:
    taints = [taint["key"] for taint in node["spec"].get("taints", ())]
    ready = [c["status"] for c in node["status"].get("conditions", ()) if c["type"] == "Ready"]
    return ready == ["True"] and NOT_READY_TAINT not in taints


def _check(identities: Sequence[str]) -> None:
    for name in identities:
        if name in OWN_IDENTITIES or re.fullmatch(r"[a-z0-9:.-]+", name) is None:
            raise LocalClusterError(
                what=f"{name!r} cannot be an identity",
                where="local cluster",
                mend=f"use a-z, 0-9, '-', '.' and ':', and none of {', '.join(OWN_IDENTITIES)}",
            )


def _token_line(token: str, user: str, groups: str) -> str:
    return f'{token},{user},{user},"{groups}"\n'


def _kubeconfig(url: str, ca: Path, identity: str, token: str) -> dict[str, Any]:
    # JSON is YAML: every reader of kubeconfigs takes it.
    name = KUBECONFIG_CONTEXT
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": identity, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": identity}}],
    }


def _write_audit(data: Path) -> Audit:
    own = [user for user, _ in OWN_IDENTITIES.values() if user != "admin"]
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "users": [*own, "system:apiserver"]},
            # The controllers of the controller manager use ServiceAccounts of kube-system.
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Request", "verbs": ["delete"]},  # its options say what goes with the object
            {"level": "Metadata"},
        ],
    }
    audit = Audit(policy=data / "audit-policy.json", log=data / "logs" / "audit.jsonl")
    audit.policy.write_text(json.dumps(policy, indent=2))
    return audit


def _kwok_role() -> dict[str, Any]:
    def rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
        return {"apiGroups": [group], "resources": resources, "verbs": verbs}

    return {
        "metadata": {"name": "localcluster:kwok"},
        "rules": [
            rule("", ["nodes", "pods"], ["get", "list", "watch", "patch", "update", "delete"]),
            rule("", ["nodes/status", "pods/status"], ["patch", "update"]),
            rule("coordination.k8s.io", ["leases"], ["get", "list", "watch", "create", "patch", "update"]),
            rule("", ["events"], ["create", "patch", "update"]),
            rule("events.k8s.io", ["events"], ["create", "patch", "update"]),
        ],
    }


def _kwok_binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": "localcluster:kwok"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "localcluster:kwok"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "kwok"}],
    }


def _node(name: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "type": "kwok",
            },
        },
        "status": {"allocatable": NODE_CAPACITY, "capacity": NODE_CAPACITY},
    }


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
