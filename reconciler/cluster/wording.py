"""
The API server's words, made readable: no dumps of Go values, no diffs, one bounded line.

Pure. Only shortens what replies.py has decided to show; it hides no secret. The examples are
what a 1.36 server says.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

MESSAGE_LIMIT: Final = 600  # characters; some validations quote the whole object
SHOWN_CAUSES: Final = 5
_SHORT_VALUE: Final = 60  # characters of a quoted value that help to find it

# From where the server's own words begin, as validation of 1.36 has them (kubernetes/pkg/apis/*/validation,
# apimachinery/pkg/api/validate); authors of custom resources follow them in the messages of their rules.
_SUBJECT = r"((?:[Tt]he )?[\w.\[\]*`-]+ (?:(?:field|value) )?)?"
_CONDITION = r"(?=$|[.,;:\n]| (?:after|except|for|if|in|once|unless|when|while)\b)"
_IMMUTABLE = re.compile(
    rf"{_SUBJECT}(is|are) immutable{_CONDITION}"
    rf"|{_SUBJECT}(cannot|may not) be changed{_CONDITION}"
    r"|may not change once set"
    r"|field cannot be modified once set"
    r"|cannot change roleRef"
    r"|updates to \w+ (spec .* )?are forbidden"
    r"|pod updates may not (add or remove containers|change fields other than) "
)
TOO_LONG: Final = "Too long: may not be more than 1048576 bytes"
"""What a ConfigMap or Secret may hold in all."""

# "Invalid value: {"matchLabels":…}: field is immutable", "Duplicate value: {…}"
_QUOTED = re.compile(r"(?P<fault>(?:Invalid|Duplicate|Unsupported) value): (?=[\[{\"&\w-])")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)  # as Go quotes it, which JSON need not understand
_UNSTRUCTURED = "&value.valueUnstructured{Value:"
_DIFF = re.compile(r"\n@@ .*", re.DOTALL)  # of a PersistentVolumeClaim's spec
_GO_TYPES = {"map[": "a mapping", "[]": "a list", "<nil>": "null"}
_CLOSING = {"{": "}", "[": "]", "(": ")"}


def one_line(text: str) -> str:
    """Text on one line of at most `MESSAGE_LIMIT` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LIMIT else f"{line[:MESSAGE_LIMIT]}…"


def readable(message: str) -> str:
    """One cause: what is wrong, without the value where that is long."""
    return one_line(_without_quoted(_with_plain_values(_DIFF.sub("", message))))


def together(causes: Sequence[tuple[str, str]]) -> str:
    """Several causes as (field, message) on one line, the first few of them."""
    shown = [f"{field}: {message}" if field else message for field, message in causes[:SHOWN_CAUSES]]
    more = "; and more" if len(causes) > SHOWN_CAUSES else ""
    return one_line("; ".join(shown) + more)


def is_immutable(message: str) -> bool:
    """
    Whether a cause says of its field that it cannot be changed.

    Only what the server itself says counts, from its first word on: values and source of rules, which
    it quotes, say what their authors like.
    """
    said = message.removeprefix("Forbidden: ")
    if message.startswith("Invalid value: ") and (found := _QUOTED.match(message)):
        said = message[_end_of_value(message, found.end()) :].removeprefix(": ")
    return _IMMUTABLE.match(said) is not None


def _without_quoted(message: str) -> str:
    """Drop the value that a validation quotes if it is long: the sentence behind it says what to do."""
    found = _QUOTED.match(message)
    if found is None:
        return message
    end = _end_of_value(message, found.end())
    value, rest = message[found.end() : end], message[end:].removeprefix(":").strip()
    if len(value) <= _SHORT_VALUE:
        return message
    return rest or found["fault"]


def _end_of_value(text: str, start: int) -> int:
    """Where the quoted value ends: JSON, a Go value with its braces, or a word."""
    if text[start] == '"':
        found = _TEXT.match(text, start)
        return found.end() if found else len(text)
    if text[start] in "{[":
        try:
            return json.JSONDecoder().raw_decode(text, start)[1]
        except ValueError:
            pass
    opening = re.compile(r"[&*\w.\[\]]*[{(\[]").match(text, start)
    if opening is not None:
        return _end_of_braces(text, opening.end() - 1)
    colon = text.find(": ", start)
    return len(text) if colon < 0 else colon


def _end_of_braces(text: str, start: int) -> int:
    """The place after the brace that closes the one at `start`; the text's end if none does."""
    waiting: list[str] = []
    quoted = False
    at = start
    while at < len(text):
        c = text[at]
        if quoted:
            at += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c in _CLOSING:
            waiting.append(_CLOSING[c])
        elif waiting and c == waiting[-1]:
            waiting.pop()
            if not waiting:
                return at + 1
        at += 1
    return len(text)


def _with_plain_values(message: str) -> str:
    """`got &value.valueUnstructured{Value:1}` becomes `got 1`."""
    start = message.find(_UNSTRUCTURED)
    while start >= 0:
        end = _end_of_braces(message, message.index("{", start))
        value = message[start + len(_UNSTRUCTURED) : end - 1]
        word = next((word for mark, word in _GO_TYPES.items() if value.startswith(mark)), "")
        plain = word or (value if len(value) <= _SHORT_VALUE else "another value")
        message = message[:start] + plain + message[end:]
        start = message.find(_UNSTRUCTURED, start + len(plain))
    return message
