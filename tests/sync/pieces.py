"""Small values for the tables of the pure modules: one line makes a reference, a record, a manifest."""

from reconciler.manifests.identity import ObjectRef, split_api_version
from reconciler.manifests.manifest import Manifest, Origin
from reconciler.sync.inventory import Record

INVENTORY = "reconciler-0123456789ab"


def ref(name: str, *, kind: str = "ConfigMap", group: str = "", namespace: str = "shop") -> ObjectRef:
    return ObjectRef(group, kind, namespace, name)


def record(name: str, *, uid: str = "u1", entry: str = "e1", time: str = "t1", **where: str) -> Record:
    return Record(ref(name, **where), "v1", uid=uid, entry=entry, time=time)


def manifest(of: ObjectRef, *, api_version: str = "v1", digest: str = "d1") -> Manifest:
    assert split_api_version(api_version)[0] == of.group
    return Manifest(of, api_version, digest, Origin("all.yaml", 1, "blob", 0), (), None)
