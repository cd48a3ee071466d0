"""
Check configurations on disk, without a cluster and without a network.

For `reconciler validate` and for a config repository's own pipeline. In a directory it
finds what the service would find: `.gitlab/agents/*/config.yaml`, else `config.yaml`; and
what looks like a configuration there, and never would be found.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.config.errors import ConfigInvalid
from reconciler.config.filesource import read_file
from reconciler.config.gitsource import AGENT_NAME_RULE, AGENTS, CONFIG_FILE, agent_file, is_agent_name
from reconciler.config.models import ConfigProject, Configuration
from reconciler.config.parse import parse
from reconciler.config.source import Content, Missing

# Offline nobody knows where the directory was cloned from; an entry without id is right all the same.
THIS_REPOSITORY = ConfigProject(path="(this repository)", url="https://config-project.invalid/this.git")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file: its configuration, or why it has none (`problems`, a line each, with file, line and path)."""

    file: str
    configuration: Configuration | None
    problems: tuple[str, ...]


def validate(
    path: Path, *, config_project: ConfigProject | None = None, allow_local: bool = False
) -> tuple[Checked, ...]:
    """
    Check a file, or every configuration in a directory; never empty.

    `config_project` is where the files are kept; unset, a file of a config repository may
    leave out the `id` of one entry, and any other file may not.
    """
    if not path.is_dir():
        return (_check(path, config_project, allow_local=allow_local),)
    agents = sorted(each for each in (path / AGENTS).glob("*") if each.is_dir())
    if agents:
        own = config_project or THIS_REPOSITORY
        return tuple(_check_agent(agent, own, allow_local=allow_local) for agent in agents)
    return (_check(path / CONFIG_FILE, config_project, allow_local=allow_local),)


def _check_agent(directory: Path, config_project: ConfigProject, *, allow_local: bool) -> Checked:
    file = directory / CONFIG_FILE
    if not file.exists():
        wrong = file.with_suffix(".yml").exists()
        mend = (
            "rename config.yml" if wrong else "add it (an empty file runs nothing), or remove the directory"
        )
        problem = f"{directory}: there is no {CONFIG_FILE}, the only file that is read; {mend}"
        return Checked(file=str(file), configuration=None, problems=(problem,))
    checked = _check(file, config_project, allow_local=allow_local)
    if is_agent_name(directory.name):
        return checked
    problem = f"{directory}: this is not the name of an agent, --agent-name cannot give it; {AGENT_NAME_RULE}"
    return replace(checked, configuration=None, problems=(problem, *checked.problems))


def _check(path: Path, config_project: ConfigProject | None, *, allow_local: bool) -> Checked:
    reading = read_file(path, shown=str(path))
    match reading:
        case Content():
            return _parsed(reading, config_project, allow_local=allow_local)
        case Missing():
            mend = f"name a config.yaml, or a directory that has {agent_file('NAME')}"
            problem = f"{path}: there is no such file; {mend}"
        case _:
            problem = f"{path}: {reading.what}; {reading.mend}"
    return Checked(file=str(path), configuration=None, problems=(problem,))


def _parsed(content: Content, config_project: ConfigProject | None, *, allow_local: bool) -> Checked:
    try:
        configuration = parse(
            content.data, where=content.where, config_project=config_project, allow_local=allow_local
        )
    except ConfigInvalid as invalid:
        return Checked(file=content.where, configuration=None, problems=invalid.lines())
    return Checked(file=content.where, configuration=configuration, problems=())
