"""Values that an object takes from another one when it is applied: table 6.10 of the old engine, and more."""

import json
from typing import Any

import pytest

from reconciler.manifests.errors import ManifestInvalid, SubstitutionFailed
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.mutation import Substitution, Written, parse, substitute

SOURCE = ObjectRef("networking.k8s.io", "Ingress", "shop", "in")
PORT = "$.spec.rules[0].port"


def take(
    value: Any, into: Any, *, token: str = "", source_path: str = "$.value", target_path: str = "$.field"
) -> Any:
    """What `field` of a target becomes that held `into`, when it takes `value`."""
    one = Substitution(SOURCE, "", source_path, target_path, token)
    return substitute({"field": into}, (one,), {SOURCE: {"value": value}})["field"]


@pytest.mark.parametrize(
    ("value", "into", "token", "becomes"),
    [
        pytest.param(80, "${port}", "${port}", "80", id="number into a text with token"),
        pytest.param(80, 0, "", 80, id="number without token"),
        pytest.param("1.0", "${v}/${v}", "${v}", "1.0/1.0", id="two tokens in one field"),
        pytest.param(1.0, "v${v}", "${v}", "v1.0", id="a number stays as it is written"),
        pytest.param({"b": 1, "a": [True]}, "x${m}", "${m}", 'x{"b":1,"a":[true]}', id="map into a text"),
        pytest.param({"a": [1]}, None, "", {"a": [1]}, id="map without token"),
        pytest.param("new", "", "", "new", id="an empty text is enough"),
        pytest.param("new", "old", "${none}", "old", id="no token in the text: no change"),
        pytest.param(None, "${v}", "${v}", "null", id="null into a text"),
        pytest.param("${v}", "a${v}b", "${v}", "a${v}b", id="a value that looks like the token"),
    ],
)
def test_value_arrives(value, into, token, becomes):
    assert take(value, into, token=token) == becomes


def test_fields_are_chosen_by_filters():
    source = {"spec": {"ports": [{"name": "web", "port": 80}, {"name": "dns", "port": 53}]}}
    target = {"containers": [{"name": "a", "args": [""]}, {"name": "b", "args": ["", "x"]}]}
    one = Substitution(
        SOURCE, "", '$.spec.ports[?(@.name=="dns")].port', "$.containers[?(@.name=='b')].args[0]", ""
    )
    got = substitute(target, (one,), {SOURCE: source})
    assert got == {"containers": [{"name": "a", "args": [""]}, {"name": "b", "args": [53, "x"]}]}
    assert target["containers"][1]["args"] == ["", "x"], "what git has was changed"


def test_substitutions_run_in_their_order():
    first = Substitution(SOURCE, "", "$.a", "$.field", "${a}")
    then = Substitution(SOURCE, "", "$.b", "$.field", "${b}")
    got = substitute({"field": "${a}"}, (first, then), {SOURCE: {"a": "<${b}>", "b": 1}})
    assert got == {"field": "<1>"}


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        pytest.param({"source_path": "$.none"}, "matches no field", id="source has no such field"),
        pytest.param({"source_path": "$.*"}, None, id="one field by a wildcard"),
        pytest.param({"target_path": "$.none"}, "targetPath $.none matches no field", id="target has none"),
        pytest.param({"target_path": "$"}, "whole object", id="the whole target"),
        pytest.param({"target_path": "$..*"}, None, id="the only one in the depth"),
    ],
)
def test_path_matches_exactly_one_field_that_exists(paths, says):
    if says is None:
        assert take("canary", "", **paths) == "canary"
        return
    with pytest.raises(SubstitutionFailed) as caught:
        take("canary", "", **paths)
    assert says in caught.value.what
    assert "canary" not in str(caught.value)


def test_path_that_matches_two_fields_fails_without_a_value_in_the_message():
    one = Substitution(SOURCE, "", "$.list[*]", "$.field", "")
    with pytest.raises(SubstitutionFailed, match="more than one field") as caught:
        substitute({"field": ""}, (one,), {SOURCE: {"list": ["canary-1", "canary-2"]}})
    assert "canary" not in str(caught.value)


def test_token_wants_a_text_in_the_target():
    with pytest.raises(SubstitutionFailed, match="no text"):
        take(80, 0, token="${port}")


def written(**changes: Any) -> str:
    entry = {
        "sourceRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "in"},
        "sourcePath": PORT,
        "targetPath": "$.spec.port",
        **changes,
    }
    return json.dumps([{key: value for key, value in entry.items() if value is not None}])


def test_annotation_is_read():
    text = """
    - sourceRef: {group: apps, kind: Deployment, name: web, namespace: shop}
      sourcePath: $.status.replicas
      targetPath: $.spec.replicas
      token: ${n}
    """
    assert parse(text) == (
        Written("apps", "", "Deployment", "shop", "web", "$.status.replicas", "$.spec.replicas", "${n}"),
    )
    assert parse(written()) == (
        Written("networking.k8s.io", "v1", "Ingress", "", "in", PORT, "$.spec.port", ""),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "is no list", id="empty"),
        pytest.param("sourceRef: {}", "is no list", id="not a list"),
        pytest.param("[", "is no list", id="no YAML"),
        pytest.param("- x", "entry 0 has no sourceRef", id="entry is a text"),
        pytest.param(written(sourceRef=None), "entry 0 has no sourceRef", id="no source"),
        pytest.param(written(sourceRef={"kind": "A"}), "name of entry 0", id="source without name"),
        pytest.param(written(sourceRef={"name": "a"}), "kind of entry 0", id="source without kind"),
        pytest.param(written(sourcePath=None), "sourcePath of entry 0", id="no source path"),
        pytest.param(written(targetPath=7), "targetPath of entry 0 is no text", id="path is a number"),
        pytest.param(written(targetPath="spec.port"), "is no JSONPath", id="path without $"),
        pytest.param(written(targetPath="$.a["), "is no JSONPath", id="path is cut off"),
        pytest.param(
            written(sourcePath='$.a[?match(@.b,"(a+)+")]'), "is no JSONPath", id="regular expression"
        ),
        pytest.param(written(sourcePath="$..a..b"), "would take too long", id="twice through all depths"),
        pytest.param(written(sourcePath="$" + ".*" * 9), "would take too long", id="many wildcards"),
        pytest.param(written(sourcePath="$." + "a" * 600), "would take too long", id="very long path"),
        pytest.param(written(sourcePath="$" + "[?@" * 100), "is no JSONPath", id="deeply nested filters"),
        pytest.param("[" + "1," * 101 + "1]", "more than 100", id="too many"),
    ],
)
def test_annotation_that_cannot_be_used_says_why(text, says):
    with pytest.raises(ManifestInvalid) as caught:
        parse(text)
    assert says in caught.value.what
