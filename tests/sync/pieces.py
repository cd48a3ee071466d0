"""Small values for the tables of the pure modules: one line makes a reference, a record, a manifest."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.cluster.takeover import Heir
from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.manifests.manifest import Manifest, Origin
from reconciler.sync.departing import Around, depart
from reconciler.sync.inventory import Record
from reconciler.sync.others import NOBODY, OtherProjects
from reconciler.sync.plan import Live, Plan, Wanted, plan

INVENTORY = "reconciler-0123456789ab"
MARK = "mark-of-d1"
HEIR = Heir("reconciler:shop", "reconciler:")


def ref(name: str, *, kind: str = "ConfigMap", group: str = "", namespace: str = "shop") -> ObjectRef:
    return ObjectRef(group, kind, namespace, name)


def record(name: str, *, uid: str = "u1", entry: str = "e1", time: str = "t1", **where: str) -> Record:
    return Record(ref(name, **where), "v1", uid=uid, entry=entry, time=time)


def manifest(of: ObjectRef, *, api_version: str = "v1", digest: str = "d1") -> Manifest:
    assert split_api_version(api_version)[0] == of.group
    return Manifest(of, api_version, digest, Origin("all.yaml", 1, "blob", 0), (), None)


def version_of(one: ObjectRef) -> str:
    return f"{one.group}/v1" if one.group else "v1"


def whole_plan(
    wanted: Iterable[ObjectRef] = (),
    *,
    claimed: Iterable[ObjectRef] = (),
    records: Iterable[Record] = (),
    live: Mapping[ObjectRef, Live] = MappingProxyType({}),
    inventory: str = INVENTORY,
    policy: Any = "must_match",
    mark: str = MARK,
    others: OtherProjects = NOBODY,
    first: Mapping[ObjectRef, str] = MappingProxyType({}),
    now: float = 0.0,
    grace: float = 0.0,
) -> Plan:
    """
    What a run would do: what git declares, and what left it.

    `claimed` cannot be applied; `first` is what other projects of this process declare before us.
    """
    declared: Collection[ObjectRef] = tuple(wanted)
    recorded = {one.ref: one for one in records}
    applies = plan(
        [Wanted(manifest=manifest(one, api_version=version_of(one)), mark=mark) for one in declared],
        records=recorded,
        live=live,
        inventory=inventory,
        policy=policy,
        records_namespace="own",
        heir=HEIR,
        claimed=first,
        others=others,
    )
    return depart(
        applies,
        declared={*declared, *claimed},
        records=recorded,
        live=live,
        inventory=inventory,
        records_namespace="own",
        around=Around(others=others, now=now, grace=grace),
    )
