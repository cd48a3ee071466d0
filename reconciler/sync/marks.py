"""
What we write on objects, and how we know our own again.

Pure. A label alone never proves ownership (Services hand theirs to EndpointSlices), so
`owner_of` looks at the annotations, and a delete needs the inventory as well.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from reconciler.manifests import canonical
from reconciler.manifests.identity import ObjectRef

INSTANCE_LABEL: Final = "reconciler.dev/instance"
PROJECT: Final = "reconciler.dev/project"
APPLIED: Final = "reconciler.dev/applied"
OWNING_INVENTORY: Final = "config.k8s.io/owning-inventory"
IGNORE: Final = "reconciler.dev/ignore"
"""In git: JSON pointers of fields whose live value stays when they leave git."""
DEPENDS_ON: Final = "config.kubernetes.io/depends-on"
KEEP: Final = MappingProxyType(
    {"cli-utils.sigs.k8s.io/on-remove": "keep", "client.lifecycle.config.k8s.io/deletion": "detach"}
)
"""Annotations of a live object that keep it in the cluster when it leaves git, with the value that counts."""

RECORDS_LABEL: Final = "reconciler.dev/records"
"""On our own records, with the instance as value; never `INSTANCE_LABEL`, so that no LIST mixes them."""
PART_LABEL: Final = "reconciler.dev/records-part"
APPROVED: Final = "reconciler.dev/approved-plan"
OWNER: Final = "reconciler.dev/owner"
"""On our own records: what their objects' owner annotation says, where that is not the head's name."""
ASKED: Final = "reconciler.dev/requested-at"
"""On a head, or on the Lease: the requests of persons for a run (asked.py)."""
HANDLED: Final = "reconciler.dev/handled"
"""On a status record: the requests that it answers. On the Lease: those that were taken on, and for whom."""
ANSWER: Final = "reconciler.dev/answer"
CANNOT_ANSWER: Final = "reconciler.dev/cannot-answer"
"""On the Lease: why its holder, a service, answers no request; "" where it does."""
TURN_FOR: Final = "reconciler.dev/turn-for"
"""On the Lease: who has asked the holder to let it have a turn."""
ROLE: Final = "reconciler.dev/role"
"""On the Lease: what its holder is."""

IMPORTED_BY: Final = "reconciler.dev/imported-by"
"""On an inventory of the old agent: the `instance/project` that took it over."""

PAUSED: Final = "reconciler.dev/paused"
"""
On the records namespace: nothing is written anywhere while it is there and not `false`. On the
Lease: why its holder writes nothing, where its configuration says so.
"""

KEY_SECRET: Final = "reconciler-key"  # noqa: S105 - a name
RECORDS_MANAGER: Final = "reconciler"

MANAGERS: Final = "reconciler:"
"""What the field managers of all projects begin with, of this and of other instances."""
_MANAGER_LIMIT = 128  # bytes; the API server refuses longer field manager names


_RECORD = re.compile(rf"{KEY_SECRET}|reconciler-[0-9a-f]{{12}}(-[0-9]+|-status)?")


def is_record(ref: ObjectRef, *, namespace: str) -> bool:
    """Whether a reference is one of the service's own records, which lie in `namespace`."""
    kept = not ref.group and ref.kind in ("ConfigMap", "Secret") and ref.namespace == namespace
    return kept and _RECORD.fullmatch(ref.name) is not None


def field_manager(project: str) -> str:
    """`reconciler:<project>`; beyond 128 bytes cut, with 12 hex of the hash of the whole."""
    name = f"{MANAGERS}{project}"
    if len(name.encode()) <= _MANAGER_LIMIT:
        return name
    tail = "-" + hashlib.sha256(name.encode()).hexdigest()[:12]
    return name.encode()[: _MANAGER_LIMIT - len(tail)].decode(errors="ignore") + tail


def inventory_id(instance: str, project: str) -> str:
    """Name of a project's head ConfigMap, and what its objects' owner annotation says by default."""
    return "reconciler-" + hashlib.sha256(f"{instance}/{project}".encode()).hexdigest()[:12]


def is_inventory_id(owner: str) -> bool:
    """Whether an owner mark is one that `inventory_id` makes, of whichever instance and project."""
    return re.fullmatch(r"reconciler-[0-9a-f]{12}", owner) is not None


def lease_name(instance: str) -> str:
    """Name of the Lease that lets one process at a time write for an instance."""
    return "reconciler-" + hashlib.sha256(instance.encode()).hexdigest()[:12]


def applied_mark(key: bytes, ref: ObjectRef, api_version: str, digest: str) -> str:
    """
    Keyed digest of what was rendered.

    `digest` (of the body as git has it) is hashed again with the key, so that a Secret's
    content cannot be guessed from the annotation; the reference carries the namespace that
    was filled in.
    """
    text = "\n".join(("1", api_version, ref.group, ref.kind, ref.namespace, ref.name, digest))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def render(
    body: Mapping[str, Any], ref: ObjectRef, *, instance: str, project: str, inventory: str, applied: str
) -> bytes:
    """The JSON that is sent: the manifest with its namespace and our marks; `body` is left as it is."""
    metadata = dict(body["metadata"])
    if ref.namespace:
        metadata["namespace"] = ref.namespace
    metadata["labels"] = {**(metadata.get("labels") or {}), INSTANCE_LABEL: instance}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        PROJECT: project,
        OWNING_INVENTORY: inventory,
        APPLIED: applied,
    }
    return canonical.dump({**body, "metadata": metadata})


def owner_of(metadata: Mapping[str, Any]) -> str | None:
    """The inventory id that an object says it belongs to; None where it says nothing."""
    owner = (metadata.get("annotations") or {}).get(OWNING_INVENTORY)
    return str(owner) if owner else None


def keep_of(metadata: Mapping[str, Any]) -> str:
    """The annotation that says that the object stays, as `key: value`; "" where there is none."""
    annotations = metadata.get("annotations") or {}
    return next((f"{key}: {value}" for key, value in KEEP.items() if annotations.get(key) == value), "")


def unmark(
    metadata: Mapping[str, Any], *, instance: str, project: str, inventory: str
) -> list[dict[str, str]]:
    """
    The JSON patch that takes our marks off an object, and nothing of another instance or project.

    Empty where there are none. It replaces the resourceVersion, so that a lost race is a Conflict.
    """
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    paths = []
    if labels.get(INSTANCE_LABEL) == instance:
        paths.append(("labels", INSTANCE_LABEL))
    if annotations.get(OWNING_INVENTORY) == inventory:
        paths.append(("annotations", OWNING_INVENTORY))
    if annotations.get(PROJECT) == project:
        paths += [("annotations", key) for key in (PROJECT, APPLIED) if key in annotations]
    if not paths:
        return []
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    removals = [{"op": "remove", "path": f"/metadata/{part}/{_pointer(key)}"} for part, key in paths]
    return [version, *removals]


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
