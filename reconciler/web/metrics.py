"""
Metrics in Prometheus' text format; the only door to prometheus_client.

Told what happened by the service, never asks anybody, except for the request counter of
the cluster client, which is read when somebody scrapes, so that counting costs nothing.
Has a registry of its own. Gauges of projects are made from the last report at each
scrape: what is not known any more cannot be left behind. Neighbours: catalog.py says
what there is, server.py shows it. Used in the event loop only.
"""

import time
from collections import Counter as Counts
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from reconciler.cluster.counter import RequestCounter
from reconciler.cluster.health import Health
from reconciler.errors import ReconcilerError
from reconciler.sync.outcome import Outcome, ProjectReport, State
from reconciler.web import catalog
from reconciler.web.catalog import Described

# A global switch of the library, which nobody else uses: without it each counter and each
# histogram is followed by a gauge with its birthday.
disable_created_metrics()  # type: ignore[no-untyped-call]

APPLY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""s; an apply takes some 5 ms on an idle server, and a single request may take 30 s."""
WAIT_BUCKETS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""s; from a ConfigMap's nothing to the hour that is the longest usual `reconcile_timeout`."""
MOST_KINDS: Final = 100
"""Kinds with a histogram of their own, 15 lines each; clusters with many operators serve about 200."""
MOST_RESOURCES: Final = 500
MOST_CAUSES: Final = 100
MOST_MANAGERS: Final = 100
"""Some 40 words of ours exist; the bound is for what a later change might pass by mistake."""
OTHER: Final = "other"
"""Label value of what is beyond a bound, so that sums stay right."""

_Run = tuple[str, float]


@dataclass(frozen=True, slots=True)
class _Project:
    """What is known of one project."""

    state: State
    commit: str
    outcomes: Mapping[str, int]
    healths: Mapping[str, int]
    differing: int | None
    run: _Run
    success: float | None = None
    success_run: _Run | None = None


class Metrics:
    """All metrics of one process; `wall` gives Unix time in seconds."""

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._projects: dict[str, _Project] = {}
        self._requests: RequestCounter | None = None
        self._leading = _Leading()
        self._kinds = _Bound(MOST_KINDS)
        self._causes = _Bound(MOST_CAUSES)
        self._registry = CollectorRegistry()
        self._registry.register(_Projects(self._projects))
        self._apply = _histogram(catalog.APPLY_DURATION, APPLY_BUCKETS, self._registry)
        self._wait = _histogram(catalog.WAIT_DURATION, WAIT_BUCKETS, self._registry)
        self._registry.register(_Requests(lambda: self._requests))
        self._configuration = _Configuration()
        self._registry.register(self._configuration)
        self._registry.register(self._leading)
        self._drift = _counter(catalog.DRIFT, self._registry)
        self._managers = _Bound(MOST_MANAGERS)
        self._polls = _counter(catalog.POLLS, self._registry)
        self._errors = _counter(catalog.ERRORS, self._registry)
        for result in ("ok", "failed"):
            self._polls.labels(result)  # a series that starts at 0 shows its first failure as a rise

    def observe(self, report: ProjectReport) -> None:
        """
        Take in a project's latest report.

        The same run may be reported again when its repository fails and recovers: it is
        neither a new success nor a new failure. A success while the repository cannot be
        read (a synced report with a reason) counts only once it can.
        """
        before = self._projects.get(report.project)
        project = self._projects[report.project] = _taken_in(before, report, now=self._wall())
        if before is None or before.run != project.run:
            for item in report.objects:
                if item.outcome is Outcome.FAILED:
                    self.observe_error(item.reason or OTHER)

    def retain(self, projects: Collection[str]) -> None:
        """
        Forget all other projects: they left the configuration.

        Call it when those that left have ended; a late report would bring one back.
        """
        for project in self._projects.keys() - set(projects):
            self.forget(project)

    def forget(self, project: str) -> None:
        """Remove all series of a project; no harm if there are none."""
        self._projects.pop(project, None)

    def observe_apply(self, seconds: float, kind: str) -> None:
        """One apply took this long; `kind` without group and name."""
        self._apply.labels(self._kinds.admit(kind)).observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        """One object was waited for this long."""
        self._wait.observe(seconds)

    def observe_drift(self, kind: str, manager: str) -> None:
        """One object was put right; `kind` without group and name."""
        who = self._managers.admit(manager) if manager else "unknown"
        self._drift.labels(self._kinds.admit(kind), who).inc()

    def observe_error(self, cause: ReconcilerError | str) -> None:
        """Count an error by its type, or by a word from a fixed list, never by a text."""
        word = cause if isinstance(cause, str) else type(cause).__name__
        self._errors.labels(self._causes.admit(word)).inc()

    def observe_poll(self, repository_ok: bool) -> None:
        """Count one look at a repository."""
        self._polls.labels("ok" if repository_ok else "failed").inc()

    def observe_configuration(self, good: bool) -> None:
        """Note what became of the newest reading of the configuration."""
        self._configuration.good = good
        if good:
            self._configuration.success = self._wall()

    def count_requests(self, counter: RequestCounter) -> None:
        """Show this counter from now on, in place of one given before."""
        self._requests = counter

    def show_leading(self, leads: Callable[[], bool]) -> None:
        """Ask this at each scrape whether this process leads; until it is given, none does."""
        self._leading.leads = leads

    def render(self) -> tuple[bytes, str]:
        """The page and its content type."""
        # Plain names only, so that the oldest text format says all there is, to any scraper.
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


def _taken_in(before: _Project | None, report: ProjectReport, *, now: float) -> _Project:
    """What is known after a report."""
    run = (report.commit, report.duration)  # a duration is never the same twice
    counts = report.counts()
    # A run that broke off before it looked has no objects to report: unknown, not none.
    looked = bool(report.objects) or report.state is State.SYNCED
    project = _Project(
        state=report.state,
        commit=report.commit,
        outcomes={outcome.value: counts[outcome] for outcome in Outcome} if looked else {},
        healths=_healths(report) if looked else {},
        differing=report.differing,
        run=run,
        success=before.success if before else None,
        success_run=before.success_run if before and report.state is State.SYNCED else None,
    )
    if report.state is State.SYNCED and not report.reason and project.success_run != run:
        return replace(project, success=now, success_run=run)
    return project


def _healths(report: ProjectReport) -> Mapping[str, int]:
    counts = Counts(item.health for item in report.objects if item.health)
    known = {health.value: counts.pop(health.value, 0) for health in Health}
    known[Health.UNKNOWN.value] += counts.total()  # no other word may become a label
    return known


class _Bound:
    """Lets the first `most` different values of a label through; any other is `OTHER`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._admitted: set[str] = set()

    def admit(self, value: str) -> str:
        if value not in self._admitted:
            if len(self._admitted) >= self._most:
                return OTHER
            self._admitted.add(value)
        return value


class _Projects(Collector):
    """Gauges of projects, from what is known of them at the moment of the scrape."""

    def __init__(self, projects: Mapping[str, _Project]) -> None:
        self._projects = projects

    def collect(self) -> Iterator[Metric]:
        success, revision, state = map(_gauge, (catalog.LAST_SUCCESS, catalog.REVISION, catalog.STATE))
        objects, health, differing = map(_gauge, (catalog.OBJECTS, catalog.HEALTH, catalog.DIFFERING))
        for name, project in sorted(self._projects.items()):
            if project.success is not None:
                success.add_metric([name], project.success)
            if project.commit:
                revision.add_metric([name, project.commit], 1)
            for each in State:
                state.add_metric([name, each.value], each is project.state)
            if project.differing is not None:
                differing.add_metric([name], project.differing)
            for outcome, count in project.outcomes.items():
                objects.add_metric([name, outcome], count)
            for word, count in project.healths.items():
                health.add_metric([name, word], count)
        yield from (success, revision, state, objects, health, differing)


class _Configuration(Collector):
    """What is known of the configuration; None until it was read, or was good once."""

    def __init__(self) -> None:
        self.good: bool | None = None
        self.success: float | None = None

    def collect(self) -> Iterator[Metric]:
        for described, value in ((catalog.CONFIG_OK, self.good), (catalog.CONFIG_TIME, self.success)):
            family = _gauge(described)
            if value is not None:
                family.add_metric([], value)
            yield family


class _Leading(Collector):
    """Whether this process leads, at the moment of the scrape."""

    def __init__(self) -> None:
        self.leads: Callable[[], bool] = lambda: False

    def collect(self) -> Iterator[Metric]:
        family = _gauge(catalog.LEADER)
        family.add_metric([], self.leads())
        yield family


class _Requests(Collector):
    """The request counter, read at the moment of the scrape."""

    def __init__(self, counter: Callable[[], RequestCounter | None]) -> None:
        self._counter = counter
        self._resources = _Bound(MOST_RESOURCES)

    def collect(self) -> Iterator[Metric]:
        counter = self._counter()
        counts: Counts[tuple[str, str]] = Counts()
        for (verb, resource), count in (counter.by_verb_and_resource if counter else {}).items():
            counts[verb, self._resources.admit(resource)] += count
        described = catalog.API_REQUESTS
        family = CounterMetricFamily(described.name, described.text, labels=described.labels)
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        yield family


def _gauge(described: Described) -> GaugeMetricFamily:
    return GaugeMetricFamily(described.name, described.text, labels=described.labels)


def _counter(described: Described, registry: CollectorRegistry) -> Counter:
    return Counter(described.name, described.text, described.labels, registry=registry)


def _histogram(described: Described, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    return Histogram(described.name, described.text, described.labels, buckets=buckets, registry=registry)
