"""
Prepares runs: what all of them share (kinds, key, records) and what each one reads first.

    read git -> compare with records and cluster -> record -> apply -> prune -> record -> report

run.py carries out the rest. Reads the cluster's kinds and our key once; what may be minutes
old is asked for again before anything is concluded from it.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from functools import partial
from typing import Final

from reconciler.cluster.errors import DiscoveryIncomplete, Forbidden, Paused
from reconciler.cluster.resource import Resource, describe
from reconciler.config.models import Configuration, ManifestProject
from reconciler.git.errors import GitError
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import ManifestSet, Scope
from reconciler.sync import marks
from reconciler.sync.allowed import allowed_of
from reconciler.sync.apply import Kinds
from reconciler.sync.awaiting import Awaited, Awaiting
from reconciler.sync.errors import RecordsUnusable
from reconciler.sync.others import OtherProjects, among
from reconciler.sync.outcome import ProjectReport
from reconciler.sync.preview import Preview
from reconciler.sync.records import ProjectRecords
from reconciler.sync.request import Parts, Request
from reconciler.sync.run import Run

KINDS_AGE: Final = 60.0
"""s; projects that are compared at about the same time share what is known of the kinds."""


class Runner:
    """Makes projects real for one instance; all state that outlives a run is in its parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kinds: Kinds | None = None
        self._refreshed = 0.0
        self._key: bytes | None = None
        self._projects: tuple[ManifestProject, ...] | None = None
        self._setup = asyncio.Lock()

    async def refresh(self) -> None:
        """Ask the API server anew which kinds there are; called before a periodic comparison."""
        now = asyncio.get_running_loop().time()
        if self._kinds is None or now - self._refreshed > KINDS_AGE:
            self._kinds = Kinds(self._parts.cluster, await self._parts.cluster.discover())
            self._refreshed = now

    async def is_approved(self, project: str, plan_hash: str) -> bool:
        """Whether a person has approved what is held: one GET of the project's head."""
        records = await self._parts.records.of(project)
        return await self._parts.records.reread_approval(records) == plan_hash

    async def await_change(self, project: ManifestProject, awaited: Awaited, told: set[str]) -> str:
        """Wait until something that the project waits for comes true; see `Awaiting.change`."""
        allowed = allowed_of(project, self._parts.cluster.reach)
        who = await self._parts.identities.of(project.service_account, allowed)
        return await Awaiting(who.cluster, who.readiness, find=self._find).change(awaited, told)

    def _find(self, ref: ObjectRef) -> Resource | None:
        return self.endpoint((ref.group, ref.kind))

    def endpoint(self, kind: tuple[str, str]) -> Resource | None:
        """Of a group and kind, as far as is known now."""
        try:
            return self._kinds.discovery.preferred(*kind) if self._kinds else None
        except DiscoveryIncomplete:
            return None

    def know(self, configuration: Configuration) -> None:
        """This configuration is in force."""
        self._projects = configuration.projects
        self._parts.neighbours.know(configuration)

    def retain(self, projects: Collection[str]) -> None:
        """These are all projects there are now: the others claim nothing any more."""
        self._parts.claims.retain(projects)

    def forget(self) -> None:
        """What was read may be long ago, and another process has written since: read it anew."""
        self._kinds = None
        self._key = None
        self._parts.records.forget_all()
        self._parts.claims.retain(())

    async def prepare(self, *, write: bool, preview: Preview | None = None) -> None:
        """What every run needs of the cluster; early, while git is asked, it costs no time of its own."""
        await self._prepare(write=write, preview=preview)

    async def _prepare(self, *, write: bool, preview: Preview | None) -> tuple[Kinds, bytes]:
        async with self._setup:
            if self._kinds is None:
                await self.refresh()
            key = self._key or await self._read_key(preview)
            if key is None and write:
                key = await self._parts.records.make_key()
            self._key = key
        if self._kinds is None:
            raise RuntimeError("refresh() leaves kinds")
        # A dry run where there is no key yet: any key does, since nothing was ever applied with one.
        return self._kinds, key or secrets.token_bytes()

    async def _read_key(self, preview: Preview | None) -> bytes | None:
        try:
            return await self._parts.records.key()
        except (Forbidden, RecordsUnusable) as error:
            if preview is None:
                raise
            preview.unverified = str(error)
            return None

    async def _read_records(self, project: str, preview: Preview | None) -> ProjectRecords:
        try:
            return await self._parts.records.of(project)
        except Forbidden as error:
            if preview is None:
                raise
            preview.unrecorded = str(error)
            name = marks.inventory_id(self._parts.instance, project)
            return ProjectRecords(project=project, name=name, owner=name)

    async def run(self, request: Request) -> ProjectReport:
        """
        Carry out one run.

        Raises GitError, ClusterError or SyncError when the run as a whole cannot be made;
        what fails for single objects is in the report.
        """
        started = time.monotonic()
        try:
            report = await self._run(request)
        finally:
            # The processes that read the mirror are not kept at rest.
            await asyncio.to_thread(request.source.close)
        return replace(report, duration=time.monotonic() - started)

    async def _run(self, request: Request) -> ProjectReport:
        dry = request.project.dry_run_strategy != "none"
        kinds, key = await self._prepare(write=not dry, preview=request.preview)
        manifests = await self._read(request, kinds)
        if request.preview is not None:
            request.preview.unclear = any(problem.ref is None for problem in manifests.problems)
        records = await self._read_records(request.project.id, request.preview)
        if dry:
            # What it would take over is only thought of, and must not be remembered.
            records = replace(records, versions=dict(records.versions))
        await kinds.know(records.inventory.records)
        allowed = allowed_of(request.project, self._parts.cluster.reach)
        who = await self._parts.identities.of(request.project.service_account, allowed)
        who = replace(who, cluster=who.cluster.confined(partial(_check_suspended, request.suspended)))
        find_others = partial(self._others, request, kinds, manifests)
        run = Run(self._parts, who, request, kinds, key, manifests, records, find_others)
        return await run.carry_out()

    async def _others(
        self, request: Request, kinds: Kinds, manifests: ManifestSet, recorded: Collection[ObjectRef]
    ) -> OtherProjects:
        """The other projects; what git declares for them counts only where something left ours."""
        projects = self._projects
        known = None if projects is None else [project.id for project in projects]
        each = among(await self._parts.records.others(request.project.id), known)
        left = set(recorded) - manifests.claimed if request.project.prune else set()
        declared: dict[ObjectRef, str] = {}
        unread = ""
        if left:
            # Also a project that only has a status, or that somebody merely asked about, is among them.
            wanting = {its.project for its in each if its.records or its.unread}
            recording = set() if request.departed else wanting
            async for other, refs, why in self._declaring(request, kinds, recording):
                allowed = allowed_of(other, self._parts.cluster.reach)
                # What a project may not have it will never take: that it names it keeps nothing.
                declared.update((ref, other.id) for ref in left & refs if not allowed.why_not(ref))
                unread = f"project {other.id}: {why}" if why else unread
        return OtherProjects(each=each, declared=declared, unread=unread)

    async def _declaring(
        self, request: Request, kinds: Kinds, recording: Collection[str]
    ) -> AsyncIterator[tuple[ManifestProject, frozenset[ObjectRef], str]]:
        """Each other project, what git declares for it, and why that may not be all."""
        others = [its for its in self._projects or () if its.id != request.project.id]
        beside = [its for its in others if _reads_the_same(its, request.project) and not request.departed]
        # Their records tell what those want that have written some: a new, suspended or dry one has not.
        asked = [its for its in others if its not in beside and its.id not in recording]
        elsewhere = await self._parts.neighbours.of([its.id for its in asked], scope=kinds.scope)
        for other in others:
            if other in asked:
                yield other, elsewhere.declared[other.id], elsewhere.unread.get(other.id, "")
            elif other not in beside:
                yield other, self._parts.claims.declared(other.id), ""
            else:
                try:
                    theirs = await self._read(replace(request, project=other), kinds)
                except GitError as error:
                    yield other, frozenset(), str(error)
                else:
                    unread = next(iter(theirs.unread), "")
                    yield other, theirs.claimed, f"{unread} cannot be read" if unread else ""

    async def _read(self, request: Request, kinds: Kinds) -> ManifestSet:
        project = request.project

        unknown = False

        def scope(group: str, version: str, kind: str) -> Scope:
            nonlocal unknown
            found = kinds.scope(group, version, kind)
            unknown = unknown or found is Scope.UNKNOWN
            return found

        async def read() -> ManifestSet:
            return await request.source.manifests(
                request.revision,
                project.paths,
                limits=request.limits,
                default_namespace=project.default_namespace,
                scope=scope,
            )

        before = kinds.discovery
        manifests = await read()
        if unknown:
            # A definition may have arrived since (gitlab-agent.md 2.6).
            await kinds.refresh(before)
            manifests = await read()
        return manifests


def _check_suspended(
    suspended: asyncio.Event, verb: str, resource: Resource, namespace: str, name: str
) -> None:
    if suspended.is_set():
        raise Paused(
            what="not sent: suspend is set in the configuration",
            where=describe(verb, resource, namespace, name),
            mend="take that back when writes may go on",
        )


def _reads_the_same(one: ManifestProject, other: ManifestProject) -> bool:
    """Two projects whose revision is the same, whichever of them runs first."""
    return one.id != other.id and (one.url, one.ref) == (other.url, other.ref)
