"""Filters before an apply and before a delete: who acts, who is left alone, and in which order."""

import re
from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.manifests import order
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.inventory import Record
from reconciler.sync.live import live_of
from reconciler.sync.plan import Candidate, Live, Plan
from reconciler.sync.prune import prune_walk
from reconciler.sync.walk import Walk
from tests.faults.gateway import Gateway
from tests.fix_sync import Installation, of, outcomes
from tests.objects import Manifest, config_map, deployment, manifest
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
        pytest.param("b", "", "-", "blocked by b", id="B is bad, for any of the reasons below"),
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
            id="A is bad, for any of the reasons below",
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


# -- dependencies, on a real API server: how B, or A, comes to be bad --------------------------


def refuse(gateway: Gateway, method: str, path: str) -> None:
    """Have such requests refused: their path, with the query, matches."""
    status = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403}

    def instead(asked: str, where: str) -> tuple[int, dict[str, Any]] | None:
        return (403, status) if asked == method and re.search(path, where) else None

    gateway.instead = instead


def undisturbed(_installation: Installation, _gateway: Gateway) -> None:
    pass


def foreign(installation: Installation, _gateway: Gateway) -> None:
    installation.api.post(installation.path("configmaps"), {"metadata": {"name": "b"}})


def impatient(installation: Installation, _gateway: Gateway) -> None:
    installation.configure(reconcile_timeout="1s")


def unwatched(_installation: Installation, gateway: Gateway) -> None:
    refuse(gateway, "GET", r"/deployments\?.*watch=")


Disturb = Callable[[Installation, Gateway], None]


@pytest.mark.parametrize(
    ("body", "disturb", "said"),
    [
        pytest.param(
            manifest("v1", "Service", "b", spec={"ports": [{"port": 0}]}),
            undisturbed,
            ("failed", "", "Invalid"),
            id="B failed",
        ),
        pytest.param(config_map("b"), foreign, ("skipped", "", "NotOurs"), id="B skipped"),
        pytest.param(
            deployment("b", behaviour="unready", deadline=1),
            undisturbed,
            ("created", "Failed", "ProgressDeadlineExceeded"),
            id="B reconcile failed",
        ),
        pytest.param(
            deployment("b", behaviour="unready"),
            impatient,
            ("created", "InProgress", "not ready after 1 s"),
            id="B reconcile timeout",
        ),
        pytest.param(
            deployment("b"),
            unwatched,
            ("created", "Unknown", "Forbidden"),
            id="B reconcile skipped (ours: its status cannot be read)",
        ),
    ],
)
def test_dependency_before_an_apply_whose_reason_is_real(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    body: Manifest,
    disturb: Disturb,
    said: tuple[str, str, str],
) -> None:
    """A needs B."""
    disturb(installation, gateway)
    group = "apps" if body["kind"] == "Deployment" else ""
    needs = f"{group}/namespaces/{installation.namespace}/{body['kind']}/b"
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    installation.commit({"all.yaml": [body, config_map("a", after=needs)]})
    report = installation.sync()
    b = of(report, "b")
    assert (b.outcome.value, b.health) == said[:2]
    assert said[2] in f"{b.reason}: {b.message}"
    assert outcomes(report)["a"] == "blocked"
    assert not installation.exists("configmaps", "a")


def unmarked(installation: Installation, _gateway: Gateway) -> None:
    """Somebody took the owner mark off A."""
    owner = {"metadata": {"annotations": {marks.OWNING_INVENTORY: None}}}
    installation.api.patch(installation.path("configmaps", "a"), owner)


def finalized(installation: Installation, _gateway: Gateway) -> None:
    finalizers = {"metadata": {"finalizers": ["example.com/wait"]}}
    installation.api.patch(installation.path("configmaps", "a"), finalizers)


def undeletable(_installation: Installation, gateway: Gateway) -> None:
    refuse(gateway, "DELETE", "/configmaps/a$")


def unreadable(_installation: Installation, gateway: Gateway) -> None:
    """Deleted it can be, but not looked at."""
    refuse(gateway, "GET", "/configmaps/a$")


def finalized_and_unwatched(installation: Installation, gateway: Gateway) -> None:
    finalized(installation, gateway)
    refuse(gateway, "GET", r"/configmaps\?.*watch=")


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        pytest.param(undeletable, ("failed", "Forbidden"), id="A's delete failed"),
        pytest.param(unmarked, ("skipped", "NotOurs"), id="A's delete skipped"),
        pytest.param(
            unreadable,
            ("failed", "Forbidden"),
            id="A reconcile failed (ours: whether it is gone cannot be read)",
        ),
        pytest.param(finalized, ("failed", "PruneTimeout"), id="A reconcile timeout"),
        pytest.param(
            finalized_and_unwatched,
            ("failed", "Forbidden"),
            id="A reconcile skipped (ours: nothing is heard of it)",
        ),
    ],
)
def test_dependency_before_a_delete_whose_reason_is_real(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    disturb: Disturb,
    said: tuple[str, str],
) -> None:
    """A needs B."""
    needs = f"/namespaces/{installation.namespace}/ConfigMap/b"
    installation.configure(prune_timeout="1s")
    installation.commit({"all.yaml": [config_map("b"), config_map("a", after=needs), config_map("c")]})
    installation.sync()
    installation.commit({"all.yaml": config_map("c")})
    disturb(installation, gateway)
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    report = installation.sync()
    a = of(report, "a")
    assert (a.outcome.value, a.reason) == said
    assert (outcomes(report)["b"], of(report, "b").reason) == ("skipped", "Dependency")
    assert installation.exists("configmaps", "b")
    assert installation.recorded_names() == {"a", "b", "c"}
