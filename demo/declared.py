"""
What the examples declare, read without the service's own decoder.

The demo checks the service with it, so it takes another way: plain YAML, every file of a
repository. Pure but for reading those files. Neighbour: observed.py, what the cluster has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Declared:
    """One manifest; `namespace` is as written, "" where the project's default is meant."""

    project: str
    api_version: str
    kind: str
    namespace: str
    name: str
    body: Mapping[str, Any]

    @property
    def group(self) -> str:
        """The API group, "" for the core group."""
        return self.api_version.rpartition("/")[0]


def read(projects: Mapping[str, Path]) -> tuple[Declared, ...]:
    """Every manifest below the directories, each of them a project."""
    return tuple(
        _declared(project, body)
        for project, directory in projects.items()
        for path in sorted(directory.rglob("*.yaml"))
        for body in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if body is not None
    )


def _declared(project: str, body: Mapping[str, Any]) -> Declared:
    metadata = body["metadata"]
    return Declared(
        project, body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"], body
    )


def differences(declared: Any, live: Any, path: str = "") -> list[str]:
    """
    Each declared value that the cluster does not have, as a sentence.

    What the cluster has beyond that (defaults, status, our marks) is no difference. Lists
    are compared entry by entry, since nothing adds to those that the examples use.
    """
    if isinstance(declared, Mapping):
        if not isinstance(live, Mapping):
            return [f"{path} is {live!r} instead of a mapping"]
        return [
            text
            for key, value in declared.items()
            for text in differences(value, live.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(declared, list):
        if not isinstance(live, list) or len(live) != len(declared):
            return [f"{path} is {live!r} instead of {declared!r}"]
        pairs = zip(declared, live, strict=True)
        return [text for i, pair in enumerate(pairs) for text in differences(*pair, f"{path}[{i}]")]
    return [] if declared == live else [f"{path} is {live!r} instead of {declared!r}"]
