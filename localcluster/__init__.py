"""
A real Kubernetes control plane on one machine, for the demo, tests and benches.

Roles are upstream code, compiled from the Go modules beside this file; nodes and pods are
kwok's, so Deployments become ready and Jobs finish, but no container runs. Not part of the
service: nothing in `reconciler` imports it. `python -m localcluster` starts one by hand.
"""

from localcluster.api import Api
from localcluster.cluster import ControlPlane, running
from localcluster.errors import ApiError, LocalClusterError, RoleError
from localcluster.roles import Role

__all__ = ["Api", "ApiError", "ControlPlane", "LocalClusterError", "Role", "RoleError", "running"]
