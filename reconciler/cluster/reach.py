"""
How far an installation sees: the whole cluster, or some namespaces and nothing beside them.

Pure. A request that would lead further is never sent, so that an installation without rights
beyond its namespaces is not refused anything, and one that has them does not use them.
"""

from dataclasses import dataclass

from reconciler.cluster.errors import NotAllowed
from reconciler.cluster.resource import Resource, describe


@dataclass(frozen=True, slots=True)
class Reach:
    """`namespaces` is empty where all can be seen."""

    namespaces: tuple[str, ...] = ()

    def places(self, resource: Resource) -> tuple[str, ...]:
        """The namespaces to LIST or watch for all objects of a kind, "" for all of them in one."""
        return self.namespaces if self.namespaces and resource.namespaced else ("",)

    def why_not(self, namespace: str) -> str:
        """Why an object of this namespace ("": of none) is out of reach; "" if it is not."""
        if not self.namespaces or namespace in self.namespaces:
            return ""
        if not namespace:
            return "has no namespace: an installation with --namespaces has no such objects"
        return f"--namespaces of this installation does not hold {namespace}"

    def check(self, verb: str, resource: Resource, namespace: str, name: str = "") -> None:
        """Raise NotAllowed for a request that leads further."""
        if why := self.why_not(namespace):
            raise NotAllowed(
                what=why,
                where=describe(verb, resource, namespace, name),
                mend="move the object to a namespace of --namespaces, or to another installation",
            )
