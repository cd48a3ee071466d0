"""The service as a process: it follows git and its configuration, says how it is, and ends in time."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.running import records, run
from tests.fix_git import HttpServer, Repository
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map, deployment, manifest
from tests.service.process import STOP_LIMIT, service, until

SYNCED = rf"project {PROJECT} synced at "


@pytest.fixture(autouse=True)
def impatient(installation: Installation) -> None:
    """The service of each test asks its repository every second."""
    installation.configure(interval="1s")


def status(installation: Installation) -> dict[str, Any]:
    found = installation.record("-status")
    return dict(found["data"]) if found else {}


def head(installation: Installation) -> dict[str, Any]:
    found = installation.record()
    return dict(found["data"]) if found else {}


def test_service_follows_commits_and_says_that_it_is_well(installation: Installation) -> None:
    first = installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said(SYNCED + first[:12])
        assert process.get("/readyz") == (200, "ok\n")
        assert process.get("/healthz") == (200, "ok\n")
        second = installation.commit({"a.yaml": config_map("a", a="2")})
        process.said(SYNCED + second[:12])
        assert installation.get("configmaps", "a")["data"] == {"a": "2"}
        page = process.get("/metrics")[1]
        assert f'project="{PROJECT}"' in page
        assert second in page
        until(lambda: head(installation).get("commit") == second, "the second commit in the head")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_service_while_it_waits(installation: Installation, number: int) -> None:
    installation.configure(reconcile_timeout="3600s")
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    with service(installation) as process:
        installation.api.until(installation.path("apps/v1/deployments", "never"), bool)
        process.signal(number)
        began = time.monotonic()
        assert process.wait() == 0
        assert time.monotonic() - began < STOP_LIMIT
        process.said("stopped")
    assert installation.recorded_names() == {"never"}
    assert "uid= " not in installation.record("-0")["data"]["objects"]


def test_new_commit_ends_the_waiting_for_the_old_one(installation: Installation) -> None:
    installation.configure(reconcile_timeout="3600s")
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    with service(installation) as process:
        installation.api.until(installation.path("apps/v1/deployments", "never"), bool)
        second = installation.commit(
            {"a.yaml": [deployment("never", behaviour="unready"), config_map("new")]}
        )
        installation.api.until(installation.path("configmaps", "new"), bool)
        process.said(second[:12])


def test_status_shows_progress_while_objects_are_waited_for(installation: Installation) -> None:
    installation.configure(reconcile_timeout="3600s")
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    with service(installation):
        until(lambda: status(installation).get("state") == "progressing", "status says progressing")


def test_service_at_rest_only_renews_its_lease(installation: Installation, http_server: HttpServer) -> None:
    """Rest is counted by polls of the repository, which go on."""
    installation.configure(url=f"{http_server.url}/repo.git")
    installation.commit({"a.yaml": [config_map("a"), deployment("web", replicas=0)]})
    with service(installation) as process:
        process.said(SYNCED)
        until(lambda: status(installation).get("state") == "synced", "status")
        fetched = http_server.counts["fetch"]
        with installation.recorded() as requests:
            polls = http_server.counts["refs"] + 3
            until(lambda: http_server.counts["refs"] >= polls, "three polls")
        assert [asked for asked in requests.all if not asked.is_renewal] == []
        assert http_server.counts["fetch"] == fetched


def test_unrelated_commit_writes_the_revision_alone(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said(SYNCED)
        until(lambda: status(installation).get("state") == "synced", "status")
        with installation.recorded() as requests:
            second = installation.commit({"README.md": "words"})
            until(lambda: head(installation).get("commit") == second, "the second commit in the head")
        assert requests.of_objects == []
        assert len(requests.writes) == 1, requests.writes  # the head


# -- configuration -------------------------------------------------------------------------


def test_bad_configuration_at_start_is_not_ready_until_it_is_mended(installation: Installation) -> None:
    good = installation.config_file.read_text()
    installation.config_file.write_text('{"gitopps": {}}')
    commit = installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said("gitopps")
        code, body = process.get("/readyz")
        assert (code, "gitopps" in body) == (503, True)
        assert process.get("/healthz")[0] == 200
        assert "\nreconciler_config_ok 0.0\n" in process.get("/metrics")[1]
        assert installation.record() is None
        installation.config_file.write_text(good)
        process.said(SYNCED + commit[:12])
        assert process.get("/readyz") == (200, "ok\n")
        assert "\nreconciler_config_ok 1.0\n" in process.get("/metrics")[1]


def test_bad_configuration_never_replaces_a_good_one(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said(SYNCED)
        installation.config_file.write_text('{"gitops": {"manifest_projects": [{"id": 7}]}}')
        process.said(r"configuration: .*manifest_projects\[0\]\.id")
        second = installation.commit({"a.yaml": config_map("a", a="2")})
        process.said(SYNCED + second[:12])
        installation.config_file.unlink()
        third = installation.commit({"a.yaml": config_map("a", a="3")})
        process.said(SYNCED + third[:12])


def test_changed_configuration_is_acted_on_at_once(installation: Installation) -> None:
    """The loop looks every 20 s; this is noticed long before."""
    installation.commit({"a/x.yaml": config_map("a"), "b/x.yaml": config_map("b")})
    installation.configure(paths=[{"glob": "a/*"}], prune_limit=0)
    with service(installation) as process:
        process.said(SYNCED)
        assert not installation.exists("configmaps", "b")
        seen = len(process.log)
        installation.configure(paths=[{"glob": "*/*"}])
        process.said(SYNCED, after=seen, seconds=5)
        assert installation.exists("configmaps", "b")


def test_paused_stops_all_writing_until_it_is_taken_back(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said(SYNCED)
        until(lambda: status(installation).get("state") == "synced", "status")
        seen = len(process.log)
        installation.configure_projects([{}], paused=True)
        process.said("configuration ", after=seen)
        with installation.recorded() as requests:
            second = installation.commit({"a.yaml": config_map("a", a="2")})
            seen = len(process.log)
            installation.configure_projects([{}], paused=True, limits={"max_files": 99})
            process.said("configuration ", after=seen)
        assert requests.writes == []
        installation.configure_projects([{}])
        process.said(SYNCED + second[:12])


def test_project_that_leaves_the_configuration_keeps_its_objects(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        process.said(SYNCED)
        installation.configure_projects([])
        process.said("no project")
        until(lambda: f'project="{PROJECT}"' not in process.get("/metrics")[1], "metrics of the project")
        assert process.get("/readyz") == (200, "ok\n")
    assert installation.exists("configmaps", "a")
    assert installation.recorded_names() == {"a"}


# -- projects ------------------------------------------------------------------------------


def test_project_starts_when_the_one_it_depends_on_is_synced(installation: Installation) -> None:
    bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
    installation.commit({"base/x.yaml": bad, "app/x.yaml": config_map("app")})
    installation.configure_projects(
        [
            {"id": "base", "paths": [{"glob": "base/*"}]},
            {"id": "app", "paths": [{"glob": "app/*"}], "depends_on": ["base"]},
        ]
    )
    with service(installation) as process:
        process.said("project base failed")
        assert not installation.exists("configmaps", "app")
        installation.commit({"base/x.yaml": config_map("base")})
        process.said("project app synced")


def test_repository_that_goes_and_comes_back(
    installation: Installation, make_repo: Callable[..., Repository]
) -> None:
    other = make_repo("other")
    other.commit({"o.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: o}\n"})
    installation.commit({"a.yaml": config_map("a")})
    installation.configure_projects([{}, {"id": "other", "url": other.url}])
    away = other.path.with_suffix(".away")
    with service(installation) as process:
        process.said("project other synced")
        other.path.rename(away)
        process.said("project other: .*other.git")
        second = installation.commit({"a.yaml": config_map("a", a="2")})
        process.said(SYNCED + second[:12])
        assert installation.exists("configmaps", "o")
        away.rename(other.path)
        third = other.commit({"o.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: p}\n"})
        process.said(f"project other (synced|held) at {third[:12]}")


def test_approval_is_noticed_by_the_running_service(installation: Installation) -> None:
    installation.configure(prune_limit=0)
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    with service(installation) as process:
        process.said(SYNCED)
        installation.commit({"a.yaml": config_map("a")})
        process.said(f"project {PROJECT} held")
        until(lambda: status(installation).get("held_plan"), "status of the hold")
        done = records(installation, "approve", PROJECT, status(installation)["held_plan"])
        assert done.code == 0
        until(lambda: not installation.exists("configmaps", "b"), "the approved prune")


# -- what it says --------------------------------------------------------------------------


def test_log_is_json_lines_in_a_cluster(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation, KUBERNETES_SERVICE_HOST="192.0.2.1") as process:
        process.said(SYNCED)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    lines = [json.loads(line) for line in process.log]
    assert all({"msg", "level", "timestamp"} <= line.keys() for line in lines)


def test_secret_values_are_in_no_log(installation: Installation) -> None:
    canary = "canary-4711-pass+word"
    secret = manifest("v1", "Secret", "s", stringData={"password": canary})
    bad = manifest("v1", "Secret", "bad", data={"password": canary})
    installation.commit({"s.yaml": secret, "bad.yaml": bad})
    with service(installation, "--log-level=debug") as process:
        process.said(f"project {PROJECT} failed")
        until(lambda: status(installation).get("state") == "failed", "status")
        pages = process.get("/metrics")[1] + process.get("/readyz")[1]
        process.signal(signal.SIGTERM)
        process.wait()
    assert canary not in process.text + pages + str(status(installation))


def test_second_run_that_changes_nothing_is_a_debug_line(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    with service(installation) as process:
        until(lambda: f'project="{PROJECT}"' in process.get("/metrics")[1], "metrics of the project")
        second = installation.commit({"README.md": "words"})
        until(lambda: head(installation).get("commit") == second, "the second commit in the head")
    assert "synced at" not in process.text


# -- what it cannot use --------------------------------------------------------------------


def test_service_outlives_an_api_server_that_is_not_there(installation: Installation) -> None:
    config = json.loads(installation.options.kubeconfig.read_text())  # type: ignore[union-attr]
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = installation.directory / "nowhere.json"
    path.write_text(json.dumps(config))
    installation.commit({"a.yaml": config_map("a")})
    with service(installation, f"--kubeconfig={path}") as process:
        process.said(r"127\.0\.0\.1:1.*cannot connect")
        assert process.get("/healthz")[0] == 200
        code, body = process.get("/readyz")
        assert (code, "127.0.0.1:1" in body) == (503, True)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "192.0.2.1:80"])
def test_address_that_cannot_be_listened_on(installation: Installation, address: str) -> None:
    kubeconfig = f"--kubeconfig={installation.options.kubeconfig}"
    config = f"--config={installation.config_file}"
    done = run(installation.directory, "run", kubeconfig, config, f"--listen={address}")
    assert done.code == 2
    assert address in done.error
