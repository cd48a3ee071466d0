"""
What the other projects of a configuration declare.

Mostly known from their own runs; of a project that has not run yet (it waits for another, is
suspended, or this process has just begun) its repository is read for it. What cannot be read
is told as unread, never as empty.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from reconciler.config.models import Configuration, ManifestProject
from reconciler.git.errors import GitError
from reconciler.git.mirror import Revision
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import Scope
from reconciler.sync.claims import Claims
from reconciler.sync.repositories import Place, Repositories, place_of

FRESH = 60.0
"""s for which a reading counts: all projects of a new installation ask at about the same time."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Declared references of each project; of those in `unread` there may be more, for that reason."""

    declared: dict[str, frozenset[ObjectRef]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    declared: frozenset[ObjectRef] = frozenset()
    unread: str = ""


class Neighbours:
    """The projects of the configuration in force."""

    def __init__(self, repositories: Repositories, claims: Claims) -> None:
        self._repositories = repositories
        self._claims = claims
        self._configuration = Configuration()
        self._readings: dict[str, _Reading] = {}
        self._reading = asyncio.Lock()

    def know(self, configuration: Configuration) -> None:
        """This is in force now."""
        self._configuration = configuration
        self._readings.clear()

    def besides(self, project: str) -> tuple[str, ...]:
        """All others."""
        return tuple(its.id for its in self._configuration.projects if its.id != project)

    async def of(self, projects: Collection[str], *, scope: Callable[[str, str, str], Scope]) -> Elsewhere:
        """What these projects declare; `scope` says of a kind where its objects live."""
        others = [its for its in self._configuration.projects if its.id in projects]
        found = Elsewhere()
        async with self._reading:
            await self._read(self._unknown(others), scope)
        for its in others:
            if self._claims.knows(its.id):
                declared, unread = self._claims.declared(its.id), self._claims.unread(its.id)
            else:
                unknown = _Reading(0.0, unread="the configuration has just changed")
                reading = self._readings.get(its.id, unknown)
                declared, unread = reading.declared, reading.unread
            found.declared[its.id] = declared
            if unread:
                found.unread[its.id] = unread
        return found

    def _unknown(self, projects: Iterable[ManifestProject]) -> dict[Place, list[ManifestProject]]:
        since = asyncio.get_running_loop().time() - FRESH
        by_place: dict[Place, list[ManifestProject]] = {}
        for project in projects:
            reading = self._readings.get(project.id)
            if not self._claims.knows(project.id) and (reading is None or reading.at < since):
                by_place.setdefault(place_of(project), []).append(project)
        return by_place

    async def _read(
        self, wanted: dict[Place, list[ManifestProject]], scope: Callable[[str, str, str], Scope]
    ) -> None:
        for place, projects in wanted.items():
            revisions = await self._repositories.look(place, [its.ref for its in projects], {})
            for project in projects:
                self._readings[project.id] = await self._declared(project, revisions[project.ref], scope)

    async def _declared(
        self, project: ManifestProject, revision: Revision | GitError, scope: Callable[[str, str, str], Scope]
    ) -> _Reading:
        now = asyncio.get_running_loop().time()
        if isinstance(revision, GitError):
            return _Reading(now, unread=str(revision))
        try:
            limits = self._configuration.limits
            manifests = await self._repositories.manifests(project, revision, limits, scope=scope)
        except GitError as error:
            return _Reading(now, unread=str(error))
        return _Reading(now, manifests.claimed, next(iter(manifests.unread), ""))
