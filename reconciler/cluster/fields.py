"""
Fields of an object as a person writes them down, and what `fieldsV1` of managedFields says of them.

Pure. `.spec.template.spec.containers[name="web"].image` names the same field everywhere: in
a plan's diff and in the table of who owns what.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_SORT: Final = 2  # characters of an element that say what sort it is of
_DEPTH: Final = 200
"""Levels that are told apart; deeper ones are one field. Real objects have about 20."""


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""A field that is not there; None is a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """One entry of managedFields: who, how, and when they last wrote the object (not each field)."""

    name: str
    operation: str
    subresource: str = ""
    time: str = ""
    """As the server wrote it, whole seconds; "" where it did not."""


def child(path: str, name: str) -> str:
    """The path of a field of a map."""
    return f"{path}.{name}" if _PLAIN.fullmatch(name) else f"{path}[{_json(name)}]"


def item(path: str, keys: Mapping[str, Any]) -> str:
    """The path of an item of a list, by the fields that tell it from the others."""
    return f"{path}[{','.join(f'{name}={_json(value)}' for name, value in keys.items())}]"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def owners(metadata: Mapping[str, Any]) -> list[tuple[Manager, Mapping[str, Any]]]:
    """Every entry of managedFields with its fieldsV1, as far as they are such."""
    entries = metadata.get("managedFields")
    return [
        (
            Manager(
                name=str(entry.get("manager") or ""),
                operation=str(entry.get("operation") or ""),
                subresource=str(entry.get("subresource") or ""),
                time=str(entry.get("time") or ""),
            ),
            entry["fieldsV1"],
        )
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict)
    ]


def owned(fields: Mapping[str, Any], *objects: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """
    Each field that a fieldsV1 names, deepest first named alone, with its value in each of `objects`.

    A field that an object does not have is `MISSING` there.
    """
    # A stack, as what other clients own may be nested deeper than Python calls.
    waiting: list[tuple[Mapping[str, Any], str, tuple[Any, ...], int]] = [(fields, "", objects, 0)]
    while waiting:
        current, path, values, depth = waiting.pop()
        below = [(key, its) for key, its in current.items() if key != "."]
        if not below or depth >= _DEPTH:
            if path:
                yield path, values
            continue
        for key, its in sorted(below, key=lambda pair: pair[0], reverse=True):
            found = tuple(_found(value, key) for value in values)
            waiting.append((its if isinstance(its, dict) else {}, named(path, key), found, depth + 1))


def named(path: str, key: str) -> str:
    """The path one level down: `f:name` a field, `k:{…}` an item by keys, `v:…` by value, `i:n` by place."""
    sort, rest = key[:_SORT], key[_SORT:]
    if sort == "f:":
        return child(path, rest)
    decoded = _decoded(rest)
    if sort == "k:" and isinstance(decoded, dict):
        return item(path, decoded)
    return f"{path}[{rest}]" if sort == "i:" else f"{path}[={_json(decoded)}]"


def _found(value: Any, key: str) -> Any:
    """What a value holds at the element `key`, or MISSING."""
    sort, rest = key[:_SORT], key[_SORT:]
    if sort == "f:":
        return value.get(rest, MISSING) if isinstance(value, dict) else MISSING
    if not isinstance(value, list):
        return MISSING
    decoded = _decoded(rest)
    if sort == "k:" and isinstance(decoded, dict):
        return _item(value, decoded)
    if sort == "i:" and isinstance(decoded, int):
        return value[decoded] if 0 <= decoded < len(value) else MISSING
    return decoded if decoded in value else MISSING


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _item(items: Sequence[Any], keys: Mapping[str, Any]) -> Any:
    for its in items:
        # A manifest may leave out a key that has a default, as the protocol of a port.
        if isinstance(its, dict) and all(its.get(name, wanted) == wanted for name, wanted in keys.items()):
            return its
    return MISSING
