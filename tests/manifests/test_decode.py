"""What one file declares, and what makes an object of it impossible."""

import re

import orjson
import pytest

from reconciler.manifests.decode import CustomKind, Subject, decode, decode_with_texts

HEAD = "apiVersion: lab.example.com/v1\nkind: Probe\n"
A = f"{HEAD}metadata: {{name: a}}\n"
B = f"{HEAD}metadata: {{name: b, namespace: shop}}\n"


def items(*texts: str, head: str = "apiVersion: v1\nkind: List\n") -> str:
    return head + "items:\n" + "".join(f"- {text}\n" for text in texts)


def declared(text: str) -> str:
    """`Kind namespace/name line` of each entry."""
    decoded = decode(text.encode())
    assert not decoded.problems, decoded.problems
    assert decoded.complete
    return "; ".join(f"{e.kind} {e.namespace}/{e.name} {e.line}" for e in decoded.entries)


POD = "{apiVersion: v1, kind: Pod, metadata: {name: %s}}"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(f"{A}---\n# b\n{B}", "Probe /a 1; Probe shop/b 6", id="two documents"),
        pytest.param("# nothing\n---\nnull\n", "", id="no objects"),
        pytest.param(items(POD % "a", POD % "b"), "Pod /a 4; Pod /b 5", id="List with two items"),
        pytest.param(
            items("metadata: {name: a}", head="apiVersion: lab.example.com/v1\nkind: ProbeList\n"),
            "Probe /a 4",
            id="typed list gives its items their type",
        ),
        pytest.param("apiVersion: v1\nkind: List\nitems: []\n", "", id="empty List"),
        pytest.param("apiVersion: v1\nkind: PodList\nitems:\n", "", id="List with null items"),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems: &i\n- &p {apiVersion: v1, kind: Pod, metadata: {name: a}}\n",
            "Pod /a 4",
            id="List with anchors",
        ),
        pytest.param(
            "apiVersion: x/v1\nkind: AllowList\nmetadata: {name: a}\n",
            "AllowList /a 1",
            id="kind named ...List",
        ),
        pytest.param(
            "apiVersion: x/v1\nkind: Menu\nitems: [1]\nmetadata: {name: a}\n",
            "Menu /a 1",
            id="items of another kind",
        ),
        pytest.param(
            '{"apiVersion": "v1", "kind": "List", "items": [\n{"apiVersion": "v1", "kind": "Pod",'
            ' "metadata": {"name": "a"}}]}',
            "Pod /a 2",
            id="JSON List",
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: a, annotations: {{v: }}, labels: }}\n",
            "Probe /a 1",
            id="null annotation",
        ),
        pytest.param(f"{HEAD}metadata: {{name: a, namespace: }}\n", "Probe /a 1", id="null namespace"),
        pytest.param(
            f"{HEAD}metadata: {{name: a, generateName: b}}\n", "Probe /a 1", id="generateName beside a name"
        ),
        pytest.param(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: 'system:x'}\n",
            "Role /system:x 1",
            id="colon in a name",
        ),
    ],
)
def test_file_declares(text, want):
    assert declared(text) == want


UNKNOWN = None
ABOUT_A = Subject("lab.example.com/v1", "Probe", "", "a")


@pytest.mark.parametrize(
    ("text", "line", "what", "subject"),
    [
        pytest.param(
            "apiVersion: v1\nmetadata: {name: a}\n", 1, "Object 'Kind' is missing", UNKNOWN, id="no kind"
        ),
        pytest.param("apiVersion: v1\nkind: ''\n", 1, "Object 'Kind' is missing", UNKNOWN, id="empty kind"),
        pytest.param("apiVersion: v1\nkind: 5\n", 1, "kind is a number", UNKNOWN, id="kind is a number"),
        pytest.param(
            "kind: Probe\nmetadata: {name: a}\n", 1, "Probe has no apiVersion", UNKNOWN, id="no apiVersion"
        ),
        pytest.param(
            "apiVersion: 1\nkind: Probe\n", 1, "Probe has no apiVersion", UNKNOWN, id="apiVersion a number"
        ),
        pytest.param("apiVersion: a/b/c\nkind: Probe\n", 1, "unusable apiVersion", UNKNOWN, id="two slashes"),
        pytest.param("apiVersion: a/\nkind: Probe\n", 1, "unusable apiVersion", UNKNOWN, id="no version"),
        pytest.param(
            "apiVersion: /v1\nkind: Probe\n", 1, "unusable apiVersion", UNKNOWN, id="slash, no group"
        ),
        pytest.param(HEAD, 1, "no metadata.name", UNKNOWN, id="no metadata"),
        pytest.param(f"{HEAD}metadata: {{name: ''}}\n", 1, "no metadata.name", UNKNOWN, id="empty name"),
        pytest.param(
            f"{HEAD}metadata: a\n", 1, "metadata of a Probe is text", UNKNOWN, id="metadata is a string"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: 5}}\n", 1, "metadata.name .* a number", UNKNOWN, id="name is a number"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: no}}\n", 1, "metadata.name .* a boolean", UNKNOWN, id="name is no"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: a, namespace: 1}}\n", 1, "namespace .* number", UNKNOWN, id="namespace"
        ),
        pytest.param(
            f"{HEAD}metadata: {{generateName: a-}}\n", 1, "generateName", UNKNOWN, id="generateName"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: ../a}}\n", 1, "cannot be a name", UNKNOWN, id="slash in a name"
        ),
        pytest.param(f"{HEAD}metadata: {{name: ..}}\n", 1, "cannot be a name", UNKNOWN, id="dots as a name"),
        pytest.param(
            f'{HEAD}metadata: {{name: "a\\nb"}}\n', 1, "cannot be a name", UNKNOWN, id="line break in a name"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: {'a' * 254}}}\n", 1, "longer than 253", UNKNOWN, id="long name"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: a, namespace: a/b}}\n", 1, "cannot be a name", UNKNOWN, id="namespace /"
        ),
        pytest.param("- a\n- b\n", 1, "this is a list", UNKNOWN, id="top-level list"),
        pytest.param("# x\ntext\n", 2, "this is text", UNKNOWN, id="scalar document"),
        pytest.param('{"kind": "List", "items": []} 5', 1, "this is a number", UNKNOWN, id="JSON number"),
        pytest.param(
            "apiVersion: v1\nkind: ConfigMapList\n",
            1,
            "ConfigMapList has no items",
            UNKNOWN,
            id="typed List without items",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\n", 1, "List without items", UNKNOWN, id="List without items"
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems: a\n",
            1,
            "items of a List is text",
            UNKNOWN,
            id="items is text",
        ),
        pytest.param(items("{kind: List, items: []}"), 4, "List inside a List", UNKNOWN, id="nested List"),
        pytest.param(items("null"), 4, "this is null", UNKNOWN, id="null in a List"),
        pytest.param(
            items("metadata: {name: a}"), 4, "'Kind' is missing", UNKNOWN, id="core List types nothing"
        ),
        pytest.param(f"{A}x: @\n", 4, "cannot start any token", UNKNOWN, id="not YAML"),
        pytest.param(
            f"{HEAD}metadata: {{name: a, labels: {{v: 1}}}}\n",
            1,
            'labels."v". is a number',
            ABOUT_A,
            id="label is a number",
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: a, labels: {{v: yes}}}}\n",
            1,
            'labels."v". is a boolean',
            ABOUT_A,
            id="label is a boolean",
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: a, labels: [v]}}\n", 1, "labels is a list", ABOUT_A, id="labels a list"
        ),
        pytest.param(
            f"{HEAD}metadata: {{name: a, annotations: {{v: {{}}}}}}\n",
            1,
            "is a mapping",
            ABOUT_A,
            id="annotation is a mapping",
        ),
    ],
)
def test_what_is_no_object_is_a_problem(text, line, what, subject):
    decoded = decode(text.encode())
    (problem,) = decoded.problems
    assert (problem.line, problem.subject) == (line, subject)
    assert re.search(what, problem.what), problem.what
    assert decoded.entries == ()
    assert decoded.complete == (subject is not None), "objects that we cannot name make the file incomplete"


def test_good_objects_of_a_file_with_problems_are_found():
    data = f"{A}---\nkind: x\n---\ny: @\n---\n{B}".encode()
    decoded = decode(data)
    assert [(e.index, e.name, e.line) for e in decoded.entries] == [(0, "a", 1), (1, "b", 9)]
    assert [problem.line for problem in decoded.problems] == [5, 7]
    assert not decoded.complete
    assert [orjson.loads(text)["metadata"]["name"] for text in decode_with_texts(data)[1]] == ["a", "b"]


def test_bodies_have_the_type_that_a_list_gave_them():
    text = items("metadata: {name: a}", head="apiVersion: lab.example.com/v1\nkind: ProbeList\n")
    assert [orjson.loads(body) for body in decode_with_texts(text.encode())[1]] == [
        {"apiVersion": "lab.example.com/v1", "kind": "Probe", "metadata": {"name": "a"}}
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "metadata: {name: a}\nspec: {b: 1, a: [x, 1.0]}\nkind: P\napiVersion: v1\n", id="order of keys"
        ),
        pytest.param(
            '{"apiVersion":"v1","kind":"P","spec":{"a":["x",1],"b":1e0},"metadata":{"name":"a"}}', id="JSON"
        ),
        pytest.param(
            "# c\napiVersion: 'v1'\nkind: \"P\"\nmetadata:\n    name: a\nspec: {a: [x, 0x1], b: 01}\n",
            id="style",
        ),
    ],
)
def test_digest_knows_values_and_not_their_writing(text):
    plain = b"apiVersion: v1\nkind: P\nmetadata: {name: a}\nspec: {a: [x, 1], b: 1}\n"
    assert decode(text.encode()).entries[0].digest == decode(plain).entries[0].digest


@pytest.mark.parametrize(
    "text", ['spec: {a: "1"}', "spec: {a: 2}", "spec: {a: [1]}", "spec: {b: 1}", "spec: {a: true}"]
)
def test_digest_tells_values_apart(text):
    one, other = decode(f"{A}{text}\n".encode()), decode(f"{A}spec: {{a: 1}}\n".encode())
    assert one.entries[0].digest != other.entries[0].digest


@pytest.mark.parametrize(
    ("annotations", "want"),
    [
        ("{}", None),
        ("{config.kubernetes.io/depends-on: /Namespace/x}", "/Namespace/x"),
        ("{config.kubernetes.io/depends-on: ''}", ""),
        ("{config.kubernetes.io/depends-on: }", ""),
    ],
)
def test_depends_on_is_kept_as_written(annotations, want):
    text = f"{HEAD}metadata: {{name: a, annotations: {annotations}}}\n"
    assert decode(text.encode()).entries[0].depends_on == want


@pytest.mark.parametrize(("label", "want"), [("1-2", "1-2"), ("''", None), ("", None)])
def test_inventory_label_is_found(label, want):
    text = f"{HEAD}metadata: {{name: a, labels: {{cli-utils.sigs.k8s.io/inventory-id: {label}}}}}\n"
    assert decode(text.encode()).entries[0].inventory_id == want


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: probes.lab.example.com}
spec:
  group: lab.example.com
  names: {kind: Probe, plural: probes}
  scope: %s
  versions: [{name: v1}, {name: v2, served: true}, {name: v0, served: false}, {name: 5}, x]
"""


@pytest.mark.parametrize(("scope", "namespaced"), [("Namespaced", True), ("Cluster", False)])
def test_custom_resource_definition_tells_what_it_defines(scope, namespaced):
    (entry,) = decode((CRD % scope).encode()).entries
    assert entry.defines == CustomKind("lab.example.com", "Probe", namespaced, ("v1", "v2"))


@pytest.mark.parametrize(
    "spec", ["spec: 1", "spec: {names: 1}", "spec: {names: {kind: 1}, group: a, versions: []}"]
)
def test_broken_custom_resource_definition_defines_nothing(spec):
    head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n"
    text = f"{head}{spec}\n"
    assert decode(text.encode()).entries[0].defines is None


def test_problem_never_shows_a_value():
    text = f"{HEAD}metadata: {{name: a, labels: {{v: 31337}}}}\n---\nspec: !!int hunter2\n---\nhunter2\n"
    assert not any(word in str(decode(text.encode())) for word in ("31337", "hunter2"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uid", '"0b6c"'),
        ("resourceVersion", '"7"'),
        ("managedFields", "[{manager: x}]"),
        ("deletionTimestamp", '"2026-01-01T00:00:00Z"'),
    ],
)
def test_what_only_the_server_sets_is_refused_and_the_object_stays_known(field, value):
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, {field}: {value}}}\n"
    found = decode(text.encode())
    assert found.complete
    assert not found.entries
    (problem,) = found.problems
    assert (problem.what, problem.mend) == (f"metadata.{field} is set by the API server", "remove it")
    assert problem.subject
    assert problem.subject.name == "a"


def test_empty_fields_of_a_generated_manifest_do_no_harm():
    metadata = "{name: a, creationTimestamp: null, uid: '', generation: 3}"
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\n"
    assert [entry.name for entry in decode(text.encode()).entries] == ["a"]


@pytest.mark.parametrize(
    ("kind", "rest", "rules"),
    [
        pytest.param("ClusterRole", "aggregationRule: {clusterRoleSelectors: []}", False, id="aggregated"),
        pytest.param("ClusterRole", "aggregationRule: null", True, id="not aggregated"),
        pytest.param("ClusterRole", "", True, id="plain"),
        pytest.param("Role", "aggregationRule: {}", True, id="another kind"),
    ],
)
def test_rules_that_the_control_plane_fills_in_are_not_declared(kind, rest, rules):
    head = f"apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n"
    text = f"{head}metadata: {{name: a}}\nrules: []\n{rest}\n"
    _, (body,) = decode_with_texts(text.encode())
    assert ("rules" in orjson.loads(body)) is rules
