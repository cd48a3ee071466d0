"""An installation as somebody sees it who may only read."""

import json
from copy import copy
from dataclasses import replace

from tests.fix_sync import Installation

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CORE = ("configmaps", "secrets", "services", "namespaces")


def read_only(installation: Installation, *hidden: str) -> Installation:
    """The same installation for a user with the verbs get, list and watch, and none for `hidden` kinds."""
    api, name = installation.api, f"reader-{installation.namespace}"
    verbs = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": [its for its in CORE if its not in hidden], "verbs": verbs},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs},
    ]
    api.post(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    api.post(installation.path("serviceaccounts"), {"metadata": {"name": "reader"}})
    api.post(
        f"{RBAC}/clusterrolebindings",
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": installation.namespace}],
        },
    )
    tokens = installation.path("serviceaccounts", "reader") + "/token"
    token = api.post(tokens, {"spec": {}})["status"]["token"]
    assert installation.options.kubeconfig
    kubeconfig = json.loads(installation.options.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    written = installation.directory / "reader"
    written.write_text(json.dumps(kubeconfig))
    written.chmod(0o600)
    theirs = copy(installation)
    theirs.options = replace(installation.options, kubeconfig=written)
    return theirs
