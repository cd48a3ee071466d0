"""Which objects go together, in which order, and what a reference to another object may be."""

import pytest

from reconciler.manifests import order
from reconciler.manifests.decode import CustomKind
from reconciler.manifests.identity import ObjectRef
from reconciler.sync import marks
from reconciler.sync.plan import Candidate, Live
from reconciler.sync.prune import prune_walk
from tests.fix_sync import Installation, outcomes
from tests.objects import config_map, deployment
from tests.sync.pieces import ref

NAMESPACE = ref("shop", kind="Namespace", namespace="")
CRD = ref("widgets.example.com", kind="CustomResourceDefinition", group="apiextensions.k8s.io", namespace="")
WIDGETS = [ref(name, kind="Widget", group="example.com", namespace="default") for name in ("w1", "w2")]
SECRET = ref("secret", kind="Secret")
DEPLOYMENT = ref("web", kind="Deployment", group="apps")
A, B = ref("a"), ref("b")


def nodes(*refs: ObjectRef, **needs: ObjectRef) -> list[order.Node]:
    """`needs` by name."""
    defines = CustomKind("example.com", "Widget", namespaced=True, versions=("v1",))
    return [
        order.Node(
            one,
            (needs[one.name],) if one.name in needs else (),
            defines if one == CRD else None,
        )
        for one in refs
    ]


@pytest.mark.parametrize(
    ("objects", "layers"),
    [
        pytest.param([], (), id="nothing"),
        pytest.param(nodes(A), ((A,),), id="one object"),
        pytest.param(nodes(B, A), ((A, B),), id="two unrelated: one layer for both"),
        pytest.param(nodes(*WIDGETS, CRD), ((CRD,), tuple(WIDGETS)), id="definition and two of its objects"),
        pytest.param(nodes(A, B, NAMESPACE), ((NAMESPACE,), (A, B)), id="Namespace and objects in it"),
        pytest.param(
            nodes(DEPLOYMENT, SECRET, web=SECRET), ((SECRET,), (DEPLOYMENT,)), id="Deployment needs a Secret"
        ),
        pytest.param(
            nodes(DEPLOYMENT, ref("other", kind="Namespace", namespace="")),
            ((ref("other", kind="Namespace", namespace=""), DEPLOYMENT),),
            id="the rank of a kind holds inside a layer only",
        ),
    ],
)
def test_layers(objects, layers):
    graph = order.build(objects)
    assert (graph.layers, graph.invalid) == (layers, {})


def test_objects_in_a_cycle_are_invalid_and_another_one_is_not():
    graph = order.build(nodes(DEPLOYMENT, SECRET, A, web=SECRET, secret=DEPLOYMENT))
    assert graph.invalid.keys() == {DEPLOYMENT, SECRET}
    assert graph.invalid[SECRET].startswith("cyclic dependency:")
    assert graph.layers == ((A,),)


def test_reference_to_what_takes_no_part_is_invalid():
    graph = order.build(nodes(DEPLOYMENT, web=SECRET))
    assert graph.invalid[DEPLOYMENT].startswith("external dependency:")


def test_reference_to_what_is_to_be_pruned_is_planned():
    assert order.build(nodes(DEPLOYMENT, web=SECRET), known={SECRET}).invalid == {}


def left(one: ObjectRef, needs: str = "") -> Candidate:
    return Candidate(ref=one, live=Live(uid="u", depends_on=needs))


@pytest.mark.parametrize(
    ("candidates", "applied", "first", "then"),
    [
        pytest.param([left(A)], (), [A], [], id="one prune"),
        pytest.param(
            [left(SECRET), left(DEPLOYMENT, "/namespaces/shop/Secret/secret")],
            (),
            [DEPLOYMENT],
            [SECRET],
            id="Deployment that depends on a Secret: it goes first",
        ),
        pytest.param(
            [left(DEPLOYMENT, "/namespaces/shop/Secret/secret")],
            nodes(SECRET),
            [DEPLOYMENT],
            [],
            id="depends on what is applied: goes",
        ),
        pytest.param(
            [left(SECRET)], nodes(DEPLOYMENT, web=SECRET), [], [], id="what is applied needs it: stays"
        ),
        pytest.param(
            [left(A), left(NAMESPACE)], (), [A], [NAMESPACE], id="what is in a Namespace goes first"
        ),
    ],
)
def test_order_of_deletes(candidates, applied, first, then):
    walk = prune_walk(candidates, order.build(applied, known={c.ref for c in candidates}))

    def started() -> list[ObjectRef]:
        return list(iter(walk.next, None))

    assert started() == first
    for one in first:
        walk.ready(one)
    assert started() == then


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("", "empty value", id="empty text"),
        pytest.param("a/b", "expected 3 or 5 fields, found 2", id="two fields"),
        pytest.param("a/b/c/d", "expected 3 or 5 fields, found 4", id="four fields"),
        pytest.param("a/namespaces/b/c/d/e", "expected 3 or 5 fields, found 6", id="six fields"),
        pytest.param("g/spaces/n/K/x", 'expected "namespaces"', id="another second field"),
        pytest.param("g/K/x,g/K/x", "the same reference twice", id="same target twice"),
    ],
)
def test_reference_that_is_an_error(text, want):
    with pytest.raises(ValueError, match=want):
        order.parse_depends_on(text)


CLUSTER = ObjectRef("test-group", "test-kind", "", "test-name")
NAMESPACED = ObjectRef("test-group", "test-kind", "test-namespace", "test-name")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("test-group/test-kind/test-name", (CLUSTER,), id="cluster scope"),
        pytest.param(
            "test-group/namespaces/test-namespace/test-kind/test-name", (NAMESPACED,), id="namespaced"
        ),
        pytest.param("  test-group/test-kind/test-name ", (CLUSTER,), id="blanks at the ends"),
        pytest.param(
            "test-group/test-kind/test-name, test-group/namespaces/test-namespace/test-kind/test-name",
            (CLUSTER, NAMESPACED),
            id="two with a comma",
        ),
        pytest.param("/namespaces/n/Secret/x", (ObjectRef("", "Secret", "n", "x"),), id="core group"),
    ],
)
def test_reference_that_is_fine(text, want):
    assert order.parse_depends_on(text) == want


def test_annotation_is_the_old_engine_s():
    assert marks.DEPENDS_ON == "config.kubernetes.io/depends-on"


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [
        pytest.param("none", True, id="no dry run: waits"),
        pytest.param("client", False, id="client dry run: the same without waiting"),
        pytest.param("server", False, id="server dry run: the same without waiting"),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["new", "there already, and not ready"])
def test_what_is_waited_for(installation: Installation, strategy: str, waits: bool, known: bool) -> None:
    """ConfigMap `a` needs a Deployment that does not become ready."""
    needs = f"apps/namespaces/{installation.namespace}/Deployment/web"
    web = deployment("web", behaviour="unready")
    installation.configure(reconcile_timeout="1s")
    if known:
        installation.commit({"all.yaml": web})
        installation.sync()
    installation.configure(dry_run_strategy=strategy)
    installation.commit({"all.yaml": [web, config_map("a", after=needs)]})
    with installation.recorded() as requests:
        report = installation.sync()
    assert ("watch deployments" in requests.count()) is waits
    assert (outcomes(report)["a"] == "blocked") is waits, report
