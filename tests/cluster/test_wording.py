"""What a 1.36 API server says, and what of it a person is shown."""

import pytest

from reconciler.cluster import errors
from reconciler.cluster.replies import Doing, from_status
from reconciler.cluster.wording import MESSAGE_LIMIT, readable, together
from tests.cluster.test_replies import TYPO, status

DUMP = '{"labels":{"a":"} x: y"},"Spec":{"Containers":[' + '{"Name":"c","Env":null},' * 40 + "{}]}}"
GO_DUMP = (
    'core.PodTemplateSpec{Name:"a }: \\" b", Labels:map[string]string(nil), N:[]int{1,2}, ' + "x" * 60 + "}"
)
IMMUTABLE = "the field cannot be changed: delete the object, or give it another name"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(f"Invalid value: {DUMP}: field is immutable", "field is immutable", id="JSON dump"),
        pytest.param(f"Invalid value: {GO_DUMP}: field is immutable", "field is immutable", id="Go dump"),
        pytest.param(f"Invalid value: &{GO_DUMP}: wrong", "wrong", id="Go pointer"),
        pytest.param(f"Invalid value: {DUMP[:300]}", "Invalid value", id="dump that was cut"),
        pytest.param(f"Duplicate value: {DUMP}", "Duplicate value", id="no sentence behind it"),
        pytest.param(f'Invalid value: "{"x" * 99}": too long', "too long", id="long text"),
        pytest.param(
            'Invalid value: ["10.0.0.7"]: may not change once set',
            'Invalid value: ["10.0.0.7"]: may not change once set',
            id="a short value stays",
        ),
        pytest.param(
            "Invalid value: 0: must be between 1 and 65535, inclusive",
            "Invalid value: 0: must be between 1 and 65535, inclusive",
            id="a number stays",
        ),
        pytest.param(
            "Required value: must specify one of the following: " + "x, " * 30 + "y",
            "Required value: must specify one of the following: " + "x, " * 30 + "y",
            id="a sentence is no value",
        ),
        pytest.param(
            'Forbidden: spec is immutable\n@@ -1,6 +1,6 @@\n {\n  "AccessModes": [\n',
            "Forbidden: spec is immutable",
            id="diff",
        ),
        pytest.param(
            "expected string, got &value.valueUnstructured{Value:1}", "expected string, got 1", id="number"
        ),
        pytest.param(
            "expected string, got &value.valueUnstructured{Value:true}",
            "expected string, got true",
            id="bool",
        ),
        pytest.param(
            'expected string, got &value.valueUnstructured{Value:map[string]interface {}{"k":"}"}} here',
            "expected string, got a mapping here",
            id="mapping",
        ),
        pytest.param(
            "expected string, got &value.valueUnstructured{Value:[]interface {}{1}}",
            "expected string, got a list",
            id="list",
        ),
        pytest.param(
            "expected string, got &value.valueUnstructured{Value:1", "expected string, got", id="cut"
        ),
    ],
)
def test_dumps_of_values_are_left_out(said: str, shown: str) -> None:
    assert readable(said) == shown


def test_the_first_causes_are_shown_together() -> None:
    causes = [(f"spec.f{n}", "wrong") for n in range(7)]
    assert together(causes[:2]) == "spec.f0: wrong; spec.f1: wrong"
    assert together(causes).endswith("spec.f4: wrong; and more")
    assert together([("", "Too long")]) == "Too long"
    assert len(together([("spec", "x" * 5000)])) <= MESSAGE_LIMIT + 1


@pytest.mark.parametrize(
    ("code", "message", "causes", "shown"),
    [
        pytest.param(
            422,
            f'Job.batch "j" is invalid: spec.template: Invalid value: {DUMP}: field is immutable',
            [{"field": "spec.template", "message": f"Invalid value: {DUMP}: field is immutable"}],
            f"spec.template: field is immutable; {IMMUTABLE}",
            id="immutable",
        ),
        pytest.param(
            422,
            "x",
            [
                {"field": "spec.parallelism", "message": "Invalid value: -1: must be at least 0"},
                {"field": "spec.template", "message": f"Invalid value: {DUMP}: field is immutable"},
            ],
            "spec.parallelism: Invalid value: -1: must be at least 0; spec.template: field is immutable; "
            "correct spec.parallelism in the manifest; spec.template cannot be changed in place: "
            "only a new object can have it (annotation reconciler.dev/replace)",
            id="immutable, and another mistake",
        ),
        pytest.param(
            422,
            'RoleBinding "r" is invalid: roleRef: Invalid value: {}: cannot change roleRef',
            [{"field": "roleRef", "message": "Invalid value: {}: cannot change roleRef"}],
            f"roleRef: Invalid value: {{}}: cannot change roleRef; {IMMUTABLE}",
            id="roleRef",
        ),
        pytest.param(
            422,
            "x",
            [
                {
                    "field": "spec",
                    "message": "Forbidden: updates to statefulset spec for fields other than 'replicas' are"
                    " forbidden",
                }
            ],
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden; "
            + IMMUTABLE,
            id="StatefulSet",
        ),
        pytest.param(
            422,
            'ConfigMap "c" is invalid: []: Too long: may not be more than 1048576 bytes',
            [{"field": "[]", "message": "Too long: may not be more than 1048576 bytes"}],
            "Too long: may not be more than 1048576 bytes; split it into several objects",
            id="no field",
        ),
        pytest.param(
            422, "x", [{"field": "", "message": "wrong"}], "wrong; correct the manifest", id="empty field"
        ),
        pytest.param(
            500,
            TYPO + "errors:\n  .data.a: expected string, got &value.valueUnstructured{Value:1}",
            None,
            ".data.a: expected string, got 1; correct .data.a in the manifest",
            id="number where text is wanted",
        ),
    ],
)
def test_what_a_person_is_told(code: int, message: str, causes: object, shown: str) -> None:
    got = from_status(code, status(message, causes=causes), doing=Doing("apply X"))
    assert isinstance(got, errors.Invalid)
    assert str(got) == f"apply X: {shown}"
