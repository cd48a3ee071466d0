"""
Whether an object that cannot be changed in place may be deleted and created anew, and the delete.

Only for an apply that was refused for immutable fields alone, only with the annotation
`reconciler.dev/replace` in git, and only for what a prune might delete as well: ours by
inventory, by owner mark and by uid. `why_not` decides, purely; what it cannot be sure of is
not deleted. `Replacing` looks, asks and deletes; apply.py waits until the object is gone and
creates it as it creates any other.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, Conflict, Immutable, NotFound
from reconciler.cluster.resource import Resource, is_secret
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.guard import is_guarded
from reconciler.sync.inventory import Record
from reconciler.sync.live import live_of
from reconciler.sync.plan import Live

REPLACE: Final = "reconciler.dev/replace"
ALLOWED: Final = "allowed"
_NAME: Final = 31  # characters of a trial's name that are the object's; with the rest it fits every kind
_TRIES: Final = 5  # a busy controller may write the status in between each time
_CRD: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")
# What apiextensions-apiserver (validation.go, 1.36) lets nobody change in a CustomResourceDefinition.
_FIXED_IN_CRD: Final = frozenset({"spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"})

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What a project's records say of an object, and whether they can be believed."""

    record: Record | None
    inventory: str
    """The owner mark of the project's objects."""
    damage: str = ""


def what_goes(ref: ObjectRef, declared: Body, live: Body, guarded_kinds: Collection[str]) -> str:
    """What is lost with the object, so that the annotation has to name its kind; "" if nothing."""
    specs = [its.get("spec") or {} for its in (declared, live)]
    match ref.group, ref.kind:
        case "", "PersistentVolumeClaim" | "PersistentVolume":
            return "its data"
        case "apps", "StatefulSet" if any(spec.get("volumeClaimTemplates") for spec in specs):
            return "its hold on its claims"
        case "", "Service" if any(spec.get("type") == "LoadBalancer" for spec in specs):
            return "its address"
        case "apiextensions.k8s.io", "CustomResourceDefinition":
            return "all objects of its kind"
    return "what guarded_kinds guards" if is_guarded(ref, guarded_kinds) else ""


def why_not(ref: ObjectRef, *, asked: str, goes: str, mark: str, live: Live, owned: Owned) -> str:
    """
    Why the object is not replaced, as a sentence with what to do; "" where it may be.

    `asked` is the annotation's value in git, `goes` as `what_goes` says, `mark` the applied mark of
    what was to be applied, `live` what was read just now.
    """
    if (ref.group, ref.kind) == ("", "Namespace"):
        return "a Namespace is never replaced: give it another name"
    wanted = ref.kind if goes else ALLOWED
    if asked != wanted:
        lost = f", {goes} with it" if goes else ""
        return f"to have it deleted{lost} and created anew, set the annotation {REPLACE}: {wanted}"
    record = owned.record
    if owned.damage:
        return f"not replaced: the inventory is not to be believed ({owned.damage})"
    if not live.belongs_to(owned.inventory) or record is None or record.uid not in ("", live.uid):
        return "not replaced: it is not ours by inventory and owner mark; delete it by hand if it may go"
    if live.keep:
        return f"not replaced: an annotation keeps it ({live.keep})"
    if live.applied == mark:
        # What was applied already was created as git has it: doing so again would end the same way.
        return "not replaced: git has not changed since it was applied, so that something else did"
    return ""


def misread(ref: ObjectRef, causes: Collection[tuple[str, str]]) -> str:
    """
    Why a refusal is not for fields that cannot be changed, though its words say so; "" if it may be.

    A definition takes all objects of its kind along, so that words are not enough.
    """
    if (ref.group, ref.kind) != _CRD:
        return ""
    others = sorted({field for field, _ in causes} - _FIXED_IN_CRD)
    if causes and not others:
        return ""
    return f"not replaced: correct {', '.join(others[:3]) or 'it'} in the manifest"


class Replacing:
    """
    Deletes what may be replaced; `unsettle` writes into the records that its uid is not known any more.

    `secret` are objects that hold a Secret's values, so that nothing of them may be repeated.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        instance: str,
        manager: str,
        owned: Callable[[ObjectRef], Owned],
        guarded_kinds: Collection[str],
        propagation: str,
        unsettle: Callable[[ObjectRef], Awaitable[None]],
        secret: Set[ObjectRef],
        dry_run: bool,
    ) -> None:
        self._cluster = cluster
        self._instance = instance
        self._manager = manager
        self._owned = owned
        self._guarded_kinds = guarded_kinds
        self._propagation = propagation
        self._unsettle = unsettle
        self._secret = secret
        self._dry_run = dry_run
        self._deleted: set[ObjectRef] = set()

    async def delete(
        self, resource: Resource, ref: ObjectRef, error: Immutable, *, declared: Body, body: bytes, mark: str
    ) -> str:
        """
        Delete the object that the refused `body` was for, and return its uid; "" in a dry-run.

        Raises the refusal, with what would make it pass, where that may not be; ClusterError where
        it is not known. One object is deleted once in a run.
        """
        if why := misread(ref, error.causes):
            raise _refused(error, why)
        asked = str(((declared.get("metadata") or {}).get("annotations") or {}).get(REPLACE, ""))
        owned = self._owned(ref)
        tried = False
        for _ in range(_TRIES):
            # Of a Secret nobody needs more than its metadata.
            found = await self._cluster.get(
                resource, ref.namespace, ref.name, metadata_only=is_secret(resource)
            )
            live = live_of(found["metadata"], instance=self._instance)
            goes = what_goes(ref, declared, found, self._guarded_kinds)
            why = why_not(ref, asked=asked, goes=goes, mark=mark, live=live, owned=owned)
            if not why and ref in self._deleted:
                why = "not replaced a second time: what is there now was made by another hand"
            if why:
                raise _refused(error, why)
            if live.terminating:
                return live.uid
            if not tried:
                await self._try(resource, ref, error, body)
                tried = True
            if self._dry_run:
                return ""
            await self._unsettle(ref)
            try:
                self._deleted.add(ref)
                await self._cluster.delete(
                    resource,
                    ref.namespace,
                    ref.name,
                    uid=live.uid,
                    resource_version=live.resource_version,
                    propagation=self._propagation,
                )
            except Conflict as conflict:
                self._deleted.discard(ref)
                last: ClusterError = conflict
            else:
                return live.uid
        raise last

    async def _try(self, resource: Resource, ref: ObjectRef, error: Immutable, body: bytes) -> None:
        """See that a new object of this content would be accepted; nothing is written."""
        trial = _renamed(ref, body)
        try:
            await self._cluster.apply(
                resource,
                ref.namespace,
                trial["metadata"]["name"],
                trial,
                field_manager=self._manager,
                dry_run=True,
                secret=ref in self._secret,
            )
        except ClusterError as refusal:
            why = f"not replaced: whether it would be accepted anew is not sure ({refusal.what})"
            raise _refused(error, why) from refusal


def _renamed(ref: ObjectRef, body: bytes) -> dict[str, Any]:
    """The same object under a name that nothing has."""
    trial: dict[str, Any] = orjson.loads(body)
    unused = secrets.token_hex(4)
    if (ref.group, ref.kind) == _CRD:
        # Its name is made of what it defines: the same kind in another group.
        spec = trial.get("spec") or {}
        spec["group"] = f"{unused}.{spec.get('group')}"
        trial["metadata"]["name"] = f"{(spec.get('names') or {}).get('plural')}.{spec['group']}"
    else:
        trial["metadata"]["name"] = f"{ref.name[:_NAME].rstrip('-.')}-{unused}"
    return trial


def _refused(error: Immutable, why: str) -> Immutable:
    return Immutable(what=error.what, where=error.where, mend=why, causes=error.causes)


async def is_gone(cluster: Cluster, resource: Resource, ref: ObjectRef, uid: str) -> tuple[bool, bool]:
    """Whether the object of this uid is gone, and whether another one has its name already."""
    try:
        found = await cluster.get(resource, ref.namespace, ref.name, metadata_only=True)
    except NotFound:
        return True, False
    other = found["metadata"]["uid"] != uid
    return other, other
