"""
Turn pydantic's findings into problems that a person can mend.

Pure. The library's own texts speak of Python types; ours speak of the file. Called only
for a file that has mistakes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from reconciler.config import fields
from reconciler.config.errors import ConfigProblem, Path, dotted
from reconciler.config.keys import Keys
from reconciler.manifests.compose import Notes

Positions = Mapping[Path, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule at a place in the data; `other` is a second place that has part in it."""

    path: Path
    what: str
    mend: str
    other: Path | None = None


def findings(invalid: ValidationError, *, root: type[Keys], prefix: Path = ()) -> list[Finding]:
    """Explain why data is not a valid `root`; `prefix` leads to that data in the file."""
    found = []
    for error in invalid.errors(include_url=False):
        path: Path = error["loc"]
        what, mend = _texts(error, root, path)
        found.append(Finding(prefix + path, what, mend))
    return found


def place(found: Iterable[Finding], notes: Notes) -> tuple[ConfigProblem, ...]:
    """
    Give each finding its line and column, and put them in the order of the file.

    With them goes what could not be read as YAML; findings about what stands in for it are left out.
    """
    replaced = {flaw.path for flaw in notes.flaws if flaw.replaced}
    positions = notes.positions
    problems = [
        ConfigProblem(path=dotted(f.path), line=at[0], column=at[1], what=_what(f, positions), mend=f.mend)
        for f in found
        if f.path not in replaced
        for at in [_position(f.path, positions)]
    ]
    for flaw in notes.flaws:
        error = flaw.error
        problems.append(
            ConfigProblem(
                path=dotted(flaw.path),
                line=error.line,
                column=error.column,
                what=error.what,
                mend=error.mend,
            )
        )
    return tuple(sorted(problems, key=lambda p: (p.line, p.column, p.path)))


def _what(finding: Finding, positions: Positions) -> str:
    if finding.other is None:
        return finding.what
    line, column = _position(finding.other, positions)
    return f"{finding.what} ({dotted(finding.other)}, line {line}, column {column})"


def _position(path: Path, positions: Positions) -> tuple[int, int]:
    """Where `path` stands, or the nearest mapping around it (a missing key has no place of its own)."""
    for length in range(len(path), -1, -1):
        if path[:length] in positions:
            return positions[path[:length]]
    return 1, 1


def _texts(error: Mapping[str, Any], root: type[Keys], path: Path) -> tuple[str, str]:
    got = fields.kind_of(error["input"])
    match error["type"]:
        case fields.RULE:
            return error["ctx"]["what"], error["ctx"]["mend"]
        case "extra_forbidden":
            return _unknown_key(str(path[-1]), _model_at(root, path[:-1]))
        case "missing":
            return "this key is required", "add it"
        case "model_type" | "dict_type":
            model = _model_at(root, path)
            return f"this must be a mapping of keys, not {got}", model.hint if model else "write key: value"
        case "list_type":
            return f"this must be a list, not {got}", "put each entry on a line of its own, after a hyphen"
        case "too_long":
            return f"this list has more than {error['ctx']['max_length']} entries", "remove some"
        case "invalid_key":
            return "a key must be text", "put quotes around it"
    return str(error["msg"]), ""


def _unknown_key(key: str, model: type[Keys] | None) -> tuple[str, str]:
    if model is None:
        return "unknown key", "remove it"
    if key in model.removed:
        return "this key does not exist any more", model.removed[key]
    known = [field.alias or name for name, field in model.model_fields.items()]
    guess = fields.near(key, known)
    if guess:
        return "unknown key", guess
    return "unknown key", f"known here: {', '.join(known)}" if known else "nothing may stand here: write {}"


def _model_at(root: type[Keys], path: Path) -> type[Keys] | None:
    """The model of the mapping at `path`, None if there is no mapping of known keys."""
    annotation: Any = root
    for part in path:
        if isinstance(part, int):
            annotation = next(iter(get_args(annotation)), None)
            continue
        model = model_in(annotation)
        by_key = {} if model is None else {f.alias or name: f for name, f in model.model_fields.items()}
        if part not in by_key:
            return None
        annotation = by_key[part].annotation
    return model_in(annotation)


def model_in(annotation: Any) -> type[Keys] | None:
    """`Ref | None` -> `Ref`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Keys):
            return candidate
    return None
