"""Short ways to read a configuration in a table row."""

from typing import Any

from reconciler.config.errors import ConfigInvalid
from reconciler.config.models import ConfigProject, Configuration, ManifestProject
from reconciler.config.parse import parse

OWN = ConfigProject(
    path="my-group/agents", url="https://git.example.com/my-group/agents.git", credentials="own"
)


def read(text: str, **more: Any) -> Configuration:
    return parse(text.encode(), where="config.yaml", **more)


def problems(text: str, **more: Any) -> list[str]:
    """Every line of the error, without the file's name; empty if the text is valid."""
    try:
        read(text, **more)
    except ConfigInvalid as invalid:
        return [line.removeprefix("config.yaml:") for line in invalid.lines()]
    return []


def project(keys: str, **more: Any) -> ManifestProject:
    """The one project that has these keys (flow style) beside id and url."""
    (only,) = read(f"gitops: {{manifest_projects: [{{id: a, url: 'https://h/a', {keys}}}]}}", **more).projects
    return only


def project_problems(keys: str, **more: Any) -> list[str]:
    """What is wrong with such a project: path below the entry, and text."""
    text = f"gitops: {{manifest_projects: [{{id: a, url: 'https://h/a', {keys}}}]}}"
    return [line.split("gitops.manifest_projects[0]", 1)[1].lstrip(".") for line in problems(text, **more)]
