"""An object that left git stays while what may have taken its place is not well."""

from typing import Any

import pytest

from reconciler.sync.outcome import State
from tests.fix_git import Symlink
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, definition, deployment, manifest


def synced(installation: Installation, **files: Any) -> None:
    installation.commit({f"{name}.yaml": content for name, content in files.items()})
    assert installation.sync(wait=False).state is State.SYNCED


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kind": "Configmap"}, id="kind misspelt"),
        pytest.param({"apiVersion": "v1alpha7"}, id="version that is not served"),
        pytest.param({"metadata": {"name": "Renamed_Badly"}}, id="renamed to what the server refuses"),
        pytest.param({"metadata": {"name": "web", "namespace": "not-there"}}, id="moved to no namespace"),
    ],
)
def test_object_stays_while_its_manifest_has_a_mistake(
    installation: Installation, change: dict[str, Any]
) -> None:
    synced(installation, keep=config_map("keep"), web=config_map("web"))
    installation.commit({"web.yaml": {**config_map("web"), **change}})
    report = installation.sync()
    assert report.state is State.FAILED
    assert installation.exists("configmaps", "web"), outcomes(report)


def test_renamed_deployment_goes_when_the_new_one_is_ready(installation: Installation) -> None:
    synced(installation, web=deployment("old"))
    installation.commit({"web.yaml": deployment("new")})
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"new": "created", "old": "pruned"})


def test_renamed_deployment_stays_while_the_new_one_is_not_ready(installation: Installation) -> None:
    installation.configure(reconcile_timeout="1s")
    synced(installation, web=deployment("old"))
    installation.commit({"web.yaml": deployment("new", behaviour="unready")})
    report = installation.sync()
    assert outcomes(report) == {"new": "created", "old": "held"}
    assert "kept until Deployment.apps" in of(report, "old").message
    assert installation.exists("apps/v1/deployments", "old")


def test_other_objects_are_pruned_while_a_deployment_is_not_ready(installation: Installation) -> None:
    installation.configure(reconcile_timeout="1s")
    synced(installation, a=config_map("a"), keep=config_map("keep"), web=deployment("w", behaviour="unready"))
    installation.commit({"a.yaml": None})
    report = installation.sync()
    assert outcomes(report)["a"] == "pruned"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"theirs": config_map("theirs")}, id="another's object"),
        pytest.param({"keep": {**config_map("keep"), "data": {"a": 1}}}, id="a mistake in one that is there"),
    ],
)
def test_what_was_there_before_keeps_nothing_of_its_kind(
    installation: Installation, bad: dict[str, Any]
) -> None:
    """However long it fails."""
    installation.api.post(installation.path("configmaps"), config_map("theirs"))
    synced(installation, a=config_map("a"), keep=config_map("keep"), more=config_map("more"))
    installation.commit({f"{name}.yaml": content for name, content in bad.items()})
    assert installation.sync().state is State.FAILED
    installation.commit({"a.yaml": None})
    assert outcomes(installation.sync())["a"] == "pruned"


def test_link_in_the_place_of_a_manifest_is_unknown_and_not_empty(installation: Installation) -> None:
    synced(installation, a=config_map("a"), keep=config_map("keep"))
    installation.repo.commit({"a.yaml": Symlink("keep.yaml")})
    report = installation.sync()
    assert report.state is State.FAILED
    assert "symbolic link" in report.reason
    assert installation.exists("configmaps", "a")


def test_object_declared_through_another_group_is_the_same_object(installation: Installation) -> None:
    about = {"apiVersion": "v1", "kind": "ConfigMap", "name": "keep", "namespace": installation.namespace}
    old = manifest("v1", "Event", "it", involvedObject=about, reason="Tested", message="a", type="Normal")
    new = manifest(
        "events.k8s.io/v1",
        "Event",
        "it",
        regarding=about,
        reason="Tested",
        note="a",
        type="Normal",
        action="Test",
        reportingController="tests.example.com/x",
        reportingInstance="x",
        eventTime="2026-11-23T00:00:00.000000Z",
    )
    synced(installation, keep=config_map("keep"), it=old)
    installation.commit({"it.yaml": new})
    installation.sync()
    assert installation.exists("events", "it")


def test_definition_whose_objects_git_declares_is_not_offered_for_a_prune(installation: Installation) -> None:
    group = f"{installation.namespace}.example.com"
    widget = manifest(f"{group}/v1", "Widget", "w")
    synced(installation, crd=definition(group), keep=config_map("keep"), widget=widget)
    installation.commit({"crd.yaml": None})
    report = installation.sync()
    assert of(report, f"widgets.{group}").reason == "InUse"
    assert report.held is None


def test_namespace_of_another_project_is_not_offered_for_a_prune(installation: Installation) -> None:
    shared = f"{installation.namespace}-shared"
    one = {"id": "one", "paths": [{"glob": "one/*.yaml"}]}
    two = {"id": "two", "paths": [{"glob": "two/*.yaml"}]}
    installation.configure_projects([one, {**two, "depends_on": ["one"]}])
    space = manifest("v1", "Namespace", shared)
    installation.commit(
        {
            "one/ns.yaml": space,
            "one/keep.yaml": config_map("keep"),
            "two/c.yaml": config_map("c", namespace=shared),
        }
    )
    assert {r.state for r in installation.run().reports} == {State.SYNCED}
    installation.commit({"one/ns.yaml": None})
    report = installation.run("one").reports[0]
    assert of(report, shared).reason == "InUse"
    assert "project two" in of(report, shared).message


def test_two_projects_that_declare_one_new_object_do_not_both_apply_it(installation: Installation) -> None:
    both = [{"id": name, "paths": [{"glob": f"{name}/*.yaml"}]} for name in ("one", "two")]
    installation.configure_projects(both)
    installation.commit({"one/a.yaml": config_map("a", by="one"), "two/a.yaml": config_map("a", by="two")})
    reports = installation.run().reports
    assert sorted(outcomes(report)["a"] for report in reports) == ["blocked", "created"]
