"""References, ranks, layers and cycles, as cli-utils has them."""

import random
import time

import pytest

from reconciler.manifests.decode import CustomKind
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.order import Node, build, needed_by, parse_depends_on, prune_order, rank

RBAC = "rbac.authorization.k8s.io"
NAMESPACE = ObjectRef("", "Namespace", "", "shop")
SECRET = ObjectRef("", "Secret", "shop", "s")
CONFIG = ObjectRef("", "ConfigMap", "shop", "c")
WEB = ObjectRef("apps", "Deployment", "shop", "web")
CRD = ObjectRef("apiextensions.k8s.io", "CustomResourceDefinition", "", "probes.lab.example.com")
PROBE = ObjectRef("lab.example.com", "Probe", "shop", "p")
DEFINES = CustomKind("lab.example.com", "Probe", True, ("v1",))


def nodes(*refs: ObjectRef, **depends: tuple[ObjectRef, ...]) -> list[Node]:
    return [Node(ref, depends.get(ref.name, ()), DEFINES if ref == CRD else None) for ref in refs]


def ring(size: int) -> list[Node]:
    refs = [ObjectRef("", "ConfigMap", "shop", f"n{n}") for n in range(size)]
    return [Node(ref, (refs[n - 1],)) for n, ref in enumerate(refs)]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "test-group/test-kind/test-name", [("test-group", "test-kind", "", "test-name")], id="3 fields"
        ),
        pytest.param("g/namespaces/ns/Kind/name", [("g", "Kind", "ns", "name")], id="5 fields"),
        pytest.param("  g/Kind/name\t", [("g", "Kind", "", "name")], id="blanks at the ends"),
        pytest.param(
            "/Namespace/a , /namespaces/a/Secret/s",
            [("", "Namespace", "", "a"), ("", "Secret", "a", "s")],
            id="two, of the core group",
        ),
        pytest.param(f"{RBAC}/ClusterRole/system:x", [(RBAC, "ClusterRole", "", "system:x")], id="colon"),
    ],
)
def test_depends_on_names(text, want):
    assert parse_depends_on(text) == tuple(ObjectRef(*one) for one in want)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "empty value", id="empty"),
        pytest.param("  ", "empty value", id="blank"),
        pytest.param("Kind/name", "expected 3 or 5 fields, found 2", id="2 fields"),
        pytest.param("a/b/c/d", "expected 3 or 5 fields, found 4", id="4 fields"),
        pytest.param("a/namespaces/c/d/e/f", "expected 3 or 5 fields, found 6", id="6 fields"),
        pytest.param("a/b/c,", "expected 3 or 5 fields, found 1", id="comma at the end"),
        pytest.param("a/namespace/c/d/e", 'expected "namespaces" as second field', id="other second field"),
        pytest.param("a/namespaces//d/e", "empty namespace", id="empty namespace"),
        pytest.param("a//c", "empty kind or name", id="empty kind"),
        pytest.param("a/b/", "empty kind or name", id="empty name"),
        pytest.param("a/B/c, a/B/c", "the same reference twice", id="twice"),
    ],
)
def test_depends_on_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_depends_on(text)


RANKED = """
    /Namespace /ResourceQuota storage.k8s.io/StorageClass apiextensions.k8s.io/CustomResourceDefinition
    admissionregistration.k8s.io/MutatingWebhookConfiguration /ServiceAccount
    extensions/PodSecurityPolicy policy/PodSecurityPolicy
    rbac.authorization.k8s.io/Role rbac.authorization.k8s.io/ClusterRole
    rbac.authorization.k8s.io/RoleBinding rbac.authorization.k8s.io/ClusterRoleBinding
    /ConfigMap /Secret /Service /LimitRange scheduling.k8s.io/PriorityClass
    extensions/Deployment apps/Deployment apps/StatefulSet batch/CronJob policy/PodDisruptionBudget
    /Pod apps/DaemonSet batch/Job example.com/Namespace
    admissionregistration.k8s.io/ValidatingWebhookConfiguration
"""


def test_kinds_are_ranked_as_in_the_table():
    refs = [ObjectRef(*kind.split("/"), "", "x") for kind in RANKED.split()]
    assert sorted(random.Random(1).sample(refs, len(refs)), key=rank) == refs


def test_ties_go_by_group_kind_namespace_and_name():
    fields = [  # in order
        ("", "Pod", "a", "x"),
        ("", "Pod", "a", "y"),
        ("", "Pod", "b", "a"),
        ("", "Probe", "a", "a"),
        ("a", "Pod", "", "a"),
    ]
    refs = [ObjectRef(*one) for one in fields]
    assert sorted(random.Random(1).sample(refs, len(refs)), key=rank) == refs


@pytest.mark.parametrize(
    ("given", "layers"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(nodes(WEB), [[WEB]], id="one object"),
        pytest.param(
            nodes(WEB, SECRET, CONFIG), [[CONFIG, SECRET, WEB]], id="unrelated ones share a layer, by rank"
        ),
        pytest.param(
            nodes(WEB, NAMESPACE, SECRET), [[NAMESPACE], [SECRET, WEB]], id="namespace before what is in it"
        ),
        pytest.param(nodes(PROBE, CRD), [[CRD], [PROBE]], id="definition before its custom resource"),
        pytest.param(nodes(WEB, SECRET, web=(SECRET,)), [[SECRET], [WEB]], id="depends-on"),
        pytest.param(
            nodes(PROBE, CRD, NAMESPACE, WEB, web=(PROBE,)), [[NAMESPACE, CRD], [PROBE], [WEB]], id="all"
        ),
        pytest.param(nodes(WEB, NAMESPACE, web=(NAMESPACE,)), [[NAMESPACE], [WEB]], id="the same edge twice"),
    ],
)
def test_layers(given, layers):
    graph = build(given)
    assert [list(layer) for layer in graph.layers] == layers
    assert not graph.invalid
    assert prune_order(graph) == tuple(ref for layer in reversed(layers) for ref in reversed(layer))


def test_needs_hold_every_edge():
    graph = build(nodes(PROBE, CRD, NAMESPACE, SECRET, p=(SECRET,)))
    assert graph.needs == {PROBE: {CRD, NAMESPACE, SECRET}, SECRET: {NAMESPACE}}
    assert needed_by(graph) == {CRD: {PROBE}, NAMESPACE: {PROBE, SECRET}, SECRET: {PROBE}}


def test_reference_outside_the_set_is_invalid():
    graph = build(nodes(WEB, CONFIG, web=(SECRET, CRD), c=(WEB,)))
    assert graph.invalid == {WEB: "external dependency: Deployment.apps shop/web -> Secret shop/s and 1 more"}
    assert graph.order == (CONFIG,), "what depends on an invalid object is not invalid itself"
    assert graph.needs[CONFIG] == {WEB}


def test_reference_to_a_known_object_is_kept_as_a_need():
    graph = build(nodes(WEB, web=(SECRET,)), known={SECRET})
    assert (graph.order, graph.needs, graph.invalid) == ((WEB,), {WEB: {SECRET}}, {})


def test_cycle_is_invalid_but_not_what_depends_on_it_nor_what_it_needs():
    graph = build(nodes(WEB, SECRET, CONFIG, CRD, web=(SECRET,), s=(WEB, CRD), c=(WEB,)))
    reason = (
        "cyclic dependency: Secret shop/s -> Deployment.apps shop/web,"
        " Deployment.apps shop/web -> Secret shop/s"
    )
    assert graph.invalid == {WEB: reason, SECRET: reason}
    assert set(graph.order) == {CRD, CONFIG}
    assert graph.needs[CONFIG] == {WEB}


def test_object_that_needs_itself_is_a_cycle():
    assert build(nodes(WEB, web=(WEB,))).invalid == {
        WEB: "cyclic dependency: Deployment.apps shop/web -> Deployment.apps shop/web"
    }


def test_namespace_that_needs_what_is_in_it_is_a_cycle():
    assert set(build(nodes(NAMESPACE, SECRET, CONFIG, shop=(SECRET,))).invalid) == {NAMESPACE, SECRET}


def test_object_between_two_cycles_is_in_none():
    a, b, c = (ObjectRef("", "ConfigMap", "", name) for name in "abc")
    graph = build([Node(a, (a,)), Node(b, (a, c)), Node(c, (c,))])
    assert set(graph.invalid) == {a, c}
    assert graph.order == (b,)


def test_message_about_a_large_cycle_is_short():
    reasons = set(build(ring(5000)).invalid.values())
    assert len(reasons) == 1
    assert reasons.pop().endswith(", and 4992 more")


SCALE = 10_000


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([*ring(SCALE)[1:], Node(ObjectRef("", "ConfigMap", "shop", "n0"))], id="a chain"),
        pytest.param(ring(SCALE), id="one cycle"),
        pytest.param([Node(NAMESPACE), *(Node(n.ref) for n in ring(SCALE))], id="one namespace"),
        pytest.param([Node(n.ref, (n.ref,)) for n in ring(SCALE)], id="each needs itself"),
    ],
)
def test_ten_thousand_objects_are_ordered_soon(given):
    started = time.process_time()
    graph = build(given)
    assert time.process_time() - started < 5, "a tenth of a second when idle; quadratic work takes minutes"
    assert len(graph.order) + len(graph.invalid) == len(given)


def test_order_is_the_same_for_any_order_of_files():
    given = nodes(PROBE, CRD, NAMESPACE, WEB, SECRET, CONFIG, web=(PROBE,), c=(SECRET,))
    orders = {build(random.Random(seed).sample(given, len(given))).order for seed in range(20)}
    assert len(orders) == 1
