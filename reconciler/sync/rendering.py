"""
What one run sends of a manifest: the object with values from others, our marks on it, as JSON.

Knows whose objects they are; decides nothing. The mark is a keyed digest of what is sent, so that
an object whose values did not change is known to be as it should be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import Manifest
from reconciler.sync import marks
from reconciler.sync.plan import Step
from reconciler.sync.records import ProjectRecords
from reconciler.sync.substituting import Substituting, digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """Bodies and marks of one project; `key` is that of the applied marks."""

    key: bytes
    instance: str
    project: str
    records: ProjectRecords
    """Whose owner mark the objects get: an import in the same run may still change it."""
    values: Substituting
    _digests: dict[ObjectRef, str] = field(default_factory=dict)

    async def look_up_values(self, manifests: Iterable[Manifest]) -> None:
        """Find out what objects that take values from others would be now; once, before they are compared."""
        for manifest in manifests:
            if manifest.substitutions:
                self._digests[manifest.ref] = await self.values.digest(manifest)

    def mark(self, manifest: Manifest) -> str:
        """The applied mark that the object should have."""
        return self._mark(manifest, self._digests.get(manifest.ref, manifest.digest))

    async def declared(self, step: Step) -> Mapping[str, Any]:
        """The object as it is to be, without our marks. Raises SubstitutionFailed, or ClusterError."""
        return await self.values.body(step.wanted.manifest)

    def mark_of(self, step: Step, declared: Mapping[str, Any]) -> str:
        """The applied mark of just this body."""
        return self._mark(step.wanted.manifest, digest_of(step.wanted.manifest, declared))

    def render(self, step: Step, declared: Mapping[str, Any]) -> bytes:
        """The JSON that is sent."""
        return marks.render(
            declared,
            step.wanted.manifest.ref,
            instance=self.instance,
            project=self.project,
            inventory=self.records.owner,
            applied=self.mark_of(step, declared),
        )

    def _mark(self, manifest: Manifest, digest: str) -> str:
        return marks.applied_mark(self.key, manifest.ref, manifest.api_version, digest)
