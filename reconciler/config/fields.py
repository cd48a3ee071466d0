"""
The kinds of value a configuration file may hold, each with its rule and its schema.

Pure. Every rule raises `rule(what, mend)`, so that explain.py can pass both texts on;
keys.py and compat.py put these types on their keys. Texts never repeat a whole value:
it may be long, or a secret in the wrong place.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from reconciler.config import models
from reconciler.errors import shown_name
from reconciler.git.credentials import NAME, is_name

RULE = "rule"  # the pydantic error type of our own rules
SERVICE_ACCOUNT_MEND = "write NAMESPACE/NAME of a ServiceAccount, for example shop/deployer"

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?s")  # protobuf's JSON form, without a sign
_GO_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,20})?(?:h|ms|m|s)){1,9}")
_GO_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
_MAX_SECONDS = 315_576_000_000  # protobuf's limit, 10,000 years
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MANAGER_MAX = 128  # bytes, the API server's bound
_SIZE = re.compile(r"([0-9]{1,15})(KiB|MiB|GiB|Ki|Mi|Gi)?")
_SIZE_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_PERCENT = re.compile(r"([0-9]{1,3})%")
_HUNDRED = 100

_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping of keys",
    type(None): "nothing (null)",
}


@dataclass(frozen=True, slots=True, eq=False)  # hashable though a schema is not: typing hashes metadata
class Rule:
    """A check that a value must pass (it returns what the value means), with its JSON Schema."""

    check: Callable[[Any], Any]
    schema: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def rule(what: str, mend: str) -> PydanticCustomError:
    """The error of a broken rule of ours: what is wrong, and what would be right."""
    # The texts travel as data: pydantic would read braces in them as its own placeholders.
    return PydanticCustomError(RULE, "{what}; {mend}", {"what": what, "mend": mend})


def kind_of(value: object) -> str:
    """What a person calls the type of a YAML value: "a whole number", "a list"."""
    return _WORDS.get(type(value), type(value).__name__)


def need_text(value: object, want: str) -> str:
    """`value` if it is text, else the error that says what would be right."""
    if isinstance(value, str):
        return value
    mend = want
    if isinstance(value, (int, float)):
        mend = f'{want}; put quotes around it: "..."'
    raise rule(f"this must be text, not {kind_of(value)}", mend)


def _text(value: object) -> str:
    return need_text(value, "write it as text")


def _some_text(value: object) -> str:
    text = _text(value)
    if not text:
        raise rule("value length must be at least 1 bytes", "give it a value or leave the key out")
    return text


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        raise rule("this must be true or false, not text", f"write {value.lower()} without quotes")
    raise rule(f"this must be true or false, not {kind_of(value)}", "write true or false")


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise rule(
        f"this must be a whole number, not {kind_of(value)}", "write it without quotes and without a unit"
    )


def _count(value: object) -> int:
    if _number(value) < 1:
        raise rule("the limit must be at least 1", "raise it, or leave the key out for the default")
    return _number(value)


def _show(seconds: float) -> str:
    """A duration as it is to be written, or an example where there is no such one."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s" if 0 <= seconds <= _MAX_SECONDS else "3600s"


def parse_duration(value: object) -> float:
    """`3600s`, `1.5s` -> seconds. Everything else names the text that would be right."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise rule("a duration needs its unit", f"write {_show(value)}")
    text = need_text(value, "write seconds, for example 3600s")
    if _SECONDS.fullmatch(text):
        if float(text[:-1]) > _MAX_SECONDS:
            raise rule("a duration ends at 10,000 years", f"write {_MAX_SECONDS}s or less")
        return float(text[:-1])
    if _GO_DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(text))
        raise rule("a duration is written in seconds only", f"write {_show(seconds)}")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise rule("a duration needs its unit", f"write {text}s")
    raise rule("this is not a duration", "write decimal seconds that end in s, for example 3600s or 1.5s")


def _interval(value: object) -> float:
    seconds = parse_duration(value)
    if seconds < models.MIN_INTERVAL:
        raise rule("the interval is too short", f"write {_show(models.MIN_INTERVAL)} or more")
    return seconds


def _positive(value: object) -> float:
    seconds = parse_duration(value)
    if not seconds:
        raise rule("value must be greater than 0s", "write for example 10s, or leave the key out")
    return seconds


def near(word: str, known: list[str]) -> str:
    """`did you mean "prune"?`, or "" when nothing is close."""
    import difflib  # noqa: PLC0415 - only a file with mistakes pays for it

    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f'did you mean "{shown_name(close[0])}"?' if close else ""


def _choice(value: object, *, names: tuple[str, ...], default: str | None, numbered: bool) -> str:
    allowed = "one of " + ", ".join(names)
    if numbered and isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(names):
            return names[value]
        raise rule("no value of this key has that number", f"write {allowed}")
    text = need_text(value, f"write {allowed}")
    if text == "" and default is not None:
        return default
    if text in names:
        return text
    guess = near(text, list(names))
    raise rule(
        "this is not a value of this key", f"{guess} It must be {allowed}" if guess else f"write {allowed}"
    )


def choice(names: tuple[str, ...], *, empty_means: str | None = None, numbered: bool = False) -> Rule:
    """A key with a closed set of words; with `numbered` the place in the list works too (protobuf)."""
    allowed: list[str | int] = [*names]
    allowed += [""] if empty_means is not None else []
    allowed += range(len(names)) if numbered else []
    check = partial(_choice, names=names, default=empty_means, numbered=numbered)
    return Rule(check, {"enum": allowed})


def _id(value: object) -> str:
    text = _some_text(value)
    if text != text.strip() or not text.isprintable():
        raise rule("an id has no blanks at its ends and no control characters", "use the path of the project")
    return text


def _namespace(value: object) -> str:
    text = need_text(value, "write the name of a namespace")
    if text and not _LABEL.fullmatch(text):
        mend = "use at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
        raise rule("this is not the name of a namespace", mend)
    return text or models.DEFAULT_NAMESPACE


def _credentials(value: object) -> str:
    text = need_text(value, "write the name of a Secret or of a directory below --credentials-dir")
    if not is_name(text):
        mend = (
            "write the name of a Secret or of a directory below --credentials-dir:"
            " lower-case letters, digits, hyphens and dots, no slash"
        )
        raise rule("this is not a name of credentials", mend)
    return text


def _kind(value: object) -> str:
    text = _some_text(value)
    if not _KIND.fullmatch(text):
        raise rule(
            "this is not a kind",
            "write Kind or Kind.group, for example Secret or Certificate.cert-manager.io",
        )
    return text


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _count(value)
    mend = "write a number of bytes, or for example 5MiB"
    found = _SIZE.fullmatch(need_text(value, mend))
    if not found:
        raise rule("this is not a size", mend)
    return _count(int(found[1]) * _SIZE_UNITS[(found[2] or "").removesuffix("B")])


def _prune_limit(value: object) -> models.PruneLimit:
    mend = 'write a number of objects, for example 20, or a percentage, for example "30%"'
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise rule("a limit cannot be negative", mend)
        return models.PruneLimit(objects=value)
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise rule(f"this is not a prune limit but {kind_of(value)}", mend)
    if int(found[1]) > _HUNDRED:
        raise rule("a percentage ends at 100", mend)
    return models.PruneLimit(percent=int(found[1]))


def _label_value(value: object) -> str:
    text = _text(value)
    if not _LABEL_VALUE.fullmatch(text):
        mend = "write the value of the label cli-utils.sigs.k8s.io/inventory-id, for example 1-278964"
        raise rule("this is not the value of a label", mend)
    return text


def _field_manager(value: object) -> str:
    text = _some_text(value)
    if len(text.encode()) > _MANAGER_MAX or not text.isprintable():
        raise rule(
            "this is not the name of a field manager",
            "write it as metadata.managedFields shows it, for example kustomize-controller",
        )
    return text


def _service_account(value: object) -> str:
    text = need_text(value, SERVICE_ACCOUNT_MEND)
    if not is_service_account(text):
        raise rule("this is not a ServiceAccount", SERVICE_ACCOUNT_MEND)
    return text


def is_service_account(text: str) -> bool:
    """Can this be NAMESPACE/NAME of a ServiceAccount?"""
    namespace, _, name = text.partition("/")
    return _LABEL.fullmatch(namespace) is not None and is_name(name)


def _names(value: object, *, each: Callable[[object], str], what: str) -> list[str]:
    if not isinstance(value, list):
        raise rule(f"this must be a list, not {kind_of(value)}", f"write a list of {what}")
    if not value:
        # Elsewhere an empty list is the default; here the default is to allow all.
        raise rule("an empty list allows nothing", f"name at least one of the {what}, or leave the key out")
    return [each(item) for item in value]


def _named_namespace(value: object) -> str:
    return _namespace(_some_text(value))


_DURATION_SCHEMA = {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?s$"}
_SOME_TEXT_SCHEMA = {"type": "string", "minLength": 1}
_SIZE_SCHEMA = {
    "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_SIZE.pattern}$"}]
}
_PRUNE_LIMIT_SCHEMA = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(100|[0-9]{1,2})%$"}]
}

Text = Annotated[str, Rule(_text, {"type": "string"})]
SomeText = Annotated[str, Rule(_some_text, _SOME_TEXT_SCHEMA)]
Flag = Annotated[bool, Rule(_flag, {"type": "boolean"})]
Number = Annotated[int, Rule(_number, {"type": "integer"})]
Count = Annotated[int, Rule(_count, {"type": "integer", "minimum": 1})]
Size = Annotated[int, Rule(_size, _SIZE_SCHEMA)]
Duration = Annotated[float, Rule(parse_duration, _DURATION_SCHEMA)]
PositiveDuration = Annotated[float, Rule(_positive, _DURATION_SCHEMA)]
Interval = Annotated[float, Rule(_interval, _DURATION_SCHEMA)]
ProjectId = Annotated[str, Rule(_id, _SOME_TEXT_SCHEMA)]
Namespace = Annotated[str, Rule(_namespace, {"type": "string", "pattern": f"^({_LABEL.pattern})?$"})]
CredentialsName = Annotated[str, Rule(_credentials, {"type": "string", "pattern": f"^{NAME.pattern}$"})]
KindName = Annotated[str, Rule(_kind, {"type": "string", "pattern": f"^{_KIND.pattern}$"})]
LabelValue = Annotated[str, Rule(_label_value, {"type": "string", "pattern": f"^{_LABEL_VALUE.pattern}$"})]
FieldManager = Annotated[str, Rule(_field_manager, {**_SOME_TEXT_SCHEMA, "maxLength": _MANAGER_MAX})]
ServiceAccount = Annotated[
    str, Rule(_service_account, {"type": "string", "pattern": f"^{_LABEL.pattern}/{NAME.pattern}$"})
]
NamespaceNames = Annotated[
    list[str],
    Rule(
        partial(_names, each=_named_namespace, what="namespaces"),
        {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^{_LABEL.pattern}$"}},
    ),
]
KindNames = Annotated[
    list[str],
    Rule(
        partial(_names, each=_kind, what="kinds"),
        {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^{_KIND.pattern}$"}},
    ),
]
PruneBound = Annotated[models.PruneLimit, Rule(_prune_limit, _PRUNE_LIMIT_SCHEMA)]
