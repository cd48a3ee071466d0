"""
The manifest repositories that projects share: one mirror and one poll for each.

Edge between git/ and the projects; decides nothing about them. A ref that cannot be
resolved or fetched is an error for those who follow it, never an empty revision.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reconciler.config.models import ManifestProject
from reconciler.git import objects
from reconciler.git.credentials import Credentials
from reconciler.git.directory import Directory
from reconciler.git.errors import GitError
from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Mirror, Revision
from reconciler.git.refs import RefSpec, RemoteRefs, Resolved, missing, resolve
from reconciler.manifests.cache import DecodeCache
from reconciler.manifests.manifest import ManifestSet, Scope
from reconciler.sync.credentials import ClusterCredentials
from reconciler.sync.source import Bodies, NoFiles, Source


@dataclass(frozen=True, slots=True)
class Place:
    """What makes two projects share a repository: its URL and the credentials for it."""

    url: str
    credentials: str | None


def place_of(project: ManifestProject) -> Place:
    """The repository of a project."""
    return Place(project.url, project.credentials)


class Repositories:
    """All mirrors below `root`."""

    def __init__(
        self, *, root: Path, cache: DecodeCache, credentials: ClusterCredentials, allow_local: bool
    ) -> None:
        self._root = root
        self._cache = cache
        self.credentials = credentials
        self._allow_local = allow_local
        self._bodies = Bodies()
        self._mirrors: dict[str, Mirror] = {}

    def mirror(self, url: str) -> Mirror:
        """Raises SourceRefused for a URL that we do not open."""
        if url not in self._mirrors:
            self._mirrors[url] = Mirror(url, root=self._root, allow_local=self._allow_local)
        return self._mirrors[url]

    def source(self, project: ManifestProject, limits: FileLimits) -> Source:
        """The content of a project's repository."""
        return Source(
            self.mirror(project.url),
            self._cache,
            self._bodies,
            file_limit=limits.max_file_size,
            moved_back=partial(self._moved_back, place_of(project)),
        )

    async def manifests(
        self,
        project: ManifestProject,
        revision: Revision,
        limits: FileLimits,
        *,
        scope: Callable[[str, str, str], Scope],
    ) -> ManifestSet:
        """All that a project declares at a revision, read once; GitError if it cannot be read whole."""
        source = self.source(project, limits)
        try:
            return await source.manifests(
                revision,
                project.paths,
                limits=limits,
                default_namespace=project.default_namespace,
                scope=scope,
            )
        finally:
            await asyncio.to_thread(source.close)

    async def _moved_back(self, place: Place, before: str, revision: Revision) -> bool:
        credentials = await self.credentials.get(place.credentials) if place.credentials else None
        now = Resolved(revision.ref, revision.commit)
        return await self.mirror(place.url).moved_back(before, now, credentials)

    def directory(self, path: Path, limits: FileLimits) -> Source:
        """The content of a directory of this machine, as if it were a repository's."""
        return Source(Directory(path), self._cache, self._bodies, file_limit=limits.max_file_size)

    def nothing(self, limits: FileLimits) -> Source:
        """The content that a project wants which has left the configuration."""
        return Source(NoFiles(), self._cache, self._bodies, file_limit=limits.max_file_size)

    async def look_for(self, projects: Iterable[ManifestProject]) -> dict[str, Revision | GitError]:
        """Where the ref of each project points now, by project id; one `look` for each repository."""
        places: dict[Place, list[ManifestProject]] = {}
        for project in projects:
            places.setdefault(place_of(project), []).append(project)
        found = await asyncio.gather(
            *(self.look(place, [project.ref for project in its], {}) for place, its in places.items())
        )
        return {
            project.id: revisions[project.ref]
            for its, revisions in zip(places.values(), found, strict=True)
            for project in its
        }

    async def look(
        self, place: Place, specs: Iterable[RefSpec], known: Mapping[RefSpec, Revision]
    ) -> dict[RefSpec, Revision | GitError]:
        """
        One poll: where `specs` point now, on disk; `known` are the answers of the poll before.

        One `ls-remote` for all; an error of the server is the answer for each of them. Whatever
        the error, the credentials are read anew at the next poll: a server may hide what they do
        not open, and a mended Secret shows in no other way.
        """
        specs = tuple(dict.fromkeys(specs))
        found = await self._find(place, specs, known)
        if place.credentials and any(isinstance(each, GitError) for each in found.values()):
            self.credentials.forget(place.credentials)
        return found

    async def _find(
        self, place: Place, specs: Collection[RefSpec], known: Mapping[RefSpec, Revision]
    ) -> dict[RefSpec, Revision | GitError]:
        try:
            mirror = self.mirror(place.url)
            credentials = await self.credentials.get(place.credentials) if place.credentials else None
            refs, _ = await asyncio.gather(
                mirror.list_refs(specs, credentials), asyncio.to_thread(objects.load)
            )
        except GitError as error:
            return dict.fromkeys(specs, error)
        return {spec: await self._bring(mirror, refs, spec, credentials, known.get(spec)) for spec in specs}

    async def _bring(
        self,
        mirror: Mirror,
        refs: RemoteRefs,
        spec: RefSpec,
        credentials: Credentials | None,
        known: Revision | None,
    ) -> Revision | GitError:
        found = resolve(refs, spec)
        if found is None:
            return missing(refs, spec, where=mirror.url)
        try:
            await mirror.fetch(found, credentials)  # sends nothing for a commit that is there and sound
            if known is not None and (known.commit, known.ref) == (found.commit, found.ref):
                return known
            return await asyncio.to_thread(mirror.revision, found)
        except GitError as error:
            return error

    async def upkeep(self, in_use: Mapping[str, Collection[str]]) -> None:
        """Nightly, one mirror after the other: drop what is not among the commits in use, by URL."""
        for url, mirror in tuple(self._mirrors.items()):
            await mirror.upkeep(in_use.get(url, ()))
