"""
What a run is asked for, and what all runs of one instance share. Plain data; run.py carries it out.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from reconciler.cluster.client import Cluster
from reconciler.config.models import ManifestProject
from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Revision
from reconciler.sync.claims import Claims
from reconciler.sync.identities import Identities
from reconciler.sync.neighbours import Neighbours
from reconciler.sync.outcome import ObjectReport, ProjectReport
from reconciler.sync.passing import NoTimings, Timings
from reconciler.sync.preview import Preview
from reconciler.sync.records import Records
from reconciler.sync.source import Source

Progress = Callable[[str, ObjectReport], None]
"""Told of every object as it changes; project id first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to make real, and how long to stay with it."""

    project: ManifestProject
    revision: Revision
    source: Source
    limits: FileLimits
    wait: bool = True
    """Wait until all objects are ready, not only those that others need."""
    waiting: Callable[[ProjectReport], None] = lambda _report: None
    """Told how things are when all is sent and only waiting is left."""
    resting: Callable[[bool], None] = lambda _resting: None
    """Told True when objects are only waited for and nothing is sent, and False at the end of that."""
    preview: Preview | None = None
    """Only find out what the run would do, into this; the project is one that writes nothing."""
    departed: bool = False
    """The project has left the configuration: it declares nothing, and others may declare its objects."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a newer request or the end of the service makes this one pointless."""

    suspended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a person has suspended the project: of what was begun nothing more may be sent either."""

    def looking(self) -> "Request":
        """The same, to be compared only: nothing is written."""
        return replace(self, project=replace(self.project, dry_run_strategy="client"), wait=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What all runs of one instance share."""

    cluster: Cluster
    instance: str
    records: Records
    records_namespace: str
    identities: Identities
    claims: Claims
    neighbours: Neighbours
    progress: Progress = lambda _project, _report: None
    timings: Timings = field(default_factory=NoTimings)
    wall: Callable[[], float] = time.time
    """Seconds since the epoch, for what is recorded."""
