"""
Which objects a project may have: `allowed_namespaces` and `allowed_kinds`, within `--namespaces`.

Pure. Asked twice: for the plan, so that the report names what is refused, and right before each
write, whatever led to it (`Cluster.confined`).
"""

from dataclasses import dataclass, field

from reconciler.cluster.errors import NotAllowed
from reconciler.cluster.reach import Reach
from reconciler.cluster.resource import Resource, describe
from reconciler.config.models import ManifestProject
from reconciler.manifests.identity import ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Namespaces, and kinds as `Kind` or `Kind.group`; None allows all."""

    namespaces: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    reach: Reach = field(default_factory=Reach)
    """Of the installation, for all of its projects."""

    def why_not(self, ref: ObjectRef) -> str:
        """
        Why the project may not have this object; "" if it may.

        What lives in no namespace is not confined to any: where namespaces are named, so must be its
        kind, and a Namespace has to be one of them.
        """
        if beyond := self.reach.why_not(ref.namespace):
            return beyond
        kind = f"{ref.kind}.{ref.group}" if ref.group else ref.kind
        named = {ref.kind, kind} & set(self.kinds or ())
        if self.kinds is not None and not named:
            return f"allowed_kinds of the project does not hold {kind}"
        if self.namespaces is None:
            return ""
        if ref.namespace:
            inside = ref.namespace in self.namespaces
            return "" if inside else f"allowed_namespaces of the project does not hold {ref.namespace}"
        if not named:
            return "has no namespace: with allowed_namespaces its kind must stand in allowed_kinds"
        if (ref.group, ref.kind) == ("", "Namespace") and ref.name not in self.namespaces:
            return f"allowed_namespaces of the project does not hold {ref.name}"
        return ""

    def check(self, verb: str, resource: Resource, namespace: str, name: str) -> None:
        """Raise NotAllowed for a write that the project may not make."""
        if why := self.why_not(ObjectRef(resource.group, resource.kind, namespace, name)):
            raise NotAllowed(
                what=why,
                where=describe(verb, resource, namespace, name),
                mend="move the object to another project, or allow it in the configuration",
            )


def allowed_of(project: ManifestProject, reach: Reach) -> Allowed:
    """What the configuration says of a project, and how far the installation goes."""
    return Allowed(namespaces=project.allowed_namespaces, kinds=project.allowed_kinds, reach=reach)
