"""Answers as a 1.36 API server gave them, and the error that each becomes."""

from typing import Any

import orjson
import pytest

from reconciler.cluster import errors
from reconciler.cluster.replies import Doing, from_status

DOING = Doing("apply Deployment.apps shop/web", write=True)
SECRET = Doing("apply Secret shop/login", secret=True, write=True)
CANARY = "c4n4ry"


def status(message: str = "", reason: str = "", name: str = "web", causes: Any = None) -> bytes:
    details = {"name": name, "causes": causes}
    return orjson.dumps({"kind": "Status", "message": message, "reason": reason, "details": details})


RBAC = (
    'deployments.apps "web" is forbidden: User "nobody" cannot patch resource "deployments" '
    'in API group "apps" in the namespace "shop"'
)
RBAC_CLUSTER = (
    'namespaces is forbidden: User "u" cannot list resource "namespaces" in API group "" at the cluster scope'
)
RBAC_ACTING = (
    'configmaps is forbidden: User "u" cannot impersonate-on:serviceaccount:list resource "configmaps" '
    'in API group "" at the cluster scope'
)
CONVERT = "failed to convert new object (shop/web; apps/v1, Kind=Deployment) to proper version: "
LIVE = "failed to create typed live object (shop/web; apps/v1, Kind=Deployment): "
BAN = 'pods "web" is forbidden: '
TYPO = "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        pytest.param(400, status("the name does not match"), errors.Invalid, "name does not match", id="400"),
        pytest.param(401, status("Unauthorized"), errors.Unauthorized, "credentials", id="401"),
        pytest.param(
            403,
            status(RBAC),
            errors.Forbidden,
            "user nobody may not patch deployments.apps in namespace shop (403); bind nobody to a Role in "
            'namespace shop with apiGroups ["apps"], resources ["deployments"], verbs ["patch"]',
            id="403 by RBAC says how to grant",
        ),
        pytest.param(
            403,
            status(RBAC_CLUSTER),
            errors.Forbidden,
            "may not list namespaces at cluster scope (403); bind u to a ClusterRole",
            id="403 at cluster scope",
        ),
        pytest.param(
            403,
            status(RBAC_ACTING),
            errors.Forbidden,
            "user u may not impersonate this account, to list configmaps at cluster scope (403); bind u to",
            id="403 of who may not act as another",
        ),
        pytest.param(
            403,
            status(BAN + "exceeded quota: q, requested: pods=1"),
            errors.QuotaExceeded,
            "exceeded quota: q",
            id="quota",
        ),
        pytest.param(
            403,
            status(BAN + "failed quota: q: must specify cpu"),
            errors.QuotaExceeded,
            "must specify",
            id="no cpu",
        ),
        pytest.param(
            403,
            status(BAN + "unable to create new content in namespace shop because it is being terminated"),
            errors.Terminating,
            "its namespace is being deleted",
            id="namespace that goes",
        ),
        pytest.param(
            403,
            status(BAN + 'violates PodSecurity "restricted:latest": privileged'),
            errors.AdmissionDenied,
            "so that PodSecurity lets it pass",
            id="pod security",
        ),
        pytest.param(
            422,
            status(
                BAN
                + "ValidatingAdmissionPolicy 'p.example.com' with binding 'b' denied request: is immutable"
            ),
            errors.AdmissionDenied,
            "so that p.example.com lets it pass",
            id="policy, whatever its status",
        ),
        pytest.param(
            400,
            status('admission webhook "w.example.com" denied the request: not on fridays'),
            errors.AdmissionDenied,
            "not on fridays; change the manifest so that w.example.com lets it pass",
            id="webhook, whatever its status",
        ),
        pytest.param(
            404,
            status('admission webhook "w.example.com" denied the request: no such team'),
            errors.AdmissionDenied,
            "no such team",
            id="webhook that says 404 does not say that the object is gone",
        ),
        pytest.param(
            500,
            status(
                'Internal error occurred: failed calling webhook "w.example.com": failed to call webhook: EOF'
            ),
            errors.WebhookUnavailable,
            "look at the webhook w.example.com",
            id="webhook that is down",
        ),
        pytest.param(
            403,
            status(
                BAN + 'user "u" (groups=["g"]) is attempting to grant RBAC permissions not currently held'
            ),
            errors.Forbidden,
            "escalate and bind",
            id="more rights than we have",
        ),
        pytest.param(
            403,
            status(BAN + "maximum cpu usage per Container is 1"),
            errors.Forbidden,
            "maximum cpu",
            id="limit",
        ),
        pytest.param(
            422,
            status('ConfigMap "admission webhook "w" denied the request" is invalid: metadata.name'),
            errors.Invalid,
            "is invalid",
            id="words of an object are not words of the server",
        ),
        pytest.param(
            404, status('deployments.apps "web" not found'), errors.NotFound, '"web" not found', id="404"
        ),
        pytest.param(
            404,
            status("the server could not find the requested resource", name=""),
            errors.KindNotServed,
            "does not serve this kind",
            id="404 of a kind is no NotFound",
        ),
        pytest.param(
            404, b"404 page not found\n", errors.KindNotServed, "address", id="404 of a proxy is no NotFound"
        ),
        pytest.param(
            409, status("x", "AlreadyExists"), errors.AlreadyExists, "exists already", id="409 exists"
        ),
        pytest.param(
            409, status("the object has been modified", "Conflict"), errors.Conflict, "modified", id="409"
        ),
        pytest.param(410, status("too old", "Expired"), errors.WatchExpired, "list again", id="410"),
        pytest.param(413, b"", errors.TooLarge, "413", id="413"),
        pytest.param(
            422,
            status("is invalid", causes=[{"field": "spec.selector", "message": "Required value"}]),
            errors.Invalid,
            "correct spec.selector in the manifest",
            id="422 names the fields",
        ),
        pytest.param(429, status("slow"), errors.TooManyRequests, "for load", id="429"),
        pytest.param(
            500,
            status(TYPO + ".spec.replicaz: field not declared in schema"),
            errors.Invalid,
            "correct .spec.replicaz in the manifest",
            id="500 for a typo",
        ),
        pytest.param(
            500,
            status(TYPO + ".spec.replicas: expected numeric (int or float), got string"),
            errors.Invalid,
            "correct .spec.replicas in the manifest",
            id="500 for a wrong type",
        ),
        pytest.param(
            500,
            status(
                CONVERT
                + "unable to convert unstructured object: quantities must match the regular expression"
            ),
            errors.Invalid,
            "quantities must match",
            id="500 for a bad quantity",
        ),
        pytest.param(
            500,
            status(CONVERT + "conversion webhook for example.org/v2, Kind=W failed: connection refused"),
            errors.ConversionFailed,
            "spec.conversion",
            id="500 for a conversion webhook that is down",
        ),
        pytest.param(
            500,
            status(LIVE + ".spec.x: field not declared in schema"),
            errors.Invalid,
            "compare",
            id="500 when the definition dropped a field",
        ),
        pytest.param(
            500, status("etcdserver: request timed out"), errors.ServerFault, "etcdserver", id="500"
        ),
        pytest.param(
            500,
            status("etcdserver: request is too large"),
            errors.TooLarge,
            "smaller",
            id="500 for etcd's limit",
        ),
        pytest.param(504, status("timed out", "Timeout"), errors.ServerTimeout, "load", id="504"),
        pytest.param(
            500,
            status("could not be completed", "ServerTimeout"),
            errors.ServerTimeout,
            "load",
            id="500 in time",
        ),
        pytest.param(503, b"<html>", errors.ServerFault, "failed (503)", id="503 of a proxy"),
        pytest.param(302, b"", errors.ServerFault, "login page", id="redirect"),
    ],
)
def test_answer_becomes(code: int, body: bytes, kind: type[errors.ClusterError], words: str) -> None:
    got = from_status(code, body, doing=DOING)
    assert type(got) is kind
    assert words in str(got)
    assert str(got).startswith("apply Deployment.apps shop/web: ")


RULE = '{"Rule":"self == oldSelff","Message":"field is immutable"}'
COMPILED = (
    f"Invalid value: {RULE}: compilation failed: ERROR: <input>:1:35: undeclared reference to 'oldSelff'\n"
    " | !has(oldSelf.immutable) || self == oldSelff\n | ......^"
)
STATEFUL = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals' and 'template' are forbidden"
)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (["Invalid value: null: field is immutable"], errors.Immutable),
        (['Invalid value: "a\\x00: \\" b": field is immutable'], errors.Immutable),
        ([f'Invalid value: {{"a":"{"x" * 999}"}}: field is immutable'], errors.Immutable),
        (['Invalid value: "x": field is immutable, except for updating from beta'], errors.Immutable),
        (["Forbidden: field is immutable when `immutable` is set"], errors.Immutable),
        (
            ["Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -1 +1 @@"],
            errors.Immutable,
        ),
        (['Invalid value: ["10.0.0.7"]: may not change once set'], errors.Immutable),
        (["Forbidden: may not be changed in an update."], errors.Immutable),
        (["Forbidden: updates to parameters are forbidden."], errors.Immutable),
        ([f"Forbidden: {STATEFUL}"], errors.Immutable),
        (["Forbidden: pod updates may not change fields other than `spec.tolerations`"], errors.Immutable),
        (["Invalid value: 1: field cannot be modified once set"], errors.Immutable),
        (['Invalid value: {"kind":"Role"}: cannot change roleRef'], errors.Immutable),
        (['Invalid value: "object": spec.storage is immutable'], errors.Immutable),
        (['Invalid value: "string": The class field cannot be changed after creation'], errors.Immutable),
        (["Invalid value: 1: field is immutable", "Required value"], errors.Invalid),
        (["Invalid value: 1: field is immutable"] * 25 + ["Required value"], errors.Invalid),
        ([COMPILED], errors.Invalid),
        (['Unsupported value: "immutable": supported values: "a"'], errors.Invalid),
        (['Unsupported value: "x": supported values: "field is immutable"'], errors.Invalid),
        (['Duplicate value: "field is immutable"'], errors.Invalid),
        (['Invalid value: "field is immutable": must be lower case'], errors.Invalid),
        (['Invalid value: "\\x01: field is immutable": must be lower case'], errors.Invalid),
        (['Invalid value: {"a":"} : field is immutable"}: must be lower case'], errors.Invalid),
        (["Invalid value: \"a\": in body should match 'spec is immutable'"], errors.Invalid),
        (['Invalid value: "a": needed if spec is immutable'], errors.Invalid),
        (['Invalid value: 1: size cannot be changed to less than "2"'], errors.Invalid),
        (["Required value: field is immutable"], errors.Invalid),
    ],
)
def test_only_what_the_server_itself_says_makes_a_field_immutable(
    said: list[str], kind: type[errors.ClusterError]
) -> None:
    body = status("x is invalid", causes=[{"field": "spec.a", "message": message} for message in said])
    assert type(from_status(422, body, doing=DOING)) is kind


def test_cause_of_a_secret_that_is_not_shown_counts() -> None:
    causes = [
        {"field": "type", "message": "Invalid value: 1: field is immutable"},
        {"field": f"spec {CANARY}", "message": "Required value"},
    ]
    assert type(from_status(422, status("x", causes=causes), doing=SECRET)) is errors.Invalid


@pytest.mark.parametrize("code", [400, 403, 404, 409, 413, 415, 422, 429, 500, 503, 418])
@pytest.mark.parametrize(
    "said",
    [
        f"Secret in version v1 cannot be handled: {{data: {{password: {CANARY}}}}}",
        TYPO + f".data.password: expected string, got &value.valueUnstructured{{{CANARY}}}",
        TYPO + f".data.{CANARY}%=: expected string",
        f'admission webhook "x" denied the request: password {CANARY} is weak',
    ],
)
def test_no_answer_about_a_secret_shows_what_the_server_says(code: int, said: str) -> None:
    causes = [{"field": "data[password]", "message": CANARY}, {"field": f"spec {CANARY}", "message": CANARY}]
    got = from_status(code, status(said, causes=causes), doing=SECRET)
    assert CANARY not in f"{got} {got!r} {getattr(got, 'causes', '')}"


def test_fields_of_a_secret_are_still_named() -> None:
    got = from_status(422, status("x", causes=[{"field": "data[password]", "message": CANARY}]), doing=SECRET)
    assert isinstance(got, errors.Invalid)
    assert got.causes == (("data[password]", "not accepted"),)


def test_what_a_secret_may_show_is_shown() -> None:
    causes = [
        {"field": "[]", "message": "Too long: may not be more than 1048576 bytes"},
        {"field": "type", "message": f'Invalid value: "{CANARY}": field is immutable'},
    ]
    got = from_status(422, status("x", causes=causes), doing=SECRET)
    assert isinstance(got, errors.Invalid)
    assert got.causes == (("", causes[0]["message"]), ("type", "field is immutable"))
    assert "not shown" not in str(got)


def test_keys_of_a_secret_that_are_not_base64_are_named_without_their_values() -> None:
    data = {"good": "YQ==", "bad": CANARY + "%", f"no key {CANARY}": "%", "lines": "YWJj\nZGVm\n", "n": 1}
    sent = orjson.dumps({"kind": "Secret", "data": data})
    body = status(CONVERT + "error decoding from json: illegal base64 data at input byte 2")
    got = from_status(500, body, doing=SECRET, sent=sent)
    assert isinstance(got, errors.Invalid)
    assert got.causes == (("data[bad]", "not base64"),)
    assert "data[bad]: not base64; " in str(got)
    assert CANARY not in str(got)
    assert "a value in data is not base64" in str(from_status(500, body, doing=SECRET))


def test_all_typos_are_listed() -> None:
    message = TYPO + "errors:\n  .spec.a: field not declared in schema\n  .spec.b: expected list, got string"
    got = from_status(500, status(message), doing=DOING)
    assert isinstance(got, errors.Invalid)
    assert got.causes == (
        (".spec.a", "field not declared in schema"),
        (".spec.b", "expected list, got string"),
    )


def test_long_messages_are_cut_and_stay_on_one_line() -> None:
    got = str(from_status(422, status("bad\nvalue " * 5000), doing=DOING))
    assert "\n" not in got
    assert len(got) < 1000


def test_retry_after_is_kept() -> None:
    got = from_status(429, b"", doing=DOING, retry_after=7.0)
    assert isinstance(got, errors.TooManyRequests)
    assert got.retry_after == 7.0


def test_every_error_has_a_reason_of_its_own() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ClusterError)
    ]
    reasons = [kind.reason for kind in kinds]
    assert len(set(reasons)) == len(kinds)
    assert all(reason == kind.__name__ for kind, reason in zip(kinds, reasons, strict=True))
