"""
Whose an object is, where it comes from, and who owns each of its fields: `reconciler explain`.

Reads the object, the records and, where it is told where the configuration is, the commit
that was applied. Never writes. No value of a field gets out of here, of Secrets not even in here.
"""

import difflib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.cluster import health
from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.discovery import Discovery
from reconciler.cluster.errors import ClusterError, NotFound
from reconciler.cluster.fields import Manager, owned, owners
from reconciler.cluster.health import Health, Status
from reconciler.cluster.resource import Resource, is_secret
from reconciler.config.models import ManifestProject
from reconciler.errors import ReconcilerError
from reconciler.git.errors import GitError
from reconciler.git.globs import FileLimits
from reconciler.git.refs import RefSpec
from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import ManifestSet
from reconciler.service.assembly import Assembled, assembled
from reconciler.service.onepass import chosen, read_configuration
from reconciler.service.options import Options, OptionsInvalid, check_namespace, records_namespace
from reconciler.service.signals import interruptible
from reconciler.sync import marks
from reconciler.sync.apply import Kinds
from reconciler.sync.errors import SyncError
from reconciler.sync.live import live_of
from reconciler.sync.records import ProjectRecords, Records
from reconciler.sync.status import StoredStatus, read_status

_IN_GIT: Final = "file, line and what needs it"
_NEAR: Final = 3  # names in the error about a kind that there is not


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOwners:
    """A field and everybody who owns it."""

    path: str
    owners: tuple[Manager, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an object comes from; "" and 0 where that is not known."""

    project: str = ""
    instance: str = ""
    repository: str = ""
    commit: str = ""
    ref: str = ""
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """All that there is to say about one object."""

    ref: ObjectRef
    api_version: str
    standing: str
    """Whose it is, and how that is known: a sentence."""
    managed: bool
    """Inventory and marks agree that it is a project's."""
    exists: bool
    origin: Origin = Origin()
    project_state: str = ""
    outcome: str = ""
    """What the last run did with it, where that was not to apply it; the record has no more."""
    status: str = ""
    reason: str = ""
    message: str = ""
    needs: tuple[ObjectRef, ...] = ()
    needed_by: tuple[ObjectRef, ...] = ()
    controllers: tuple[str, ...] = ()
    """Objects that it belongs to, as its ownerReferences say."""
    fields: tuple[FieldOwners, ...] = ()
    unseen: tuple[str, ...] = ()
    requests: Mapping[str, Any] = field(default_factory=dict)


async def explain_object(options: Options, what: str, *, namespace: str | None = None) -> Explained:
    """
    Explain `KIND/NAME`; the kind as kubectl takes it.

    Raises OptionsInvalid for what there is not, ClusterError where the cluster cannot be asked, or
    the object lies beyond --namespaces.
    """
    kind, slash, name = what.partition("/")
    if not (kind and slash and name) or "/" in name:
        raise OptionsInvalid(
            what=f"{what[:80]!r} names no object", where="KIND/NAME", mend="write for instance deployment/web"
        )
    if namespace is not None:
        check_namespace("--namespace", namespace)
    return await interruptible(_explain(options, kind, name, namespace))


async def _explain(options: Options, kind: str, name: str, namespace: str | None) -> Explained:
    async with _parts(options) as (cluster, assembly):
        discovery = await cluster.discover()
        resource = _resource(discovery, kind)
        place = (namespace or cluster.namespace or "default") if resource.namespaced else ""
        ref = ObjectRef(resource.group, resource.kind, place, name)
        found = await _read(cluster.within(options.namespaces), resource, ref)
        records = Records(cluster, namespace=records_namespace(options), instance=options.instance_name)
        explaining = _Explaining(options, ref, resource, found)
        explained = await explaining.explain(cluster, records, discovery, assembly)
        return replace(explained, requests=cluster.requests.as_json())


@asynccontextmanager
async def _parts(options: Options) -> AsyncIterator[tuple[Cluster, Assembled | None]]:
    """A client, and all parts where the configuration can be read."""
    if options.config is None and options.config_repo is None:
        async with connect(kubeconfig=options.kubeconfig, context=options.context) as cluster:
            yield cluster, None
    else:
        async with assembled(options) as assembly:
            yield assembly.cluster, assembly


def _resource(discovery: Discovery, kind: str) -> Resource:
    if found := discovery.named(kind):
        return found
    names = {its.singular or its.plural for its in discovery.resources}
    near = difflib.get_close_matches(kind.lower().partition(".")[0], sorted(names), _NEAR)
    silent = f"; could not say: {', '.join(discovery.incomplete)}" if discovery.incomplete else ""
    raise OptionsInvalid(
        what=f"the API server knows no kind {kind[:80]!r}{silent}",
        where="KIND/NAME",
        mend=f"there is {', '.join(near)}" if near else "`kubectl api-resources` shows all",
    )


async def _read(cluster: Cluster, resource: Resource, ref: ObjectRef) -> Mapping[str, Any] | None:
    try:
        return await cluster.get(resource, ref.namespace, ref.name, metadata_only=is_secret(resource))
    except NotFound:
        return None


class _Explaining:
    """Puts together what is known of one object."""

    def __init__(
        self, options: Options, ref: ObjectRef, resource: Resource, found: Mapping[str, Any] | None
    ) -> None:
        self._options = options
        self._ref = ref
        self._resource = resource
        self._found = found
        self._metadata: Mapping[str, Any] = (found or {}).get("metadata") or {}
        self._unseen: list[str] = []

    async def explain(
        self, cluster: Cluster, records: Records, discovery: Discovery, assembly: Assembled | None
    ) -> Explained:
        kept, unread = await self._recorded(records)
        standing, managed = self._standing(kept, unread)
        status = read_status(kept.status, kept.head) if kept else None
        entry = _entry_of(self._ref, status)
        origin = self._origin(kept, entry)
        needs, needed_by = self._annotated(), tuple[ObjectRef, ...]()
        if kept is not None:
            origin, graph = await self._declared(cluster, discovery, assembly, origin)
            if graph is not None:
                needs, needed_by = _dependencies(self._ref, graph)
        health = self._health()
        return Explained(
            ref=self._ref,
            api_version=self._resource.api_version,
            standing=standing,
            managed=managed,
            exists=self._found is not None,
            origin=origin,
            project_state=status.state.value if status else "",
            outcome=str(entry.get("outcome", "")),
            status=health.health.value,
            reason=str(entry.get("reason", "")) or health.reason,
            message=str(entry.get("message", "")) or health.message,
            needs=needs,
            needed_by=needed_by,
            controllers=_controllers(self._metadata),
            fields=_by_field(self._metadata),
            unseen=tuple(self._unseen),
        )

    async def _recorded(self, records: Records) -> tuple[ProjectRecords | None, bool]:
        """The records that name the object, and whether none could be read."""
        try:
            every = await records.all()
        except (ClusterError, SyncError) as error:
            self._unseen.append(f"the records: {error}")
            return None, True
        return next((its for its in every if self._ref in its.inventory.records), None), False

    def _standing(self, kept: ProjectRecords | None, unread: bool) -> tuple[str, bool]:
        annotations = self._metadata.get("annotations") or {}
        owner = marks.owner_of(self._metadata)
        marked = str(annotations.get(marks.PROJECT, ""))
        instance = str((self._metadata.get("labels") or {}).get(marks.INSTANCE_LABEL, ""))
        if self._found is None:
            if kept is None:
                raise OptionsInvalid(
                    what=f"{self._ref} is not in the cluster"
                    + ("" if unread else f" and in no inventory of installation {self._instance}"),
                    where="KIND/NAME",
                    mend="look at the name, and at -n and --instance",
                )
            return f"in the inventory of project {kept.project}, but not in the cluster", False
        if kept is not None:
            record = kept.inventory.records[self._ref]
            if not live_of(self._metadata, instance=self._instance).belongs_to(kept.owner):
                return f"in the inventory of project {kept.project}, but does not carry its mark", False
            if record.uid not in ("", self._metadata.get("uid")):
                return f"of project {kept.project}, but re-created by another hand since", False
            return f"of project {kept.project}: its inventory and the mark on the object agree", True
        if owner is not None:
            whose = f"project {marked}" if marked else f"inventory {owner}"
            if instance and instance != self._instance:
                return f"marked as of {whose} of another installation, {instance}", False
            known = (
                "whose records could not be read" if unread else "but in no inventory of this installation"
            )
            return f"marked as of {whose}, {known}", False
        if unread:
            return "carries no mark of a project", False
        return "no project manages it: it is in no inventory and carries no mark", False

    @property
    def _instance(self) -> str:
        return self._options.instance_name

    def _origin(self, kept: ProjectRecords | None, entry: Mapping[str, Any]) -> Origin:
        annotations = self._metadata.get("annotations") or {}
        labels = self._metadata.get("labels") or {}
        marked = Origin(
            project=str(annotations.get(marks.PROJECT, "")),
            instance=str(labels.get(marks.INSTANCE_LABEL, "")),
        )
        if kept is None:
            return marked
        line = entry.get("line")
        head = kept.head
        return Origin(
            project=kept.project,
            instance=self._instance,
            commit=head.commit if head else "",
            ref=head.ref if head else "",
            path=str(entry.get("file", "")),
            line=line if isinstance(line, int) else 0,
        )

    def _annotated(self) -> tuple[ObjectRef, ...]:
        """What the object itself says that it needs."""
        text = str((self._metadata.get("annotations") or {}).get(marks.DEPENDS_ON, ""))
        try:
            return order.parse_depends_on(text) if text else ()
        except ValueError:
            return ()

    def _health(self) -> Status:
        if self._found is None:
            return Status(Health.NOT_FOUND, "", "")
        if is_secret(self._resource):
            return Status(Health.CURRENT, "", "")
        return health.compute(self._found, now=time.time())

    async def _declared(
        self, cluster: Cluster, discovery: Discovery, assembly: Assembled | None, origin: Origin
    ) -> tuple[Origin, order.Graph | None]:
        """File and line, and what the project declares, as of the commit that was applied last."""
        if assembly is None:
            self._unseen.append(f"{_IN_GIT}: they are in git; say where the configuration is (--config …)")
            return origin, None
        try:
            configuration = await read_configuration(assembly)
            (project,) = chosen(configuration, [origin.project])
            origin = replace(origin, repository=project.url)
            manifests = await _manifests(
                assembly, project, origin.commit, configuration.limits, Kinds(cluster, discovery)
            )
        except ReconcilerError as error:
            self._unseen.append(f"{_IN_GIT}: {error}")
            return origin, None
        graph = order.build([order.Node(m.ref, m.depends_on, m.defines) for m in manifests.manifests])
        mine = next((m for m in manifests.manifests if m.ref == self._ref), None)
        if mine is None:
            self._unseen.append(f"file and line: commit {origin.commit[:12]} does not declare it")
            return replace(origin, path="", line=0), graph
        return replace(origin, path=mine.origin.path, line=mine.origin.line), graph


async def _manifests(
    assembly: Assembled, project: ManifestProject, commit: str, limits: FileLimits, kinds: Kinds
) -> ManifestSet:
    """All that the project declared at a commit."""
    if not commit:
        raise OptionsInvalid(
            what="no run was completed yet", where=f"project {project.id}", mend="let it be synced once"
        )
    there = replace(project, ref=RefSpec("commit", commit))
    revision = (await assembly.repositories.look_for([there]))[project.id]
    if isinstance(revision, GitError):
        raise revision
    return await assembly.repositories.manifests(project, revision, limits, scope=kinds.scope)


def _entry_of(ref: ObjectRef, status: StoredStatus | None) -> Mapping[str, Any]:
    """What the status record says of the object; it names only those that are not well."""
    for entry in status.objects if status else ():
        named = ObjectRef(*(str(entry.get(part, "")) for part in ("group", "kind", "namespace", "name")))
        if named == ref:
            return entry
    return {}


def _dependencies(ref: ObjectRef, graph: order.Graph) -> tuple[tuple[ObjectRef, ...], tuple[ObjectRef, ...]]:
    needed_by = tuple(sorted(other for other, needs in graph.needs.items() if ref in needs))
    return tuple(sorted(graph.needs.get(ref, ()))), needed_by


def _controllers(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    references = metadata.get("ownerReferences") or ()
    return tuple(f"{its.get('kind')} {its.get('name')}" for its in references if isinstance(its, dict))


def _by_field(metadata: Mapping[str, Any]) -> tuple[FieldOwners, ...]:
    """Every owned field once, with all of its owners."""
    found: dict[str, list[Manager]] = {}
    for manager, fields in owners(metadata):
        for path, _ in owned(fields):
            found.setdefault(path, []).append(manager)
    return tuple(FieldOwners(path=path, owners=tuple(found[path])) for path in sorted(found))
