"""
From the bytes of config.yaml to a `Configuration`, or to all that is wrong with them.

Pure. All or nothing: one mistake makes the file unusable as a whole, and every mistake is
reported, each with path, line and column. Where the bytes come from is source.py's
business; whether a bad file replaces a good one is state.py's.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from reconciler.config import keys, models, resolve
from reconciler.config.errors import ConfigInvalid, ConfigProblem
from reconciler.config.explain import Finding, findings, place
from reconciler.config.resolve import Entry, Surroundings
from reconciler.manifests.yamlload import load_with_notes

M = TypeVar("M", bound=keys.Keys)

MAX_SIZE = 128 * 2**10  # bytes; the old agent's limit, which keeps every parse short

OTHER_SECTIONS = (
    "observability",
    "ci_access",
    "user_access",
    "container_scanning",
    "starboard",
    "cilium",
    "remote_development",
    "flux",
)


def parse(
    data: bytes,
    *,
    where: str,
    config_project: models.ConfigProject | None = None,
    allow_local: bool = False,
) -> models.Configuration:
    """
    Read a configuration; an empty file, or one of comments only, is the empty configuration.

    `where` names the file in errors. `config_project` is the repository that the file came
    from, if it came from one. `allow_local` opens local repositories (demo and tests).
    Raises ConfigInvalid with all problems of the file.
    """
    if len(data) > MAX_SIZE:
        what = f"the file has more than {MAX_SIZE} bytes"
        raise ConfigInvalid(where, (_at_top(what, "split it between several instances"),))
    body, notes = load_with_notes(data)
    if notes.flaws and not (notes.whole and isinstance(body, dict)):
        raise ConfigInvalid(where, place((), notes))
    if body is None:
        return models.Configuration()
    if not isinstance(body, dict):
        problem = _at_top("the file is not a mapping of keys", "start with gitops:")
        raise ConfigInvalid(where, (problem,))
    file, found = _validated(body)
    log_level, ignored, other = _other_sections(body)
    found += other
    entries, complete = _entries(body, file)
    around = _around(body, file, config_project, allow_local)
    projects, crossing = resolve.resolve(entries, around, complete=complete)
    found += crossing
    if found or notes.flaws or file is None:
        raise ConfigInvalid(where, place(found, notes))
    return models.Configuration(
        projects=projects,
        limits=resolve.file_limits(file.limits),
        paused=file.paused,
        log_level=log_level,
        ignored=ignored,
    )


def _at_top(what: str, mend: str) -> ConfigProblem:
    return ConfigProblem(path="", line=1, column=1, what=what, mend=mend)


def _validated(body: dict[Any, Any]) -> tuple[keys.ConfigFile | None, list[Finding]]:
    try:
        return keys.ConfigFile.model_validate(body), []
    except ValidationError as error:
        return None, findings(error, root=keys.ConfigFile)


def _salvage(model: type[M], data: object) -> tuple[M, frozenset[str]]:
    """
    What can be kept of a mapping with mistakes, and the keys that cannot.

    So that the rules between keys can still be checked: a person wants to see all mistakes
    at once. Only for models without required keys.
    """
    mapping = data if isinstance(data, dict) else {}
    try:
        return model.model_validate(mapping), frozenset()
    except ValidationError as error:
        broken = frozenset(str(found["loc"][0]) for found in error.errors() if found["loc"])
        return model.model_validate({k: v for k, v in mapping.items() if str(k) not in broken}), broken


def _entries(body: dict[Any, Any], file: keys.ConfigFile | None) -> tuple[list[Entry], bool]:
    """The manifest projects, as far as they can be read, and whether that is all of them."""
    if file is not None:
        return [Entry(i, project) for i, project in enumerate(file.gitops.manifest_projects)], True
    gitops = body.get("gitops")
    listed = gitops.get("manifest_projects") if isinstance(gitops, dict) else None
    raw = listed if isinstance(listed, list) else []
    entries = [
        Entry(i, *_salvage(keys.ManifestProjectEntry, r)) for i, r in enumerate(raw) if isinstance(r, dict)
    ]
    return entries, len(entries) == len(raw)


def _around(
    body: dict[Any, Any],
    file: keys.ConfigFile | None,
    config_project: models.ConfigProject | None,
    allow_local: bool,
) -> Surroundings:
    git, git_broken = (file.git, frozenset[str]()) if file else _salvage(keys.Git, body.get("git"))
    limits = file.limits if file else _salvage(keys.Limits, body.get("limits"))[0]
    if file is None and not isinstance(body.get("git", {}), dict):
        git_broken = frozenset(keys.Git.model_fields)
    return Surroundings(
        git=git,
        git_broken=git_broken,
        limits=limits,
        config_project=config_project,
        allow_local=allow_local,
    )


def _other_sections(body: Mapping[Any, Any]) -> tuple[models.LogLevel, tuple[str, ...], list[Finding]]:
    """Check the sections of the old agent's other parts: the log level, what is ignored, what is wrong."""
    present = [name for name in OTHER_SECTIONS if body.get(name) is not None]
    if not present:
        return "info", (), []
    from reconciler.config import compat  # noqa: PLC0415 - its models cost time, and few files need them

    return compat.check({name: body[name] for name in present})
