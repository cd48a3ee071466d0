"""A project that left the configuration: pruned as by a sync, held first, its records deleted last."""

import asyncio
from typing import Any

import pytest

from localcluster import Api
from reconciler.errors import ReconcilerError
from reconciler.service.onepass import one_pass
from reconciler.service.options import OptionsInvalid
from reconciler.service.removing import Removal, delete_project
from reconciler.sync import marks
from reconciler.sync.errors import NotApproved
from reconciler.sync.outcome import State
from reconciler.sync.records import Records
from tests.cli.running import Done, options, run
from tests.fix_sync import PROJECT, Installation, outcomes
from tests.objects import config_map
from tests.service.reader import read_only


def remove(installation: Installation, **settings: Any) -> Removal:
    return asyncio.run(delete_project(installation.options, PROJECT, **settings))


def command(installation: Installation, *arguments: str) -> Done:
    return run(
        installation.directory, "delete-project", *options(installation, source=True), PROJECT, *arguments
    )


def left(installation: Installation, *names: str) -> None:
    """A synced project that has left the configuration since."""
    installation.commit({"a.yaml": [config_map(name) for name in names or ("a", "b")]})
    assert installation.sync().state is State.SYNCED
    installation.configure_projects([])


def records(installation: Installation) -> set[str]:
    selector = f"?labelSelector={marks.RECORDS_LABEL}={installation.namespace}"
    items = installation.api.get(installation.path("configmaps") + selector)["items"]
    return {item["metadata"]["name"] for item in items}


def test_held_first_then_pruned_with_the_hash_and_records_last(installation: Installation) -> None:
    left(installation)
    done = command(installation, "-o", "json")
    assert (done.code, done.json["removed"]) == (1, False)
    (project,) = done.json["projects"]
    assert "git declares nothing any more; 2 of 2 objects would be pruned" in project["held"]["reason"]
    assert installation.exists("configmaps", "a")
    digest = project["held"]["plan_hash"]
    with installation.recorded() as asked:
        done = command(installation, "--approve", digest[:12])
    assert (done.code, "its records are deleted" in done.out) == (0, True), done.out + done.err
    assert not installation.exists("configmaps", "a")
    assert not installation.exists("configmaps", "b")
    assert records(installation) == set()
    deletes = [its for its in asked.all if its.verb == "delete"]
    assert {its.name for its in deletes[:2]} == {"a", "b"}
    assert deletes[-1].name == installation.inventory_id
    assert all(its.body["preconditions"].keys() == {"uid", "resourceVersion"} for its in deletes)


def test_approve_works_as_for_a_sync(installation: Installation) -> None:
    left(installation)
    done = command(installation)
    assert done.code == 1
    assert f"reconciler delete-project {PROJECT} --approve" in done.out
    held = remove(installation).report.held
    assert held
    approve = run(
        installation.directory, "approve", *options(installation, source=False), PROJECT, held.plan_hash
    )
    assert approve.code == 0, approve.err
    assert remove(installation).removed


def test_another_hash_lets_nothing_go(installation: Installation) -> None:
    left(installation)
    with pytest.raises(NotApproved, match="nothing is held under"):
        remove(installation, approve="0" * 12)
    assert installation.recorded_names() == {"a", "b"}


def test_a_project_that_is_configured_is_refused(installation: Installation) -> None:
    left(installation)
    installation.configure()
    with pytest.raises(OptionsInvalid, match="is in the configuration"):
        remove(installation)
    assert "remove it there first" in command(installation).error


def test_without_a_configuration_it_has_to_be_said(installation: Installation) -> None:
    left(installation)
    place = options(installation, source=False)
    done = run(installation.directory, "delete-project", *place, PROJECT)
    assert (done.code, "--without-configuration" in done.error) == (2, True)
    done = run(installation.directory, "delete-project", *place, PROJECT, "--without-configuration")
    assert (done.code, "would be pruned" in done.out) == (1, True)
    assert "leave one of them out" in command(installation, "--without-configuration").error
    assert installation.exists("configmaps", "a")


def test_paused_and_unreadable_configurations_stop_it(installation: Installation) -> None:
    left(installation)
    installation.configure_projects([], paused=True)
    assert "paused" in command(installation).error
    installation.config_file.write_text("gitops: [")
    assert command(installation).code == 2
    installation.config_file.unlink()
    assert command(installation).code == 2


def test_a_project_without_records_is_named_with_those_that_have_some(installation: Installation) -> None:
    left(installation)
    place = options(installation, source=True)
    done = run(installation.directory, "delete-project", *place, "shpo")
    assert (done.code, f"there are some of {PROJECT}" in done.error) == (2, True)


def test_what_a_renamed_project_declares_is_kept_and_handed_over(installation: Installation) -> None:
    left(installation)
    installation.configure_projects([{"id": "renamed"}])
    done = remove(installation)
    assert not done.removed
    assert done.report.held is None
    assert installation.exists("configmaps", "a")
    (report,) = installation.run("renamed").reports
    assert set(outcomes(report).values()) <= {"updated", "created", "unchanged"}
    assert remove(installation).removed
    assert installation.exists("configmaps", "a")
    assert records(installation) >= {marks.inventory_id(installation.namespace, "renamed")}


def test_where_another_project_cannot_be_read_it_may_declare_all(installation: Installation) -> None:
    left(installation)
    installation.configure_projects([{"id": "other", "url": str(installation.directory / "missing")}])
    held = remove(installation).report.held
    assert held
    assert "that is not known" in held.reason
    assert installation.exists("configmaps", "a")


def test_an_object_of_another_hand_stays_and_the_records_go(installation: Installation, api: Api) -> None:
    left(installation)
    path = installation.path("configmaps", "a")
    api.delete(path)
    api.post(installation.path("configmaps"), {"metadata": {"name": "a"}})
    held = remove(installation).report.held
    assert held
    assert [ref.name for ref in held.objects] == ["b"]
    assert remove(installation, approve=held.plan_hash).removed
    assert installation.exists("configmaps", "a")
    assert not installation.exists("configmaps", "b")


def test_killed_before_the_records_are_gone_it_goes_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(installation)
    held = remove(installation).report.held
    assert held

    async def die(*_: object) -> bool:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(Records, "remove", die)
        with pytest.raises(BaseException, match=r"killed|unhandled"):
            remove(installation, approve=held.plan_hash)
    assert not installation.exists("configmaps", "a")
    assert installation.inventory_id in records(installation)
    assert remove(installation).removed
    assert records(installation) == set()


def test_damaged_records_are_held_and_never_deleted_unseen(installation: Installation) -> None:
    left(installation)
    installation.api.delete(installation.path("configmaps", installation.inventory_id + "-0"))
    held = remove(installation).report.held
    assert held
    assert "inventory not to be believed" in held.reason
    assert installation.inventory_id in records(installation)
    assert remove(installation, approve=held.plan_hash).removed
    assert not installation.exists("configmaps", "a")


def test_rights_to_read_delete_nothing(installation: Installation) -> None:
    left(installation)
    held = remove(installation).report.held
    assert held
    with pytest.raises(ReconcilerError):
        remove(read_only(installation), approve=held.plan_hash)
    assert installation.exists("configmaps", "a")
    assert installation.recorded_names() == {"a", "b"}


def test_a_service_account_may_do_no_more_than_it_may(installation: Installation, api: Api) -> None:
    left(installation)
    api.post(installation.path("serviceaccounts"), {"metadata": {"name": "poor"}})
    its = f"{installation.namespace}/poor"
    report = remove(installation, service_account=its).report
    assert (report.held, report.state) == (None, State.FAILED)
    assert "configmaps" in report.reason
    assert installation.recorded_names() == {"a", "b"}
    with pytest.raises(ReconcilerError, match="does not exist"):
        remove(installation, service_account=f"{installation.namespace}/missing")
    assert installation.exists("configmaps", "a")


def test_a_project_that_comes_back_begins_anew(installation: Installation) -> None:
    left(installation)
    held = remove(installation).report.held
    assert held
    assert remove(installation, approve=held.plan_hash).removed
    installation.configure()
    assert asyncio.run(one_pass(installation.options)).reports[0].state is State.SYNCED
    assert installation.exists("configmaps", "a")
