"""
The objects that are measured with: a third each Deployment, headless Service and ConfigMap.

Pure. Three objects a file, one file an app, in directories of 100 files. No object names a
namespace, so every contender reads the same bytes. Deployments ask for 0 replicas: what is
measured is applying, not the scheduling of pods.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = 3
FILES_PER_DIRECTORY = 100

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Objects:
    """`files` by path as they are committed, and the same objects decoded, in the same order."""

    files: Mapping[str, str]
    bodies: tuple[Body, ...]


def make(count: int) -> Objects:
    """Make `count` objects; the last file has fewer than three where `count` wants it so."""
    files: dict[str, str] = {}
    bodies: list[Body] = []
    for app in range(-(-count // KINDS)):
        chosen = list(_app(app, revision=1))[: count - app * KINDS]
        files[path_of(app)] = _text(chosen)
        bodies += chosen
    return Objects(files, tuple(bodies))


def path_of(app: int) -> str:
    """The file that declares an app."""
    return f"apps/{app // FILES_PER_DIRECTORY:03}/app-{app:05}.yaml"


def changed(app: int, *, revision: int, whole: bool) -> str:
    """An app's file in another revision: all of its objects differ if `whole`, else its ConfigMap alone."""
    *others, config = _app(app, revision=revision)
    return _text([*(others if whole else list(_app(app, revision=1))[:-1]), config])


def _app(app: int, *, revision: int) -> Iterator[Body]:
    name = f"app-{app:05}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"}
    note = {"example.com/revision": str(revision)}
    selector = {"app.kubernetes.io/name": name}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels, "annotations": note},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [_container(name)]}},
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels, "annotations": note},
        "spec": {
            "clusterIP": "None",
            "selector": selector,
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels, "annotations": note},
        "data": {
            "application.properties": f"name={name}\nrevision={revision}\nlog.level=info\nworkers=4\n",
            "LISTEN": ":8080",
        },
    }


def _container(name: str) -> Body:
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10}
    return {
        "name": "app",
        "image": f"registry.example.com/{name}:1.0.0",
        "args": ["--config=/etc/app/application.properties"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LISTEN", "valueFrom": {"configMapKeyRef": {"name": name, "key": "LISTEN"}}},
        ],
        "readinessProbe": probe,
        "livenessProbe": {**probe, "initialDelaySeconds": 5},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }


def _text(bodies: list[Body]) -> str:
    return "".join(f"---\n{_yaml(body, 0)}" for body in bodies)


def _yaml(value: Any, depth: int) -> str:
    """Block style, as people write it; scalars are JSON's, which YAML reads the same."""
    indent = "  " * depth
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines.append(f"{indent}{key}:\n{_yaml(item, depth + 1)}")
        elif isinstance(item, list):
            lines.append(f"{indent}{key}:\n{_sequence(item, depth)}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(item)}\n")
    return "".join(lines)


def _sequence(items: list[Any], depth: int) -> str:
    indent = "  " * depth
    return "".join(
        f"{indent}- {_yaml(item, depth + 1).lstrip()}"
        if isinstance(item, dict)
        else f"{indent}- {json.dumps(item)}\n"
        for item in items
    )
