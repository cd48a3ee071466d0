"""
Read the install manifests as `kubectl apply -k` would, without kubectl.

Knows the few keys of a kustomization that manifests/ uses, and refuses any other, so that
what is tested is what a cluster gets.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from localcluster import Api

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
NAMESPACE = "reconciler-system"
RBAC = "rbac.authorization.k8s.io"

Object = dict[str, Any]

_KNOWN_KEYS = {"apiVersion", "kind", "resources", "labels", "patches", "configurations"}
"""The last one is for `namespace:` of a kustomization above, which these have not."""


def render(directory: Path) -> list[Object]:
    """Every object of a kustomization, labels added, in the order of its files."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    unknown = kustomization.keys() - _KNOWN_KEYS
    assert not unknown, f"{directory}: the helper does not know {sorted(unknown)}"
    objects: list[Object] = []
    for name in kustomization["resources"]:
        path = directory / name
        objects += render(path) if path.is_dir() else documents(path.read_text(encoding="utf-8"))
    for entry in kustomization.get("labels", ()):
        assert entry.keys() == {"pairs"}, f"{directory}: labels go on metadata alone"
        for its in objects:
            its["metadata"].setdefault("labels", {}).update(entry["pairs"])
    return patched(objects, kustomization)


def patched(objects: list[Object], kustomization: Mapping[str, Any]) -> list[Object]:
    """What the patches of a kustomization make of objects."""
    for entry in kustomization.get("patches", ()):
        objects = _patched(objects, entry["target"], yaml.safe_load(entry["patch"]))
    return objects


def _patched(objects: list[Object], target: Mapping[str, str], patch: Any) -> list[Object]:
    """A whole object is deleted, or JSON operations add and replace; no other patch is known."""
    (its,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (target["kind"], target["name"])]
    if isinstance(patch, dict):
        assert patch["$patch"] == "delete"
        return [other for other in objects if other is not its]
    for operation in patch:
        assert operation["op"] in ("add", "replace")
        *path, last = operation["path"].strip("/").split("/")
        place: Any = its
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            assert last == "-"
            place.append(operation["value"])
        else:
            assert (last in place) == (operation["op"] == "replace")
            place[last] = operation["value"]
    return objects


def documents(text: str) -> list[Object]:
    return [its for its in yaml.safe_load_all(text) if its]


def arguments(objects: Iterable[Object], **elsewhere: object) -> list[str]:
    """
    What the service is started with, `$(NAME)` filled in as the kubelet does it.

    Keywords are options that have another value where it does not run in a pod; None leaves one out.
    """
    (service,) = of_kind(objects, "Deployment").values()
    (container,) = service["spec"]["template"]["spec"]["containers"]
    known = {}
    for its in container.get("env", ()):
        assert its["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}, "no other is known"
        known[its["name"]] = service["metadata"]["namespace"]
    found = []
    for argument in container["args"]:
        option, _, value = argument.partition("=")
        value = re.sub(r"\$\((\w+)\)", lambda name: known[name[1]], value)
        value = elsewhere.pop(option.removeprefix("--").replace("-", "_"), value)
        if value is not None:
            found.append(f"{option}={value}" if value else option)
    assert not elsewhere, f"not among its arguments: {sorted(elsewhere)}"
    return found


def of_kind(objects: Iterable[Object], kind: str) -> dict[str, Object]:
    """Those of one kind, by name."""
    return {its["metadata"]["name"]: its for its in objects if its["kind"] == kind}


def example(document: str, name: str) -> list[Object]:
    """The YAML example of docs/DOCUMENT that holds an object called `name`."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        objects = documents(block)
        if any(isinstance(its, dict) and its.get("metadata", {}).get("name") == name for its in objects):
            return objects
    raise AssertionError(f"docs/{document} has no example called {name}")


def moved(objects: Iterable[Object], *, namespace: str) -> list[Object]:
    """The same objects for another namespace, with other names for what lies outside of namespaces."""
    result = json.loads(json.dumps(list(objects)).replace(NAMESPACE, namespace))
    for its in result:
        if its["kind"] == "ClusterRoleBinding":
            its["metadata"]["name"] += f"-{namespace}"
    return list(result)


class Applier:
    """Applies whole objects with all rights."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._resources = cache(self._read)

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        for its in objects:
            self._api.apply(self.path(its), its)

    def path(self, its: Mapping[str, Any]) -> str:
        """The path of an object in the API."""
        version = its["apiVersion"]
        plural, namespaced = self._resources(version)[its["kind"]]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        where = f"/namespaces/{its['metadata']['namespace']}" if namespaced else ""
        return f"{base}{where}/{plural}/{its['metadata']['name']}"

    def _read(self, version: str) -> dict[str, tuple[str, bool]]:
        found = self._api.get(f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]
        return {its["kind"]: (its["name"], its["namespaced"]) for its in found if "/" not in its["name"]}


def granted(role: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(resource, verb) of a role, resources as `plural` or `plural.group`."""
    for rule in role["rules"]:
        for group in rule.get("apiGroups", ()):
            for resource in rule.get("resources", ()):
                for verb in rule["verbs"]:
                    yield f"{resource}.{group}" if group else resource, verb
