"""
Load a file of JSON values as kubectl's decoder does, with line numbers.

Pure. Neither orjson nor the standard library tells of duplicate keys with their line, or
of the lines inside a List, and both recurse; so this is a small reader of our own, made
of one loop. Stricter than kubectl: duplicate keys, lone surrogates and numbers that would
not arrive as written are errors. yamlload.py decides whether a file is JSON.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError, decoder
from typing import Any

from reconciler.manifests import canonical, scalars
from reconciler.manifests.compose import duplicate_key
from reconciler.manifests.document import MAX_VALUES, Document
from reconciler.manifests.errors import DecodeError

_BLANK = re.compile(r"[ \t\n\r]*+")
_NUMBER = re.compile(r"(-?)((?:0|[1-9][0-9]*+))((?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+)", re.ASCII)
_WORDS: tuple[tuple[str, Any], ...] = (("true", True), ("false", False), ("null", None))
_CLOSING: dict[type, str] = {dict: "}", list: "]"}
# The standard library's own scanner in C; typeshed does not list it.
_scan_string: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]


def read_json(text: str) -> Iterator[Document | DecodeError]:
    """Every value of the text, in order; the first error is the last thing that comes."""
    reader = _Reader(text)
    try:
        while (document := reader.next_document()) is not None:
            yield document
    except DecodeError as error:
        yield error


@dataclass(slots=True)
class _Frame:
    value: Any
    key: str = ""


@dataclass(slots=True)
class _Reader:
    text: str
    position: int = 0
    frames: list[_Frame] = field(default_factory=list)
    item_lines: list[int] = field(default_factory=list)
    made: int = 0
    counted: tuple[int, int] = (0, 1)  # an index, and the line it is on

    def next_document(self) -> Document | None:
        self._skip()
        if self.position == len(self.text):
            return None
        self.item_lines, self.made = [], 0
        line = self._line(self.position)
        body = self._value()
        return Document(line, body, tuple(self.item_lines))

    def _value(self) -> Any:
        """Read one value to its end, however deep; leaves `position` behind it."""
        while True:
            self._begin()
            character = self._peek()
            if character in ("{", "["):
                self._open({} if character == "{" else [])
                if not self._at_end_of_empty():
                    continue
                value = self.frames.pop().value
            else:
                value = self._scalar()
            while self.frames:
                if self._place(value):
                    break
                value = self.frames.pop().value
            else:
                return value

    def _begin(self) -> None:
        self._skip()
        self.made += 1
        if self.made > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES:,} values in one document", "split it")
        in_items = len(self.frames) == 2 and self.frames[0].key == "items"  # noqa: PLR2004 - root, then its list
        if in_items and isinstance(self.frames[1].value, list):
            self.item_lines.append(self._line(self.position))

    def _open(self, value: Any) -> None:
        if len(self.frames) >= canonical.MAX_DEPTH:
            raise self._error(f"nested deeper than {canonical.MAX_DEPTH:,} levels")
        self.frames.append(_Frame(value))
        self.position += 1

    def _at_end_of_empty(self) -> bool:
        """Behind an opening bracket: step over the closing one, or read the first key."""
        self._skip()
        into = self.frames[-1].value
        if self._peek() == _CLOSING[type(into)]:
            self.position += 1
            return True
        if isinstance(into, dict):
            self._key(after="{")
        return False

    def _place(self, value: Any) -> bool:
        """Put a complete value into its frame; True if another one follows in there."""
        frame = self.frames[-1]
        if isinstance(frame.value, dict):
            frame.value[frame.key] = value
        else:
            frame.value.append(value)
        self._skip()
        character = self._peek()
        if character not in (",", _CLOSING[type(frame.value)]):
            raise self._unexpected(
                f"after {'object key:value pair' if self._in_object() else 'array element'}"
            )
        self.position += 1
        if character == "," and self._in_object():
            self._skip()
            self._key(after=",")
        return character == ","

    def _in_object(self) -> bool:
        return isinstance(self.frames[-1].value, dict)

    def _key(self, *, after: str) -> None:
        if self._peek() != '"':
            where = "object key string"
            mend = "remove the comma before it" if after == "," and self._peek() == "}" else ""
            raise self._unexpected(f"looking for beginning of {where}", mend)
        start = self.position
        key = self._string()
        frame = self.frames[-1]
        if key in frame.value:
            self.position = start
            raise self._error(duplicate_key(key), "keep one of them")
        frame.key = key
        self._skip()
        if self._peek() != ":":
            raise self._unexpected("after object key")
        self.position += 1

    def _scalar(self) -> Any:
        if self._peek() == '"':
            return self._string()
        for word, value in _WORDS:
            if self.text.startswith(word, self.position):
                self.position += len(word)
                return value
        if found := _NUMBER.match(self.text, self.position):
            value = self._number(found)
            self.position = found.end()
            return value
        mend = "remove the comma before it" if self._peek() == "]" else ""
        raise self._unexpected("looking for beginning of value", mend)

    def _number(self, found: re.Match[str]) -> int | float:
        try:
            if found[3]:
                return scalars.number(scalars.checked_float(found[0]))
            return scalars.checked_integer(found[2], 10, found[1] == "-")
        except ValueError as error:
            raise self._error(str(error), "quote it if it is meant as text") from None

    def _string(self) -> str:
        try:
            value, end = _scan_string(self.text, self.position + 1, True)
            value.encode()
        except JSONDecodeError as error:
            self.position = error.pos
            raise self._error(f"invalid string: {error.msg}") from None
        except UnicodeEncodeError:
            raise self._error("invalid string: half of a surrogate pair") from None
        self.position = end
        return value

    def _skip(self) -> None:
        self.position = _BLANK.match(self.text, self.position).end()  # type: ignore[union-attr] # may be empty

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _line(self, index: int) -> int:
        """Counted from the last one asked for: lines are asked for in order."""
        known, line = self.counted
        if index < known:
            known, line = 0, 1
        self.counted = (index, line + self.text.count("\n", known, index))
        return self.counted[1]

    def _error(self, what: str, mend: str = "") -> DecodeError:
        return DecodeError(self._line(self.position), f"JSON: {what}", mend)

    def _unexpected(self, where: str, mend: str = "") -> DecodeError:
        character = self._peek()
        if not character:
            return self._error("unexpected end of file")
        if character == "#" or self.text.startswith("//", self.position):
            mend = "JSON has no comments; remove it"
        return self._error(f"invalid character {character!r} {where}", mend)
