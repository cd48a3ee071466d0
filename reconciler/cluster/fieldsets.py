"""
Sets of fields as `managedFields` writes them (fieldsV1), and what manifests and sets have in common.

Pure. A set is a tree: `f:name` is a field, `k:{"name":"web"}` an item of a list by its keys,
`v:"x"` an item by its value, `.` the field or item itself; a node without children is owned
as a whole. managed.py reads the entries that hold these sets.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from reconciler.cluster.fields import named

Fields = Mapping[str, Any]

_ITSELF: Final = "."
_FIELD, _KEYS, _VALUE, _INDEX = "f:", "k:", "v:", "i:"
_PARTS: Final = 2  # of an element: what it is, and which
_ESCAPES: Final = (("~1", "/"), ("~0", "~"))  # of JSON pointers, in this order

_NOTHING: Final[Any] = object()


def unite(one: Fields, other: Fields) -> dict[str, Any]:
    """All fields of both."""
    united = dict(one)
    for key, below in other.items():
        united[key] = unite(united[key], below) if key in united else below
    return united


def minus(fields: Fields, other: Fields) -> dict[str, Any]:
    """The fields of the first set that are not in the second one."""
    left: dict[str, Any] = {}
    for key, below in fields.items():
        if key not in other:
            left[key] = below
        elif rest := minus(below, other[key]):
            left[key] = rest
    return left


def common(one: Fields, other: Fields) -> dict[str, Any]:
    """The fields that are in both."""
    shared: dict[str, Any] = {}
    for key in one.keys() & other.keys():
        # A node without children is a field of its own, and has nothing in common with a larger one.
        if (both := common(one[key], other[key])) or not (one[key] or other[key]):
            shared[key] = both
    return shared


def leaving(fields: Fields, body: Any) -> dict[str, Any]:
    """The fields of a set that a manifest does not name: an apply of it by their owner gives them up."""
    left: dict[str, Any] = {}
    for key, below in fields.items():
        if key == _ITSELF:
            continue
        value = _value_at(body, key)
        if value is _NOTHING:
            left[key] = below
        elif below and (rest := leaving(below, value)):
            left[key] = rest
    return left


def named_by(fields: Fields, body: Any) -> dict[str, Any]:
    """The fields of a set that a manifest names, each by itself: the opposite of `leaving`."""
    found: dict[str, Any] = {}
    for key, below in fields.items():
        value = _NOTHING if key == _ITSELF else _value_at(body, key)
        if value is _NOTHING:
            continue
        rest = named_by(below, value)
        if rest or not below:
            found[key] = rest
    return found


def without(value: Any, fields: Fields) -> Any:
    """An object, or a part of one, with the fields of a set taken out."""
    if isinstance(value, dict):
        left = {name: (its, fields.get(f"{_FIELD}{name}")) for name, its in value.items()}
        kept = {name: its if gone is None else _rest(its, gone) for name, (its, gone) in left.items()}
        return {name: its for name, its in kept.items() if its is not _NOTHING}
    if isinstance(value, list):
        return [its for item in value if (its := _item_without(item, fields)) is not _NOTHING]
    return value


def _rest(value: Any, gone: Fields) -> Any:
    if not gone.keys() - {_ITSELF}:
        return _NOTHING
    rest = without(value, gone)
    return _NOTHING if _ITSELF in gone and not rest else rest


def _item_without(item: Any, fields: Fields) -> Any:
    for key, gone in fields.items():
        if _value_at([item], key) is not _NOTHING:
            return _NOTHING if _ITSELF in gone or not gone else without(item, gone)
    return item


def below(fields: Fields, body: Any, pointer: str) -> dict[str, Any]:
    """
    The part of a set at a JSON pointer and beneath it.

    An item of a list is named by its place in the manifest `body`, where the item has to be:
    sets know items by their keys. Raises ValueError where the text is not a pointer.
    """
    return _below(fields, body, split_pointer(pointer))


def split_pointer(pointer: str) -> tuple[str, ...]:
    """`/metadata/annotations/a~1b` -> metadata, annotations, a/b; ValueError where it names no field."""
    if not pointer.startswith("/") or pointer == "/":
        raise ValueError("not a JSON pointer")
    segments = pointer[1:].split("/")
    for escape, text in _ESCAPES:
        segments = [segment.replace(escape, text) for segment in segments]
    return tuple(segments)


def _below(fields: Fields, body: Any, segments: Sequence[str]) -> dict[str, Any]:
    if not segments:
        return dict(fields)
    first, rest = segments[0], segments[1:]
    if isinstance(body, list):
        item = body[int(first)] if first.isdecimal() and int(first) < len(body) else _NOTHING
        keys = [key for key in fields if key.startswith(_KEYS) and _has_keys(item, key)]
    else:
        item = body.get(first) if isinstance(body, Mapping) else None
        keys = [_FIELD + first] if _FIELD + first in fields else []
    found: dict[str, Any] = {}
    for key in keys:
        part = _below(fields[key], item, rest)
        if part or not (rest or fields[key]):
            found[key] = part
    return found


def paths(fields: Fields) -> Iterator[str]:
    """The fields of a set as people write them: `.spec.template.spec.containers[name="web"].image`."""
    yield from _paths(fields, "")


def _paths(fields: Fields, above: str) -> Iterator[str]:
    if _ITSELF in fields or not fields:
        # An item or mapping that is named as a whole says enough.
        yield above or _ITSELF
        return
    for key, below in fields.items():
        yield from _paths(below, named(above, key))


def _value_at(body: Any, key: str) -> Any:
    """What a manifest has where a set says `key`; `_NOTHING` if it has nothing there."""
    kind, name = key[:_PARTS], key[_PARTS:]
    if kind == _FIELD:
        return body.get(name, _NOTHING) if isinstance(body, Mapping) else _NOTHING
    if not isinstance(body, list):
        return _NOTHING
    if kind == _KEYS:
        return next((item for item in body if _has_keys(item, key)), _NOTHING)
    if kind == _VALUE:
        return next((item for item in body if item == orjson.loads(name)), _NOTHING)
    if kind == _INDEX:
        return body[int(name)] if int(name) < len(body) else _NOTHING
    return _NOTHING


def _has_keys(item: Any, key: str) -> bool:
    # A key that the manifest leaves out has its default (`protocol: TCP` of a port).
    keys = _decoded(key[_PARTS:])
    return isinstance(item, Mapping) and all(item.get(name, value) == value for name, value in keys.items())


def _decoded(text: str) -> dict[str, Any]:
    keys = orjson.loads(text)
    return keys if isinstance(keys, dict) else {}
