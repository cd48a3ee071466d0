"""Texts made to hang, to crash or to run something: each ends soon, in an error with a line."""

import json
import time

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from reconciler.manifests import canonical
from reconciler.manifests.compose import allowed_alias_ratio
from reconciler.manifests.decode import decode, decode_with_texts
from reconciler.manifests.errors import DecodeError
from reconciler.manifests.yamlload import load_documents
from tests.fuzzing import examples

SOON = 8.0  # s; the slowest takes a tenth of it on an idle machine, hanging takes minutes


def laughs(levels: int, width: int = 9) -> str:
    """The document of the table: each level refers `width` times to the one before it."""
    members = ["x", *(f"*l{level}" for level in range(levels - 1))]
    return "".join(f"l{n}: &l{n} [{', '.join([one] * width)}]\n" for n, one in enumerate(members))


HOSTILE = [
    pytest.param(laughs(9), "excessive aliasing", 4, id="billion laughs"),
    pytest.param(laughs(4), "excessive aliasing", 4, id="4 levels of 9"),
    pytest.param(laughs(40), "excessive aliasing", 4, id="40 levels of 9"),
    pytest.param(
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\nb:\n" + "- <<: *a\n" * 5000,
        "excessive aliasing",
        None,
        id="merges of a large mapping",
    ),
    pytest.param(
        f"a: &a {'x' * 1_000_000}\nb: [" + "*a, " * 500 + "]",
        "excessive aliasing",
        2,
        id="few aliases of a huge scalar",
    ),
    pytest.param("a: " + "[" * 11_000 + "]" * 11_000, "nested deeper than 1,000 levels", 1, id="11,000 deep"),
    pytest.param("[" * 5_000_000, "nested deeper than 1,000 levels", 1, id="5 MB of brackets"),
    pytest.param("- {a: " + "{a: " * 1_000_000, "nested deeper", 1, id="a million braces"),
    pytest.param("- " * 100_000 + "x", "nested deeper than 1,000 levels", 1, id="dashes"),
    pytest.param("? " * 100_000 + "x", "nested deeper than 1,000 levels", 1, id="question marks"),
    pytest.param('{"a": ' + "[" * 1_000_000, "nested deeper than 1,000 levels", 1, id="JSON brackets"),
    pytest.param('{"a":' * 1_000_000, "nested deeper than 1,000 levels", 1, id="JSON braces"),
    pytest.param(
        "\n".join(f"a{n}: &a{n} " + "[" * 900 + (f"*a{n - 1}" if n else "") + "]" * 900 for n in range(9)),
        "nested deeper than 1,000 levels, through aliases",
        1,
        id="deep through aliases",
    ),
    pytest.param("[" + "a," * 1_200_000 + "]", "more than 1,000,000 values", 1, id="a million values"),
    pytest.param(
        '{"a": [' + "1," * 1_200_000 + "1]}", "more than 1,000,000 values", 1, id="a million JSON values"
    ),
    pytest.param("%TAG !a! x\n" * 300_000, "directives are not supported", 1, id="many directives"),
    pytest.param(
        "a: 1\n...\n" + "%TAG !a! x\n" * 300_000, "text after the end", 3, id="many directives at the end"
    ),
    pytest.param(" \n" * 1_000_000 + "@", "cannot start any token", 1_000_001, id="blank lines"),
    pytest.param("# x\n" * 1_000_000 + "\0", "control characters", 1_000_001, id="comments"),
    pytest.param("a: " + "9" * 4_000_000, "integer beyond 64 bits", 1, id="number of 4 million digits"),
    pytest.param("a: 0." + "9" * 4_000_000 + "x: y", "mapping values", 1, id="nearly a number"),
    pytest.param("\0" * 5_000_000, "control characters", 1, id="only NUL bytes"),
    pytest.param('{"a": "' + "\\" * 4_000_001 + '"}', "invalid string", 1, id="backslashes"),
]


@pytest.mark.parametrize(("text", "reason", "line"), HOSTILE)
def test_hostile_text_is_refused_soon(text, reason, line):
    started = time.process_time()
    with pytest.raises(DecodeError, match=reason) as caught:
        list(load_documents(text.encode()))
    assert time.process_time() - started < SOON
    if line is not None:
        assert caught.value.line == line
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("v: " + "[" * 500 + "]" * 500, id="nesting of 500"),
        pytest.param('{"v": ' + "[" * 500 + "]" * 500 + "}", id="nesting of 500 in JSON"),
        pytest.param("v: " + "[" * 999 + "]" * 999, id="nesting at the limit"),
        pytest.param("v: " + "{a: " * 999 + "1" + "}" * 999, id="mappings at the limit"),
        pytest.param("v: &v " + "[" * 400 + "1" + "]" * 400 + "\nw: *v\n", id="deep alias"),
        pytest.param(laughs(3), id="3 levels of 9"),
        pytest.param(
            "v:\n" + "".join(f"- {{name: n{n}, text: '{'x' * 60}'}}\n" for n in range(50_000)), id="4 MiB"
        ),
        pytest.param("v: |\n" + "  some text\n" * 400_000, id="a block scalar of 4 MiB"),
    ],
)
def test_large_but_honest_text_is_read_whole(text):
    (document,) = load_documents(text.encode())
    # Read again from our own dump, which has to be able to write whatever the loader takes.
    dumped = canonical.dump(document.body)
    (again,) = load_documents(dumped)
    assert canonical.dump(again.body) == dumped


def test_document_of_4_mib_is_whole():
    text = "a: 1\nv: " + "x" * 4 * 1024 * 1024
    (document,) = load_documents(text.encode())
    assert len(document.body["v"]) == 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("values", "ratio"),
    [(1, 0.99), (400_000, 0.99), (2_200_000, 0.545), (4_000_000, 0.10), (9_000_000, 0.10)],
)
def test_large_documents_may_alias_less(values, ratio):
    assert allowed_alias_ratio(values) == pytest.approx(ratio)


PIECES = st.sampled_from(
    [
        *(
            "a",
            "b: 1",
            "kind: List",
            "items:",
            "- ",
            "? ",
            ": ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\n",
            "\n  ",
            "\t",
            " ",
        ),
        *(
            "---",
            "\n---\n",
            "...",
            "#",
            "%YAML 1.2\n",
            "&x ",
            "*x",
            "<<: *x",
            "!!int ",
            "!!binary ",
            "!",
            "|\n",
            ">",
        ),
        *(
            '"',
            "'",
            "\\",
            "\\u",
            "\ufeff",
            "\u2028",
            "\x85",
            "\r",
            "0x",
            "1e",
            "~",
            "null",
            '{"a": ',
            "\0",
            "é",
            "@",
        ),
        *(
            "apiVersion: v1\n",
            "kind: Pod\n",
            "metadata: {name: a}\n",
            "metadata:\n",
            "  name: b\n",
            "  labels: ",
        ),
    ]
)


@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=40).map(lambda p: "".join(p).encode())))
@examples(600, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_decode_has_an_outcome_for_any_bytes(data):
    decoded = decode(data)
    assert len(decode_with_texts(data)[1]) == len(decoded.entries)
    assert decoded.complete or decoded.problems
    assert all(problem.line >= 1 and problem.what for problem in decoded.problems)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e15, 1e15)  # beyond them kubectl and Python write other digits of the same float
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=25,
)


@given(st.dictionaries(st.text(), VALUES))
@examples(150, derandomize=True)
def test_our_own_json_means_the_same_again(body):
    dumped = canonical.dump(body)
    (document,) = load_documents(dumped)
    # Integral floats become integers on the way, as they do in kubectl.
    assert document.body == json.loads(dumped)
    assert next(load_documents(canonical.dump(document.body))).body == document.body


@given(VALUES)
@examples(200, derandomize=True)
def test_deep_dump_writes_what_orjson_writes(body):
    assert canonical._dump_deep(body) == orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
