"""
Values that an object takes from another one when it is applied: `config.kubernetes.io/apply-time-mutation`.

Pure: text and objects go in, objects come out; sync/ reads the sources. The rules are those of cli-utils
(gitlab-agent.md 3.6). A path is JSONPath without functions, and may search the whole depth of an
object only once: it comes from a repository and must not keep the process busy. No message ever
shows a value, since sources may be Secrets.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from reconciler.manifests.errors import DecodeError, ManifestInvalid, SubstitutionFailed
from reconciler.manifests.identity import ObjectRef, split_api_version

if TYPE_CHECKING:
    from jsonpath import JSONPath

MUTATION: Final = "config.kubernetes.io/apply-time-mutation"
LONGEST_PATH: Final = 500  # characters
MOST_SUBSTITUTIONS: Final = 100
_WILDCARDS: Final = 3  # in one path: each multiplies what has to be looked at
_WANT: Final = "it is a YAML list of sourceRef, sourcePath, targetPath and, if wanted, token"


@dataclass(frozen=True, slots=True)
class Written:
    """One substitution as the annotation has it; `version` and `namespace` are "" where it names none."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    source_path: str
    target_path: str
    token: str


@dataclass(frozen=True, slots=True)
class Substitution:
    """
    One value to take: from where, to where.

    `version` is that of the API to read the source with, "" for the one that the server prefers.
    Without `token` the target takes the value as it is, else each occurrence in its text.
    """

    source: ObjectRef
    version: str
    source_path: str
    target_path: str
    token: str = ""


def parse(text: str) -> tuple[Written, ...]:
    """What an annotation says. Raises ManifestInvalid."""
    from reconciler.manifests.yamlload import read_documents  # noqa: PLC0415 - few objects have one

    documents = list(read_documents(text.encode()))
    if (
        len(documents) != 1
        or isinstance(documents[0], DecodeError)
        or not isinstance(documents[0].body, list)
    ):
        raise _invalid("is no list", _WANT)
    items = documents[0].body
    if len(items) > MOST_SUBSTITUTIONS:
        raise _invalid(f"holds more than {MOST_SUBSTITUTIONS} substitutions", "split the object")
    return tuple(_written(number, item) for number, item in enumerate(items))


def _written(number: int, item: Any) -> Written:
    if not isinstance(item, dict) or not isinstance(source := item.get("sourceRef"), dict):
        raise _invalid(f"entry {number} has no sourceRef", _WANT)
    group, version = _endpoint(number, source)
    return Written(
        group=group,
        version=version,
        kind=_text(number, source, "kind"),
        namespace=_text(number, source, "namespace", optional=True),
        name=_text(number, source, "name"),
        source_path=_path(number, item, "sourcePath"),
        target_path=_path(number, item, "targetPath"),
        token=_text(number, item, "token", optional=True),
    )


def _endpoint(number: int, source: Mapping[str, Any]) -> tuple[str, str]:
    api_version = _text(number, source, "apiVersion", optional=True)
    if api_version:
        return split_api_version(api_version)
    return _text(number, source, "group", optional=True), ""


def _text(number: int, item: Mapping[str, Any], key: str, *, optional: bool = False) -> str:
    value = item.get(key)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not (value or optional):
        raise _invalid(f"{key} of entry {number} is no text", _WANT)
    return value


def _path(number: int, item: Mapping[str, Any], key: str) -> str:
    path = _text(number, item, key)
    if len(path) > LONGEST_PATH or path.count("..") > 1 or path.count("*") > _WILDCARDS:
        mend = f"write a path of at most {LONGEST_PATH} characters, one .. and {_WILDCARDS} *"
        raise _invalid(f"{key} of entry {number} would take too long", mend)
    if _compiled(path) is None:
        raise _invalid(f"{key} of entry {number} is no JSONPath", "write it like $.spec.ports[0].port")
    return path


@cache
def _environment() -> Any:
    from jsonpath import JSONPathEnvironment  # noqa: PLC0415 - few objects have one

    environment = JSONPathEnvironment(strict=True)
    environment.function_extensions.clear()  # regular expressions among them
    return environment


def _compiled(path: str) -> "JSONPath | None":
    from jsonpath import JSONPathError  # noqa: PLC0415

    try:
        compiled: JSONPath = _environment().compile(path)
    except (JSONPathError, RecursionError):
        return None
    return compiled


def _invalid(what: str, mend: str) -> ManifestInvalid:
    return ManifestInvalid(f"{MUTATION} {what}", mend)


def substitute(
    body: Mapping[str, Any],
    substitutions: tuple[Substitution, ...],
    sources: Mapping[ObjectRef, Mapping[str, Any]],
) -> dict[str, Any]:
    """
    A copy of `body` with all values in place, in the order of the list.

    `sources` are whole objects as the cluster has them. Raises SubstitutionFailed.
    """
    changed = deepcopy(dict(body))
    for one in substitutions:
        where = f"sourcePath {one.source_path} of {one.source}"
        _, value = _only(one.source_path, sources[one.source], where)
        place, old = _only(one.target_path, changed, f"targetPath {one.target_path}")
        _put(changed, place, _new_value(old, value, one))
    return changed


def _only(path: str, body: Mapping[str, Any], where: str) -> tuple[tuple[str | int, ...], Any]:
    """Place and value of the one field that a path matches."""
    compiled = _compiled(path)
    found = []
    if compiled is not None:
        for match in compiled.finditer(body):
            found.append((match.parts, match.obj))
            if len(found) > 1:
                break
    if len(found) != 1:
        raise SubstitutionFailed(
            what=f"{where} matches {'more than one field' if found else 'no field'}",
            mend="a path has to match exactly one field that exists; an empty text is enough in the target",
        )
    return found[0]


def _new_value(old: Any, value: Any, one: Substitution) -> Any:
    if not one.token:
        return deepcopy(value)
    if not isinstance(old, str):
        raise SubstitutionFailed(
            what=f"targetPath {one.target_path} is no text, in which a token could stand",
            mend="quote the value, or leave token out",
        )
    return old.replace(one.token, value if isinstance(value, str) else orjson.dumps(value).decode())


def _put(body: dict[str, Any], place: tuple[str | int, ...], value: Any) -> None:
    if not place:
        raise SubstitutionFailed(what="targetPath $ is the whole object", mend="name a field of it")
    inside: Any = body
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
