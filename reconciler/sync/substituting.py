"""
Read the objects that others take values from, and put the values in.

Edge: one GET for each source of each object; what is put where is manifests/mutation.py's business.
Whole objects are read and dropped again: a source may be a Secret.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, NotFound
from reconciler.manifests import canonical
from reconciler.manifests.errors import SubstitutionFailed
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import Manifest
from reconciler.manifests.mutation import Substitution, substitute
from reconciler.sync.apply import Kinds
from reconciler.sync.source import Source


class Substituting:
    """One run's bodies, with the values that they take from other objects."""

    def __init__(self, cluster: Cluster, kinds: Kinds, source: Source) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._source = source

    async def body(self, manifest: Manifest) -> Mapping[str, Any]:
        """
        The object as it is to be applied, without our marks.

        Raises SubstitutionFailed, or ClusterError where a source cannot be read.
        """
        body = await self._source.body(manifest)
        if not manifest.substitutions:
            return body
        sources = {one.source: one for one in manifest.substitutions}
        found = {ref: await self._read(one) for ref, one in sources.items()}
        return substitute(body, manifest.substitutions, found)

    async def digest(self, manifest: Manifest) -> str:
        """Digest of the object with the values of this moment; "" where they are not to be had."""
        try:
            return digest_of(manifest, await self.body(manifest))
        except (SubstitutionFailed, ClusterError):
            return ""  # it is not as git wants it: the apply meets this again, and reports it

    async def _read(self, one: Substitution) -> Mapping[str, Any]:
        ref = one.source
        if one.version:
            resource = self._kinds.discovery.find(ref.group, one.version, ref.kind)
        else:
            resource = self._kinds.discovery.preferred(ref.group, ref.kind)
        if resource is None:
            raise SubstitutionFailed(
                what=f"failed to get source object ({ref}): its kind is not served",
                mend="correct sourceRef, or install its definition",
            )
        try:
            return await self._cluster.get(resource, ref.namespace, ref.name)
        except NotFound:
            raise SubstitutionFailed(
                what=f"failed to get source object ({ref}): object not found",
                mend="correct sourceRef, or wait until the object is there",
            ) from None


def digest_of(manifest: Manifest, body: Mapping[str, Any]) -> str:
    """Digest of what is to be applied."""
    return canonical.digest_of(canonical.dump(body)) if manifest.substitutions else manifest.digest


def tainted(manifests: Iterable[Manifest]) -> frozenset[ObjectRef]:
    """Objects that values of a Secret are put into, directly or through others."""
    sources = {m.ref: {its.source for its in m.substitutions} for m in manifests if m.substitutions}
    found: set[ObjectRef] = set()
    while more := {
        ref
        for ref, its in sources.items()
        if ref not in found and any((s.group, s.kind) == ("", "Secret") or s in found for s in its)
    }:
        found |= more
    return frozenset(found)
