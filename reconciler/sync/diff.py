"""
What would change in an object, field by field.

Pure. Two ways to know: `difference` compares the live object with what the API server says
it would make of an apply (a dry-run), `subset` only what the manifest itself says, for those who
may not ask. No value of a Secret, nor of its annotations, gets into a `FieldChange`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal

import orjson

from reconciler.cluster.fields import MISSING, child, item, owned
from reconciler.cluster.managed import LAST_APPLIED
from reconciler.manifests import canonical
from reconciler.sync import marks

_KEPT_BY_SERVER: Final = frozenset(
    {
        "managedFields",
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    }
)
_OUR_ANNOTATIONS: Final = frozenset({marks.PROJECT, marks.OWNING_INVENTORY, marks.APPLIED})
_KEYS: Final = (
    ("containerPort", "protocol"),
    ("port", "protocol"),
    ("mountPath",),
    ("devicePath",),
    ("topologyKey", "whenUnsatisfiable"),
    ("uid",),
    ("name",),
    ("ip",),
    ("key",),
    ("type",),
)
"""What tells items of a list apart, tried in this order: all of them must have it, no two the same."""
_DEFAULTS: Final = {"protocol": "TCP"}
_DEPTH: Final = 64
"""Levels that are compared field by field; below it is one value. Real objects have about 20."""


class Mask(Enum):
    """What of an object may not be shown."""

    NOTHING = 0
    SECRET = 1
    """The values of a Secret, and whatever else no Secret should have."""
    EVERYTHING = 2
    """All, since values of a Secret were put into it, wherever."""


_OPEN: Final[Mapping[Mask, re.Pattern[str]]] = {
    Mask.NOTHING: re.compile(r".*", re.DOTALL),
    Mask.SECRET: re.compile(
        r"\.(?:apiVersion|kind|type|immutable)"
        r"|\.metadata(?:\.(?:name|namespace|labels|finalizers|ownerReferences)\b.*)?",
        re.DOTALL,
    ),
    Mask.EVERYTHING: re.compile(r"\.(?:apiVersion|kind|metadata|metadata\.name|metadata\.namespace)"),
}
_STEPS: Final = re.compile(r"[.\[]")
_ODD_NAME: Final = re.compile(r"[^\w./\[\]\"=,-]")
"""No name of a Secret's key or annotation: a value in the wrong place, for all we know."""

TOO_DEEP: Final = "(nested too deep to be shown)"

Word = Literal["added", "removed", "changed", "reordered"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field; `old` and `new` are its values as JSON has them, both None where they are `masked`."""

    path: str
    change: Word
    old: Any = None
    new: Any = None
    masked: bool = False

    def as_json(self) -> dict[str, Any]:
        """The stable names of `-o json`."""
        values = {} if self.masked else {"old": self.old, "new": self.new}
        return {"path": self.path, "change": self.change, "masked": self.masked, **values}


def difference(
    live: Mapping[str, Any], after: Mapping[str, Any], declared: Mapping[str, Any], *, mask: Mask
) -> tuple[FieldChange, ...]:
    """
    From the live object to what an apply would make of it; `declared` is what git has.

    Of what is wholly new only that is told which git declares: the rest are the server's defaults.
    """
    comparing = _Comparing(mask=mask, whole=True)
    return tuple(comparing.compare("", visible(live), visible(after), visible(declared), 0))


def subset(live: Mapping[str, Any], declared: Mapping[str, Any], *, mask: Mask) -> tuple[FieldChange, ...]:
    """
    Where the live object differs from what git declares.

    What the server would add, refuse or write in another way is not seen, nor what would be removed.
    """
    wanted = visible(_with_encoded(declared))
    comparing = _Comparing(mask=mask, whole=False)
    return tuple(comparing.compare("", visible(live), wanted, wanted, 0))


def with_ownership(
    changes: Iterable[FieldChange],
    live: Mapping[str, Any],
    declared: Mapping[str, Any],
    *,
    removed: Mapping[str, Any],
    kept: Mapping[str, Any],
    mask: Mask,
) -> tuple[FieldChange, ...]:
    """
    The changes as they are where ownership of fields is settled before an apply.

    Sets of fields, as fieldsV1 has them: `removed` left git and would go, `kept` left git and stay.
    """
    staying = {path for path, _ in owned(kept)}
    told = [change for change in changes if not _is_among(change.path, staying)]
    named = {change.path for change in told}
    comparing = _Comparing(mask=mask, whole=False)
    wanted = visible(_with_encoded(declared))
    for path, (has, wants) in owned(removed, visible(live), wanted):
        # A Secret's stringData gives up what was applied as data, and writes it again.
        if has is not MISSING and wants is MISSING and not _is_among(path, named):
            told.append(comparing.told(path, "removed", has, None))
    return tuple(told)


def _is_among(path: str, others: Set[str]) -> bool:
    """Whether a field, or one that it is a part of, is among `others`."""
    return path in others or any(path[: its.start()] in others for its in _STEPS.finditer(path))


def declares(declared: Mapping[str, Any], *, mask: Mask) -> tuple[FieldChange, ...]:
    """Every field of an object that does not exist yet, as git declares it; who it is needs no telling."""
    shown = visible(_with_encoded(declared))
    rest = {name: value for name, value in shown["metadata"].items() if name not in ("name", "namespace")}
    body = {name: value for name, value in shown.items() if name not in ("apiVersion", "kind", "metadata")}
    comparing = _Comparing(mask=mask, whole=True)
    return tuple(comparing.flat("", {**body, **({"metadata": rest} if rest else {})}, 0))


def visible(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the server keeps in it, without its status and without our marks."""
    metadata = {
        name: value for name, value in _map(body.get("metadata")).items() if name not in _KEPT_BY_SERVER
    }
    for part, dropped in (
        ("labels", frozenset({marks.INSTANCE_LABEL})),
        ("annotations", _OUR_ANNOTATIONS | {LAST_APPLIED}),
    ):
        kept = {name: value for name, value in _map(metadata.pop(part, None)).items() if name not in dropped}
        if kept:
            metadata[part] = kept
    rest = {name: value for name, value in body.items() if name not in ("metadata", "status")}
    return {**rest, "metadata": metadata}


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _with_encoded(secret: Mapping[str, Any]) -> dict[str, Any]:
    """An object as the server keeps it: the stringData of a Secret in its data."""
    if (secret.get("apiVersion"), secret.get("kind")) != ("v1", "Secret"):
        return dict(secret)
    given = _map(secret.get("stringData"))
    encoded = {
        name: base64.b64encode(text.encode(errors="replace")).decode()
        for name, text in given.items()
        if isinstance(text, str)
    }
    if not given or len(encoded) < len(given):
        return dict(secret)
    rest = {name: value for name, value in secret.items() if name != "stringData"}
    return {**rest, "data": {**_map(secret.get("data")), **encoded}}


class _Comparing:
    """One comparison; `whole`: what the second object lacks is gone, otherwise nothing is said of it."""

    def __init__(self, *, mask: Mask, whole: bool) -> None:
        self._open = _OPEN[mask]
        self._is_secret = mask is Mask.SECRET
        self._whole = whole

    def compare(self, path: str, old: Any, new: Any, declared: Any, depth: int) -> Iterator[FieldChange]:
        if depth < _DEPTH and isinstance(old, dict) and isinstance(new, dict):
            yield from self._maps(path, old, new, declared, depth)
        elif depth < _DEPTH and (keys := _common_keys(old, new)):
            yield from self._items(path, keys, old, new, declared, depth)
        elif not self._same(path, old, new):
            yield self.told(path, "changed", old, new)

    def _maps(
        self, path: str, old: dict[str, Any], new: dict[str, Any], declared: Any, depth: int
    ) -> Iterator[FieldChange]:
        names = sorted({*old, *new} if self._whole else new)
        for name in names:
            its = _map(declared).get(name, MISSING)
            yield from self._one(
                child(path, name), old.get(name, MISSING), new.get(name, MISSING), its, depth
            )

    def _one(self, path: str, old: Any, new: Any, declared: Any, depth: int) -> Iterator[FieldChange]:
        if old is MISSING or new is MISSING:
            yield from self._appears(path, old, new, declared, depth)
        else:
            yield from self.compare(path, old, new, declared, depth + 1)

    def _appears(self, path: str, old: Any, new: Any, declared: Any, depth: int) -> Iterator[FieldChange]:
        """A field that only one side has."""
        value, word = (new, "added") if old is MISSING else (old, "removed")
        if not self._whole and _is_nothing(value):
            return  # a server keeps no empty map, list or text
        if self._is_masked(path) and isinstance(value, dict):
            for name, its in sorted(value.items()):
                yield from self._appears(
                    child(path, name),
                    MISSING if word == "added" else its,
                    its if word == "added" else MISSING,
                    MISSING,
                    depth + 1,
                )
        elif word == "added":
            yield self.told(
                path, "added", None, value if declared is MISSING else _restricted(value, declared)
            )
        else:
            yield self.told(path, "removed", value, None)

    def _items(
        self,
        path: str,
        keys: tuple[str, ...],
        old: list[Any],
        new: list[Any],
        declared: Any,
        depth: int,
    ) -> Iterator[FieldChange]:
        before, after = _by_key(old, keys), _by_key(new, keys)
        wanted = _by_key(declared, keys) if isinstance(declared, list) and _can_key(declared, keys) else {}
        gone = [key for key in before if key not in after] if self._whole else []
        for key in (*after, *gone):
            where = item(path, dict(zip(keys, key, strict=True)))
            yield from self._one(
                where, before.get(key, MISSING), after.get(key, MISSING), wanted.get(key, MISSING), depth
            )
        kept = [key for key in before if key in after]
        if self._whole and kept != [key for key in after if key in before]:
            yield self.told(path, "reordered", _names(before), _names(after))

    def flat(self, path: str, value: Any, depth: int) -> Iterator[FieldChange]:
        """Every leaf of a value that is new."""
        if depth < _DEPTH and isinstance(value, dict) and value:
            for name, its in sorted(value.items()):
                yield from self.flat(child(path, name), its, depth + 1)
        elif depth < _DEPTH and isinstance(value, list) and (keys := _common_keys(value, value)):
            for key, its in _by_key(value, keys).items():
                yield from self.flat(item(path, dict(zip(keys, key, strict=True))), its, depth + 1)
        else:
            yield self.told(path, "added", None, value)

    def told(self, path: str, word: Word, old: Any, new: Any) -> FieldChange:
        """A change, without its values where they are secret."""
        if not self._is_masked(path):
            return FieldChange(path, word, _showable(old), _showable(new))
        if odd := _ODD_NAME.search(path):
            path = f"{path[: odd.start()]}…"
        return FieldChange(path, word, masked=True)

    def _is_masked(self, path: str) -> bool:
        return self._open.fullmatch(path) is None

    def _same(self, path: str, old: Any, new: Any) -> bool:
        if canonical.dump(old) == canonical.dump(new):
            return True
        if self._whole:
            return False
        if self._is_secret and path.startswith(".data") and isinstance(old, str) and isinstance(new, str):
            return _decoded(old) == _decoded(new)
        return _same_as_stored(path, old, new)


def _showable(value: Any) -> Any:
    """The value, if it can be written as JSON that others can read."""
    try:
        orjson.dumps(value)
    except TypeError:
        return TOO_DEEP
    return value


def _is_nothing(value: Any) -> bool:
    return value is None or value in ({}, [], "")


def _restricted(value: Any, declared: Any) -> Any:
    """The part of a new value that git declares."""
    if isinstance(value, dict) and isinstance(declared, dict):
        return {name: _restricted(its, declared[name]) for name, its in value.items() if name in declared}
    if isinstance(value, list) and isinstance(declared, list) and (keys := _common_keys(value, declared)):
        wanted = _by_key(declared, keys)
        return [_restricted(its, wanted.get(key, its)) for key, its in _by_key(value, keys).items()]
    return value


def _common_keys(old: Any, new: Any) -> tuple[str, ...] | None:
    """What tells the items of both lists apart; None where they are known by their places alone."""
    if not isinstance(old, list) or not isinstance(new, list) or not (old or new):
        return None
    return next((keys for keys in _KEYS if _can_key(old, keys) and _can_key(new, keys)), None)


def _can_key(items: Sequence[Any], keys: tuple[str, ...]) -> bool:
    found = set()
    for its in items:
        if not isinstance(its, dict):
            return False
        key = _key(its, keys)
        if not all(isinstance(part, str | int) for part in key) or key in found:
            return False
        found.add(key)
    return True


def _key(its: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(its.get(name, _DEFAULTS.get(name)) for name in keys)


def _by_key(items: Sequence[Any], keys: tuple[str, ...]) -> dict[tuple[Any, ...], Any]:
    return {_key(its, keys): its for its in items}


def _names(items: Mapping[tuple[Any, ...], Any]) -> list[str]:
    return [" ".join(str(part) for part in key) for key in items]


# -- as the server stores it ----------------------------------------------------------------

_QUANTITY: Final = re.compile(r"([+-]?[0-9]{0,15}\.?[0-9]{0,15})([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?")
_SCALES: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    **{f"{letter}i": Decimal(1024**n) for n, letter in enumerate("KMGTPE", 1)},
}
_QUANTITIES: Final = re.compile(
    r"\.(?:limits|requests|capacity|hard|min|max|default|defaultRequest|maxLimitRequestRatio|overhead)\b"
    r"|\.(?:sizeLimit|divisor|averageValue|podFixed)$"
)
"""Paths below which the API server writes quantities in its own way."""


def _same_as_stored(path: str, old: Any, new: Any) -> bool:
    if _is_nothing(old) and _is_nothing(new):
        return True
    if _QUANTITIES.search(path):
        amounts = quantity(old), quantity(new)
        return amounts[0] is not None and amounts[0] == amounts[1]
    return False


def quantity(value: Any) -> Decimal | None:
    """The number that a Kubernetes quantity means (`100m` is 0.1); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _QUANTITY.fullmatch(str(value))
    if found is None or not any(c.isdigit() for c in found[1]):
        return None
    suffix = found[2] or ""
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
        return Decimal(found[1]) * Decimal(10) ** int(suffix[1:])
    return Decimal(found[1]) * _SCALES[suffix]


def _decoded(text: str) -> bytes | str:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return text
