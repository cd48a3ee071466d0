"""The table of documents and files, measured with kubectl; stricter where it would lose something."""

import json

import pytest

from reconciler.manifests.compose import Notes
from reconciler.manifests.errors import DecodeError
from reconciler.manifests.yamlload import load_documents, load_with_notes, read_documents

HEAD = "apiVersion: lab.example.com/v1\nkind: Probe\n"
A = f"{HEAD}metadata: {{name: a}}\n"
B = f"{HEAD}metadata: {{name: b}}\n"
JSON_A = '{"apiVersion": "lab.example.com/v1", "kind": "Probe", "metadata": {"name": "a"}}'
JSON_B = JSON_A.replace('"a"', '"b"')


def load(text: str | bytes) -> list[object]:
    return [document.body for document in load_documents(text if isinstance(text, bytes) else text.encode())]


def names(text: str | bytes) -> str:
    """Names and specs as the table writes them: `a; b` or `a {"v": 1}`."""
    found = []
    for body in load(text):
        spec = f" {json.dumps(body['spec'])}" if "spec" in body else ""
        found.append(body["metadata"]["name"] + spec)
    return "; ".join(found)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(A + "---\n" + B, "a; b", id="two documents"),
        pytest.param("---\n" + A + "---\n", "a", id="leading --- and trailing ---"),
        pytest.param(A + "--- # comment\n" + B, "a; b", id="separator with a comment"),
        pytest.param(A + "---  \t\n" + B, "a; b", id="separator with trailing blanks"),
        pytest.param(A + "...\n---\n" + B, "a; b", id="... then ---"),
        pytest.param(A + "spec:\n  v: |\n---\n", 'a {"v": ""}', id="--- at column 0 ends a block scalar"),
        pytest.param(
            A + "spec:\n  v: |\n    x\n    ---\n    y\n",
            'a {"v": "x\\n---\\ny\\n"}',
            id="--- indented is text",
        ),
        pytest.param(A + "---\n# nothing\n---\n" + B, "a; b", id="comment-only document between"),
        pytest.param(A + "---\nnull\n---\n" + B, "a; b", id="null document"),
        pytest.param("", "", id="empty file"),
        pytest.param("# one\n\n# two\n", "", id="only comments"),
        pytest.param("---\n---\n---\n", "", id="only separators"),
        pytest.param(f"{A}x: &x {{p: 1}}\nspec:\n  <<: *x\n  q: 3\n", 'a {"p": 1, "q": 3}', id="merge key"),
        pytest.param(
            f"{A}x: [&x {{p: 1}}, &y {{p: 5, q: 2}}]\nspec:\n  <<: [*x, *y]\n",
            'a {"p": 1, "q": 2}',
            id="merge of a list of maps: the first wins",
        ),
        pytest.param(
            f"{A}x: &x {{p: 1}}\nspec:\n  <<: *x\n  p: 2\n",
            'a {"p": 2}',
            id="a key wins over the merge before it",
        ),
        pytest.param(f"{A}spec: {{<<: {{p: 1}}}}\n", 'a {"p": 1}', id="merge of a mapping in place"),
        pytest.param(f"{A}spec: {{v: &x [1], w: *x}}\n", 'a {"v": [1], "w": [1]}', id="anchor and alias"),
        pytest.param(
            f"{A}spec: {{v: &x 1, w: &x 2, z: *x}}\n", 'a {"v": 1, "w": 2, "z": 2}', id="anchor again"
        ),
        pytest.param(b"\xef\xbb\xbf" + A.encode(), "a", id="UTF-8 BOM"),
        pytest.param((A + "---\n" + B).replace("\n", "\r\n"), "a; b", id="CRLF lines"),
        pytest.param(("\ufeff" + A + "---\n" + B).encode("utf-16-le"), "a; b", id="UTF-16 little endian"),
        pytest.param(("\ufeff" + A).encode("utf-16-be"), "a", id="UTF-16 big endian"),
        pytest.param(A + "---\n\ufeff" + B, "a; b", id="BOM of a file that was appended"),
        pytest.param(JSON_A, "a", id="JSON"),
        pytest.param(JSON_A + "\n" + JSON_B, "a; b", id="two JSON objects"),
        pytest.param(JSON_A + JSON_B, "a; b", id="two JSON objects without a blank"),
        pytest.param(f"# head\n{JSON_A}", "a", id="JSON after a comment is YAML"),
        pytest.param(A + "---\n" + JSON_B + "\n", "a; b", id="JSON as a second document is YAML"),
        pytest.param(
            A + f"spec: {{v: {'x' * 1_000_000}}}\n", f'a {{"v": "{"x" * 1_000_000}"}}', id="a long line"
        ),
        pytest.param(A + 'spec: {v: "\U0001f600"}\n', 'a {"v": "\\ud83d\\ude00"}', id="astral characters"),
        pytest.param(A + 'spec: {v: "a\x85b"}\n', 'a {"v": "a b"}', id="NEL is a line break"),
    ],
)
def test_file_holds_what_kubectl_finds_in_it(text, want):
    assert names(text) == want


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        pytest.param(
            A + "--- apiVersion: v1\n", 4, "invalid document separator", id="content on the separator"
        ),
        pytest.param(A + "---foo\n", 4, "invalid document separator", id="word that begins with ---"),
        pytest.param(A + "...\n" + B, 5, "text after the end of the document", id="... then a document"),
        pytest.param(
            f"{HEAD}metadata:\n  name: a\n  name: b\n", 5, 'duplicate key "name"', id="duplicate in metadata"
        ),
        pytest.param(f"{A}spec:\n  v: 1\n  v: 2\n", 6, 'duplicate key "v"', id="duplicate in spec"),
        pytest.param(f"{A}spec: 1\nspec: 2\n", 5, 'duplicate key "spec"', id="duplicate at the top"),
        pytest.param(
            f"{A}x: &x {{p: 1}}\nspec:\n  p: 2\n  <<: *x\n",
            7,
            '`<<` after key "p"',
            id="merge over a key before it",
        ),
        pytest.param(
            f"{A}x: &x [{{p: 1}}]\nspec:\n  <<: *x\n", 6, "map merge requires", id="merge of an aliased list"
        ),
        pytest.param(f"{A}spec:\n  <<: 1\n", 5, "map merge requires", id="merge of a number"),
        pytest.param(
            f"{A}x: &x 1\n---\ny: *x\n", 6, "unknown anchor referenced", id="anchor of the former document"
        ),
        pytest.param(f"{A}spec:\n\tv: 1\n", 5, "cannot start any token", id="tab as indentation"),
        pytest.param(f"{A}spec: ".encode() + b"\xff\n", 4, "not valid UTF-8", id="bad UTF-8"),
        pytest.param(b"\xff\xfea", 1, "not valid UTF-16", id="half a UTF-16 character"),
        pytest.param(b"\xff\xfe\x00\xd8a\x00", 1, "not valid UTF-16", id="half a surrogate pair"),
        pytest.param(A + "spec: \0\n", 4, "control characters are not allowed", id="NUL byte"),
        pytest.param(
            A + "spec: a\x9fb\n", 4, "control characters are not allowed", id="C1 control character"
        ),
        pytest.param("# x\n%YAML 1.2\n---\n" + A, 2, "directives are not supported", id="%YAML"),
        pytest.param("%TAG ! tag:x,2000:\n---\n" + A, 1, "directives are not supported", id="%TAG"),
        pytest.param(f"{A}spec: {{v: *nope}}\n", 4, "unknown anchor referenced", id="unknown anchor"),
        pytest.param(f"{A}spec:\n  ? [a]\n  : 1\n", 5, "invalid map key: a list", id="complex key"),
        pytest.param(
            f"{A}spec: &s {{v: *s}}\n", 4, "anchor 's' value contains itself", id="self-referring alias"
        ),
        pytest.param(
            f"{A}spec: &s [[*s]]\n", 4, "anchor 's' value contains itself", id="alias inside itself, deeper"
        ),
        pytest.param('"a" "b"\n', 1, "text after the end of the document", id="two values in a document"),
        pytest.param("a: 1\r---\rb: 2\r", 1, "text after the end", id="separator that only libyaml sees"),
        pytest.param("a: 1\n  b: 2\n", 2, "mapping values are not allowed", id="wrong indentation"),
        pytest.param('a: "x\nb: 1\n', 1, "end of stream", id="open quote is shown where it opens"),
    ],
)
def test_file_that_is_refused_names_line_and_reason(text, line, reason):
    with pytest.raises(DecodeError, match=reason) as caught:
        load(text)
    assert (caught.value.line, caught.value.where) == (line, f"line {line}")


def test_documents_after_a_broken_one_are_still_read():
    found = list(read_documents(f"{A}---\nx: @\n--- y\nz: 1\n---\n{B}".encode()))
    assert [type(one).__name__ for one in found] == ["Document", "DecodeError", "DecodeError", "Document"]
    assert [one.line for one in found] == [1, 5, 6, 9]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(f"# c\n\n{A}---\n\n{B}", [3, 8], id="YAML, blank lines and comments before"),
        pytest.param(f"---\n{A}", [2], id="separator before"),
        pytest.param(f"\r\n# c\r\n{A}", [3], id="CRLF"),
        pytest.param(f"\n{JSON_A}\n\n{JSON_B}", [2, 4], id="JSON"),
    ],
)
def test_document_knows_the_line_on_which_it_starts(text, lines):
    assert [document.line for document in load_documents(text.encode())] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("kind: List\nitems:\n- a: 1\n\n- b:\n  - 1\n  - 2\n- c\n", (3, 5, 8), id="YAML"),
        pytest.param(
            '{"x": {"items": [\n1]},\n"items": [\n{"items": [\n1]},\n\n2, [3]]}', (4, 7, 7), id="JSON"
        ),
        pytest.param("kind: List\nx: {items: [1]}\n", (), id="items of something else"),
    ],
)
def test_document_knows_the_lines_of_its_items(text, lines):
    (document,) = load_documents(text.encode())
    assert document.item_lines == lines


def test_aliased_values_do_not_share_what_a_caller_may_change():
    (body,) = load("x: &x {a: [1]}\nv: *x\nw: {<<: *x}\n")
    body["x"]["a"].append(2)
    assert body == {"x": {"a": [1, 2]}, "v": {"a": [1]}, "w": {"a": [1]}}


def test_positions_lead_to_keys_and_items():
    body, notes = load_with_notes(
        b"# c\ngitops:\n  manifest_projects:\n  - id: a\n    ref: {tag: x}\n  - id: b\n"
    )
    assert body["gitops"]["manifest_projects"][1] == {"id": "b"}
    projects = ("gitops", "manifest_projects")
    assert notes.positions[()] == (2, 1)
    assert notes.positions["gitops",] == (2, 1)
    assert notes.positions[projects] == (3, 3)
    assert notes.positions[*projects, 0] == (4, 5)
    assert notes.positions[*projects, 0, "ref", "tag"] == (5, 11)
    assert notes.positions[*projects, 1, "id"] == (6, 5)
    assert (notes.flaws, notes.whole) == ([], True)


def test_notes_of_an_empty_file_are_empty():
    assert load_with_notes(b"# nothing\n---\n") == (None, Notes())


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "a: 1\na: 2\nb: {c: 1, c: 2}", "2:1 a duplicate key | 3:11 b.c duplicate key", id="keys twice"
        ),
        pytest.param(
            "a: {b: 1}\na: {c: 1, c: 1}",
            "2:1 a duplicate key | 2:11 a.c duplicate key",
            id="inside the second",
        ),
        pytest.param(
            "a: [1, 18446744073709551616]", "1:8 a.1 integer beyond 64 bits", id="integer in a list"
        ),
        pytest.param("a: 1e999\nb: .inf", "1:4 a float beyond | 2:4 b infinity", id="floats"),
        pytest.param("a: !!int x\nb: !!binary _", "1:4 a cannot decode | 2:4 b !!binary", id="tags"),
        pytest.param(
            "18446744073709551616: 1", "1:1 18446744073709551616 integer beyond", id="integer as key"
        ),
        pytest.param(
            "a: {? [b] : 1, c: .inf}", "1:9 a invalid map key | 1:19 a.c infinity", id="list as key"
        ),
        pytest.param("a: *b\nc: &c [*c]", "1:4 a unknown anchor | 2:8 c.0 anchor 'c' value", id="anchors"),
        pytest.param(
            "a:\n  <<: 1\nb: {c: 1, <<: {c: 2}}", "2:7 a map merge | 3:20 b.c `<<` after", id="merges"
        ),
        pytest.param(
            "a: 1\na: 2\n---\nb: .inf",
            "2:1 a duplicate | 4:4 b infinity | 4:1  a second document",
            id="two documents",
        ),
        pytest.param("a: 1\na: 2\nb: [", "2:1 a duplicate | 4:1  while parsing", id="then no YAML"),
        pytest.param("a: 1\n  b: 2", "2:4  mapping values", id="no YAML"),
        pytest.param("a: 1\nbc: \0", "2:5  control characters", id="control character"),
        pytest.param("a: 1\nb: c\n... d", "3:5  text after", id="text behind the end"),
        pytest.param("ä: \udcff", "1:4  not valid UTF-8", id="not UTF-8"),
    ],
)
def test_all_that_is_wrong_is_noted_with_place_and_path(text, want):
    _, notes = load_with_notes(text.encode(errors="surrogateescape"))
    for flaw, (place, path, reason) in zip(
        notes.flaws, (each.split(" ", 2) for each in want.split(" | ")), strict=True
    ):
        got = f"{flaw.error.line}:{flaw.error.column} {'.'.join(map(str, flaw.path))}"
        assert got == f"{place} {path}"
        assert reason in flaw.error.what


def test_first_value_of_a_key_stays_and_what_cannot_be_read_is_replaced_by_text():
    body, notes = load_with_notes(b"a: 1\na: 2\nb: 18446744073709551616\nc: [*x, 3]\n")
    assert body == {"a": 1, "b": "18446744073709551616", "c": ["*x", 3]}
    assert [(flaw.path, flaw.replaced) for flaw in notes.flaws] == [
        (("a",), False),
        (("b",), True),
        (("c", 0), True),
    ]
    assert notes.whole


def test_what_cannot_be_read_to_its_end_is_not_whole():
    assert not load_with_notes(b"a: [")[1].whole
    assert not load_with_notes(b"a: 1\n---\nb: 2\n")[1].whole
