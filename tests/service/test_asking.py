"""`reconciler sync` beside a running service: it asks, shows the answer, and never writes beside it."""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.sync import marks
from tests.cli.running import COMMAND, Done, environment, options, run, sync
from tests.fix_cluster import LEASE_RIGHTS
from tests.fix_git import Repository
from tests.fix_sync import PROJECT, Installation, lease
from tests.objects import config_map, deployment, manifest
from tests.service.process import ServiceProcess, service, until

LEADS = "holds the lease .* and leads"
LEADS_NOW = "\nreconciler_leader 1.0\n"
ASKS = r"^asking the running service \(\S+\), which holds the lease$"


@pytest.fixture(autouse=True)
def patient(installation: Installation) -> None:
    """The service looks at git every five minutes: what comes sooner was asked for."""
    installation.configure(interval="300s")


def at_rest(process: ServiceProcess, installation: Installation) -> None:
    """The first sync is over, and its status is written."""
    process.said(r"project \S+ \w+ at ")
    until(lambda: installation.record("-status"), "the status record")


def row(done: Done, project: str = PROJECT) -> list[str]:
    (found,) = [line.split() for line in done.out.splitlines() if line.startswith(project + " ")]
    return found


def test_running_service_is_asked_and_shows_what_it_did(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b"), config_map("c")]})
    with service(installation) as process:
        at_rest(process, installation)
        before = lease(installation)
        commit = installation.commit({"a.yaml": [config_map("a"), config_map("b", b="2"), config_map("d")]})
        done = sync(installation)
        assert done.code == 0, done
        assert re.search(ASKS, done.err, re.MULTILINE)
        # Two changed, one as it was, one pruned.
        assert row(done)[:8] == [PROJECT, commit[:12], "synced", "2", "1", "1", "3", "0"]
        assert installation.exists("configmaps", "d")
        for name in ("holderIdentity", "leaseTransitions"):
            assert lease(installation)["spec"][name] == before["spec"][name]
        again = sync(installation)
        assert row(again)[:8] == [PROJECT, commit[:12], "synced", "0", "3", "0", "3", "0"]


def test_answer_has_what_is_not_well_and_the_exit_code_of_a_pass(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        at_rest(process, installation)
        bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
        installation.commit({"a.yaml": config_map("a"), "dir/bad.yaml": bad})
        done = sync(installation)
        assert done.code == 1
        assert re.search(rf"failed: Service {installation.namespace}/bad \(dir/bad.yaml:\d\)", done.out)
        (project,) = sync(installation, "-o", "json").json["projects"]
        assert (project["state"], project["counts"]["unchanged"], project["counts"]["failed"]) == (
            "failed",
            1,
            1,
        )
        assert [its["name"] for its in project["objects"]] == ["bad"]


def test_held_prune_is_told_with_its_hash(installation: Installation) -> None:
    installation.configure(prune_limit=0)
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    with service(installation) as process:
        at_rest(process, installation)
        installation.commit({"a.yaml": config_map("a")})
        done = sync(installation)
        assert done.code == 1
        assert re.search(rf"reconciler approve {PROJECT} [0-9a-f]{{64}}", done.out)


def test_projects_that_wait_for_each_other_are_waited_for(installation: Installation) -> None:
    installation.commit({"base/x.yaml": config_map("base"), "app/x.yaml": config_map("app")})
    installation.configure_projects(
        [
            {"id": "base", "paths": [{"glob": "base/*"}]},
            {"id": "app", "paths": [{"glob": "app/*"}], "depends_on": ["base"]},
        ]
    )
    with service(installation) as process:
        process.said("project app synced")
        web = deployment("web")
        installation.commit(
            {"base/x.yaml": [config_map("base"), web], "app/x.yaml": config_map("app", a="2")}
        )
        done = sync(installation)
        assert done.code == 0, done
        assert [row(done, name)[2] for name in ("base", "app")] == ["synced", "synced"]
        assert installation.get("configmaps", "app")["data"] == {"a": "2"}


def test_project_without_records_is_asked_for_by_the_lease(
    installation: Installation, make_repo: Callable[..., Repository]
) -> None:
    """Its repository cannot be read, so that no run has made any; then it can."""
    other = make_repo("other")
    other.commit({"o.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: o}\n"})
    away = other.path.with_suffix(".away")
    other.path.rename(away)
    installation.configure_projects([{"id": "other", "url": other.url}])
    with service(installation) as process:
        process.said("project other: .*other.git")
        done = sync(installation)
        assert done.code == 2, done
        assert "other.git" in done.out
        away.rename(other.path)
        done = sync(installation)
        assert (done.code, row(done, "other")[2]) == (0, "synced"), done
    assert installation.exists("configmaps", "o")


def test_project_that_the_service_does_not_know_is_told_as_such(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        at_rest(process, installation)
        theirs = json.loads(installation.config_file.read_text())
        (entry,) = theirs["gitops"]["manifest_projects"]
        mine = {"gitops": {"manifest_projects": [entry, {**entry, "id": "mine"}]}}
        path = installation.directory / "mine.yaml"
        path.write_text(json.dumps(mine))
        done = sync(installation, f"--config={path}")
        assert done.code == 2
        assert [row(done, name)[2] for name in (PROJECT, "mine")] == ["synced", "unknown"]
        assert "mine: the running service has no such project in its configuration" in done.out


def test_service_without_a_usable_configuration_is_not_waited_for(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    good = installation.config_file.read_text()
    mine = installation.directory / "mine.yaml"
    mine.write_text(good)
    installation.config_file.write_text("gitops: {manifest_projects: 7}\n")
    with service(installation) as process:
        process.said(LEADS)
        until(lambda: marks.CANNOT_ANSWER in lease(installation)["metadata"]["annotations"], "the note")
        done = sync(installation, f"--config={mine}")
        assert (done.code, row(done)[2]) == (2, "unknown"), done
        assert "the running service cannot be asked: it has no usable configuration" in done.out
        assert "gitops.manifest_projects" in done.out
        installation.config_file.write_text(good)
        at_rest(process, installation)
        until(lambda: marks.CANNOT_ANSWER not in lease(installation)["metadata"]["annotations"], "its end")
        done = sync(installation)
        assert (done.code, row(done)[2]) == (0, "synced"), done


@pytest.mark.timeout(60)
def test_dead_service_that_could_not_answer_is_waited_out(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    mine = installation.directory / "mine.yaml"
    mine.write_text(installation.config_file.read_text())
    installation.config_file.write_text("gitops: {manifest_projects: 7}\n")
    with service(installation) as process:
        process.said(LEADS)
        until(lambda: marks.CANNOT_ANSWER in lease(installation)["metadata"]["annotations"], "the note")
        process.signal(signal.SIGKILL)
        process.wait()
        done = sync(installation, f"--config={mine}")
    assert (done.code, row(done)[2]) == (0, "synced"), done


def test_service_that_may_not_watch_its_records_is_not_waited_for(
    installation: Installation, grant: Callable[..., Path]
) -> None:
    """Objects are read, requests are only heard."""
    installation.commit({"a.yaml": config_map("a")})
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    kubeconfig = grant({"apiGroups": [""], "resources": ["*"], "verbs": verbs}, LEASE_RIGHTS)
    with service(installation, f"--kubeconfig={kubeconfig}") as process:
        at_rest(process, installation)
        until(lambda: marks.CANNOT_ANSWER in lease(installation)["metadata"]["annotations"], "the note")
        done = sync(installation)
        assert (done.code, row(done)[2]) == (2, "unknown"), done
        assert "the running service cannot be asked: " in done.out
        assert "may not watch configmaps" in done.out


def test_no_wait_and_timeout_mean_what_they_mean(installation: Installation) -> None:
    installation.configure(reconcile_timeout="3600s")
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        at_rest(process, installation)
        installation.commit({"a.yaml": [config_map("a"), deployment("never", behaviour="unready")]})
        done = sync(installation, "--no-wait")
        assert (done.code, row(done)[2]) == (0, "synced"), done
        assert installation.exists("apps/v1/deployments", "never")
        began = time.monotonic()
        done = sync(installation, "--timeout=3")
        assert (done.code, row(done)[2]) == (1, "progressing"), done
        assert time.monotonic() - began < 6
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def test_interrupt_ends_the_waiting_and_not_the_service(installation: Installation) -> None:
    installation.configure(reconcile_timeout="3600s")
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    with service(installation) as process:
        process.said(LEADS)
        until(installation.record, "its head")
        with started(installation) as asking:
            assert asking.stderr
            assert "asking" in asking.stderr.readline()
            until(lambda: marks.ASKED in str(installation.record()["metadata"]), "the request")
            asking.send_signal(signal.SIGINT)
            out, _ = asking.communicate(timeout=10)
        assert asking.returncode == 1
        assert "progressing" in out
        assert process.get("/healthz")[0] == 200


def test_two_who_ask_at_once_both_get_their_answer(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        at_rest(process, installation)
        installation.commit({"a.yaml": config_map("a", a="2")})
        found: list[Done] = []
        threads = [threading.Thread(target=lambda: found.append(sync(installation))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [done.code for done in found] == [0, 0, 0], found
        assert installation.get("configmaps", "a")["data"] == {"a": "2"}


def test_asked_service_re_reads_its_own_configuration_first(
    installation: Installation, make_repo: Callable[..., Repository]
) -> None:
    """From a repository, which it looks at every 20 s."""
    config = make_repo("config")
    installation.commit({"a/x.yaml": config_map("a"), "b/x.yaml": config_map("b")})
    installation.configure(paths=[{"glob": "a/*"}], prune_limit=0)
    place = ".gitlab/agents/prod/config.yaml"
    config.commit({place: installation.config_file.read_text()})
    source = [f"--config-repo={config.url}", "--agent-name=prod"]
    given = [its for its in options(installation, source=True) if not its.startswith("--config=")]
    process = ServiceProcess([*given, *source], installation.directory)
    try:
        at_rest(process, installation)
        installation.configure(paths=[{"glob": "*/*"}])
        config.commit({place: installation.config_file.read_text()})
        done = sync(installation)
        assert (done.code, row(done)[6]) == (0, "2"), done
        assert installation.exists("configmaps", "b")
    finally:
        process.close()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_service_that_was_killed_is_waited_out_and_replaced(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with service(installation) as process:
        at_rest(process, installation)
        process.signal(signal.SIGKILL)
        process.wait()
        commit = installation.commit({"a.yaml": config_map("a", a="2")})
        done = sync(installation)
        assert (done.code, row(done)[:4]) == (0, [PROJECT, commit[:12], "synced", "1"]), done
        assert re.search(ASKS, done.err, re.MULTILINE)
    assert "holderIdentity" not in lease(installation)["spec"], "released"


def test_service_that_stops_hands_over_to_who_asks(installation: Installation) -> None:
    installation.configure(reconcile_timeout="3600s")
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    with service(installation) as process:
        until(installation.record, "its head")
        with started(installation, "--no-wait", "--timeout=15") as asking:
            assert asking.stderr
            assert "asking" in asking.stderr.readline()
            process.signal(signal.SIGTERM)
            assert process.wait() == 0
            out, _ = asking.communicate(timeout=20)
        assert asking.returncode == 0, out


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_command_that_no_service_does_is_let_have_a_turn(installation: Installation) -> None:
    installation.configure(interval="1s")
    installation.commit({"a/x.yaml": config_map("a"), "b/x.yaml": config_map("b")})
    both = [{"paths": [{"glob": "a/*"}]}, {"id": "old", "paths": [{"glob": "b/*"}]}]
    installation.configure_projects(both)
    with (
        service(installation) as first,
        service(installation, f"--data-dir={installation.directory / 'second'}") as second,
    ):
        until(lambda: LEADS_NOW in first.get("/metrics")[1] + second.get("/metrics")[1], "one leads")
        process = first if LEADS_NOW in first.get("/metrics")[1] else second
        process.said("project old synced")
        seen = len(process.log)
        installation.configure_projects(both[:1])
        process.said("configuration ", after=seen)
        command = ("delete-project", *options(installation, source=True), "old")
        done = run(installation.directory, *command)
        assert (done.code, "asking the running service for a turn" in done.err) == (1, True), done
        (plan_hash,) = set(re.findall(r"[0-9a-f]{64}", done.out))
        assert run(installation.directory, *command, f"--approve={plan_hash}").code == 0
        assert not installation.exists("configmaps", "b")
        commit = installation.commit({"a/x.yaml": config_map("a", a="2")})
        until(lambda: (installation.record() or {})["data"]["commit"] == commit, "a service goes on")
        assert installation.get("configmaps", "a")["data"] == {"a": "2"}
    assert "Traceback" not in first.text + second.text


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_two_passes_take_turns(installation: Installation) -> None:
    installation.configure(reconcile_timeout="4s")
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    with started(installation) as first:
        until(lambda: installation.exists("apps/v1/deployments", "never"), "the first is at work")
        done = sync(installation, "--no-wait")
        assert done.code == 0, done
        assert re.match(r"waiting: another command \(\S+\) holds the lease", done.err)
        first.communicate(timeout=10)
    assert first.returncode == 1
    assert lease(installation)["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("lacking", ["get", "update"])
def test_who_has_no_rights_on_leases_is_told_in_one_line(
    installation: Installation, grant: Callable[..., Path], lacking: str
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    rights = {**LEASE_RIGHTS, "verbs": [verb for verb in LEASE_RIGHTS["verbs"] if verb != lacking]}
    kubeconfig = grant({"apiGroups": [""], "resources": ["*"], "verbs": ["*"]}, rights)
    done = sync(installation, f"--kubeconfig={kubeconfig}")
    assert done.code == 2
    assert f"may not {lacking} leases" in done.error
    assert "grant get, list, watch, create and update on leases.coordination.k8s.io" in done.error


def test_dry_run_needs_no_lease(installation: Installation, grant: Callable[..., Path]) -> None:
    installation.configure(dry_run_strategy="client")
    installation.commit({"a.yaml": config_map("a")})
    kubeconfig = grant({"apiGroups": [""], "resources": ["*"], "verbs": ["*"]})
    assert sync(installation, f"--kubeconfig={kubeconfig}").code in (0, 1)
    assert not installation.api.get(installation.path("coordination.k8s.io/v1/leases"))["items"]


@contextmanager
def started(installation: Installation, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """A `sync` that runs."""
    with subprocess.Popen(
        [str(COMMAND), "sync", *options(installation, source=True), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(installation.directory),
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
