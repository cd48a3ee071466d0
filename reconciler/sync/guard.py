"""
Whether a prune may go ahead, or is held until a person approves exactly it.

Pure. Sources: the issue record of every GitOps tool has a prune that should not have
happened (an emptied directory, a changed path, a renamed project); all of them were far
larger than an ordinary commit, or took a container of data with them.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from reconciler.config.models import PruneLimit
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.plan import Candidate

GUARDED: Final = frozenset(
    {
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
    }
)
"""Kinds whose delete takes other objects or data with it: always held."""


def plan_hash(project: str, inventory: str, candidates: Iterable[Candidate]) -> str:
    """
    What a person approves: exactly these objects (references with uids) of this inventory.

    No commit is in it, so that an unrelated commit does not void an approval.
    """
    lines = sorted(
        f"{c.ref.group}/{c.ref.kind}/{c.ref.namespace}/{c.ref.name} {c.live.uid}"
        + (" kept" if c.live.keep else "")
        for c in candidates
    )
    return hashlib.sha256("\n".join((project, inventory, *lines)).encode()).hexdigest()


def why_held(
    candidates: Sequence[Candidate],
    *,
    declared: int,
    recorded: int,
    limit: PruneLimit,
    guarded_kinds: Collection[str] = (),
) -> str | None:
    """
    The reason to hold what left git, None to go ahead.

    `declared` objects are in git, `recorded` in the inventory; `guarded_kinds` are the
    project's own, as `Kind` or `Kind.group`. What an annotation keeps is no prune, but while
    git declares nothing it waits as well: if that was a mistake, our marks are still needed.
    """
    if not candidates:
        return None
    pruned = [candidate for candidate in candidates if not candidate.live.keep]
    count = f"{len(pruned)} of {recorded} objects"
    if not declared:
        kept = len(candidates) - len(pruned)
        also = f" and {kept}, which an annotation keeps, let go" if kept else ""
        return f"git declares nothing any more; {count} would be pruned{also}"
    guarded = [c.ref for c in pruned if is_guarded(c.ref, guarded_kinds)]
    if guarded:
        more = f" and {len(guarded) - 1} more of a guarded kind" if len(guarded) > 1 else ""
        return f"{guarded[0]}{more} would be pruned"
    if limit.exceeded(pruning=len(pruned), of=recorded):
        return f"{count} would be pruned, prune_limit is {limit}"
    return None


def is_guarded(ref: ObjectRef, guarded_kinds: Collection[str]) -> bool:
    """Whether the delete of this kind always wants an approval."""
    names = {ref.kind, f"{ref.kind}.{ref.group}"}
    return (ref.group, ref.kind) in GUARDED or not names.isdisjoint(guarded_kinds)
