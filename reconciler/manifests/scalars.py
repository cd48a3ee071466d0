"""
What a YAML scalar means: YAML 1.1 as kubectl's library (goyaml v2) reads it.

Pure. PyYAML reads many plain scalars differently (`1:30`, `1e3`, `y`, dates), so none
of its resolvers or constructors is used. Stricter than kubectl where a value would not
arrive as written: integers beyond 64 bits, floats beyond range, binary that is no text.
A `ValueError` from here says what is wrong and never shows the value.
"""

import base64
import binascii
import math
import re
from decimal import Decimal
from typing import Any

_PREFIX = "tag:yaml.org,2002:"
STR, BOOL, INT, FLOAT, NULL = (_PREFIX + name for name in ("str", "bool", "int", "float", "null"))
TIMESTAMP, BINARY, MERGE = (_PREFIX + name for name in ("timestamp", "binary", "merge"))

_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
# After a leading dot underscores stand between digits only; elsewhere they are dropped anywhere.
_DOT_FLOAT = re.compile(r"\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?", re.ASCII)
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2}))"
    r"|(?: [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?))?",
    re.ASCII,
)
_LONGEST_INTEGER = 64  # digits of a 64-bit number in base 2; longer ones are never handed to int()
_EXACT = 2**53  # floats up to here are exact integers


def plain(text: str) -> Any:
    """The value of an unquoted scalar without a tag; floats are not yet made `number`s."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if text[0] == ".":
        return _float(text.replace("_", "")) if _DOT_FLOAT.fullmatch(text) else text
    digits = text.replace("_", "")
    if found := _INTEGER.fullmatch(digits):
        return _integer(found[1], found[2])
    return _float(digits) if _FLOAT.fullmatch(digits) else text


def tagged(tag: str, text: str) -> Any:
    """The value of a scalar with an explicit tag; a tag that YAML does not define leaves the text."""
    if tag == STR:
        return text
    if tag == BINARY:
        return _binary(text)
    if tag == TIMESTAMP:
        if _TIMESTAMP.fullmatch(text):
            return text
        raise ValueError("cannot decode this value as a !!timestamp")
    if tag not in _TYPES:
        return text
    value = plain(text)
    if tag == FLOAT and type(value) is int:
        return float(value)
    if type(value) is not _TYPES[tag]:
        raise ValueError(f"cannot decode this value as a !!{tag.removeprefix(_PREFIX)}")
    return value


def number(value: float) -> int | float:
    """
    A float as it arrives: Go writes `1.0` as `1`, which the server reads as an integer.

    Infinities and not-a-number have no JSON form: ValueError.
    """
    if not math.isfinite(value):
        raise ValueError("infinity and not-a-number cannot be sent to a cluster")
    if not value.is_integer():
        return value
    if abs(value) <= _EXACT:
        return int(value)
    # Beyond it Go writes the shortest digits and then zeros, not the exact binary value.
    whole = int(Decimal(repr(value)))
    return whole if -(2**63) <= whole < 2**63 else value


def key(value: Any) -> str:
    """The JSON key that kubectl makes of a mapping key of any type."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_key(value)
    kind = "null" if value is None else "a list" if isinstance(value, list) else "a mapping"
    raise ValueError(f"invalid map key: {kind}")


def checked_integer(digits: str, base: int, negative: bool) -> int:
    """Up to 64 bits signed; more would silently become a float on its way: ValueError."""
    if len(digits.lstrip("0")) <= _LONGEST_INTEGER:
        value = -int(digits, base) if negative else int(digits, base)
        if -(2**63) <= value < 2**63:
            return value
    raise ValueError("integer beyond 64 bits")


def checked_float(text: str) -> float:
    """A float that neither overflows nor, unless it is written as zero, becomes zero: else ValueError."""
    value = float(text)
    mantissa = re.split("[eE]", text, maxsplit=1)[0]
    if math.isinf(value) or (value == 0 and mantissa.strip("+-.0")):
        raise ValueError("float beyond the range of 64 bits")
    return value


def _integer(sign: str, digits: str) -> int:
    base, start = 10, 0
    if digits[0] == "0" and len(digits) > 1:
        base, start = {"x": (16, 2), "b": (2, 2), "o": (8, 2)}.get(digits[1].lower(), (8, 1))
    return checked_integer(digits[start:], base, sign == "-")


_float = checked_float


def _float_key(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = format(value, ".6g")
    # kubectl rounds such a key to 32 bits; up to six digits survive that.
    if float(text) != value:
        raise ValueError("a float with more than 6 digits as key would be rounded")
    return text


def _binary(text: str) -> str:
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True).decode()
    except binascii.Error:
        raise ValueError("!!binary value contains invalid base64 data") from None
    except UnicodeDecodeError:
        raise ValueError("!!binary value is not text in UTF-8") from None


_TYPES: dict[str, type] = {BOOL: bool, INT: int, FLOAT: float, NULL: type(None)}
