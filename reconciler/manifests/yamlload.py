"""
Load manifest text as kubectl does: which bytes are documents, which of them are JSON.

Pure. Follows kubectl's decoder: text is split at lines that begin with `---`, a file that
begins with `{` is JSON. Stricter than kubectl where it drops text or replaces bytes: bad
UTF-8, anything behind the end of a document, directives. compose.py builds YAML values,
jsonload.py JSON values; decode.py turns documents into objects, config/ into settings.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from reconciler.manifests.compose import Flaw, Notes, compose
from reconciler.manifests.document import Document
from reconciler.manifests.errors import DecodeError
from reconciler.manifests.jsonload import read_json

_SEPARATOR = re.compile(r"^---[^\n]*\n?", re.MULTILINE)
_BREAK = "\n\r\x85\u2028\u2029"  # what libyaml takes for the end of a line
# Possessive, so that no text makes them try twice.
_BLANK = rf"(?:[ \t]*+(?:#[^{_BREAK}]*+)?+[{_BREAK}])*+[ \t]*+"
_BLANKS = re.compile(rf"{_BLANK}(?:#[^{_BREAK}]*+)?+")
_DIRECTIVE = re.compile(rf"{_BLANK}%")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_JSON_LOOK_AHEAD = 4096  # characters in which kubectl looks for the `{` that makes a file JSON
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def load_documents(data: bytes) -> Iterator[Document]:
    """Every document that is not empty, in order; raises DecodeError at the first that cannot be read."""
    for found in read_documents(data):
        if isinstance(found, DecodeError):
            raise found
        yield found


def load_with_notes(data: bytes) -> tuple[Any, Notes]:
    """
    The one document of a file, None if it is empty, where its parts stand, and what is wrong.

    Positions go by paths such as `("gitops", "manifest_projects", 0, "id")`. What came through
    an alias or a merge has no place of its own: look for the closest parent. Always read as
    YAML, which JSON is part of. Raises nothing: a text that cannot be read to its end is a
    flaw as well.
    """
    notes = Notes()
    body: Any = None
    try:
        for chunk in _chunks(_text(data)[0]):
            document = _compose(chunk, Notes(flaws=notes.flaws) if body is not None else notes)
            if document is None or document.body is None:
                continue
            if body is not None:
                what = "a second document"
                raise DecodeError(document.line, what, "keep one document in this file")  # noqa: TRY301
            body = document.body
            notes.positions[()] = (document.line, 1)
    except DecodeError as error:
        notes.flaws.append(Flaw((), error))
        notes.whole = False
    return body, notes


def read_documents(data: bytes) -> Iterator[Document | DecodeError]:
    """As `load_documents`, but an error takes the place of a document and those after it still come."""
    try:
        text, marked = _text(data)
        if not marked and text[:_JSON_LOOK_AHEAD].lstrip().startswith("{"):
            yield from (d for d in read_json(text) if isinstance(d, DecodeError) or d.body is not None)
            return
    except DecodeError as error:
        yield error
        return
    yield from _read_yaml(text)


def _read_yaml(text: str) -> Iterator[Document | DecodeError]:
    for chunk in _chunks(text):
        try:
            document = _compose(chunk, None)
        except DecodeError as error:
            yield error
        else:
            if document is not None and document.body is not None:
                yield document


def _text(data: bytes) -> tuple[str, bool]:
    """The characters of a file without its byte order mark, and whether it had one."""
    encoding, start = "utf-8", 0
    for mark, name in _BOMS:
        if data.startswith(mark):
            encoding, start = name, len(mark)
    try:
        return data[start:].decode(encoding), start > 0
    except UnicodeDecodeError as error:
        before = data[start : start + error.start].decode(encoding, "replace")
        what = f"not valid {encoding.upper()}: {error.reason}"
        raise _refused(before, len(before), what, "save the file as UTF-8") from None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The text between two separators; `line` is the number of its first line."""

    line: int
    text: str
    bad_separator: int = 0  # the line of a separator before it that has text behind its `---`


def _chunks(text: str) -> Iterator[_Chunk]:
    line, start, bad = 1, 0, 0
    for found in _SEPARATOR.finditer(text):
        yield _Chunk(line, text[start : found.start()], bad)
        line += text.count("\n", start, found.start())
        rest = found[0].removeprefix("---").strip()
        bad = line if rest and not rest.startswith("#") else 0
        line += 1
        start = found.end()
    yield _Chunk(line, text[start:], bad)


def _refused(text: str, index: int, what: str, mend: str = "", *, line: int = 1) -> DecodeError:
    """The error about the character at `index`; `line` is that of the text's beginning."""
    column = index - text.rfind("\n", 0, index)
    return DecodeError(line + text.count("\n", 0, index), what, mend, column=column)


def _compose(chunk: _Chunk, notes: Notes | None) -> Document | None:
    """The document of a chunk, if it has one. Raises DecodeError."""
    text = chunk.text.removeprefix("\ufeff")
    refused = partial(_refused, text, line=chunk.line)
    if chunk.bad_separator:
        what = "invalid document separator: text follows `---`"
        raise DecodeError(chunk.bad_separator, what, "put the text on a line of its own")
    if bad := _UNPRINTABLE.search(text):
        raise refused(bad.start(), f"control characters are not allowed (U+{ord(bad[0]):04X})")
    # Also a guard: libyaml compares each directive with all before it.
    if found := _DIRECTIVE.match(text):
        raise refused(found.end(), "YAML directives are not supported", "remove the line")
    document, end = compose(text, line=chunk.line, notes=notes)
    end = _BLANKS.match(text, end).end()  # type: ignore[union-attr] # it matches nothing, too
    if end < len(text):
        raise refused(end, "text after the end of the document", "begin a new document with `---`")
    return document
