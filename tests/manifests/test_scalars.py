"""The table of plain and tagged scalars, measured with kubectl, and the edges of its rules."""

import json

import pytest

from reconciler.manifests import scalars
from reconciler.manifests.errors import DecodeError
from reconciler.manifests.yamlload import load_documents

AS_KUBECTL = (
    ("on", True),
    ("off", False),
    ("yes", True),
    ("No", False),
    ("y", True),
    ("n", False),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("", None),
    ("0o17", 15),
    ("017", 15),
    ("0x1F", 31),
    ("0b101", 5),
    ("1_000", 1000),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("1:30.5", "1:30.5"),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1.", 1),
    (".5", 0.5),
    ("+1", 1),
    ("-0", 0),
    ("2001-12-14", "2001-12-14"),
    ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
    ("2001-12-14 21:59:43", "2001-12-14 21:59:43"),
    ("1.0", 1),
    ("1.10", 1.1),
    ("3.14159265358979323846", 3.141592653589793),
    ("0.1e1", 1),
    ("=", "="),
    ("<<", "<<"),
    ('"on"', "on"),
    ("'1'", "1"),
    ("!!str 1", "1"),
    ('!!int "3"', 3),
    ("!!float 1", 1),
    ("!!binary aGk=", "hi"),
    ("!!timestamp 2001-12-14", "2001-12-14"),
    ("!foo bar", "bar"),
    ("!!set {a, b}", {"a": None, "b": None}),
    ("!!omap [a: 1]", [{"a": 1}]),
    ('!!bool "yes"', True),
    ('"\\x41"', "A"),
    ('"\\u00e9"', "é"),
    ("é", "é"),
    ("0o8", "0o8"),
    ("08", 8),
    ("0777", 511),
    ("0_7", 7),
    ("1__0", 10),
    ("0x", "0x"),
    (".", "."),
    ("--", "--"),
    ("1e", "1e"),
    ("e3", "e3"),
    ("+", "+"),
    ("1,000", "1,000"),
    ("1.2.3", "1.2.3"),
    ("10.0.0.1", "10.0.0.1"),
    ("0.0", 0),
    ("00", 0),
    ("-017", -15),
    ("{1: a}", {"1": "a"}),
    ("{true: a}", {"true": "a"}),
    ("{1.5: a}", {"1.5": "a"}),
    ("&a 1", 1),
    ("|\n    x\n    y", "x\ny\n"),
    (">-\n    x\n    y", "x y"),
    ('"a\tb"', "a\tb"),
    ("\t1", 1),
)
REFUSED = (
    ("+.inf", "infinity"),
    (".nan", "not-a-number"),
    ("12345678901234567890", "integer beyond 64 bits"),
    ("9223372036854775808", "integer beyond 64 bits"),
    ("123456789012345678901234567890", "integer beyond 64 bits"),
    ("1e400", "float beyond the range"),
    ("@at", "cannot start any token"),
    ("`tick", "cannot start any token"),
    ("%pc", "cannot start any token"),
    ("a: b", "mapping values are not allowed"),
    ("- x", "block sequence entries are not allowed"),
    ("[1,", "did not find expected node content"),
    ('"unterminated', "unexpected end of stream"),
    ("-", "block sequence entries are not allowed"),
    ("?", "mapping keys are not allowed"),
    ("{a: 1, a: 2}", 'duplicate key "a"'),
    ("{null: a}", "invalid map key: null"),
    ("{[1]: a}", "invalid map key: a list"),
    ("*a", "unknown anchor referenced"),
)
# Not in the table; each tried with kubectl 1.32 too.
EDGES = (
    (".5_0", 0.5),
    ("+.5", 0.5),
    ("1_0.5", 10.5),
    ("._5", "._5"),
    (".5_", ".5_"),
    ("1e_3", 1000),
    ("+0x1F", 31),
    ("-0o17", -15),
    ("-0b11", -3),
    ("-0.0", 0),
    ("1e19", 1e19),
    ("4611686018427387904.0", 4611686018427388000),
    ("-4611686018427387904.0", -4611686018427388000),
    ("9223372036854775807", 9223372036854775807),
    ("-9223372036854775808", -9223372036854775808),
    ("9007199254740993", 9007199254740993),
    ("0x7fffffffffffffff", 2**63 - 1),
    ("0b" + "1" * 63, 2**63 - 1),
    ("0" * 500 + "7", 7),
    ("0e999", 0),
    ('! "1"', "1"),
    ("! 1", "1"),
    ("!!str", ""),
    ('!!null ""', None),
    ("!!float 0x10", 16),
    ("!!str {a: b}", {"a": "b"}),
    ("!!python/object/apply:os.system [exit 1]", ["exit 1"]),
    ("!!python/name:os.system x", "x"),
    ('{"<<": 1}', {"<<": 1}),
    ("{on: 1}", {"true": 1}),
    ("{y: 1}", {"true": 1}),
    ("{017: 1}", {"15": 1}),
    ("{1e6: 1, 1e5: 2, 1e-7: 3}", {"1e+06": 1, "100000": 2, "1e-07": 3}),
    ("{.inf: 1, -.inf: 2, .nan: 3}", {".inf": 1, "-.inf": 2, ".nan": 3}),
    ("{2001-12-14: 1}", {"2001-12-14": 1}),
    ("{&k a: 1, b: *k}", {"a": 1, "b": "a"}),
)
REFUSED_EDGES = (
    ("-9223372036854775809", "integer beyond 64 bits"),
    ("0x8000000000000000", "integer beyond 64 bits"),
    ("9" * 100_000, "integer beyond 64 bits"),
    ("0x" + "f" * 100_000, "integer beyond 64 bits"),
    ("-1e400", "float beyond the range"),
    ("1e-400", "float beyond the range"),
    ("!!int 3.0", "cannot decode this value as a !!int"),
    ("!!int secret", "cannot decode this value as a !!int"),
    ("!!bool 1", "cannot decode this value as a !!bool"),
    ("!!null x", "cannot decode this value as a !!null"),
    ("!!float x", "cannot decode this value as a !!float"),
    ("!!timestamp 5", "cannot decode this value as a !!timestamp"),
    ("!!binary /w==", "!!binary value is not text"),
    ("!!binary a", "!!binary value contains invalid base64"),
    ("-.inf", "infinity"),
    ("{1.23456789: a}", "would be rounded"),
    ('{1: a, "1": b}', 'duplicate key "1"'),
    ("{true: a, y: b}", 'duplicate key "true"'),
    ("{{a: 1}: b}", "invalid map key: a mapping"),
)


def value_of(text: str) -> object:
    """What `text` means as the value of a key."""
    (document,) = load_documents(f"spec:\n  v: {text}\n".encode())
    return document.body["spec"]["v"]


def named(rows):
    return [pytest.param(*row, id=(row[0][:40] or "nothing")) for row in rows]


@pytest.mark.parametrize(("text", "want"), named(AS_KUBECTL))
def test_scalar_means_what_kubectl_makes_of_it(text, want):
    # As JSON, since in Python True equals 1 and 1 equals 1.0.
    assert json.dumps(value_of(text)) == json.dumps(want)


@pytest.mark.parametrize(("text", "reason"), named(REFUSED))
def test_scalar_that_kubectl_refuses_or_changes_is_an_error_with_its_line(text, reason):
    with pytest.raises(DecodeError, match=reason) as caught:
        value_of(text)
    assert caught.value.line in (2, 3)  # an open bracket is noticed on the line after it


@pytest.mark.parametrize(("text", "want"), named(EDGES))
def test_edge_of_the_rules_is_as_kubectl_has_it(text, want):
    assert json.dumps(value_of(text)) == json.dumps(want)


@pytest.mark.parametrize(("text", "reason"), named(REFUSED_EDGES))
def test_value_that_would_not_arrive_as_written_is_refused(text, reason):
    with pytest.raises(DecodeError, match=reason) as caught:
        value_of(text)
    assert caught.value.line == 2
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["2001-1-1", "2001-12-14 21:59:43.1", "2001-12-14T21:59:43Z"])
def test_timestamp_with_its_tag_stays_text(text):
    assert scalars.tagged(scalars.TIMESTAMP, text) == text
