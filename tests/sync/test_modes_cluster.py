"""Projects that are told to do less: suspended, paused, dry runs; and projects that need others."""

from collections.abc import Callable

import pytest

from reconciler.sync.outcome import State
from tests.fix_git import Repository
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, manifest


def test_suspended_project_is_compared_and_left_alone(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    installation.configure(suspend=True)
    installation.commit({"a.yaml": [config_map("a", a="2"), config_map("c")]})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, report.differing) == (State.SUSPENDED, 3)
    assert report.reason == "suspend is set in the configuration; objects that differ from git: 3"
    assert requests.of_objects == []
    status = installation.record("-status")["data"]
    assert (status["state"], "differ from git: 3" in status["reason"]) == ("suspended", True)
    assert installation.exists("configmaps", "b")
    assert not installation.exists("configmaps", "c")


def test_suspended_project_that_equals_git_says_so(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    installation.configure(suspend=True)
    report = installation.sync()
    assert report.reason.endswith("no object differs from git")


def test_suspended_project_whose_repository_is_gone_is_suspended_still(installation: Installation) -> None:
    installation.configure(suspend=True, url="file:///not/there")
    report = installation.sync()
    assert report.state is State.SUSPENDED
    assert "how it differs from git is not known" in report.reason


def test_paused_compares_and_writes_nothing_at_all(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.configure_projects([{}], paused=True)
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, report.differing, requests.writes) == (State.SUSPENDED, 1, [])
    assert report.reason == "paused is set in the configuration; objects that differ from git: 1"


@pytest.mark.parametrize("before", [False, True], ids=["first run", "after a real run"])
def test_dry_run_of_the_client_writes_nothing(installation: Installation, before: bool) -> None:
    if before:
        installation.commit({"a.yaml": [config_map("a"), config_map("gone")]})
        installation.sync()
    installation.configure(dry_run_strategy="client")
    installation.commit({"a.yaml": [config_map("a", a="2"), config_map("b")]})
    with installation.recorded() as requests:
        report = installation.sync()
    told = outcomes(report)
    assert [str(asked) for asked in requests.writes if not asked.name.endswith("-status")] == []
    assert (told["a"], told["b"], told.get("gone")) == ("held", "held", "held" if before else None)
    assert "would be applied" in of(report, "a").message
    assert not installation.exists("configmaps", "b")


def test_dry_run_of_the_server_sends_only_dry_runs(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("gone")]})
    installation.sync()
    inventory = installation.inventory()
    installation.configure(dry_run_strategy="server")
    bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
    installation.commit({"a.yaml": [config_map("a", a="2"), config_map("b"), bad]})
    with installation.recorded() as requests:
        report = installation.sync()
    real = [str(asked) for asked in requests.writes if not asked.is_dry_run]
    assert [text for text in real if not text.endswith("-status")] == []
    told = outcomes(report)
    assert (told["bad"], told["gone"]) == ("failed", "held")
    assert installation.get("configmaps", "a")["data"] == {"a": "1"}
    assert installation.inventory() == inventory
    assert not installation.exists("configmaps", "b")


def test_dry_run_of_the_server_leaves_nothing_behind_on_a_first_run(installation: Installation) -> None:
    installation.configure(dry_run_strategy="server")
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    assert (installation.record(), installation.inventory()) == (None, {})


def two_projects(installation: Installation, base: object) -> None:
    """`app` depends on `base`; each has a directory of the one repository."""
    installation.commit({"base/x.yaml": base, "app/y.yaml": config_map("app")})
    installation.configure_projects(
        [
            {"id": "app", "depends_on": ["base"], "paths": [{"glob": "app/*"}]},
            {"id": "base", "paths": [{"glob": "base/*"}]},
        ]
    )


def test_project_runs_after_those_that_it_depends_on(installation: Installation) -> None:
    two_projects(installation, config_map("base"))
    with installation.recorded() as requests:
        result = installation.run()
    assert [report.state for report in result.reports] == [State.SYNCED, State.SYNCED]
    assert requests.of_objects == ["patch configmaps/base", "patch configmaps/app"]


def test_project_waits_while_one_that_it_depends_on_fails(installation: Installation) -> None:
    two_projects(installation, manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]}))
    app, base = installation.run().reports
    assert (app.state, base.state) == (State.PENDING, State.FAILED)
    assert "blocked by project base" in app.reason
    assert not installation.exists("configmaps", "app")
    installation.commit({"base/x.yaml": config_map("base")})
    assert [report.state for report in installation.run().reports] == [State.SYNCED, State.SYNCED]


def test_named_project_is_synced_alone(installation: Installation) -> None:
    two_projects(installation, config_map("base"))
    (report,) = installation.run("base").reports
    assert (report.project, report.state) == ("base", State.SYNCED)
    assert not installation.exists("configmaps", "app")


def test_repository_that_is_gone_stops_only_its_own_project(
    installation: Installation, make_repo: Callable[..., Repository]
) -> None:
    lost = make_repo("lost")
    lost.commit({"b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"})
    installation.commit({"a.yaml": config_map("a")})
    installation.configure_projects([{}, {"id": "lost", "url": lost.url}])
    assert [report.state for report in installation.run().reports] == [State.SYNCED, State.SYNCED]
    lost.path.rename(lost.path.with_suffix(".away"))
    installation.commit({"a.yaml": config_map("a", a="2")})
    with installation.recorded() as requests:
        result = installation.run()
    shop, other = result.reports
    assert (shop.state, other.state, result.unusable) == (State.SYNCED, State.UNKNOWN, True)
    assert requests.of_objects == ["patch configmaps/a"]
    assert installation.exists("configmaps", "b")


def test_branch_that_is_gone_prunes_nothing(installation: Installation) -> None:
    installation.configure(ref={"branch": "live"})
    commit = installation.commit({"a.yaml": config_map("a")})
    installation.repo.branch("live", commit)
    assert installation.sync().state is State.SYNCED
    installation.repo.delete_branch("live")
    result = installation.run()
    assert (result.reports[0].state, result.unusable) == (State.UNKNOWN, True)
    assert installation.exists("configmaps", "a")


def test_glob_that_matches_nothing_any_more_is_held(installation: Installation) -> None:
    installation.commit({"dir/a.yaml": config_map("a")})
    installation.sync()
    installation.configure(paths=[{"glob": "/dir/*.json"}])
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.HELD, {"a": "held"})


def test_project_that_leaves_the_configuration_keeps_its_objects(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    installation.configure_projects([])
    with installation.recorded() as requests:
        result = installation.run()
    assert (result.reports, requests.of_objects) == ((), [])
    assert installation.exists("configmaps", "a")
    assert installation.record() is not None


def share(installation: Installation, owner: str, **keys: object) -> None:
    """`a` is declared by project `owner`, one of `one` and `two`; both keep something of their own."""
    other = {"one": "two", "two": "one"}[owner]
    installation.commit(
        {
            f"{owner}/a.yaml": config_map("a"),
            f"{other}/a.yaml": None,
            "one/own.yaml": config_map("own-1"),
            "two/own.yaml": config_map("own-2"),
        }
    )
    installation.configure_projects(
        [{"id": name, "paths": [{"glob": f"{name}/*"}], **keys} for name in ("one", "two")]
    )


def test_object_that_moves_to_another_project_is_there_in_the_end(installation: Installation) -> None:
    """Without adoption the one prunes it and the other makes it anew, in this pass or the next."""
    share(installation, "one")
    installation.run()
    share(installation, "two")
    installation.run()
    result = installation.run()
    assert [report.state for report in result.reports] == [State.SYNCED, State.SYNCED], result
    assert installation.get("configmaps", "a")["metadata"]["annotations"]["reconciler.dev/project"] == "two"


def test_object_that_another_project_adopts_is_handed_over_and_never_deleted(
    installation: Installation,
) -> None:
    share(installation, "one", inventory_policy="adopt_all", prune=False)
    installation.run()
    uid = installation.get("configmaps", "a")["metadata"]["uid"]
    share(installation, "two", inventory_policy="adopt_all", prune=False)
    installation.run()
    share(installation, "two")
    with installation.recorded() as requests:
        one, two = installation.run().reports
    assert requests.of_objects == []
    assert (one.state, two.state) == (State.SYNCED, State.SYNCED), one
    assert outcomes(one).get("a") in (None, "handed_over")
    assert installation.get("configmaps", "a")["metadata"]["uid"] == uid
