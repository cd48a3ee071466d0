"""
Turn the bytes of one file into the objects that it declares.

Pure, and ignorant of path and repository, so that the result can be cached by blob id
(cache.py). Checks what kubectl checks before it sends anything; what needs the other
files or the cluster (namespaces, duplicates, dependencies) is manifest.py's business.

Whatever might declare an object that we cannot name makes the result incomplete, so that
nobody takes the objects of this file for gone.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.manifests import canonical, mutation
from reconciler.manifests.errors import DecodeError, ManifestInvalid
from reconciler.manifests.identity import split_api_version

if TYPE_CHECKING:
    from reconciler.manifests.document import Document

RULES = 6  # raise it when the same bytes decode to something else than before: old cache entries die

DEPENDS_ON = "config.kubernetes.io/depends-on"
INVENTORY_ID = "cli-utils.sigs.k8s.io/inventory-id"
CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")
RBAC = "rbac.authorization.k8s.io"
_SERVER_FIELDS = ("uid", "resourceVersion", "managedFields", "deletionTimestamp")
_LONGEST_NAME = 253  # a DNS subdomain; no kind allows more


@dataclass(frozen=True, slots=True)
class CustomKind:
    """What a CustomResourceDefinition defines; `versions` are the served ones."""

    group: str
    kind: str
    namespaced: bool
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoundRole:
    """What a RoleBinding or ClusterRoleBinding hands out: kind and name of its roleRef."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that a problem is about, as written: the namespace may still be defaulted."""

    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a file, without its body; `bodies(data)[index]` has that."""

    index: int
    line: int  # 1-based, where the object starts
    api_version: str
    kind: str
    namespace: str  # as written, "" if not at all
    name: str
    digest: str  # hex SHA-256 of the canonical JSON of the body
    depends_on: str | None  # the annotation as written
    defines: CustomKind | None
    inventory_id: str | None  # label of a cli-utils inventory object, which is not applied
    binds: BoundRole | None = None
    substitutions: tuple[mutation.Written, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something in a file is no entry. Without a subject it may hide an object that we cannot name."""

    line: int
    what: str
    mend: str
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """All of a file. Not `complete`: part of it may declare objects that are in neither tuple."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class _Declared:
    line: int
    body: dict[str, Any]
    substitutions: tuple[mutation.Written, ...]


def decode(data: bytes) -> Decoded:
    """Everything that a file declares and everything wrong with it; never raises for any bytes."""
    return decode_with_texts(data)[0]


def decode_with_texts(data: bytes) -> tuple[Decoded, tuple[bytes, ...]]:
    """As `decode`, with the canonical JSON of each entry's body, so that a first apply parses once."""
    entries: list[Entry] = []
    texts: list[bytes] = []
    problems: list[Problem] = []
    for found in _declared(data):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            text = canonical.dump(found.body)
            entries.append(_entry(len(entries), found, canonical.digest_of(text)))
            texts.append(text)
    complete = all(problem.subject is not None for problem in problems)
    return Decoded(tuple(entries), tuple(problems), complete), tuple(texts)


def _declared(data: bytes) -> Iterator[_Declared | Problem]:
    # Imported late: whoever finds everything in the cache never loads a YAML parser.
    from reconciler.manifests.yamlload import read_documents  # noqa: PLC0415

    for found in read_documents(data):
        if isinstance(found, DecodeError):
            yield Problem(found.line, found.what, found.mend)
        else:
            yield from _in_document(found)


def _in_document(document: "Document") -> Iterator[_Declared | Problem]:
    body = document.body
    if isinstance(body, dict) and _is_list(body):
        yield from _in_list(document)
    else:
        yield _checked(document.line, body)


def _is_list(body: dict[str, Any]) -> bool:
    """As kubectl, but it takes `items` for a list in any kind, and would drop such an object silently."""
    kind = body.get("kind")
    return kind == "List" or (isinstance(kind, str) and kind.endswith("List") and "items" in body)


def _in_list(document: "Document") -> Iterator[_Declared | Problem]:
    body, lines = document.body, document.item_lines
    if "items" not in body:
        yield Problem(document.line, "a List without items", "add items, or remove it")
        return
    items = body["items"]
    if not isinstance(items, list | None):
        yield Problem(document.line, f"items of a {body['kind']} is {_type(items)}", "make it a list")
        return
    for number, item in enumerate(items or ()):
        line = lines[number] if number < len(lines) else document.line
        if isinstance(item, dict) and _is_list(item):
            yield Problem(line, "a List inside a List", "put its items into the outer one")
        else:
            yield _checked(line, _typed_by_list(body, item))


def _typed_by_list(body: dict[str, Any], item: Any) -> Any:
    """A member of a typed list may leave its type to the list: the items of a ProbeList are Probes."""
    kind = body["kind"].removesuffix("List")
    if isinstance(item, dict) and kind and not item.get("kind") and not item.get("apiVersion"):
        return {**item, "kind": kind, "apiVersion": body.get("apiVersion")}
    return item


def _checked(line: int, body: Any) -> _Declared | Problem:
    """The object itself, or the first thing wrong with it."""
    if not isinstance(body, dict):
        return Problem(line, f"a manifest must be a mapping, this is {_type(body)}", "")
    try:
        subject = _subject(body)
    except ManifestInvalid as error:
        return Problem(line, error.what, error.mend)
    for field in ("labels", "annotations"):
        if wrong := _wrong_texts(field, body["metadata"].get(field)):
            return Problem(line, wrong, "quote the value: it has to be text", subject)
    if served := [field for field in _SERVER_FIELDS if body["metadata"].get(field)]:
        # With uid or resourceVersion the server refuses any apply but a lucky first one; what has a
        # deletionTimestamp is created dying.
        return Problem(line, f"metadata.{served[0]} is set by the API server", "remove it", subject)
    try:
        return _Declared(line, _without_filled_in(body), _substitutions(body))
    except ManifestInvalid as error:
        # Applied as it stands, its placeholders would reach the cluster.
        return Problem(line, error.what, error.mend, subject)


def _without_filled_in(body: dict[str, Any]) -> dict[str, Any]:
    """
    Without the rules of an aggregated ClusterRole.

    The control plane fills them in whatever git says, mostly `rules: []`; applied, they would take
    all rights away until it has done so again, in every run.
    """
    aggregated = (split_api_version(body["apiVersion"])[0], body["kind"]) == (RBAC, "ClusterRole")
    if not aggregated or body.get("aggregationRule") is None or "rules" not in body:
        return body
    return {key: value for key, value in body.items() if key != "rules"}


def _substitutions(body: dict[str, Any]) -> tuple[mutation.Written, ...]:
    annotations = body["metadata"].get("annotations") or {}
    if mutation.MUTATION not in annotations:
        return ()
    return mutation.parse(annotations[mutation.MUTATION] or "")


def _subject(body: dict[str, Any]) -> Subject:
    """Who the object is. Raises ManifestInvalid if that cannot be told."""
    kind = body.get("kind")
    if not isinstance(kind, str) or not kind:
        raise ManifestInvalid(
            "Object 'Kind' is missing" if not kind else f"kind is {_type(kind)}", "add kind"
        )
    api_version = body.get("apiVersion")
    if not isinstance(api_version, str) or not api_version:
        raise ManifestInvalid(f"{kind} has no apiVersion", "add apiVersion, such as v1 or apps/v1")
    if api_version.count("/") > 1 or not all(split_api_version(api_version)[api_version.count("/") == 0 :]):
        raise ManifestInvalid(f"{kind} has an unusable apiVersion", "write version or group/version")
    metadata = body.get("metadata")
    if not isinstance(metadata, dict | None):
        raise ManifestInvalid(f"metadata of a {kind} is {_type(metadata)}", "make it a mapping with a name")
    name = _name(kind, metadata or {})
    namespace = (metadata or {}).get("namespace")
    if not isinstance(namespace, str | None):
        raise ManifestInvalid(f"metadata.namespace of {kind} {name} is {_type(namespace)}", "quote it")
    _check_segment("metadata.namespace", namespace or "")
    return Subject(api_version, kind, namespace or "", name)


def _name(kind: str, metadata: dict[str, Any]) -> str:
    name = metadata.get("name")
    if name is None or name == "":
        if metadata.get("generateName"):
            raise ManifestInvalid(
                f"{kind} has generateName: each apply would create another object", "give it a metadata.name"
            )
        if kind.endswith("List"):  # with items it would be one, see `_is_list`
            raise ManifestInvalid(
                f"{kind} has no items, and no metadata.name either",
                "a list needs items, an object its name; remove it if it is empty",
            )
        raise ManifestInvalid(f"{kind} has no metadata.name", "add it")
    if not isinstance(name, str):
        raise ManifestInvalid(f"metadata.name of a {kind} is {_type(name)}", "quote it: it has to be text")
    _check_segment("metadata.name", name)
    return name


def _check_segment(field: str, text: str) -> None:
    """What the API server demands of every part of a path; no kind allows more."""
    if text in (".", "..") or any(c in "/%" or unicodedata.category(c) == "Cc" for c in text):
        raise ManifestInvalid(
            f"{field} cannot be a name: it is . or .. or has a /, % or control character", "rename it"
        )
    if len(text) > _LONGEST_NAME:
        raise ManifestInvalid(f"{field} is longer than {_LONGEST_NAME} characters", "shorten it")


def _wrong_texts(field: str, texts: Any) -> str | None:
    """
    What is wrong with labels or annotations, if anything.

    A null value passes and is sent as it is, as kubectl does.
    """
    if not isinstance(texts, dict | None):
        return f"metadata.{field} is {_type(texts)}, not a mapping"
    for key, value in (texts or {}).items():
        if not isinstance(value, str | None):
            return f'metadata.{field}["{key}"] is {_type(value)}'
    return None


def _entry(index: int, found: _Declared, digest: str) -> Entry:
    body, metadata = found.body, found.body["metadata"]
    annotations = metadata.get("annotations") or {}
    depends_on = annotations.get(DEPENDS_ON, "") or "" if DEPENDS_ON in annotations else None
    return Entry(
        index=index,
        line=found.line,
        api_version=body["apiVersion"],
        kind=body["kind"],
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        digest=digest,
        depends_on=depends_on,
        defines=_custom_kind(body),
        inventory_id=(metadata.get("labels") or {}).get(INVENTORY_ID) or None,
        binds=_bound_role(body),
        substitutions=found.substitutions,
    )


def _bound_role(body: dict[str, Any]) -> BoundRole | None:
    """The role of a binding; None for other kinds and for one the server will refuse."""
    if split_api_version(body["apiVersion"])[0] != RBAC or not body["kind"].endswith("RoleBinding"):
        return None
    role = body.get("roleRef")
    if not isinstance(role, dict):
        return None
    kind, name = role.get("kind"), role.get("name")
    return BoundRole(kind, name) if isinstance(kind, str) and isinstance(name, str) else None


def _custom_kind(body: dict[str, Any]) -> CustomKind | None:
    """What a CustomResourceDefinition defines; None for other kinds and for one the server will refuse."""
    if (split_api_version(body["apiVersion"])[0], body["kind"]) != CRD:
        return None
    spec = body.get("spec")
    if not isinstance(spec, dict) or not isinstance(names := spec.get("names"), dict):
        return None
    group, kind, versions = spec.get("group"), names.get("kind"), spec.get("versions")
    if not isinstance(group, str) or not isinstance(kind, str) or not isinstance(versions, list):
        return None
    served = (v.get("name") for v in versions if isinstance(v, dict) and v.get("served") is not False)
    return CustomKind(
        group, kind, spec.get("scope") != "Cluster", tuple(name for name in served if isinstance(name, str))
    )


def _type(value: Any) -> str:
    """A word for a message: never the value, which may be a secret's."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names[type(value)]
