"""
What a configuration says, resolved: defaults filled in, URLs complete, seconds as numbers.

The layers above read these plain values and nothing else; parse.py makes them out of
the file's own shape (keys.py). No pydantic here, so that importing the types is free.
"""

from dataclasses import dataclass, field
from typing import Literal

from reconciler.git.globs import FileLimits
from reconciler.git.refs import RefSpec

DryRunStrategy = Literal["none", "client", "server"]
PropagationPolicy = Literal["orphan", "background", "foreground"]
InventoryPolicy = Literal["must_match", "adopt_if_no_inventory", "adopt_all"]
LogLevel = Literal["info", "debug", "warn", "error"]

HEAD = RefSpec("head", "")
DEFAULT_GLOB = "**/*.{yaml,yml,json}"
DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT = 3600.0  # s; the old agent's value for both timeouts
DEFAULT_INTERVAL = 20.0  # s; the old agent's poll period until 16.4
MIN_INTERVAL = 1.0  # s; below, a typing error would poll a git server without a pause


@dataclass(frozen=True, slots=True)
class PruneLimit:
    """
    How many objects one run may prune without approval.

    A run is over the limit when it is over *every* bound that is set, so the default
    (50 %, 10 objects) lets a project of six objects lose five.
    """

    objects: int | None = None
    percent: int | None = None

    def exceeded(self, *, pruning: int, of: int) -> bool:
        """Whether pruning so many objects, out of those `of` in the inventory, needs approval."""
        over_objects = self.objects is None or pruning > self.objects
        over_percent = self.percent is None or pruning * 100 > self.percent * of
        return over_objects and over_percent

    def __str__(self) -> str:
        parts = [] if self.percent is None else [f"{self.percent}%"]
        parts += [] if self.objects is None else [str(self.objects)]
        return " and ".join(parts)


DEFAULT_PRUNE_LIMIT = PruneLimit(objects=10, percent=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProject:
    """
    The repository that the configuration file itself came from.

    `path` is the default `id` of a manifest project (`my-group/agents`); the project of
    that id is read from `url` with `credentials`, as the old agent could always do.
    """

    path: str
    url: str
    credentials: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestProject:
    """One entry of `gitops.manifest_projects`. Timeouts and the interval are seconds; 0 waits for ever."""

    id: str
    url: str
    ref: RefSpec = HEAD
    credentials: str | None = None
    paths: tuple[str, ...] = (DEFAULT_GLOB,)
    default_namespace: str = DEFAULT_NAMESPACE
    reconcile_timeout: float = DEFAULT_TIMEOUT
    dry_run_strategy: DryRunStrategy = "none"
    prune: bool = True
    prune_timeout: float = DEFAULT_TIMEOUT
    prune_propagation_policy: PropagationPolicy = "foreground"
    prune_limit: PruneLimit = DEFAULT_PRUNE_LIMIT
    inventory_policy: InventoryPolicy = "must_match"
    interval: float = DEFAULT_INTERVAL
    suspend: bool = False
    strict: bool = False
    depends_on: tuple[str, ...] = ()
    guarded_kinds: tuple[str, ...] = ()
    inventory_id: str | None = None
    """The id of the old agent's inventory that this project takes over; None looks for it, "" takes none."""
    take_over: tuple[str, ...] = ()
    """Field managers whose fields become ours, besides those that always do."""
    prune_grace: float = 0.0
    """How long an object that left git is kept, s: another project may come to declare it."""
    service_account: str | None = None
    """`namespace/name`; None acts as the service itself."""
    allowed_namespaces: tuple[str, ...] | None = None
    """None allows all, as for `allowed_kinds`."""
    allowed_kinds: tuple[str, ...] | None = None
    hold_on_rewind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A whole, valid configuration; the empty one runs nothing and deletes nothing."""

    projects: tuple[ManifestProject, ...] = ()
    limits: FileLimits = field(default_factory=FileLimits)
    paused: bool = False
    log_level: LogLevel = "info"
    ignored: tuple[str, ...] = ()  # sections of the old agent that are valid and do nothing here
