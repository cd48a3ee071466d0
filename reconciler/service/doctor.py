"""
Looks an installation over: `reconciler doctor`. Each finding comes with its mend.

Every check is on its own: one that fails or takes too long is said to be unknown, and the
others go on. Nothing is written but to the local mirrors. What lies beyond --namespaces is
not looked at, and no right there is missed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import Forbidden
from reconciler.cluster.resource import CONFIG_MAPS, LEASES, Resource
from reconciler.config.models import Configuration, ManifestProject
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError
from reconciler.git.mirror import Revision
from reconciler.service.assembly import Assembled, assembled
from reconciler.service.onepass import read_configuration
from reconciler.service.options import ConfigUnusable, Options, records_namespace
from reconciler.service.rights import Reviews, Right, missing_for_objects, of_pause, of_records, told
from reconciler.service.signals import interruptible
from reconciler.sync import marks
from reconciler.sync.apply import Kinds
from reconciler.sync.compare import all_kinds
from reconciler.sync.errors import RecordsTooNew, RecordsUnusable
from reconciler.sync.live import LiveObjects
from reconciler.sync.oldagent import OldAgent
from reconciler.sync.orphans import find_orphans

log = logging.getLogger(__name__)

CLOCK_SKEW: Final = 5.0  # s
CHECK_LIMIT: Final = 120.0
"""s for one check: longer than the deadline of any request or fetch in it."""
_OLD_MANAGER: Final = "agentk"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not well, and what mends it; `minor`: the service does without."""

    what: str
    mend: str
    minor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: `unknown` says why it could not be made, `skipped` why it was not."""

    name: str
    findings: tuple[Finding, ...] = ()
    unknown: str = ""
    skipped: str = ""

    @property
    def result(self) -> str:
        """One word."""
        if self.findings:
            return "minor" if all(its.minor for its in self.findings) else "findings"
        return "unknown" if self.unknown else "skipped" if self.skipped else "fine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All checks, in their order."""

    checks: tuple[Check, ...]
    requests: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Nothing was found that the service cannot do without, and nothing is unknown."""
        return all(check.result in ("fine", "minor", "skipped") for check in self.checks)


async def examine(options: Options) -> Diagnosis:
    """Make all checks; raises ClusterError where the API server cannot be asked anything."""
    return await interruptible(_examine(options))


async def _examine(options: Options) -> Diagnosis:
    configured = options.config is not None or options.config_repo is not None
    async with assembled(options, configured=configured) as parts:
        discovery = await parts.cluster.discover()
        doctor = _Doctor(parts, discovery)
        checks = await doctor.examine(configured=configured)
        return Diagnosis(checks=checks, requests=parts.cluster.requests.as_json())


class _Doctor:
    def __init__(self, parts: Assembled, discovery: Discovery) -> None:
        self._parts = parts
        self._cluster = parts.cluster
        self._seen = parts.cluster.within(parts.options.namespaces)
        self._discovery = discovery
        self._namespace = records_namespace(parts.options)
        self._instance = parts.options.instance_name
        self._reviews = Reviews(parts.cluster)
        self._configuration: Configuration | None = None
        self._revisions: Mapping[str, Revision | GitError] = {}

    async def examine(self, *, configured: bool) -> tuple[Check, ...]:
        none = "" if configured else "no configuration is given (--config or --config-repo)"
        first = await _check("configuration", self._read_configuration, skipped=none)
        if self._configuration is None and not none:
            none = "there is no usable configuration"
        git = await _check("git", self._git, skipped=none)
        others = await asyncio.gather(
            _check("rights of the records", self._records_rights),
            _check("rights of the projects", self._project_rights, skipped=none),
            _check("pause", self._pause_rights),
            _check("clock", self._clock),
            _check("installations", self._installations),
            _check("key", self._key),
            _check("records", self._records),
            _check("orphans", self._orphans),
            _check("old agent", self._old_agent),
            _check("fields of the old agent", self._old_fields),
        )
        return first, git, *others

    async def _read_configuration(self) -> list[Finding]:
        try:
            self._configuration = await read_configuration(self._parts)
        except ConfigUnusable as error:
            return [Finding(problem, "correct the configuration") for problem in error.problems]
        self._parts.runner.know(self._configuration)
        return []

    @property
    def _projects(self) -> Sequence[ManifestProject]:
        return self._configuration.projects if self._configuration else ()

    async def _git(self) -> list[Finding]:
        self._revisions = await self._parts.repositories.look_for(self._projects)
        return [
            Finding(f"project {name}: {error.where}: {error.what}", error.mend)
            for name, error in sorted(self._revisions.items())
            if isinstance(error, GitError)
        ]

    # -- rights ----------------------------------------------------------------------------

    async def _records_rights(self) -> list[Finding]:
        missing = await self._reviews.missing(of_records(self._namespace, instance=self._instance))
        return [Finding(f"may not {text}", self._bind_records) for text in told(missing)]

    @property
    def _bind_records(self) -> str:
        return f"bind the Role reconciler-records in namespace {self._namespace} to whom it runs as"

    async def _pause_rights(self) -> list[Finding]:
        watched = not self._seen.reach.namespaces  # as the service does
        missing = await self._reviews.missing(of_pause(self._namespace, watched=watched))
        verbs = [right.verb for right in missing]
        annotation = f"annotation {marks.PAUSED} of namespace {self._namespace}"
        found: list[Finding] = []
        if "get" in verbs:
            verbs.remove("get")
            what = f"{annotation} may not be read: only the key paused stops writes"
            found.append(Finding(what, self._bind_records))
        if verbs:
            what = f"{annotation} may not be watched: it does not stop a run in flight"
            mend = "bind the ClusterRole reconciler-read for the whole cluster to whom it runs as"
            found.append(Finding(what, mend, minor=True))
        return found

    async def _project_rights(self) -> list[Finding]:
        found: list[Finding] = []
        unread: list[str] = []
        kinds = Kinds(self._cluster, self._discovery)
        for project in self._projects:
            revision = self._revisions.get(project.id)
            if not isinstance(revision, Revision):
                unread.append(f"project {project.id}: its repository cannot be read")
                continue
            try:
                found += await self._rights_of(project, revision, kinds)
            except ReconcilerError as error:
                unread.append(f"project {project.id}: {error}")
        # Not to be lost beside what was found: it is a thing to mend as well.
        return found + [Finding(f"unknown for {text}", "mend that first") for text in unread]

    async def _rights_of(self, project: ManifestProject, revision: Revision, kinds: Kinds) -> list[Finding]:
        limits = self._configuration.limits if self._configuration else Configuration().limits
        manifests = await self._parts.repositories.manifests(project, revision, limits, scope=kinds.scope)
        places: dict[Resource, set[str]] = {}
        for ref in manifests.claimed:
            if self._seen.reach.why_not(ref.namespace):
                continue  # refused before anything is asked, whatever the rights are
            resource = None
            if not self._discovery.is_incomplete(ref.group):
                resource = self._discovery.preferred(ref.group, ref.kind)
            if resource is not None:
                places.setdefault(resource, set()).add(ref.namespace)
        who = project.service_account
        missing = await missing_for_objects(
            self._reviews, places, reach=self._seen.reach, prune=project.prune, service_account=who
        )
        whom = f"ServiceAccount {who}" if who else "whom it runs as"
        mend = f"give {whom} these verbs (docs/install.md), or take the objects out of git"
        return [Finding(f"project {project.id} may not {text}", mend) for text in told(missing)]

    # -- the cluster -----------------------------------------------------------------------

    async def _clock(self) -> list[Finding]:
        skew = (datetime.now(UTC) - self._cluster.now()).total_seconds()
        if abs(skew) <= CLOCK_SKEW:
            return []
        word = "ahead of" if skew > 0 else "behind"
        what = f"the clock of this machine is {abs(skew):.0f} s {word} the API server's"
        return [Finding(what, "let both follow a time server (NTP)")]

    async def _installations(self) -> list[Finding]:
        selector = f"{marks.RECORDS_LABEL}={self._instance}"
        elsewhere: set[str] = set()
        for place in self._seen.reach.places(CONFIG_MAPS):
            found = await self._seen.list(
                CONFIG_MAPS, namespace=place, label_selector=selector, metadata_only=True
            )
            elsewhere.update(item["metadata"]["namespace"] for item in found.items)
        elsewhere.discard(self._namespace)
        mend = "give each installation a name of its own (--instance), or name the right --records-namespace"
        return [
            Finding(f"namespace {name} has records of instance {self._instance} as well", mend)
            for name in sorted(elsewhere)
        ]

    async def _key(self) -> list[Finding]:
        try:
            key = await self._parts.records.key()
        except RecordsUnusable as error:
            return [Finding(f"{error.where}: {error.what}", error.mend)]
        if key is not None or not await self._parts.records.all():
            return []
        what = f"Secret {self._namespace}/{marks.KEY_SECRET} is missing while there are records"
        return [
            Finding(what, "restore it from a backup; else the next run makes one and applies all once more")
        ]

    async def _records(self) -> list[Finding]:
        found: list[Finding] = []
        try:
            projects = await self._parts.records.others("")
        except RecordsTooNew as error:
            return [Finding(f"{error.where}: {error.what}", error.mend)]
        known = {project.id for project in self._projects}
        for its in projects:
            if its.unread:
                mend = "run it once and approve what is held if that is right; or restore a backup"
                found.append(Finding(f"records of {its.project or its.owner}: {its.unread}", mend))
            elif self._configuration is not None and its.project not in known:
                what = f"project {its.project} has records and is not in the configuration"
                found.append(Finding(what, f"reconciler delete-project {its.project}, or declare it again"))
        return found

    async def _orphans(self) -> list[Finding]:
        live = LiveObjects(self._seen, instance=self._instance, tasks=self._parts.tasks)
        try:
            orphans = await find_orphans(self._parts.records, live, self._discovery)
        finally:
            live.close()
        found = [Finding(f"not searched: {text}", "mend that first") for text in orphans.unread]
        if orphans.found:
            what = f"objects with our mark in no inventory: {len(orphans.found)}"
            found.insert(0, Finding(what, "`reconciler orphans` lists them"))
        return found

    # -- what GitLab's agent left ------------------------------------------------------------

    async def _old_agent(self) -> list[Finding]:
        old = OldAgent(self._seen)
        found: list[Finding] = []
        running = await old.running("", namespaces=[self._namespace])
        if isinstance(running, Forbidden):
            # Within --namespaces it is always so: what counts is whether all was seen there.
            places = self._seen.reach.places(LEASES)
            unseen = [Right("list", LEASES.group, LEASES.plural, place) for place in places]
            for text in told(await self._reviews.missing(unseen)):
                what = f"whether agentk still runs is unknown: may not {text}"
                found.append(Finding(what, "let Leases be listed"))
        elif running:
            found.append(
                Finding(f"agentk still runs: Lease {running} is renewed", "scale its Deployment to 0")
            )
        for place in self._seen.reach.places(CONFIG_MAPS):
            for its in await old.inventories(place, "", namespaced=lambda _ref: None):
                if not its.imported_by:
                    what = f"inventory {its.namespace}/{its.name} ({its.id}) of agentk is not taken over"
                    mend = "name it with inventory_id, or delete it when its objects are gone"
                    found.append(Finding(what, mend))
        return found

    async def _old_fields(self) -> list[Finding]:
        live = LiveObjects(self._seen, instance=self._instance, tasks=self._parts.tasks)
        records = await self._parts.records.others("")
        kinds = {(ref.group, ref.kind) for its in records for ref in its.records}
        seen = all_kinds(self._discovery, self._seen.reach)
        try:
            listed = await asyncio.gather(*(live.labelled(seen[its]) for its in sorted(kinds & seen.keys())))
        finally:
            live.close()
        refs = sorted(
            ref
            for each in listed
            for ref, its in each.objects.items()
            if any(owner.manager == _OLD_MANAGER for owner in its.owners)
        )
        if not refs:
            return []
        what = f"objects that still have fields of agentk: {len(refs)}, the first is {refs[0]}"
        return [Finding(what, "sync their project: its fields are taken over then")]


async def _check(name: str, make: Callable[[], Awaitable[Sequence[Finding]]], *, skipped: str = "") -> Check:
    """One check, whatever becomes of it."""
    if skipped:
        return Check(name=name, skipped=skipped)
    try:
        async with asyncio.timeout(CHECK_LIMIT):
            return Check(name=name, findings=tuple(await make()))
    except ReconcilerError as error:
        return Check(name=name, unknown=str(error))
    except TimeoutError:
        return Check(name=name, unknown=f"no answer within {CHECK_LIMIT:.0f} s")
    except Exception as error:
        # One check that has a defect must not hide what the others find.
        log.exception("check %s: defect", name)
        return Check(name=name, unknown=f"defect in this check ({type(error).__name__})")
