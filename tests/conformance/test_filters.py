"""Filters before an apply and before a delete: who acts, who is left alone, and in which order."""

from collections.abc import Set

import pytest

from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.inventory import Record
from reconciler.sync.live import live_of
from reconciler.sync.plan import Candidate, Live, Plan
from reconciler.sync.prune import prune_walk
from reconciler.sync.walk import Walk
from tests.sync.pieces import INVENTORY, ref, version_of, whole_plan

OTHER = "another-inventory"
MARK = "mark"
A, B = ref("a"), ref("b")
KEEP = {"cli-utils.sigs.k8s.io/on-remove": "keep"}
DETACH = {"client.lifecycle.config.k8s.io/deletion": "detach"}


def there(owner: str | None = INVENTORY, *, uid: str = "u1", **annotations: str) -> Live:
    """An object as the API server shows it; `owner` None carries no owner mark."""
    ours = {} if owner is None else {marks.OWNING_INVENTORY: owner}
    labels = {} if owner is None else {marks.INSTANCE_LABEL: "prod"}
    metadata = {"name": "x", "uid": uid, "labels": labels, "annotations": {**ours, **annotations}}
    return live_of(metadata, instance="prod")


def decide(
    *,
    applied: dict[ObjectRef, Live | None] | None = None,
    left: dict[ObjectRef, Live | None] | None = None,
    policy: str = "must_match",
) -> Plan:
    """`applied` are declared, not recorded; `left` recorded, not declared; None is not in the cluster."""
    live = {one: its for one, its in {**(applied or {}), **(left or {})}.items() if its}
    return whole_plan(
        applied or {},
        records=[Record(one, version_of(one), uid="u1") for one in left or {}],
        live=live,
        policy=policy,
    )


def fate(work: Plan, one: ObjectRef) -> str:
    """What a plan does with one object, in a word."""
    if any(step.wanted.manifest.ref == one for step in work.steps):
        return "apply"
    for candidate in work.candidates:
        if candidate.ref == one:
            return "let go" if candidate.live.keep else "delete"
    for refusal in work.refusals:
        if refusal.ref == one:
            return f"{refusal.outcome}"
    return "forget" if one in work.gone else ""


# -- local namespaces ----------------------------------------------------------------------

SHOP = ref("shop", kind="Namespace", namespace="")


@pytest.mark.parametrize(
    ("applied", "want"),
    [
        pytest.param((), "delete", id="no namespace in use"),
        pytest.param((ref("a", namespace="other"),), "delete", id="another one in use"),
        pytest.param((ref("a", namespace="shop"),), "skipped", id="the same name in use"),
    ],
)
def test_namespace_in_use_is_not_deleted(applied, want):
    got = decide(applied=dict.fromkeys(applied), left={SHOP: there()})
    assert fate(got, SHOP) == want


def test_namespace_of_the_inventory_is_not_deleted():
    own = ref("own", kind="Namespace", namespace="")
    assert fate(decide(left={own: there()}), own) == "skipped"


# -- prevent remove ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "want"),
    [
        pytest.param({}, "delete", id="no annotations"),
        pytest.param({"example.com/on-remove": "keep"}, "delete", id="wrong key"),
        pytest.param({"cli-utils.sigs.k8s.io/on-remove": "detach"}, "delete", id="wrong value"),
        pytest.param({"cli-utils.sigs.k8s.io/on-remove": "Keep"}, "delete", id="value in another case"),
        pytest.param({"cli-utils.sigs.k8s.io/on-remove": ""}, "delete", id="key with empty value"),
        pytest.param(
            {"client.lifecycle.config.k8s.io/deletion": "keep"}, "delete", id="value of the other key"
        ),
        pytest.param(KEEP, "let go", id="on-remove: keep"),
        pytest.param(DETACH, "let go", id="deletion: detach"),
        pytest.param({**KEEP, **DETACH}, "let go", id="both"),
    ],
)
def test_lifecycle_annotation_of_the_live_object_prevents_the_delete(annotations, want):
    assert fate(decide(left={A: there(**annotations)}), A) == want


@pytest.mark.parametrize(
    ("owner", "want"),
    [
        pytest.param(None, "let go", id="marks taken off already, then killed before it was forgotten"),
        pytest.param(OTHER, "handed_over", id="another's by now"),
    ],
)
def test_prevent_remove_comes_before_the_policy(owner, want):
    assert fate(decide(left={A: there(owner, **KEEP)}), A) == want


def test_prevent_remove_comes_before_local_namespaces():
    got = decide(applied={A: None}, left={SHOP: there(**KEEP)})
    assert fate(got, SHOP) == "let go"


@pytest.mark.parametrize(
    ("within", "container", "want"),
    [
        pytest.param({}, {}, ("delete", "delete"), id="nothing is kept"),
        pytest.param({}, KEEP, ("delete", "let go"), id="only the Namespace is kept"),
        pytest.param(KEEP, KEEP, ("let go", "let go"), id="both are kept"),
        pytest.param(
            KEEP, {}, ("held", "skipped"), id="ours: what is kept is not deleted with its Namespace"
        ),
    ],
)
def test_namespace_of_what_is_kept(within, container, want):
    got = decide(left={A: there(**within), SHOP: there(**container)})
    assert (fate(got, A), fate(got, SHOP)) == want


# -- current UID ---------------------------------------------------------------------------

OLD, NEW = (ref("web", kind="Deployment", group=group) for group in ("extensions", "apps"))


@pytest.mark.parametrize(
    ("applied", "want"),
    [
        pytest.param({}, "delete", id="empty set"),
        pytest.param({NEW: None}, "delete", id="object without uid"),
        pytest.param({NEW: there(uid="u2")}, "delete", id="uid not in the set"),
        pytest.param({NEW: there(uid="u1")}, "forget", id="uid in the set: the old id is abandoned"),
    ],
)
def test_object_that_is_applied_through_another_group_is_not_deleted(applied, want):
    assert fate(decide(applied=applied, left={OLD: there(uid="u1")}), OLD) == want


# -- inventory policy ----------------------------------------------------------------------

POLICIES = ("must_match", "adopt_if_no_inventory", "adopt_all")


@pytest.mark.parametrize(
    ("found", "want"),
    [
        pytest.param(None, ("apply", "apply", "apply"), id="does not exist"),
        pytest.param(there(None), ("skipped", "apply", "apply"), id="Empty"),
        pytest.param(there(INVENTORY), ("apply", "apply", "apply"), id="Match"),
        pytest.param(there(OTHER), ("skipped", "skipped", "apply"), id="NoMatch"),
    ],
)
def test_inventory_policy_before_an_apply(found, want):
    assert tuple(fate(decide(applied={A: found}, policy=policy), A) for policy in POLICIES) == want


@pytest.mark.parametrize(
    ("found", "want"),
    [
        pytest.param(
            there(None), ("skipped", "skipped", "skipped"), id="Empty (ours: never without our owner mark)"
        ),
        pytest.param(there(INVENTORY), ("delete", "delete", "delete"), id="Match"),
        pytest.param(
            there(OTHER),
            ("handed_over", "handed_over", "handed_over"),
            id="NoMatch (ours: never without our owner mark; it is another's, and forgotten)",
        ),
    ],
)
def test_inventory_policy_before_a_delete(found, want):
    assert tuple(fate(decide(left={A: found}, policy=policy), A) for policy in POLICIES) == want


# -- dependencies --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "before", "fates", "want"),
    [
        pytest.param("", "", "", "started", id="no edges"),
        pytest.param("b", "", "+", "started", id="B applied and reconciled"),
        pytest.param("b", "", "-", "blocked by b", id="B failed, skipped, or not reconciled"),
        pytest.param("b", "b", "", "blocked by b", id="B is to be deleted"),
        pytest.param("b", "b", "", "blocked by b", id="B is invalid (ours: blocked by it, not failed)"),
        pytest.param("b", "", "", "waits", id="B is pending (ours: A waits, and is never asked too early)"),
    ],
)
def test_dependency_before_an_apply(needs, before, fates, want):
    """A needs B. `before`: wrong before anything starts; `fates`: how B ends."""
    acting = [A] if before else [A, B]
    walk = Walk(acting, {A: frozenset({B} if needs else ())}, bad=[B] if before else [])
    started = {one for _ in acting if (one := walk.next())}
    for end in fates:
        (walk.ready if end == "+" else walk.bad)(B)
        started.add(walk.next() or B)
    said = f"blocked by {walk.blocked[A].name}" if A in walk.blocked else "waits"
    assert ("started" if A in started else said) == want


def test_skips_propagate_down_the_graph():
    c = ref("c")
    walk = Walk([A, B, c], {A: frozenset({B}), B: frozenset({c})})
    assert walk.next() == c
    walk.bad(c)
    assert walk.blocked == {A: c, B: c}


def candidate(one: ObjectRef, *, needs: ObjectRef | None = None, **annotations: str) -> Candidate:
    text = {marks.DEPENDS_ON: _reference(needs)} if needs else {}
    return Candidate(ref=one, live=there(**text, **annotations))


def _reference(one: ObjectRef) -> str:
    return f"{one.group}/namespaces/{one.namespace}/{one.kind}/{one.name}"


def graph(*nodes: order.Node, known: Set[ObjectRef] = frozenset()) -> order.Graph:
    return order.build(nodes, known=known)


def deleted(walk: Walk, ends: dict[ObjectRef, bool]) -> str:
    """Names in the order in which they are deleted, and what is never started; `ends` are those that fail."""
    said = ""
    while one := walk.next():
        said += one.name
        (walk.ready if ends.get(one, True) else walk.bad)(one)
    return said + "".join(f" {one.name}<{cause.name}" for one, cause in sorted(walk.blocked.items()))


@pytest.mark.parametrize(
    ("left", "staying", "declared", "ends", "want"),
    [
        pytest.param([candidate(B)], [], graph(), {}, "b", id="no edges"),
        pytest.param([candidate(B), candidate(A, needs=B)], [], graph(), {}, "ab", id="A deleted and gone"),
        pytest.param(
            [candidate(B), candidate(A, needs=B)],
            [],
            graph(),
            {A: False},
            "a b<a",
            id="A's delete failed, or it is not gone in time",
        ),
        pytest.param([candidate(B)], [candidate(A, needs=B)], graph(), {}, " b<a", id="A's delete skipped"),
        pytest.param(
            [candidate(B)], [], graph(order.Node(A, (B,)), known={B}), {}, " b<a", id="A is being applied"
        ),
        pytest.param([candidate(B)], [], graph(order.Node(A, (B,))), {}, " b<a", id="A is invalid"),
        pytest.param(
            [candidate(A, needs=B)], [], graph(order.Node(B)), {}, "a", id="A needs what is applied"
        ),
        pytest.param(
            [candidate(B), candidate(A, needs=B, **KEEP)],
            [],
            graph(),
            {},
            "ab",
            id="A is kept (ours: let go is gone, B is deleted in this run and not in the next)",
        ),
        pytest.param(
            [candidate(B, **KEEP)],
            [],
            graph(order.Node(A, (B,)), known={B}),
            {},
            "b",
            id="B is kept: prevent remove comes before the dependency",
        ),
        pytest.param(
            [candidate(A, needs=ref("elsewhere"))],
            [],
            graph(),
            {},
            "a",
            id="A needs something outside of the set (ours: that keeps nothing from being deleted)",
        ),
    ],
)
def test_dependency_before_a_delete(left, staying, declared, ends, want):
    """A needs B."""
    assert deleted(prune_walk(left, declared, staying=staying), ends) == want


@pytest.mark.parametrize(
    ("container", "within"),
    [
        pytest.param(SHOP, A, id="Namespace and what lives in it"),
        pytest.param(
            ref(
                "widgets.example.com",
                kind="CustomResourceDefinition",
                group="apiextensions.k8s.io",
                namespace="",
            ),
            ref("w", kind="Widget", group="example.com"),
            id="definition and its objects",
        ),
    ],
)
def test_container_is_deleted_last_and_stays_for_what_stays(container, within):
    both = [candidate(container), candidate(within)]
    assert deleted(prune_walk(both, graph()), {}) == within.name + container.name
    walk = prune_walk(both[:1], graph(), staying=both[1:])
    assert deleted(walk, {}) == f" {container.name}<{within.name}"
