"""
The API endpoint of a kind, and the paths of its objects.

Pure. A path is refused before anything is sent when an empty or odd part would make
it the path of something else: DELETE on an object with an empty name would delete
the whole collection.
"""

from dataclasses import dataclass, field
from urllib.parse import quote

from reconciler.cluster import errors


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource; `group` is "" for the core group, `verbs` are what the server offers."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = field(default=frozenset(), compare=False)
    singular: str = field(default="", compare=False)
    short_names: tuple[str, ...] = field(default=(), compare=False)

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Path of the resource's group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def __str__(self) -> str:
        """`deployments.apps`, as kubectl and RBAC messages write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
SERVICE_ACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts", namespaced=True)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", namespaced=True)


def is_secret(resource: Resource) -> bool:
    """Whether the server's messages about this resource may quote secret values."""
    return resource.group == "" and resource.kind == "Secret"


def describe(verb: str, resource: Resource, namespace: str = "", name: str = "") -> str:
    """`apply Deployment.apps shop/web`: what a request does, for error texts."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    target = "/".join(part for part in (namespace, name) if part)
    return f"{verb} {kind} {target}".rstrip()


def collection_path(resource: Resource, namespace: str) -> str:
    """Path of all objects, of one namespace or ("" or cluster-scoped) of all."""
    if namespace and not resource.namespaced:
        raise _refuse(describe("address", resource, namespace), "the kind has no namespace but one is given")
    scope = f"/namespaces/{_segment(resource, namespace)}" if namespace else ""
    return f"{resource.root}{scope}/{resource.plural}"


def object_path(resource: Resource, namespace: str, name: str) -> str:
    """Path of one object; both names are needed for a namespaced kind."""
    if resource.namespaced and not namespace:
        raise _refuse(describe("address", resource, "", name), "the kind needs a namespace and none is given")
    return f"{collection_path(resource, namespace)}/{_segment(resource, name)}"


def _segment(resource: Resource, text: str) -> str:
    # The server refuses the same names; here the point is that they never form another path.
    if text in {"", ".", ".."} or "/" in text or "%" in text:
        raise _refuse(describe("address", resource), f"{text!r} cannot be a name")
    return quote(text, safe=":@")


def _refuse(where: str, what: str) -> errors.Invalid:
    return errors.Invalid(what=what, where=where, mend="correct the name or namespace of the object")
