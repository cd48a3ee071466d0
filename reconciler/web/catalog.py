"""
Every metric that we publish: name, type, labels, and what it says.

Pure data. metrics.py builds exactly these; docs/metrics.md holds the same table, kept
equal by a test. No label ever holds the name of an object: its values are bounded by the
configuration, by the kinds of the cluster, or by a word list of ours.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The types of Prometheus that we use."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Described:
    """One metric; `text` is its help text and its row in the docs."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str


LAST_SUCCESS = Described(
    "reconciler_project_last_success_timestamp_seconds",
    Kind.GAUGE,
    ("project",),
    "Unix time of the last run that found or made everything in sync with a repository that could be read. "
    "Absent until there was one.",
)
REVISION = Described(
    "reconciler_project_revision_info",
    Kind.GAUGE,
    ("project", "commit"),
    "Always 1; the label is the commit in force. Absent until one is known.",
)
STATE = Described(
    "reconciler_project_state",
    Kind.GAUGE,
    ("project", "state"),
    "1 for the state that the project is in, 0 for the others.",
)
OBJECTS = Described(
    "reconciler_project_objects",
    Kind.GAUGE,
    ("project", "outcome"),
    "Objects by what the last run did with them. Absent where that run did not get as far as the objects.",
)
HEALTH = Described(
    "reconciler_project_objects_health",
    Kind.GAUGE,
    ("project", "health"),
    "Objects by health (kstatus), where the last run looked at it. Absent where that run did not get so far.",
)
DIFFERING = Described(
    "reconciler_project_differing_objects",
    Kind.GAUGE,
    ("project",),
    "Objects that differ from git and stay so, since the project is paused, suspended or a dry run. "
    "Absent for the others.",
)
APPLY_DURATION = Described(
    "reconciler_apply_duration_seconds",
    Kind.HISTOGRAM,
    ("kind",),
    "From sending one object to the answer, repetitions included.",
)
WAIT_DURATION = Described(
    "reconciler_wait_duration_seconds",
    Kind.HISTOGRAM,
    (),
    "From the apply or delete of one object until it was ready, gone, failed or given up.",
)
DRIFT = Described(
    "reconciler_drift_total",
    Kind.COUNTER,
    ("kind", "manager"),
    "Objects that others changed or deleted and that were put right, by the field manager that holds what "
    "was changed; unknown where nothing tells.",
)
API_REQUESTS = Described(
    "reconciler_api_requests_total",
    Kind.COUNTER,
    ("verb", "resource"),
    "Requests sent to the Kubernetes API; each page and each repetition counts.",
)
POLLS = Described(
    "reconciler_repository_polls_total",
    Kind.COUNTER,
    ("result",),
    "Looks at a repository by result: ok or failed.",
)
ERRORS = Described(
    "reconciler_errors_total",
    Kind.COUNTER,
    ("cause",),
    "Errors by cause: failed objects by their reason, anything larger by the type of the error.",
)
CONFIG_OK = Described(
    "reconciler_config_ok",
    Kind.GAUGE,
    (),
    "1 while the newest configuration is in force, 0 while it is bad, gone or cannot be read and the last "
    "good one stays, or nothing runs. Absent until it was read once.",
)
CONFIG_TIME = Described(
    "reconciler_config_last_success_timestamp_seconds",
    Kind.GAUGE,
    (),
    "Unix time at which this process took over the configuration that is in force. Absent until there "
    "was one.",
)
LEADER = Described(
    "reconciler_leader",
    Kind.GAUGE,
    (),
    "1 in the replica that holds the lease and works, 0 in one that stands by.",
)

CATALOG = (
    LAST_SUCCESS,
    REVISION,
    STATE,
    OBJECTS,
    HEALTH,
    DIFFERING,
    APPLY_DURATION,
    WAIT_DURATION,
    DRIFT,
    API_REQUESTS,
    POLLS,
    ERRORS,
    CONFIG_OK,
    CONFIG_TIME,
    LEADER,
)
