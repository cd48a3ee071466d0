"""When a prune is held, and what exactly a person approves."""

import pytest

from reconciler.config.models import DEFAULT_PRUNE_LIMIT, PruneLimit
from reconciler.sync.guard import is_guarded, plan_hash, why_held
from reconciler.sync.plan import Candidate, Live
from tests.sync.pieces import INVENTORY, ref


def candidates(count: int, **where: str) -> list[Candidate]:
    return [Candidate(ref=ref(f"n{n}", **where), live=Live(uid=f"u{n}")) for n in range(count)]


def held(pruning: int, recorded: int, limit: PruneLimit) -> bool:
    return why_held(candidates(pruning), declared=1, recorded=recorded, limit=limit) is not None


@pytest.mark.parametrize(
    ("pruning", "recorded", "want"),
    [
        pytest.param(0, 0, False, id="nothing"),
        pytest.param(0, 100, False, id="nothing leaves"),
        pytest.param(1, 100, False, id="one of many"),
        pytest.param(10, 11, False, id="most, but only 10"),
        pytest.param(11, 22, False, id="more than 10, but exactly half"),
        pytest.param(11, 21, True, id="more than 10 and more than half"),
        pytest.param(5_000, 10_000, False, id="half of many"),
        pytest.param(5_001, 10_000, True, id="one more than half of many"),
        pytest.param(11, 11, True, id="all of them"),
    ],
)
def test_default_limit_is_more_than_half_and_more_than_ten(pruning, recorded, want):
    assert held(pruning, recorded, DEFAULT_PRUNE_LIMIT) is want


@pytest.mark.parametrize(
    ("limit", "pruning", "recorded", "want"),
    [
        pytest.param(PruneLimit(objects=3), 3, 3, False, id="number reached"),
        pytest.param(PruneLimit(objects=3), 4, 1_000, True, id="number exceeded, whatever the share"),
        pytest.param(PruneLimit(objects=0), 1, 1_000, True, id="0: nothing without approval"),
        pytest.param(PruneLimit(percent=10), 10, 100, False, id="percentage reached"),
        pytest.param(PruneLimit(percent=10), 11, 100, True, id="percentage exceeded"),
        pytest.param(PruneLimit(percent=10), 1, 6, True, id="percentage exceeded by one of few"),
        pytest.param(PruneLimit(percent=0), 1, 1_000, True, id="0%: nothing without approval"),
        pytest.param(PruneLimit(percent=100), 99, 99, False, id="100%: all may go"),
    ],
)
def test_limit_of_the_project(limit, pruning, recorded, want):
    assert held(pruning, recorded, limit) is want


@pytest.mark.parametrize("recorded", [1, 10, 10_000])
def test_a_prune_is_always_held_when_git_declares_nothing(recorded):
    reason = why_held(
        candidates(1), declared=0, recorded=recorded, limit=PruneLimit(objects=10**6, percent=100)
    )
    assert reason == f"git declares nothing any more; 1 of {recorded} objects would be pruned"


KEEP = "cli-utils.sigs.k8s.io/on-remove: keep"


def kept(count: int, **where: str) -> list[Candidate]:
    return [Candidate(ref=ref(f"k{n}", **where), live=Live(uid=f"k{n}", keep=KEEP)) for n in range(count)]


@pytest.mark.parametrize(
    ("left", "declared", "want"),
    [
        pytest.param(kept(1, kind="Namespace", namespace=""), 1, None, id="a guarded kind"),
        pytest.param(kept(3), 1, None, id="more than the limit"),
        pytest.param(
            kept(3),
            0,
            "git declares nothing any more; 0 of 9 objects would be pruned and 3, which an annotation keeps, "
            "let go",
            id="git declares nothing",
        ),
        pytest.param(
            [*kept(3), *candidates(3)],
            1,
            "3 of 9 objects would be pruned, prune_limit is 2",
            id="beside what is pruned",
        ),
    ],
)
def test_what_an_annotation_keeps_is_no_prune(left, declared, want):
    assert why_held(left, declared=declared, recorded=9, limit=PruneLimit(objects=2)) == want


def test_approving_a_prune_is_not_approving_to_let_go():
    pruned = candidates(1)
    let_go = [Candidate(ref=its.ref, live=Live(uid=its.live.uid, keep=KEEP)) for its in pruned]
    assert plan_hash("shop", INVENTORY, pruned) != plan_hash("shop", INVENTORY, let_go)


def test_nothing_to_prune_is_never_held():
    assert why_held([], declared=0, recorded=0, limit=PruneLimit(objects=0)) is None


@pytest.mark.parametrize(
    ("kind", "group", "own", "want"),
    [
        pytest.param("Namespace", "", (), True, id="Namespace"),
        pytest.param("PersistentVolume", "", (), True, id="PersistentVolume"),
        pytest.param("PersistentVolumeClaim", "", (), True, id="PersistentVolumeClaim"),
        pytest.param("CustomResourceDefinition", "apiextensions.k8s.io", (), True, id="CRD"),
        pytest.param("Namespace", "example.com", (), False, id="Namespace of another group"),
        pytest.param("ConfigMap", "", (), False, id="ordinary"),
        pytest.param("Secret", "", ("Secret",), True, id="own kind"),
        pytest.param("Cluster", "db.example.com", ("Cluster",), True, id="own kind of any group"),
        pytest.param(
            "Cluster", "db.example.com", ("Cluster.db.example.com",), True, id="own kind of one group"
        ),
        pytest.param(
            "Cluster", "example.com", ("Cluster.db.example.com",), False, id="own kind, other group"
        ),
        pytest.param("Secret", "", ("secret",), False, id="kinds have capitals"),
        pytest.param("Namespace", "", ("Secret",), True, id="own kinds are added, never instead"),
    ],
)
def test_guarded_kinds_are_always_held(kind, group, own, want):
    one = candidates(1, kind=kind, group=group)
    free = PruneLimit(percent=100)
    assert is_guarded(one[0].ref, own) is want
    reason = why_held(one, declared=9, recorded=10, limit=free, guarded_kinds=own)
    assert (reason is not None) is want


@pytest.mark.parametrize(
    ("pruning", "want"),
    [
        pytest.param(
            candidates(1, kind="Namespace", namespace=""), "Namespace n0 would be pruned", id="one guarded"
        ),
        pytest.param(
            [*candidates(2), *candidates(3, kind="Namespace", namespace="")],
            "Namespace n0 and 2 more of a guarded kind would be pruned",
            id="guarded among others",
        ),
        pytest.param(
            candidates(6), "6 of 8 objects would be pruned, prune_limit is 50% and 5", id="too many"
        ),
    ],
)
def test_reason_says_what_would_go_and_why_it_stays(pruning, want):
    limit = PruneLimit(percent=50, objects=5)
    assert why_held(pruning, declared=2, recorded=8, limit=limit) == want


def hash_of(pruning: list[Candidate], *, project: str = "shop", inventory: str = INVENTORY) -> str:
    return plan_hash(project, inventory, pruning)


def test_a_plan_hash_is_what_the_documents_promise():
    """SHA-256 of project, inventory and the sorted references with uids: fixed, since people keep it."""
    assert hash_of(candidates(2)) == "7dbe3a87e860c6dcd4de412fd08e0b349ab44a7498fba8488f60eb1ca4216a1e"


def test_the_order_of_a_plan_does_not_change_its_hash():
    pruning = candidates(5)
    assert hash_of(pruning[::-1]) == hash_of(pruning)


def test_only_the_uid_of_a_live_object_is_approved():
    """An unrelated commit, or a status that moved on, does not void an approval."""
    later = [
        Candidate(ref=one.ref, live=Live(uid=one.live.uid, resource_version="99", applied="x", time="t9"))
        for one in candidates(3)
    ]
    assert hash_of(later) == hash_of(candidates(3))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(hash_of(candidates(4)), id="one object more"),
        pytest.param(hash_of(candidates(2)), id="one object less"),
        pytest.param(hash_of(candidates(3, namespace="other")), id="other namespace"),
        pytest.param(hash_of(candidates(3, kind="Secret")), id="other kind"),
        pytest.param(hash_of(candidates(3, group="example.com")), id="other group"),
        pytest.param(
            hash_of([*candidates(2), Candidate(ref=ref("n2"), live=Live(uid="u9"))]), id="other uid"
        ),
        pytest.param(hash_of(candidates(3), project="other"), id="other project"),
        pytest.param(hash_of(candidates(3), inventory="reconciler-ffffffffffff"), id="other inventory"),
    ],
)
def test_a_changed_list_has_another_hash(other):
    assert other != hash_of(candidates(3))
