"""
Who an object is: group, kind, namespace, name. No version, no uid.

The same type names an object in git, in the inventory, in a plan and in a report.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object's identity; `group` is "" for the core group, `namespace` "" for cluster scope."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Deployment.apps shop/web`, `Namespace shop`: short enough for a log line."""
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` -> ("apps", "v1"); `v1` -> ("", "v1")."""
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)


def join_api_version(group: str, version: str) -> str:
    """The inverse of `split_api_version`."""
    return f"{group}/{version}" if group else version
