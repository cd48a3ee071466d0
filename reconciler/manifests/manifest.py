"""
Put the files of one manifest project together: who each object is, and what is wrong.

Pure. Takes what decode.py made of each file, gives namespaces, checks scopes, finds
duplicates and parses references. order.py makes a graph of the result, sync/ a plan.
A problem never stops the other manifests; what it says nothing about stays claimed, so
that no object is pruned because its manifest is broken.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from reconciler.manifests.decode import (
    DEPENDS_ON,
    RBAC,
    BoundRole,
    CustomKind,
    Decoded,
    Entry,
    Problem,
    Subject,
)
from reconciler.manifests.errors import KindUnknown, ManifestInvalid
from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.manifests.mutation import MUTATION, Substitution, Written
from reconciler.manifests.order import parse_depends_on


class Scope(Enum):
    """Where objects of a kind live."""

    NAMESPACED = "namespaced"
    CLUSTER = "cluster"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a manifest was read: file, 1-based line, and the place to find its body again."""

    path: str
    line: int
    blob: str
    index: int  # into decode.bodies

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    One object that git declares, without its body.

    `depends_on` is what its annotation names, the role of a binding if it is in the set, and
    the sources of `substitutions`.
    """

    ref: ObjectRef
    api_version: str
    digest: str
    origin: Origin
    depends_on: tuple[ObjectRef, ...]
    defines: CustomKind | None
    substitutions: tuple[Substitution, ...] = ()


@dataclass(frozen=True, slots=True)
class InventoryObject:
    """A manifest that only names the inventory of a former engine; it is never applied."""

    ref: ObjectRef  # namespace as written
    inventory_id: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something wrong in a file; `ref` where the object is known, which must then not be pruned."""

    path: str
    line: int
    what: str
    mend: str
    ref: ObjectRef | None = None
    kind_unknown: bool = False
    """Nothing else is wrong with it than that the cluster does not serve its kind."""


@dataclass(frozen=True, slots=True)
class ManifestSet:
    """
    All that the files of a revision declare, in the order of the files.

    `unread` are files that may declare objects we do not know of. `claimed` are the refs
    that any file speaks for, applied or not: what is in it is never pruned. It holds both
    readings of an object whose scope is not known.
    """

    manifests: tuple[Manifest, ...]
    problems: tuple[FileProblem, ...]
    unread: tuple[str, ...]
    inventory_objects: tuple[InventoryObject, ...]
    claimed: frozenset[ObjectRef]


Lookup = Callable[[str, str, str], Scope]


def assemble(
    files: Iterable[tuple[str, str, Decoded]], *, default_namespace: str, scope: Lookup
) -> ManifestSet:
    """
    Join decoded files, each given as (path, blob id, decoded).

    An object of a namespaced kind without a namespace gets `default_namespace`. `scope`
    answers for (group, version, kind) what the cluster knows; a CustomResourceDefinition
    among the files that serves the version answers first.
    """
    files = list(files)
    assembly = _Assembly(default_namespace, _with_custom_kinds(files, scope))
    for path, blob, decoded in files:
        for problem in decoded.problems:
            assembly.add_problem(path, problem)
        for entry in decoded.entries:
            assembly.add(entry, Origin(path, entry.line, blob, entry.index))
    return assembly.result(tuple(path for path, _, decoded in files if not decoded.complete))


def _with_custom_kinds(files: list[tuple[str, str, Decoded]], scope: Lookup) -> Lookup:
    known: dict[tuple[str, str, str], Scope] = {}
    for _, _, decoded in files:
        for kind in (entry.defines for entry in decoded.entries if entry.defines):
            for version in kind.versions:
                known[kind.group, version, kind.kind] = Scope.NAMESPACED if kind.namespaced else Scope.CLUSTER

    def look_up(group: str, version: str, kind: str) -> Scope:
        if (group, version, kind) not in known:
            known[group, version, kind] = scope(group, version, kind)
        return known[group, version, kind]

    return look_up


class _Assembly:
    """Collects manifests and problems; duplicates and surplus inventory objects show at the end."""

    def __init__(self, default_namespace: str, scope: Lookup) -> None:
        self._default_namespace = default_namespace
        self._scope = scope
        self._manifests: list[Manifest] = []
        self._problems: list[FileProblem] = []
        self._inventories: list[InventoryObject] = []
        self._claimed: set[ObjectRef] = set()
        self._places: defaultdict[ObjectRef, list[Origin]] = defaultdict(list)
        self._roles: dict[ObjectRef, ObjectRef] = {}
        self._written: dict[ObjectRef, tuple[Written, ...]] = {}

    def add_problem(self, path: str, problem: Problem) -> None:
        ref = self._claim(problem.subject) if problem.subject else None
        self._problems.append(FileProblem(path, problem.line, problem.what, problem.mend, ref))

    def add(self, entry: Entry, origin: Origin) -> None:
        if entry.inventory_id is not None:
            group, _ = split_api_version(entry.api_version)
            ref = ObjectRef(group, entry.kind, entry.namespace, entry.name)
            self._claimed.add(ref)
            self._inventories.append(InventoryObject(ref, entry.inventory_id, origin))
            return
        ref = self._claim(Subject(entry.api_version, entry.kind, entry.namespace, entry.name))
        self._places[ref].append(origin)
        try:
            self._check_scope(entry)
            depends_on = _references(entry)
        except ManifestInvalid as error:
            unknown = isinstance(error, KindUnknown)
            self._report(origin, ref, error.what, error.mend, kind_unknown=unknown)
        else:
            if entry.substitutions:
                self._written[ref] = entry.substitutions
            if entry.binds:
                self._roles[ref] = _role_ref(ref, entry.binds)
            self._manifests.append(
                Manifest(ref, entry.api_version, entry.digest, origin, depends_on, entry.defines)
            )

    def result(self, unread: tuple[str, ...]) -> ManifestSet:
        twice = {ref for ref, places in self._places.items() if len(places) > 1}
        for ref in twice:
            for origin, others in _each_with_others(self._places[ref]):
                self._report(origin, ref, f"{ref} is also declared at {others}", "keep one of them")
        if len(self._inventories) > 1:
            for origin, others in _each_with_others([found.origin for found in self._inventories]):
                count = len(self._inventories)
                what = f"expecting zero or one inventory object, found {count}: also at {others}"
                self._report(origin, None, what, "keep one of them")
        single = [m for m in self._manifests if m.ref not in twice]
        return ManifestSet(
            manifests=tuple(self._with_sources(self._after_their_roles(single))),
            problems=tuple(self._problems),
            unread=unread,
            inventory_objects=tuple(self._inventories),
            claimed=frozenset(self._claimed),
        )

    def _after_their_roles(self, manifests: list[Manifest]) -> Iterator[Manifest]:
        # Unless we may do everything, the API server reads the role that a new binding names, to
        # see that it hands out no more than we hold: a role of the same set has to be there first.
        there = {manifest.ref for manifest in manifests}
        for manifest in manifests:
            role = self._roles.get(manifest.ref)
            if role in there and role is not None and role not in manifest.depends_on:
                yield replace(manifest, depends_on=(*manifest.depends_on, role))
            else:
                yield manifest

    def _with_sources(self, manifests: Iterable[Manifest]) -> Iterator[Manifest]:
        # An object needs those that it takes values from.
        for manifest in manifests:
            taken = tuple(
                self._substitution(manifest.ref, one) for one in self._written.get(manifest.ref, ())
            )
            if any(one.source == manifest.ref for one in taken):
                what = f"invalid self-reference ({manifest.ref}) in {MUTATION}"
                self._report(manifest.origin, manifest.ref, what, "name another object in sourceRef")
                continue
            sources = [one.source for one in taken if one.source not in manifest.depends_on]
            needs = (*manifest.depends_on, *dict.fromkeys(sources))
            yield replace(manifest, depends_on=needs, substitutions=taken) if taken else manifest

    def _substitution(self, target: ObjectRef, one: Written) -> Substitution:
        # Its source must be in the set, which tells whether the kind has namespaces.
        outside = ObjectRef(one.group, one.kind, "", one.name)
        inside = replace(outside, namespace=one.namespace or target.namespace)
        source = outside if outside in self._places and not one.namespace else inside
        return Substitution(source, one.version, one.source_path, one.target_path, one.token)

    def _claim(self, subject: Subject) -> ObjectRef:
        """The ref of an object, kept in `claimed` together with any other that may be meant."""
        group, version = split_api_version(subject.api_version)
        scope = self._scope(group, version, subject.kind)
        inside = ObjectRef(group, subject.kind, subject.namespace or self._default_namespace, subject.name)
        outside = ObjectRef(group, subject.kind, "", subject.name)
        if scope is Scope.NAMESPACED:
            self._claimed.add(inside)
            return inside
        self._claimed.update((inside, outside) if scope is Scope.UNKNOWN else (outside,))
        return outside if scope is Scope.CLUSTER else inside

    def _check_scope(self, entry: Entry) -> None:
        group, version = split_api_version(entry.api_version)
        scope = self._scope(group, version, entry.kind)
        if scope is Scope.UNKNOWN:
            what = f"unknown resource types: {entry.api_version}/{entry.kind}"
            raise KindUnknown(what, "install its CustomResourceDefinition, or correct apiVersion and kind")
        if scope is Scope.CLUSTER and entry.namespace:
            what = f'resource is cluster-scoped but has a non-empty namespace "{entry.namespace}"'
            raise ManifestInvalid(what, "remove metadata.namespace")

    def _report(
        self, origin: Origin, ref: ObjectRef | None, what: str, mend: str, *, kind_unknown: bool = False
    ) -> None:
        self._problems.append(FileProblem(origin.path, origin.line, what, mend, ref, kind_unknown))


def _role_ref(binding: ObjectRef, role: BoundRole) -> ObjectRef:
    return ObjectRef(RBAC, role.kind, binding.namespace if role.kind == "Role" else "", role.name)


def _references(entry: Entry) -> tuple[ObjectRef, ...]:
    """The parsed annotation. Raises ManifestInvalid."""
    if entry.depends_on is None:
        return ()
    try:
        return parse_depends_on(entry.depends_on)
    except ValueError as error:
        mend = "write group/Kind/name or group/namespaces/namespace/Kind/name, separated by commas"
        raise ManifestInvalid(f"{DEPENDS_ON}: {error}", mend) from None


def _each_with_others(places: list[Origin]) -> Iterator[tuple[Origin, str]]:
    """Each place with one of the others in words; all of them would be quadratic in their number."""
    for number, place in enumerate(places):
        other = places[0] if number else places[1]
        more = f" and {len(places) - 2} more" if len(places) > 2 else ""  # noqa: PLR2004 - itself and the named one
        yield place, f"{other}{more}"
