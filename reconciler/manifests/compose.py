"""
Build the value of one YAML document from libyaml's parse events.

The only importer of `yaml`. Neither PyYAML's composer nor its constructors run: values
come from scalars.py, so no tag can start anything, and nothing recurses. What an alias
would add is counted before it is used, and an expanded value is never walked first.
yamlload.py splits a file into documents and calls this for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from reconciler.errors import shown_name
from reconciler.manifests import canonical, scalars
from reconciler.manifests.document import MAX_VALUES, Document
from reconciler.manifests.errors import DecodeError

Path = tuple[str | int, ...]

_QUOTE: Final = "quote it if it is meant as text"

_NO_KEY: Final = object()  # a mapping waits for its next key
_MERGE: Final = object()  # the key was `<<`
_SELF: Final = object()  # an anchor whose value is not complete yet

# kubectl's bound (goyaml v2): small documents may consist of aliased values to 99 %, from 4,000,000
# values on to 10 %; it counts from 100 aliased values in 1,000.
_RATIO_LOW, _RATIO_HIGH = 400_000, 4_000_000
_FREE_ALIASED, _FREE_VALUES = 100, 1_000
# Ours in addition, since kubectl counts values and not their length: characters that aliases may add.
# Eight times what a request to the API server could carry of it anyway.
_ALIASED_CHARACTERS = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Flaw:
    """A part that cannot be read; if it is a value (`replaced`), a text stands in for it at `path`."""

    path: Path
    error: DecodeError
    replaced: bool = False


@dataclass(slots=True)
class Notes:
    """
    What a person needs to mend a text: where its parts stand (1-based line and column of each
    key and list item), and all that is wrong with it. `whole` is False if its end was not read.
    """

    positions: dict[Path, tuple[int, int]] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    whole: bool = True


@dataclass(slots=True)
class _Anchor:
    value: Any
    size: int  # values in it, aliases expanded
    characters: int  # of the source, aliases expanded


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being filled."""

    value: Any
    event: Any  # that opened it
    made: int  # counters at its start, from which the size of an anchor follows
    characters: int
    path: Path
    key: Any = _NO_KEY
    dropped: bool = False  # what comes under the waiting key is read, and put nowhere
    merged: set[str] = field(default_factory=set)  # keys that came from `<<` and may be overridden


def compose(text: str, *, line: int, notes: Notes | None = None) -> tuple[Document | None, int]:
    """
    Read the first document of `text`, whose first line is `line` of the file.

    Returns it (None: there is none) and the index behind it. Raises DecodeError. With `notes`,
    which are filled, wrong keys and values are noted there, and only what ends the reading
    is raised.
    """
    try:
        return _Composer(yaml.parse(text, Loader=yaml.CSafeLoader), line, notes).run(len(text))
    except yaml.YAMLError as error:
        raise _refusal(error, line) from None


def allowed_alias_ratio(made: int) -> float:
    """The share of aliased values that kubectl allows in a document of `made` values."""
    over = min(max(made - _RATIO_LOW, 0), _RATIO_HIGH - _RATIO_LOW)
    return 0.99 - 0.89 * over / (_RATIO_HIGH - _RATIO_LOW)


class _Composer:
    def __init__(self, events: Iterator[Any], line: int, notes: Notes | None) -> None:
        self._next = events.__next__
        self._line = line
        self._notes = notes
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Any] = {}
        self._item_lines: list[int] = []
        self._made = 0
        self._aliased = 0
        self._aliased_characters = 0
        self._shared = False  # an alias put one list or mapping into two places

    def run(self, length: int) -> tuple[Document | None, int]:
        self._next()  # stream start
        if isinstance(self._next(), StreamEndEvent):
            return None, length
        first = self._next()
        line = self._at(first)
        body = self._value(first)
        end: Any = self._next()  # libyaml itself sees to it that this is the end of the document
        if self._shared:
            body = self._unshared(body, line)
        return Document(line, body, tuple(self._item_lines)), end.end_mark.index

    def _value(self, event: Any) -> Any:
        """Read events up to the end of the value that `event` begins."""
        frames = self._frames
        while True:
            kind = type(event)
            if kind is ScalarEvent:
                self._begin(event)
                value = self._scalar(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = self._close(event)
            elif kind is AliasEvent:
                self._begin(event)
                value = self._alias(event)
            else:
                self._open(event, {} if kind is MappingStartEvent else [])
                event = self._next()
                continue
            if not frames:
                return self._plain_value(value, event)
            self._place(frames[-1], value, event)
            event = self._next()

    def _begin(self, event: Any) -> None:
        """Count a value, and note where it starts if it is a member of a list."""
        self._made += 1
        if self._made > MAX_VALUES:
            raise self._error(event, f"more than {MAX_VALUES:,} values in one document", "split it")
        if self._frames and isinstance(self._frames[-1].value, list):
            parent = self._frames[-1]
            if len(self._frames) == 2 and self._frames[0].key == "items":  # noqa: PLR2004 - root, then its list
                self._item_lines.append(self._at(event))
            if self._notes is not None:
                self._mark((*parent.path, len(parent.value)), event)

    def _open(self, event: Any, value: Any) -> None:
        self._begin(event)
        if len(self._frames) >= canonical.MAX_DEPTH:
            raise self._error(event, f"nested deeper than {canonical.MAX_DEPTH:,} levels")
        if event.anchor:
            self._anchors[event.anchor] = _SELF
        path = () if self._notes is None else self._here()
        self._frames.append(_Frame(value, event, self._made, self._aliased_characters, path))

    def _close(self, event: Any) -> Any:
        frame = self._frames.pop()
        if anchor := frame.event.anchor:
            written = event.end_mark.index - frame.event.start_mark.index
            added = self._aliased_characters - frame.characters
            self._anchors[anchor] = _Anchor(frame.value, self._made - frame.made + 1, written + added)
        return frame.value

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        try:
            if event.tag is not None:
                value = scalars.tagged(event.tag, text)
            else:
                value = scalars.plain(text) if event.implicit[0] else text
        except ValueError as error:
            self._replaced(self._error(event, str(error), _QUOTE), key=text)
            value = text
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(value, 1, len(text))
        return value

    def _alias(self, event: Any) -> Any:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            # Its name is not shown: "password: *hunter2" without quotes is an alias too.
            self._replaced(self._error(event, "unknown anchor referenced", _QUOTE))
            return f"*{event.anchor}"
        if anchor is _SELF:
            self._replaced(self._error(event, f"anchor '{shown_name(event.anchor)}' value contains itself"))
            return f"*{event.anchor}"
        self._made += anchor.size
        self._aliased += anchor.size
        self._aliased_characters += anchor.characters
        self._check_aliases(event)
        if isinstance(anchor.value, list | dict):
            self._shared = True
        return anchor.value

    def _check_aliases(self, event: Any) -> None:
        many = self._aliased > _FREE_ALIASED and self._made > _FREE_VALUES
        if (
            (many and self._aliased / self._made > allowed_alias_ratio(self._made))
            or self._made > MAX_VALUES
            or self._aliased_characters > _ALIASED_CHARACTERS
        ):
            raise self._error(event, "document contains excessive aliasing", "write the values out instead")

    def _place(self, frame: _Frame, value: Any, event: Any) -> None:
        """Put a complete value where it belongs: into a list, as a key, or under the waiting key."""
        into = frame.value
        if isinstance(into, list):
            into.append(self._plain_value(value, event))
        elif frame.key is _NO_KEY:
            frame.key = self._key(frame, value, event)
        else:
            if frame.key is _MERGE:
                self._merge(frame, value, event)
            elif not frame.dropped:
                into[frame.key] = self._plain_value(value, event)
            frame.key, frame.dropped = _NO_KEY, False

    def _plain_value(self, value: Any, event: Any) -> Any:
        if type(value) is not float:
            return value
        try:
            return scalars.number(value)
        except ValueError as error:
            self._replaced(self._error(event, str(error), _QUOTE))
            return str(value)

    def _key(self, frame: _Frame, value: Any, event: Any) -> Any:
        if value == "<<" and type(event) is ScalarEvent and (event.implicit[0] or event.tag == scalars.MERGE):
            return _MERGE
        if type(value) is str:
            key = value
        else:
            try:
                key = scalars.key(value)
            except ValueError as error:
                self._flawed(Flaw(frame.path, self._error(event, str(error), "use a string as key")))
                frame.dropped = True
                return ""
        if key in frame.value and key not in frame.merged:
            twice = self._error(event, duplicate_key(key), "keep one of them")
            self._flawed(Flaw((*frame.path, key), twice))
            frame.dropped = True
            return key
        frame.merged.discard(key)
        if self._notes is not None:
            self._mark((*frame.path, key), event)
        return key

    def _merge(self, frame: _Frame, value: Any, event: Any) -> None:
        """`<<: *map` or `<<: [*first, *second]`: the first of a list wins, the mapping's own keys always."""
        in_place = isinstance(value, list) and type(event) is SequenceEndEvent
        sources = value[::-1] if in_place else [value]
        if not all(isinstance(source, dict) for source in sources):
            what = "map merge requires map or sequence of maps as the value"
            self._flawed(Flaw(frame.path, self._error(event, what)))
            return
        into = frame.value
        for source in sources:
            for key in source:
                if key in into and key not in frame.merged:
                    # kubectl lets the merge win here, YAML's own rule the key: whoever wrote it lost one.
                    what = f"`<<` after key {shown(key)} would override it"
                    self._flawed(Flaw((*frame.path, key), self._error(event, what, "put `<<` first")))
                    return
            into.update(source)
            frame.merged.update(source)

    def _unshared(self, body: Any, line: int) -> Any:
        """A copy in which no two places share a list or mapping, so that a change of one stays there."""
        try:
            return orjson.loads(canonical.dump(body))
        except orjson.JSONDecodeError:  # the only thing it can dislike about its own text
            what = f"nested deeper than {canonical.MAX_DEPTH:,} levels, through aliases"
            raise DecodeError(line, what) from None

    def _here(self, key: str = "") -> Path:
        """The path of the value that is read; `key` is its text, in case that it is a key itself."""
        if not self._frames:
            return ()
        frame = self._frames[-1]
        if isinstance(frame.value, list):
            return (*frame.path, len(frame.value))
        if frame.key is _NO_KEY:
            return (*frame.path, key)
        return (*frame.path, frame.key) if isinstance(frame.key, str) else frame.path

    def _mark(self, path: Path, event: Any) -> None:
        if self._notes is not None:
            # The first one stays: what is in a second value of the same key goes nowhere.
            self._notes.positions.setdefault(path, (self._at(event), event.start_mark.column + 1))

    def _replaced(self, error: DecodeError, *, key: str = "") -> None:
        self._flawed(Flaw(self._here(key), error, replaced=True))

    def _flawed(self, flaw: Flaw) -> None:
        """Note what is wrong; without notes, the first flaw ends the reading."""
        if self._notes is None:
            raise flaw.error from None
        self._notes.flaws.append(flaw)

    def _error(self, event: Any, what: str, mend: str = "") -> DecodeError:
        return DecodeError(self._at(event), what, mend, column=event.start_mark.column + 1)

    def _at(self, event: Any) -> int:
        return self._line + int(event.start_mark.line)


def duplicate_key(key: str) -> str:
    """The same words for YAML and JSON."""
    return f"duplicate key {shown(key)}"


def shown(key: str) -> str:
    """A key for a message, in quotes."""
    return f'"{shown_name(key)}"'


def _refusal(error: yaml.YAMLError, line: int) -> DecodeError:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    context = getattr(error, "context", None)
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    if "end of stream" in problem:
        marks.reverse()  # where the quote or bracket was opened helps, the end of the file does not
    mark = next((m for m in marks if m is not None), None)
    what = f"{context}: {problem}" if context else str(problem)
    mend = "correct the YAML there"
    if "cannot start any token" in what:
        mend = "indent with blanks, not tabs; quote values that begin with a special character"
    return DecodeError(line + (mark.line if mark else 0), what, mend, column=mark.column + 1 if mark else 1)
