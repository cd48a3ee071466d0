import pytest
from prometheus_client import REGISTRY

from reconciler.cluster.counter import RequestCounter
from reconciler.cluster.errors import Forbidden
from reconciler.cluster.health import Health
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.outcome import ObjectReport, Outcome, ProjectReport, State
from reconciler.web import metrics as module
from reconciler.web.catalog import CATALOG
from reconciler.web.metrics import Metrics

from .exposition import families, series

SUCCESS = "reconciler_project_last_success_timestamp_seconds"
REVISION = "reconciler_project_revision_info"
STATE = "reconciler_project_state"
OBJECTS = "reconciler_project_objects"
HEALTH = "reconciler_project_objects_health"


class Wall:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def metrics(wall):
    return Metrics(wall=wall)


def item(name="a", outcome=Outcome.UNCHANGED, **more):
    return ObjectReport(ref=ObjectRef("apps", "Deployment", "shop", name), outcome=outcome, **more)


def report(project="shop", state=State.SYNCED, commit="c1", duration=1.0, **more):
    return ProjectReport(project=project, state=state, commit=commit, duration=duration, **more)


def shown(metrics, name):
    return series(metrics.render()[0], name)


def state_of(metrics):
    return [labels for labels, value in shown(metrics, STATE).items() if value]


def test_every_metric_is_what_the_catalog_says(metrics):
    counter = RequestCounter()
    counter.add("list", "deployments.apps")
    metrics.count_requests(counter)
    metrics.observe(report(objects=(item(health="Current"),), differing=1))
    metrics.observe_apply(0.01, "Deployment")
    metrics.observe_wait(1)
    metrics.observe_drift("Deployment", "kubectl")
    metrics.observe_error("Forbidden")
    metrics.observe_poll(True)
    metrics.observe_configuration(True)
    got = families(metrics.render()[0])
    assert got.keys() == {described.name for described in CATALOG}
    for described in CATALOG:
        family = got[described.name]
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert (family.type, family.documentation) == (described.kind, described.text), described.name
        assert labels == {frozenset(described.labels)}, described.name


def test_configuration_is_absent_until_it_was_read_and_keeps_the_time_of_its_last_success(metrics, wall):
    names = ("reconciler_config_ok", "reconciler_config_last_success_timestamp_seconds")

    def told():
        return [shown(metrics, name).get("") for name in names]

    assert told() == [None, None]
    metrics.observe_configuration(False)
    assert told() == [0, None]
    metrics.observe_configuration(True)
    wall.now = 2000.0
    metrics.observe_configuration(False)
    assert told() == [0, 1000.0]
    metrics.observe_configuration(True)
    assert told() == [1, 2000.0]


def test_the_registry_is_our_own(metrics):
    metrics.observe_error("Forbidden")
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("reconciler")]


def test_a_page_without_projects_can_be_scraped(metrics):
    page, content_type = metrics.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert STATE in families(page)
    assert shown(metrics, "reconciler_repository_polls_total") == {"result=ok": 0, "result=failed": 0}


# -- projects -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_one_state_is_1_and_all_others_are_0(metrics, state):
    metrics.observe(report(state=state))
    assert state_of(metrics) == [f"project=shop state={state}"]
    assert len(shown(metrics, STATE)) == len(State)


def test_a_state_that_changes_leaves_the_old_one_at_0(metrics):
    metrics.observe(report(state=State.UNKNOWN, commit="", duration=0))
    metrics.observe(report(state=State.FAILED))
    metrics.observe(report(state=State.SYNCED, duration=2))
    assert state_of(metrics) == ["project=shop state=synced"]


def test_a_new_revision_takes_the_place_of_the_old_one(metrics):
    metrics.observe(report(commit="c1"))
    metrics.observe(report(commit="c2"))
    assert shown(metrics, REVISION) == {"commit=c2 project=shop": 1}


def test_no_revision_is_shown_before_one_is_known(metrics):
    metrics.observe(report(state=State.UNKNOWN, commit=""))
    assert shown(metrics, REVISION) == {}


def test_objects_are_counted_by_outcome_and_by_health(metrics):
    objects = (
        item("a", Outcome.CREATED, health="Current"),
        item("b", Outcome.CREATED, health="InProgress"),
        item("c", Outcome.BLOCKED),
        item("d", Outcome.UNCHANGED, health="a word that kstatus does not have"),
    )
    metrics.observe(report(state=State.FAILED, objects=objects))
    outcomes, healths = shown(metrics, OBJECTS), shown(metrics, HEALTH)
    assert {k.split("=")[1].split()[0]: v for k, v in outcomes.items() if v} == {
        "created": 2,
        "blocked": 1,
        "unchanged": 1,
    }
    assert len(outcomes) == len(Outcome)
    assert {k.split("=")[1].split()[0]: v for k, v in healths.items() if v} == {
        "Current": 1,
        "InProgress": 1,
        "Unknown": 1,
    }
    assert len(healths) == len(Health)


@pytest.mark.parametrize(
    ("state", "known"),
    [
        pytest.param(State.SYNCED, True, id="a project without objects has none"),
        pytest.param(State.FAILED, False, id="a run that broke off knows nothing"),
        pytest.param(State.PENDING, False, id="a run that was not made knows nothing"),
    ],
)
def test_unknown_objects_are_absent_and_not_0(metrics, state, known):
    metrics.observe(report(objects=(item(),)))
    metrics.observe(report(state=state, objects=(), duration=2))
    assert bool(shown(metrics, OBJECTS)) is known
    assert bool(shown(metrics, HEALTH)) is known


@pytest.mark.parametrize(
    ("reports", "want"),
    [
        pytest.param("synced", 1000, id="the first"),
        pytest.param("synced failed", 1000, id="a failure keeps it"),
        pytest.param("synced failed synced", 1002, id="and a success moves it"),
        pytest.param("synced again", 1001, id="a run that changes nothing is one too"),
        pytest.param("synced deaf", 1000, id="not while the repository cannot be read"),
        pytest.param("synced deaf synced", 1000, id="the old run, said again after recovery"),
        pytest.param("synced again-deaf again", 1002, id="a run made meanwhile counts from recovery on"),
        pytest.param("synced unknown", 1000, id="a changed configuration keeps it"),
        pytest.param("failed held suspended pending progressing unknown", None, id="never"),
    ],
)
def test_last_success(metrics, wall, reports, want):
    """One report a second, the first at 1000."""
    said = {state.value: report(state=state) for state in State} | {
        "again": report(duration=2.0),
        "deaf": report(reason="still at c1; the repository cannot be read"),
        "again-deaf": report(duration=2.0, reason="still at c1; the repository cannot be read"),
    }
    for word in reports.split():
        metrics.observe(said[word])
        wall.now += 1
    assert shown(metrics, SUCCESS) == ({"project=shop": want} if want else {})


def test_a_project_that_left_the_configuration_disappears(metrics):
    for project in ("shop", "blog", "wiki"):
        metrics.observe(report(project=project, objects=(item(),)))
    metrics.retain({"blog", "wiki", "new"})
    metrics.forget("wiki")
    metrics.forget("never seen")
    page = metrics.render()[0].decode()
    assert 'project="blog"' in page
    assert 'project="shop"' not in page
    assert 'project="wiki"' not in page


def test_names_of_objects_are_on_no_page(metrics):
    failed = item("name-of-object", Outcome.FAILED, reason="Invalid", message="text", path="shop.yaml")
    metrics.observe(report(state=State.FAILED, reason="Deployment name-of-object failed", objects=(failed,)))
    page = metrics.render()[0].decode()
    assert "name-of-object" not in page
    assert "shop.yaml" not in page


# -- durations, requests, polls, errors ------------------------------------------------------


def test_applies_are_measured_by_kind(metrics):
    metrics.observe_apply(0.02, "Deployment")
    metrics.observe_apply(0.2, "Deployment")
    metrics.observe_apply(100, "ConfigMap")
    name = "reconciler_apply_duration_seconds"
    assert shown(metrics, f"{name}_count") == {"kind=Deployment": 2, "kind=ConfigMap": 1}
    assert shown(metrics, f"{name}_sum")["kind=Deployment"] == pytest.approx(0.22)
    buckets = shown(metrics, f"{name}_bucket")
    assert buckets["kind=Deployment le=0.025"] == 1
    assert buckets["kind=Deployment le=0.25"] == 2
    assert (buckets["kind=ConfigMap le=30.0"], buckets["kind=ConfigMap le=+Inf"]) == (0, 1)


def test_waits_are_measured(metrics):
    metrics.observe_wait(45)
    buckets = shown(metrics, "reconciler_wait_duration_seconds_bucket")
    assert (buckets["le=30.0"], buckets["le=60.0"]) == (0, 1)


def test_requests_are_read_when_somebody_scrapes(metrics):
    name = "reconciler_api_requests_total"
    assert shown(metrics, name) == {}
    counter = RequestCounter()
    metrics.count_requests(counter)
    counter.add("list", "deployments.apps")
    counter.add("apply", "deployments.apps")
    counter.add("apply", "deployments.apps")
    assert shown(metrics, name) == {
        "resource=deployments.apps verb=apply": 2,
        "resource=deployments.apps verb=list": 1,
    }
    counter.add("list", "deployments.apps")
    assert shown(metrics, name)["resource=deployments.apps verb=list"] == 2


def test_polls_are_counted_by_result(metrics):
    metrics.observe_poll(True)
    metrics.observe_poll(False)
    metrics.observe_poll(False)
    assert shown(metrics, "reconciler_repository_polls_total") == {"result=ok": 1, "result=failed": 2}


def test_errors_are_counted_by_cause(metrics):
    metrics.observe_error("ConfigInvalid")
    metrics.observe_error(Forbidden(what="no", where="there", mend="ask"))
    metrics.observe(
        report(
            state=State.FAILED,
            objects=(
                item("a", Outcome.FAILED, reason="Forbidden"),
                item("b", Outcome.FAILED),
                item("c", Outcome.BLOCKED, reason="Dependency"),
                item("d", Outcome.CREATED, health="Failed", reason="free text of a controller"),
            ),
        )
    )
    assert shown(metrics, "reconciler_errors_total") == {
        "cause=ConfigInvalid": 1,
        "cause=Forbidden": 2,
        "cause=other": 1,
    }


def test_a_failed_object_counts_once_for_each_run_and_not_for_each_report(metrics):
    objects = (item("a", Outcome.FAILED, reason="Invalid"),)
    metrics.observe(report(state=State.FAILED, objects=objects))
    metrics.observe(report(state=State.FAILED, objects=objects, reason="the repository cannot be read"))
    assert shown(metrics, "reconciler_errors_total") == {"cause=Invalid": 1}
    metrics.observe(report(state=State.FAILED, objects=objects, duration=2))
    assert shown(metrics, "reconciler_errors_total") == {"cause=Invalid": 2}


def test_labels_beyond_their_bound_are_counted_together(metrics):
    counter = RequestCounter()
    metrics.count_requests(counter)
    for n in range(module.MOST_RESOURCES + 2):
        metrics.observe_apply(1, f"Kind{n}")
        metrics.observe_error(f"Cause{n}")
        counter.add("list", f"kind{n}s")
    applies = shown(metrics, "reconciler_apply_duration_seconds_count")
    errors = shown(metrics, "reconciler_errors_total")
    requests = shown(metrics, "reconciler_api_requests_total")
    assert len(applies) == module.MOST_KINDS + 1
    assert len(errors) == module.MOST_CAUSES + 1
    assert len(requests) == module.MOST_RESOURCES + 1
    assert requests["resource=other verb=list"] == 2
    assert {sum(group.values()) for group in (applies, errors, requests)} == {module.MOST_RESOURCES + 2}
