"""
Which configuration is in force, after one more look at its source.

Pure. A bad, missing or unreadable file never replaces a good configuration; only a valid
one does, and an empty file is valid. A service that never saw a good one runs nothing,
says why, and is not ready.
"""

from dataclasses import dataclass

from reconciler.config.errors import ConfigInvalid
from reconciler.config.models import ConfigProject, Configuration
from reconciler.config.parse import parse
from reconciler.config.source import Content, Missing, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The newest file is in force."""

    configuration: Configuration
    revision: str
    problems: tuple[str, ...] = ()
    ready: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The newest file cannot be used (`problems`, a line each); the last good one stays in force."""

    configuration: Configuration
    revision: str
    problems: tuple[str, ...]
    ready: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """There never was a good configuration (`problems`, a line each): nothing runs."""

    problems: tuple[str, ...] = ("the configuration was not read yet",)
    configuration: None = None
    ready: bool = False


State = Accepted | Kept | Nothing


def advance(
    before: State,
    reading: Reading,
    *,
    config_project: ConfigProject | None = None,
    allow_local: bool = False,
) -> State:
    """Parse what was read and decide; see `parse` for the last two."""
    if not isinstance(reading, Content):
        return decide(before, reading, None)
    try:
        parsed = parse(
            reading.data, where=reading.where, config_project=config_project, allow_local=allow_local
        )
    except ConfigInvalid as invalid:
        return decide(before, reading, invalid)
    return decide(before, reading, parsed)


def decide(before: State, reading: Reading, parsed: Configuration | ConfigInvalid | None) -> State:
    """The state after `reading`; `parsed` is what its content says, None if there is no content."""
    if isinstance(reading, Content) and isinstance(parsed, Configuration):
        return Accepted(configuration=parsed, revision=reading.revision)
    if isinstance(before, Nothing):
        return Nothing(problems=_problems(reading, parsed, in_force=None))
    problems = _problems(reading, parsed, in_force=before.revision)
    return Kept(configuration=before.configuration, revision=before.revision, problems=problems)


def _problems(
    reading: Reading, parsed: Configuration | ConfigInvalid | None, in_force: str | None
) -> tuple[str, ...]:
    if isinstance(parsed, ConfigInvalid):
        return parsed.lines()
    if isinstance(reading, Missing):
        if in_force is None:
            return (f"{reading.where}: there is no such file, so nothing runs; {reading.mend}",)
        return (
            f"{reading.where}: the file is gone; what revision {in_force} says stays in force until a valid"
            " file is there again; put an empty file there to stop all projects",
        )
    if isinstance(reading, Content):
        return ()
    return (f"{reading.where}: {reading.what}; {reading.mend}",)
