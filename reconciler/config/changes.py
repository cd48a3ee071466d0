"""
What a new configuration changes for the manifest projects that run.

Pure. An equal project is left alone; removing one stops it and never deletes its objects
or its inventory (the old agent's rule, too).
"""

from dataclasses import dataclass

from reconciler.config.models import Configuration, ManifestProject


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    What to do with the running projects, by id where they go, as a whole where they come.

    Carry it out in this order: `stop` and the old ones of `restart` (all at once, then wait
    for all), then `start` and `restart`.
    """

    stop: tuple[str, ...] = ()
    restart: tuple[ManifestProject, ...] = ()
    start: tuple[ManifestProject, ...] = ()


def changes(before: Configuration, after: Configuration) -> Changes:
    """Compare by id; a changed limit concerns every project."""
    old = {project.id: project for project in before.projects}
    new = {project.id for project in after.projects}
    same_rules = before.limits == after.limits
    return Changes(
        stop=tuple(project for project in old if project not in new),
        restart=tuple(p for p in after.projects if p.id in old and not (same_rules and old[p.id] == p)),
        start=tuple(p for p in after.projects if p.id not in old),
    )
