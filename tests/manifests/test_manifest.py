"""Files put together: namespaces, scopes, duplicates, references, and who is claimed."""

import time

import pytest

from reconciler.manifests.decode import decode
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import ManifestSet, Scope, assemble

SCOPES = {
    ("", "v1", "ConfigMap"): Scope.NAMESPACED,
    ("", "v1", "Secret"): Scope.NAMESPACED,
    ("", "v1", "Namespace"): Scope.CLUSTER,
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"): Scope.CLUSTER,
    ("rbac.authorization.k8s.io", "v1", "Role"): Scope.NAMESPACED,
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"): Scope.NAMESPACED,
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"): Scope.CLUSTER,
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"): Scope.CLUSTER,
}
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
CONFIG_REF = ObjectRef("", "ConfigMap", "home", "c")
ISSUER = "apiVersion: cert-manager.io/%s\nkind: Issuer\nmetadata: {name: i}\n"
ISSUER_REF = ObjectRef("cert-manager.io", "Issuer", "home", "i")
CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: issuers.cert-manager.io}
spec:
  group: cert-manager.io
  names: {kind: Issuer}
  scope: Namespaced
  versions: [{name: v1, served: true}]
"""
CRD_REF = ObjectRef("apiextensions.k8s.io", "CustomResourceDefinition", "", "issuers.cert-manager.io")


def put_together(*texts: str, scope=lambda *kind: SCOPES.get(kind, Scope.UNKNOWN)) -> ManifestSet:
    files = [(f"f{n}.yaml", f"blob{n}", decode(text.encode())) for n, text in enumerate(texts)]
    return assemble(files, default_namespace="home", scope=scope)


def annotated(depends_on: str) -> str:
    annotations = f"annotations: {{config.kubernetes.io/depends-on: '{depends_on}'}}"
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, {annotations}}}\n"


def inventory(name: str, namespace: str = "some_ns") -> str:
    label = "labels: {cli-utils.sigs.k8s.io/inventory-id: some_id}"
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}, {label}}}\n"


@pytest.mark.parametrize(
    ("texts", "refs"),
    [
        pytest.param(
            [CONFIG.replace("c}", "c, namespace: ns}")], [("", "ConfigMap", "ns", "c")], id="namespace kept"
        ),
        pytest.param([CONFIG], [("", "ConfigMap", "home", "c")], id="namespace defaulted"),
        pytest.param(
            ["apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"],
            [("", "Namespace", "", "shop")],
            id="cluster kind",
        ),
        pytest.param(
            [ISSUER % "v1", CRD],
            [
                ("cert-manager.io", "Issuer", "home", "i"),
                ("apiextensions.k8s.io", "CustomResourceDefinition", "", "issuers.cert-manager.io"),
            ],
            id="custom resource of a definition in a later file, input order kept",
        ),
        pytest.param(
            [ISSUER % "v1", CRD.replace("Namespaced", "Cluster")],
            [
                ("cert-manager.io", "Issuer", "", "i"),
                ("apiextensions.k8s.io", "CustomResourceDefinition", "", "issuers.cert-manager.io"),
            ],
            id="cluster-scoped custom resource",
        ),
        pytest.param([], [], id="no files"),
    ],
)
def test_manifests_are(texts, refs):
    found = put_together(*texts)
    assert found.problems == ()
    assert [manifest.ref for manifest in found.manifests] == [ObjectRef(*ref) for ref in refs]
    assert found.claimed == {manifest.ref for manifest in found.manifests}


@pytest.mark.parametrize(
    ("texts", "at", "what", "ref"),
    [
        pytest.param(
            ["apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, namespace: ns-ns}\n"],
            "f0.yaml:1",
            'resource is cluster-scoped but has a non-empty namespace "ns-ns"',
            ObjectRef("", "Namespace", "", "shop"),
            id="namespace of a cluster kind",
        ),
        pytest.param(
            [ISSUER % "v1"],
            "f0.yaml:1",
            "unknown resource types: cert-manager.io/v1/Issuer",
            ISSUER_REF,
            id="custom resource alone",
        ),
        pytest.param(
            [CRD, ISSUER % "v2"],
            "f1.yaml:1",
            "unknown resource types: cert-manager.io/v2/Issuer",
            ISSUER_REF,
            id="version that the definition lacks",
        ),
        pytest.param(
            [CRD.replace("served: true", "served: false"), ISSUER % "v1"],
            "f1.yaml:1",
            "unknown resource types: cert-manager.io/v1/Issuer",
            ISSUER_REF,
            id="version that is not served",
        ),
        pytest.param(
            [annotated("")],
            "f0.yaml:1",
            "config.kubernetes.io/depends-on: empty value",
            CONFIG_REF,
            id="empty depends-on",
        ),
        pytest.param(
            [annotated("a/b")],
            "f0.yaml:1",
            'config.kubernetes.io/depends-on: expected 3 or 5 fields, found 2: "a/b"',
            CONFIG_REF,
            id="broken depends-on",
        ),
        pytest.param(
            [CONFIG.replace("c}", "c, labels: {a: 1}}")],
            "f0.yaml:1",
            'metadata.labels["a"] is a number',
            CONFIG_REF,
            id="problem of the file, with its object",
        ),
    ],
)
def test_object_with_a_problem_fails_alone_and_stays_claimed(texts, at, what, ref):
    found = put_together(*texts, CONFIG.replace("c}", "other}"))
    (problem,) = found.problems
    assert (f"{problem.path}:{problem.line}", problem.what, problem.ref) == (at, what, ref)
    assert problem.mend
    assert ref not in {manifest.ref for manifest in found.manifests}
    assert ref in found.claimed
    assert found.manifests[-1].ref.name == "other"
    assert found.unread == ()


def test_object_of_unknown_scope_claims_both_readings():
    found = put_together(ISSUER % "v1")
    assert found.claimed == {ISSUER_REF, ObjectRef("cert-manager.io", "Issuer", "", "i")}


def test_duplicates_name_each_other():
    found = put_together(
        CONFIG, f"---\n{CONFIG.replace('c}', 'c, namespace: home}')}", CONFIG.replace("c}", "d}")
    )
    assert [manifest.ref.name for manifest in found.manifests] == ["d"]
    assert [(p.path, p.line, p.what, p.ref) for p in found.problems] == [
        ("f0.yaml", 1, "ConfigMap home/c is also declared at f1.yaml:2", CONFIG_REF),
        ("f1.yaml", 2, "ConfigMap home/c is also declared at f0.yaml:1", CONFIG_REF),
    ]


def test_many_duplicates_stay_short_and_fast():
    started = time.process_time()
    found = put_together("---\n".join([CONFIG] * 3000))
    assert time.process_time() - started < 10, "less than a second when idle"
    assert len(found.problems) == 3000
    assert found.problems[-1].what == "ConfigMap home/c is also declared at f0.yaml:1 and 2998 more"


def test_origin_leads_back_to_the_body():
    (manifest,) = put_together(f"# c\n\n{CONFIG}").manifests
    origin = manifest.origin
    assert (str(origin), origin.blob, origin.index, manifest.api_version) == ("f0.yaml:3", "blob0", 0, "v1")


def test_references_and_definitions_are_kept():
    found = put_together(annotated("/namespaces/home/Secret/s, /Namespace/shop"), CRD)
    assert found.manifests[0].depends_on == (
        ObjectRef("", "Secret", "home", "s"),
        ObjectRef("", "Namespace", "", "shop"),
    )
    assert found.manifests[1].defines is not None


def test_file_that_may_hide_objects_is_unread():
    found = put_together(CONFIG, f"{CONFIG.replace('c}', 'd}')}---\nkind: x\n", "a: @")
    assert found.unread == ("f1.yaml", "f2.yaml")
    assert [manifest.ref.name for manifest in found.manifests] == ["c", "d"]
    assert [(problem.path, problem.line, problem.ref) for problem in found.problems] == [
        ("f1.yaml", 5, None),
        ("f2.yaml", 1, None),
    ]


def test_inventory_object_is_not_applied():
    found = put_together(CONFIG, inventory("inv"))
    assert [manifest.ref for manifest in found.manifests] == [CONFIG_REF]
    (one,) = found.inventory_objects
    assert (one.ref, one.inventory_id) == (ObjectRef("", "ConfigMap", "some_ns", "inv"), "some_id")
    assert one.ref in found.claimed
    assert found.problems == ()


def test_two_inventory_objects_are_a_problem():
    found = put_together(inventory("a"), inventory("b"))
    assert len(found.inventory_objects) == 2
    assert [(p.path, p.what) for p in found.problems] == [
        ("f0.yaml", "expecting zero or one inventory object, found 2: also at f1.yaml:1"),
        ("f1.yaml", "expecting zero or one inventory object, found 2: also at f0.yaml:1"),
    ]


def test_scope_is_asked_once_a_kind():
    asked = []
    put_together(
        CONFIG, CONFIG.replace("c}", "d}"), scope=lambda *kind: asked.append(kind) or Scope.NAMESPACED
    )
    assert asked == [("", "v1", "ConfigMap")]


RBAC = "apiVersion: rbac.authorization.k8s.io/v1"


def role(kind: str, *, namespace: str = "home") -> str:
    where = f", namespace: {namespace}" if kind == "Role" else ""
    return f"{RBAC}\nkind: {kind}\nmetadata: {{name: editor{where}}}\nrules: []\n"


def binding(kind: str, role_ref: str) -> str:
    return f"{RBAC}\nkind: {kind}\nmetadata: {{name: b}}\nroleRef: {role_ref}\n"


@pytest.mark.parametrize(
    ("texts", "needs"),
    [
        pytest.param(
            [binding("RoleBinding", "{kind: Role, name: editor}"), role("Role")],
            [("Role", "home")],
            id="a role of its namespace, in a later file",
        ),
        pytest.param(
            [binding("RoleBinding", "{kind: ClusterRole, name: editor}"), role("ClusterRole")],
            [("ClusterRole", "")],
            id="a cluster role",
        ),
        pytest.param(
            [binding("ClusterRoleBinding", "{kind: ClusterRole, name: editor}"), role("ClusterRole")],
            [("ClusterRole", "")],
            id="a cluster role bound everywhere",
        ),
        pytest.param(
            [binding("RoleBinding", "{kind: Role, name: editor}"), role("Role", namespace="other")],
            [],
            id="a role of the same name elsewhere is another one",
        ),
        pytest.param([binding("RoleBinding", "{kind: Role, name: editor}")], [], id="a role outside of git"),
        pytest.param(
            [binding("RoleBinding", "{kind: Role, name: editor}"), role("Role"), role("Role")],
            [],
            id="a role that is declared twice is not applied, so it is not waited for",
        ),
        pytest.param([binding("RoleBinding", "editor"), role("Role")], [], id="a roleRef that is none"),
        pytest.param([binding("RoleBinding", "{kind: 1}"), role("Role")], [], id="a roleRef of numbers"),
    ],
)
def test_binding_comes_after_its_role(texts, needs):
    first = put_together(*texts).manifests[0]
    assert [(its.kind, its.namespace) for its in first.depends_on] == needs
