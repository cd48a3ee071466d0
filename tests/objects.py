"""
Manifests for tests, as plain values. A file of them is JSON, which is YAML.

Namespaces are left out unless given, so that `default_namespace` fills them in.
"""

import json
from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

DEPENDS_ON = "config.kubernetes.io/depends-on"
BEHAVES = "localcluster.reconciler.dev/"


def manifest(api_version: str, kind: str, name: str, *, after: str = "", **parts: Any) -> Manifest:
    """Any object; `after` is its depends-on annotation, `namespace` goes into the metadata."""
    metadata: dict[str, Any] = {"name": name}
    if namespace := parts.pop("namespace", ""):
        metadata["namespace"] = namespace
    if after:
        metadata["annotations"] = {DEPENDS_ON: after}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def config_map(name: str, *, namespace: str = "", after: str = "", **data: str) -> Manifest:
    return manifest("v1", "ConfigMap", name, namespace=namespace, after=after, data=data or {"a": "1"})


def deployment(
    name: str, *, after: str = "", replicas: int = 1, deadline: int = 600, **behaviour: str
) -> Manifest:
    """
    `behaviour`: annotations of docs/local-cluster.md, e.g. `ready_after="1s"`; `deadline` in
    seconds, after which a Deployment that makes no progress has failed.
    """
    labels = {"app": name}
    marks = {BEHAVES + key.replace("_", "-"): value for key, value in behaviour.items()}
    template = {
        "metadata": {"labels": labels, "annotations": marks},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": template,
        "progressDeadlineSeconds": deadline,
    }
    return manifest("apps/v1", "Deployment", name, after=after, spec=spec)


def definition(group: str, *, kind: str = "Widget", scope: str = "Namespaced") -> Manifest:
    """A CustomResourceDefinition with one version, v1, that keeps any spec."""
    plural = kind.lower() + "s"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    spec = {
        "group": group,
        "scope": scope,
        "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
    }
    return manifest("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", spec=spec)


def text(*manifests: Mapping[str, Any]) -> str:
    """A file of several documents; one that began with a brace would be read as a stream of JSON."""
    return "".join(f"---\n{json.dumps(its, indent=1)}\n" for its in manifests)
