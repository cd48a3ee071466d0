"""
Rules that look at more than one key: ids, URLs, credentials, dependencies.

Pure. Called by parse.py with entries whose keys are valid one by one, or with what is
left of them: a key that was already reported (`broken`) is not reported twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from reconciler.config import fields, keys, models, urls
from reconciler.config.errors import Path
from reconciler.config.explain import Finding
from reconciler.errors import shown_name
from reconciler.git.errors import BadGlob, RefInvalid, SourceRefused
from reconciler.git.globs import FileLimits, check_glob
from reconciler.git.refs import RefSpec
from reconciler.git.urls import parse_url

GUESSES = 50  # likeness costs about 1 ms among 1,000 ids; who has more mistakes has another problem
RING_SHOWN = 8
PROJECTS: Path = ("gitops", "manifest_projects")


@dataclass(frozen=True, slots=True)
class Entry:
    """One manifest project as written; `broken` names keys whose value could not be kept."""

    index: int
    keys: keys.ManifestProjectEntry
    broken: frozenset[str] = frozenset()

    def at(self, *more: str | int) -> Path:
        """The place of this entry, or of something in it."""
        return (*PROJECTS, self.index, *more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an entry is resolved against. `git_broken`: keys of `git` whose value could not be kept."""

    git: keys.Git
    limits: keys.Limits
    config_project: models.ConfigProject | None
    allow_local: bool
    git_broken: frozenset[str] = frozenset()


def resolve(
    entries: Sequence[Entry], around: Surroundings, *, complete: bool
) -> tuple[tuple[models.ManifestProject, ...], list[Finding]]:
    """
    Return the projects (of entries without findings) and every broken rule.

    `complete` is False when an entry could not be read at all: an id that seems to be
    missing may be its id.
    """
    found: list[Finding] = []
    base_wrong = _check_base_url(around)
    found += base_wrong
    ids = {entry.index: _id(entry, around) for entry in entries}
    found += _check_ids(entries, ids)
    urls_by_index: dict[int, str] = {}
    for entry in entries:
        url = _url(entry, ids[entry.index], around, base_known=not base_wrong)
        if isinstance(url, Finding):
            found.append(url)
        elif url is not None:
            urls_by_index[entry.index] = url
        found += _check_paths(entry, around) + _check_ref(entry)
    all_ids_known = complete and None not in ids.values()
    found += _check_dependencies(entries, ids, all_ids_known=all_ids_known)
    if found:
        return (), found
    return tuple(
        _project(entry, cast("str", ids[entry.index]), urls_by_index[entry.index], around)
        for entry in entries
        if entry.index in urls_by_index
    ), []


def file_limits(limits: keys.Limits) -> FileLimits:
    """The limits in the shape that git/ takes."""
    return FileLimits(
        max_paths=limits.max_paths,
        max_files=limits.max_files,
        max_file_size=limits.max_file_size,
        max_total_size=limits.max_total_size,
    )


def _project(entry: Entry, project: str, url: str, around: Surroundings) -> models.ManifestProject:
    k = entry.keys
    return models.ManifestProject(
        id=project,
        url=url,
        ref=_ref(k.ref),
        credentials=_credentials(k, url, around),
        paths=tuple(path.glob for path in k.paths) or (models.DEFAULT_GLOB,),
        default_namespace=k.default_namespace,
        reconcile_timeout=k.reconcile_timeout,
        dry_run_strategy=cast("models.DryRunStrategy", k.dry_run_strategy),
        prune=k.prune,
        prune_timeout=k.prune_timeout,
        prune_propagation_policy=cast("models.PropagationPolicy", k.prune_propagation_policy),
        prune_limit=k.prune_limit or models.DEFAULT_PRUNE_LIMIT,
        inventory_policy=cast("models.InventoryPolicy", k.inventory_policy),
        interval=k.interval,
        suspend=k.suspend,
        strict=k.strict,
        depends_on=tuple(dict.fromkeys(k.depends_on)),
        guarded_kinds=tuple(dict.fromkeys(k.guarded_kinds)),
        inventory_id=k.inventory_id,
        take_over=tuple(dict.fromkeys(k.take_over)),
        prune_grace=k.prune_grace,
        service_account=k.service_account,
        allowed_namespaces=_unique(k.allowed_namespaces),
        allowed_kinds=_unique(k.allowed_kinds),
        hold_on_rewind=k.hold_on_rewind,
    )


def _unique(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(names))


def _ref(ref: keys.Ref | None) -> RefSpec:
    if ref is None:
        return models.HEAD
    if ref.branch is not None:
        return RefSpec("branch", ref.branch)
    if ref.tag is not None:
        return RefSpec("tag", ref.tag)
    return RefSpec("commit", ref.commit or "")


def _check_ref(entry: Entry) -> list[Finding]:
    try:
        _ref(entry.keys.ref)
    except RefInvalid as invalid:
        kind = next(iter(entry.keys.ref.model_fields_set)) if entry.keys.ref else ""
        return [Finding(entry.at("ref", kind), invalid.what, invalid.mend)]
    return []


def _credentials(entry: keys.ManifestProjectEntry, url: str, around: Surroundings) -> str | None:
    named = entry.credentials or around.git.credentials
    own = around.config_project
    # The configuration's own repository can always be read: we have just done it.
    return own.credentials if named is None and own is not None and url == own.url else named


def _id(entry: Entry, around: Surroundings) -> str | None:
    """The id, None if the entry has none that could be known."""
    if entry.keys.id is not None or "id" in entry.broken:
        return entry.keys.id
    return around.config_project.path if around.config_project else None


def _check_ids(entries: Sequence[Entry], ids: Mapping[int, str | None]) -> list[Finding]:
    found = []
    first: dict[str, Entry] = {}
    for entry in entries:
        project = ids[entry.index]
        if project is None:
            if "id" not in entry.broken:
                mend = "add id: any unique name if url is set, else the path of the project"
                found.append(Finding(entry.at(), "this entry has no id", mend))
        elif project in first:
            where = "id" if entry.keys.id else None
            found.append(_duplicate(project, entry.at(*([where] if where else [])), first[project]))
        else:
            first[project] = entry
    return found


def _duplicate(project: str, path: Path, first: Entry) -> Finding:
    mend = "give one of them another id; with url, an id may be any unique name"
    other = first.at("id") if first.keys.id else first.at()
    return Finding(path, f"duplicate source id: {shown_name(project)} is there already", mend, other)


def _check_base_url(around: Surroundings) -> list[Finding]:
    base = around.git.base_url
    # Tried with a path, because `git@host:` is a base but no URL.
    return [] if base is None else _check_url(urls.below(base, "project"), ("git", "base_url"), around)


def _check_url(url: str, path: Path, around: Surroundings) -> list[Finding]:
    try:
        parse_url(url, allow_local=around.allow_local)
    except SourceRefused as refused:
        return [Finding(path, refused.what, refused.mend)]
    return []


def _url(
    entry: Entry, project: str | None, around: Surroundings, *, base_known: bool
) -> str | Finding | None:
    """The URL, or what is wrong with it, or None if something already reported hides it."""
    if "url" in entry.broken:
        return None
    if entry.keys.url is not None:
        wrong = _check_url(entry.keys.url, entry.at("url"), around)
        return wrong[0] if wrong else entry.keys.url
    if project is None:
        return None
    own = around.config_project
    if own is not None and project == own.path:
        return own.url
    at = entry.at("id") if entry.keys.id else entry.at()
    if around.git.base_url is None:
        if "base_url" in around.git_broken:
            return None
        what = "nothing says where this project's repository is"
        return Finding(at, what, "set url here, or git.base_url to the server that has all ids")
    if not urls.is_project_path(project):
        mend = "write group/project, or set url and keep any unique name as id"
        return Finding(at, "this id is not a path below git.base_url", mend)
    return urls.below(around.git.base_url, project) if base_known else None


def _check_paths(entry: Entry, around: Surroundings) -> list[Finding]:
    count, limit = len(entry.keys.paths), around.limits.max_paths
    found = []
    if count > limit:
        what = f"maximum number of GitOps paths per manifest project is {limit}, but {count} was requested"
        found.append(Finding(entry.at("paths"), what, "join globs with {a,b}, or raise limits.max_paths"))
    for position, path in enumerate(entry.keys.paths):
        try:
            check_glob(path.glob)
        except BadGlob as bad:
            found.append(Finding(entry.at("paths", position, "glob"), bad.what, bad.mend))
    return found


def _check_dependencies(
    entries: Sequence[Entry], ids: Mapping[int, str | None], *, all_ids_known: bool
) -> list[Finding]:
    known = dict.fromkeys(project for project in ids.values() if project is not None)
    found: list[Finding] = []
    if all_ids_known:
        for entry in entries:
            for position, wanted in enumerate(entry.keys.depends_on):
                if wanted not in known:
                    guess = fields.near(wanted, [*known]) if len(found) < GUESSES else ""
                    mend = guess or "write the id of another entry of this file"
                    path = entry.at("depends_on", position)
                    found.append(Finding(path, "no manifest project has this id", mend))
    return found + _cycles(entries, ids)


def _cycles(entries: Sequence[Entry], ids: Mapping[int, str | None]) -> list[Finding]:
    """One finding for each ring of projects, at the one of them that stands first in the file."""
    by_id = {project: e for e in reversed(entries) if (project := ids[e.index]) is not None}
    needs = {project: set(e.keys.depends_on) for project, e in by_id.items()}
    found = []
    while ring := _ring(needs):
        first = min(ring, key=lambda project: by_id[project].index)
        turned = ring[ring.index(first) :] + ring[: ring.index(first)]
        what = f"manifest projects wait for each other: {_told(turned)}"
        found.append(Finding(by_id[first].at("depends_on"), what, "remove one of these dependencies"))
        for project in ring:
            del needs[project]
    return found


def _told(ring: Sequence[str]) -> str:
    """A ring in words; of a long one its beginning, which is enough to find it."""
    shown = [shown_name(project) for project in ring[:RING_SHOWN]]
    between = [f"{len(ring) - RING_SHOWN} more"] if len(ring) > RING_SHOWN else []
    return " -> ".join([*shown, *between, shown[0]])


def _ring(needs: Mapping[str, set[str]]) -> list[str]:
    """Projects of which each waits for the next and the last for the first; empty if there are none."""
    if not any(needs.values()):
        return []
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - most files have no depends_on

    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        # The library lists each node before the one that needs it, and the first once more at the end.
        return list(reversed(error.args[1][1:]))
    return []
