"""
Which project of this process speaks for an object that is in no cluster yet.

Two projects may declare the same new object; without this both would see that it does not
exist, and both would apply it. What exists already carries its owner's mark. Not thread-safe,
need not be: a claim is taken without waiting in between.
"""

from collections.abc import Collection

from reconciler.manifests.identity import ObjectRef


class Claims:
    """References by the project that declared them first."""

    def __init__(self) -> None:
        self._owner: dict[ObjectRef, str] = {}
        self._held: dict[str, frozenset[ObjectRef]] = {}

    def take(self, project: str, refs: Collection[ObjectRef]) -> dict[ObjectRef, str]:
        """Claim exactly `refs`, give up what was claimed before; returns those that others hold, by whom."""
        for ref in self._held.get(project, frozenset()).difference(refs):
            del self._owner[ref]
        others = {ref: self._owner[ref] for ref in refs if self._owner.get(ref, project) != project}
        held = frozenset(ref for ref in refs if ref not in others)
        self._owner.update(dict.fromkeys(held, project))
        self._held[project] = held
        return others

    def retain(self, projects: Collection[str]) -> None:
        """Give up the claims of all other projects."""
        for project in self._held.keys() - set(projects):
            self.take(project, ())
            del self._held[project]
