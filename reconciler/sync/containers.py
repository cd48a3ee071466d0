"""
What goes along when something is deleted: what lives in a Namespace, the objects of a definition's kind.

Pure. plan.py asks which containers must stay for what is in them, and what the service
itself needs to live.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from reconciler.manifests.identity import ObjectRef
from reconciler.sync.marks import is_record

DefinitionOf = Callable[[ObjectRef], str]
"""Name of the CustomResourceDefinition that an object's kind would come from; "" where it is built in."""


def containers_of(ref: ObjectRef, definition_of: DefinitionOf) -> Iterator[ObjectRef]:
    """What must not be deleted if `ref` is to stay."""
    if ref.namespace:
        yield ObjectRef("", "Namespace", "", ref.namespace)
    if definition := definition_of(ref):
        yield ObjectRef("apiextensions.k8s.io", "CustomResourceDefinition", "", definition)


def users(
    declared: Iterable[ObjectRef], elsewhere: Mapping[ObjectRef, str], definition_of: DefinitionOf
) -> dict[ObjectRef, str]:
    """Containers that must stay for what git declares here or in other projects, each with one reason."""
    found: dict[ObjectRef, str] = {}
    for ref, project in (*((ref, "") for ref in declared), *elsewhere.items()):
        whose = f"{ref} of project {project}" if project else f"{ref} is declared"
        for container in containers_of(ref, definition_of):
            found.setdefault(container, whose)
    return found


def is_protected(ref: ObjectRef, namespace: str) -> bool:
    """What the service needs to live: its namespace, its Leases, its records."""
    if ref.kind == "Namespace" and not ref.group:
        return ref.name == namespace
    lease = ref.kind == "Lease" and ref.namespace == namespace
    return lease or is_record(ref, namespace=namespace)
