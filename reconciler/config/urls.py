"""
The way from a project's id to its URL, and back.

Pure. Which URLs may be opened at all is git/urls.py's rule.
"""

import re

from reconciler.config.models import ConfigProject

# What a project's path may hold on the old agent's server; the rest would change a URL's meaning.
_PROJECT_PATH = re.compile(r"[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*")


def is_project_path(project: str) -> bool:
    """Whether an id can be the path of a project below a base URL (`group/sub/project`)."""
    return bool(_PROJECT_PATH.fullmatch(project)) and not {".", ".."} & set(project.split("/"))


def below(base: str, project: str) -> str:
    """
    The URL of `project` on the server at `base`: `https://host` and `a/b` -> `https://host/a/b.git`.

    With `.git`, because GitLab answers the name without it by a redirect, and a redirect
    is a second request and a second address that credentials would have to fit.
    """
    joint = "" if base.endswith((":", "/")) else "/"
    suffix = "" if project.endswith(".git") else ".git"
    return f"{base}{joint}{project}{suffix}"


def config_project(url: str, *, credentials: str | None = None) -> ConfigProject | None:
    """The configuration's own repository as a manifest project; None if its URL shows no path."""
    path = project_path(url)
    return ConfigProject(path=path, url=url, credentials=credentials) if path else None


def project_path(url: str) -> str | None:
    """The path of the project behind a URL: `https://host/a/b.git` -> `a/b`; None if there is none."""
    rest = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", "", url)
    if rest == url and not url.startswith("/"):
        rest = url.partition(":")[2]
    path = rest.strip("/").removesuffix(".git")
    return path if is_project_path(path) else None
