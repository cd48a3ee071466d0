"""JSON files: as strict as kubectl's decoder, and with a line for every error."""

import json

import pytest

from reconciler.manifests.errors import DecodeError
from reconciler.manifests.yamlload import load_documents


def load(text: str) -> list[object]:
    return [document.body for document in load_documents(text.encode())]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            '{"a": [1, -2, 0.5, 1.0, 1e3, -0, true, false, null, "x", {}, []]}',
            {"a": [1, -2, 0.5, 1, 1000, 0, True, False, None, "x", {}, []]},
            id="every kind of value",
        ),
        pytest.param('{"v": 9223372036854775807}', {"v": 2**63 - 1}, id="64 bits stay exact"),
        pytest.param('{"v": 4611686018427387904.0}', {"v": 4611686018427388000}, id="float as Go writes it"),
        pytest.param('{"a\\n\\u00e9": "\\ud83d\\ude00\\/"}', {"a\né": "\U0001f600/"}, id="escapes"),
        pytest.param('{"v": "on", "on": 1}', {"v": "on", "on": 1}, id="no YAML rules for text"),
        pytest.param('{"<<": {"a": 1}}', {"<<": {"a": 1}}, id="no merges"),
        pytest.param("\t{\r\n}\n", {}, id="blanks around"),
    ],
)
def test_json_value_is_read_as_it_is(text, want):
    assert json.dumps(load(text)) == json.dumps([want])


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        pytest.param(
            '{"a": {\n"b": 1,\n}}',
            3,
            "invalid character '}' looking for beginning of object key string",
            id="trailing comma in an object",
        ),
        pytest.param(
            '{"a": [\n1,\n]}',
            3,
            "invalid character ']' looking for beginning of value",
            id="trailing comma in an array",
        ),
        pytest.param(
            '{"a": 1}\n---\nb: 1',
            2,
            "invalid character '-' looking for beginning of value",
            id="YAML after it",
        ),
        pytest.param('{"a": 1} x', 1, "invalid character 'x'", id="garbage after it"),
        pytest.param('{"a": 1, # c\n"b": 2}', 1, "invalid character '#' .* no comments", id="comment"),
        pytest.param('{"a": 1,\n// c\n"b": 2}', 2, "invalid character '/' .* no comments", id="comment of C"),
        pytest.param('{\n"a": 1,\n"a": 2}', 3, 'duplicate key "a"', id="duplicate key"),
        pytest.param(
            '{"a": {"b": 1, "b": 1}}', 1, 'duplicate key "b"', id="duplicate key with the same value"
        ),
        pytest.param(
            "{a: 1}",
            1,
            "invalid character 'a' looking for beginning of object key string",
            id="key without quotes",
        ),
        pytest.param('{"a" 1}', 1, "invalid character '1' after object key", id="no colon"),
        pytest.param('{"a": 1 "b": 2}', 1, "after object key:value pair", id="no comma"),
        pytest.param('{"a": [1 2]}', 1, "after array element", id="no comma in an array"),
        pytest.param('{"a": 1]', 1, "invalid character ']'", id="wrong bracket"),
        pytest.param('{"a": [\n1', 2, "unexpected end of file", id="cut off"),
        pytest.param('{"a": "x\n"}', 1, "invalid string", id="line break in a string"),
        pytest.param('{"a": "\\x41"}', 1, "invalid string", id="unknown escape"),
        pytest.param('{"a": "\\ud800"}', 1, "half of a surrogate pair", id="lone surrogate"),
        pytest.param('{"a": 12345678901234567890}', 1, "integer beyond 64 bits", id="large integer"),
        pytest.param(f'{{"a": {"9" * 100_000}}}', 1, "integer beyond 64 bits", id="huge integer"),
        pytest.param('{"a": 1e400}', 1, "float beyond the range", id="large float"),
        pytest.param('{"a": 01}', 1, "invalid character '1' after", id="leading zero"),
        pytest.param('{"a": NaN}', 1, "invalid character 'N'", id="not a number"),
        pytest.param('{"a": +1}', 1, "invalid character", id="plus sign"),
    ],
)
def test_json_error_names_its_line(text, line, reason):
    with pytest.raises(DecodeError, match=reason) as caught:
        load(text)
    assert caught.value.line == line


def test_values_before_an_error_are_kept():
    documents = load_documents(b'{"a": 1}\n{"b": 2}\n}')
    assert [next(documents).body, next(documents).body] == [{"a": 1}, {"b": 2}]
    with pytest.raises(DecodeError, match="line 3"):
        next(documents)
