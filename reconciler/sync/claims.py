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
        self._declared: dict[str, frozenset[ObjectRef]] = {}
        self._unread: dict[str, str] = {}

    def take(self, project: str, refs: Collection[ObjectRef], *, unread: str = "") -> dict[ObjectRef, str]:
        """
        Claim exactly `refs`, give up what was claimed before; returns those that others hold, by whom.

        `unread` is a file of the project that may declare more.
        """
        declared = frozenset(refs)
        for ref in self.declared(project) - declared:
            if self._owner.get(ref) == project:
                del self._owner[ref]
        others = {ref: self._owner[ref] for ref in declared if self._owner.get(ref, project) != project}
        self._owner.update(dict.fromkeys(declared - others.keys(), project))
        self._declared[project] = declared
        self._unread[project] = unread
        return others

    def declared(self, project: str) -> frozenset[ObjectRef]:
        """All that a project declared in its last run, whoever was first; nothing before it has run."""
        return self._declared.get(project, frozenset())

    def unread(self, project: str) -> str:
        """A file that may declare more than `declared` says; "" where all was read."""
        return self._unread.get(project, "")

    def knows(self, project: str) -> bool:
        """Whether it has run."""
        return project in self._declared

    def retain(self, projects: Collection[str]) -> None:
        """Give up the claims of all other projects."""
        for project in self._declared.keys() - set(projects):
            self.take(project, ())
            del self._declared[project], self._unread[project]
