"""
Whether a project that has no inventory yet takes over one that the old agent left, and which.

Pure. The old agent's inventory is a ConfigMap whose keys are references; its label holds an
id out of numbers that git does not know, so it is found by what it lists. Exactly one that
fits is taken; whatever leaves a doubt holds the project, and `inventory_id` decides. A key
that cannot be read is named, never guessed. oldagent.py reads and marks, importer.py joins.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.manifests.decode import INVENTORY_ID
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import InventoryObject
from reconciler.sync import marks

STILL_RUNNING: Final = 60.0
"""s since the last renewal of its Lease for which the old agent counts as running; it renews every 2 s."""
_SHOWN = 3  # names in one sentence; the rest is counted

_RBAC: Final = "rbac.authorization.k8s.io"
_RBAC_KINDS: Final = frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})
_NAMESPACE = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?)?")
_NAME = re.compile(r"(?!\.\.?$)[-.:a-zA-Z0-9]+")  # "." and ".." would be another path
_GROUP = re.compile(r"([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_NUMBERED_ID = re.compile(r"([0-9]+)-[0-9]+")
_LEASE = re.compile(r"agent-[0-9]+-lock")


# -- what the old agent left -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OldInventory:
    """One inventory of the old agent, as it lies in the cluster."""

    namespace: str
    name: str
    id: str
    uid: str = ""
    resource_version: str = ""
    refs: frozenset[ObjectRef] = frozenset()
    malformed: tuple[str, ...] = ()
    """Keys that are no reference."""
    imported_by: str = ""
    """`instance/project` that took it over."""
    annotated: bool = False
    """Whether it has annotations at all."""

    def __str__(self) -> str:
        return f"{self.id} (ConfigMap {self.namespace}/{self.name})"


def parse_key(key: str) -> ObjectRef:
    """`<namespace>_<name>_<group>_<kind>`; ValueError for anything else (gitlab-agent.md 3.1)."""
    namespace, *rest = key.split("_", 1)
    name, group, kind = rest[0].rsplit("_", 2) if rest else ("", "", "")
    if group == _RBAC and kind in _RBAC_KINDS:
        name = name.replace("__", ":")
    parts = ((_NAMESPACE, namespace), (_NAME, name), (_GROUP, group), (_KIND, kind))
    if not all(pattern.fullmatch(text) for pattern, text in parts):
        raise ValueError("not <namespace>_<name>_<group>_<kind>")
    return ObjectRef(group, kind, namespace, name)


def read_inventory(
    config_map: Mapping[str, Any], *, namespaced: Callable[[ObjectRef], bool | None]
) -> OldInventory:
    """What a labelled ConfigMap lists; `namespaced` says it of a kind, None where nobody knows."""
    metadata = config_map["metadata"]
    annotations = metadata.get("annotations") or {}
    refs: set[ObjectRef] = set()
    malformed: list[str] = []
    for key in {**(config_map.get("data") or {}), **(config_map.get("binaryData") or {})}:
        try:
            ref = parse_key(key)
        except ValueError:
            malformed.append(key)
            continue
        if namespaced(ref) in (None, bool(ref.namespace)):
            refs.add(ref)
        else:
            malformed.append(key)
    return OldInventory(
        namespace=metadata["namespace"],
        name=metadata["name"],
        id=(metadata.get("labels") or {}).get(INVENTORY_ID) or "",
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        refs=frozenset(refs),
        malformed=tuple(sorted(malformed)),
        imported_by=annotations.get(marks.IMPORTED_BY, ""),
        annotated=bool(annotations),
    )


# -- which one -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The project that has no inventory yet, and what is known around it."""

    by: str
    """`instance/project`, as the mark on what was imported says it."""
    namespace: str
    declared: AbstractSet[ObjectRef] = frozenset()
    elsewhere: Mapping[ObjectRef, str] = field(default_factory=dict)
    """What other projects declare, by project."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Other projects of which not all could be read, and what."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Owner marks of the other projects of this instance."""


@dataclass(frozen=True, slots=True)
class Start:
    """There is nothing to import; `owner` is what an inventory object in git asks for ("": our own)."""

    owner: str = ""


@dataclass(frozen=True, slots=True)
class Take:
    """This one is to be imported."""

    inventory: OldInventory


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing may be applied before a person has mended this."""

    reason: str


Decision = Start | Take | Hold


def named_id(key: str | None, objects: Sequence[InventoryObject]) -> str | Hold | None:
    """
    The id that somebody has decided on, None where it has to be looked for.

    `key` is `inventory_id` ("" takes over nothing), `objects` are the inventory objects in git.
    """
    if len(objects) > 1:
        places = ", ".join(f"{found.origin}" for found in objects[:_SHOWN])
        return Hold(
            f"expecting zero or one inventory object in git, found {len(objects)}: {places}; keep one"
        )
    if not objects or key == "":
        return key
    found = objects[0]
    if key is not None and key != found.inventory_id:
        return Hold(
            f"inventory_id is {key}, but the inventory object at {found.origin} says {found.inventory_id}; "
            "make them agree, or remove one of them"
        )
    return found.inventory_id


def choose_named(named: str, found: Sequence[OldInventory], asking: Asking, *, must_exist: bool) -> Decision:
    """The inventory that somebody named: there once, or not at all unless it `must_exist`."""
    if marks.is_inventory_id(named):
        # Whoever may write a ConfigMap must not get hold of what another project has made.
        return Hold(f"{named} is the owner mark of a project of reconciler, which is never taken over")
    if other := asking.owners.get(named):
        return Hold(f"inventory {named} is project {other}'s already; no two projects may have the same")
    matches = [its for its in found if its.id == named]
    if len(matches) == 1:
        return _take(matches[0], asking)
    if matches:
        return _twice(named, matches)
    if must_exist:
        return Hold(
            f"there is no inventory {named} in namespace {asking.namespace}; correct inventory_id or "
            'default_namespace, or set inventory_id: "" to take over nothing'
        )
    return Start(named)


def choose(found: Sequence[OldInventory], asking: Asking) -> Decision:
    """The one inventory that lists objects of this project and of no other."""
    if mine := [its for its in found if its.imported_by == asking.by]:
        # Our records were lost.
        return choose_named(mine[0].id, found, asking, must_exist=True)
    declared, elsewhere = asking.declared, asking.elsewhere.keys()
    listing = [its for its in found if its.refs or its.malformed]
    # What lists objects of other projects and none of ours is plainly theirs.
    open_ = [
        its for its in listing if not its.imported_by and (its.refs & declared or not its.refs & elsewhere)
    ]
    if not open_:
        taken = [its for its in listing if its.imported_by and its.refs & declared]
        return _take(taken[0], asking) if taken else Start()
    if asking.unread:
        project, what = next(iter(asking.unread.items()))
        return Hold(
            f"{_candidates(open_)} may be this project's or that of {project}, which cannot be read whole: "
            f"{what}; mend that, or {_KEY}"
        )
    if doubtful := [its for its in open_ if its.malformed]:
        return _malformed(doubtful[0])
    fitting = [its for its in open_ if its.refs & declared and not its.refs & elsewhere]
    if len(fitting) == 1:
        return choose_named(fitting[0].id, found, asking, must_exist=True)
    if fitting:
        return Hold(f"{_candidates(fitting)} list objects of this project; {_KEY}")
    return Hold(f"{_candidates(open_)} may be this project's, but not by what git declares now; {_KEY}")


_KEY: Final = 'set inventory_id to the one that is, or to "" to take over none'


def _take(inventory: OldInventory, asking: Asking) -> Take | Hold:
    if inventory.imported_by not in ("", asking.by):
        return Hold(
            f"inventory {inventory} was taken over by {inventory.imported_by}; {_mend(inventory, asking)}"
        )
    return _malformed(inventory) if inventory.malformed else Take(inventory)


def _mend(inventory: OldInventory, asking: Asking) -> str:
    here, theirs = (by.partition("/") for by in (asking.by, inventory.imported_by))
    if here[0] == theirs[0]:
        return (
            f'set inventory_id: "" to take over none; where this project was {theirs[2]} before, '
            f"`reconciler delete-project {theirs[2]}` then hands its objects over"
        )
    return (
        "remove the project from one of the two installations, "
        f"or take the annotation {marks.IMPORTED_BY} off"
    )


def _malformed(inventory: OldInventory) -> Hold:
    keys = _few(inventory.malformed)
    return Hold(f"inventory {inventory} has keys that name no object: {keys}; correct or remove them there")


def _twice(named: str, found: Sequence[OldInventory]) -> Hold:
    names = _few([f"{its.namespace}/{its.name}" for its in found])
    return Hold(
        f"found {len(found)} inventory objects with inventory id {named}: {names}; "
        "take the label off those that are not the old agent's newest"
    )


def _candidates(found: Sequence[OldInventory]) -> str:
    return f"the old agent's {'inventory' if len(found) == 1 else 'inventories'} {_few([*map(str, found)])}"


def _few(names: Collection[str]) -> str:
    shown = ", ".join([*names][:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


# -- whether the old agent runs --------------------------------------------------------


def lease_of(inventory: str) -> str:
    """Name of the Lease that the agent of an inventory holds; "" where the id does not say whose it is."""
    found = _NUMBERED_ID.fullmatch(inventory)
    return f"agent-{found[1]}-lock" if found else ""


def still_running(leases: Iterable[Mapping[str, Any]], *, now: datetime) -> str:
    """
    The Lease of an old agent that runs, as `namespace/name`; "" where none does.

    `now` is the API server's time, which also stamps managedFields at each renewal: a node
    with a wrong clock changes nothing. `renewTime` counts only where that stamp is missing.
    """
    for lease in leases:
        metadata = lease["metadata"]
        if not _LEASE.fullmatch(metadata["name"]):
            continue
        renewed = _renewed(lease)
        if renewed is not None and (now - renewed).total_seconds() < STILL_RUNNING:
            return f"{metadata.get('namespace', '')}/{metadata['name']}"
    return ""


def _renewed(lease: Mapping[str, Any]) -> datetime | None:
    stamps = [entry.get("time") for entry in lease["metadata"].get("managedFields") or []]
    times = [found for stamp in stamps if (found := _moment(stamp)) is not None]
    return max(times) if times else _moment((lease.get("spec") or {}).get("renewTime"))


def _moment(stamp: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
