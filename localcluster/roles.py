"""
The command line of each role. Pure: files and ports in, lists of arguments out.

Neighbours: cluster.py makes the files and draws the ports, process.py runs the result. A flag
stands here only with a reason; everything else is Kubernetes' own default.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from localcluster.build import Binaries
from localcluster.certs import KeyFiles

HOST = "127.0.0.1"
SERVICE_RANGE = "10.0.0.0/16"
POD_RANGE = "10.244.0.1/16"  # away from the Service range, which is kwok's default too
NODE_IP = "10.250.0.1"
ISSUER = "https://kubernetes.default.svc"
# The node controller takes a node for dead 50 s after its last sign of life; without a lease
# duration kwok gives none.
NODE_LEASE_SECONDS = 40
CLIENT_QPS = 200  # the defaults (20 and 50) make tests wait for the controllers, not for the work


class Role(StrEnum):
    """The processes of a cluster."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KWOK = "kwok"


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one cluster."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int
    kwok: int


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the API server writes who asked for what, and the policy that chooses it."""

    policy: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the command lines are made from."""

    binaries: Binaries
    keys: KeyFiles
    ports: Ports
    data: Path
    tokens: Path
    kubeconfigs: dict[str, Path]  # by identity
    stages: Path
    audit: Audit | None
    api_server_flags: Sequence[str]


def commands(plan: Plan) -> dict[Role, list[str]]:
    """Return the command of each role, in the order of starting."""
    binary = str(plan.binaries.controlplane)
    return {
        Role.ETCD: [binary, *_etcd(plan)],
        Role.API_SERVER: [binary, *_api_server(plan)],
        Role.CONTROLLER_MANAGER: [binary, *_controller_manager(plan)],
        Role.SCHEDULER: [binary, *_scheduler(plan)],
        Role.KWOK: [str(plan.binaries.kwok), *_kwok(plan)],
    }


def scheduler_config(kubeconfig: Path) -> str:
    """Return the scheduler's configuration file; its client limits have no flags."""
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": CLIENT_QPS, "burst": 2 * CLIENT_QPS},
        "enableProfiling": False,
    }
    return json.dumps(config, indent=2)


def _etcd(plan: Plan) -> list[str]:
    return [
        Role.ETCD,
        f"--data-dir={plan.data / 'etcd'}",
        f"--listen-client-url=http://{HOST}:{plan.ports.etcd}",
        f"--listen-peer-url=http://{HOST}:{plan.ports.etcd_peer}",
    ]


def _api_server(plan: Plan) -> list[str]:
    keys = plan.keys
    flags = [
        Role.API_SERVER,
        f"--etcd-servers=http://{HOST}:{plan.ports.etcd}",
        f"--bind-address={HOST}",
        f"--secure-port={plan.ports.api_server}",
        f"--tls-cert-file={keys.server_cert}",
        f"--tls-private-key-file={keys.server_key}",
        f"--client-ca-file={keys.ca}",
        f"--service-account-key-file={keys.service_account_public_key}",
        f"--service-account-signing-key-file={keys.service_account_key}",
        f"--service-account-issuer={ISSUER}",
        f"--token-auth-file={plan.tokens}",
        "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        # Otherwise it looks for a default route, and does not start on a machine without network;
        # and it may not announce a loopback address in Endpoints.
        f"--advertise-address={HOST}",
        "--endpoint-reconciler-type=none",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    ]
    if plan.audit is not None:
        flags += [
            f"--audit-policy-file={plan.audit.policy}",
            f"--audit-log-path={plan.audit.log}",
            "--audit-log-mode=blocking",  # a request that was answered is in the log
        ]
    return [*flags, *plan.api_server_flags]


def _controller_manager(plan: Plan) -> list[str]:
    kubeconfig = plan.kubeconfigs["controller-manager"]
    return [
        Role.CONTROLLER_MANAGER,
        *_served(plan, kubeconfig, plan.ports.controller_manager),
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={plan.keys.service_account_key}",
        f"--root-ca-file={plan.keys.ca}",  # what pods find as kube-root-ca.crt
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--profiling=false",
        f"--kube-api-qps={CLIENT_QPS}",
        f"--kube-api-burst={2 * CLIENT_QPS}",
        "--controllers=*,-node-ipam-controller,-service-lb-controller,-node-route-controller,"
        "-cloud-node-lifecycle-controller",
    ]


def _scheduler(plan: Plan) -> list[str]:
    kubeconfig = plan.kubeconfigs["scheduler"]
    return [
        Role.SCHEDULER,
        *_served(plan, kubeconfig, plan.ports.scheduler),
        f"--config={plan.data / 'scheduler.json'}",
    ]


def _served(plan: Plan, kubeconfig: Path, port: int) -> list[str]:
    return [
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={plan.keys.server_cert}",
        f"--tls-private-key-file={plan.keys.server_key}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]


def _kwok(plan: Plan) -> list[str]:
    return [
        f"--kubeconfig={plan.kubeconfigs['kwok']}",
        f"--config={plan.stages}",
        "--manage-all-nodes=true",
        f"--node-lease-duration-seconds={NODE_LEASE_SECONDS}",
        f"--node-ip={NODE_IP}",
        f"--cidr={POD_RANGE}",
        f"--server-address={HOST}:{plan.ports.kwok}",
    ]
