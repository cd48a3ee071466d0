"""`reconciler doctor` against the real API server: each thing that is wrong is found, with its mend."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcluster import Api
from reconciler.cluster.client import Cluster
from reconciler.service import doctor
from reconciler.service.doctor import Check, Diagnosis, Finding, examine
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.cli.running import options, run
from tests.fix_sync import Installation
from tests.objects import config_map, deployment, manifest
from tests.service.reader import RBAC, read_only

CANARY = "canary-4711-pass+word"


def examined(installation: Installation) -> Diagnosis:
    """Examine, and see that nothing was written."""
    with installation.recorded() as asked:
        found = asyncio.run(examine(installation.options))
    assert {its.resource for its in asked.writes} <= {"selfsubjectaccessreviews"}
    return found


def check(diagnosis: Diagnosis, name: str) -> Check:
    (found,) = [its for its in diagnosis.checks if its.name == name]
    return found


def finding(diagnosis: Diagnosis, name: str) -> str:
    """The one finding of a check, with its mend."""
    (found,) = check(diagnosis, name).findings
    assert found.mend
    return f"{found.what}; {found.mend}"


@pytest.fixture
def shop(installation: Installation) -> Installation:
    installation.commit({"a.yaml": [config_map("a"), deployment("web")]})
    assert installation.sync().state is State.SYNCED
    return installation


def test_nothing_is_found_where_all_is_well(shop: Installation) -> None:
    found = examined(shop)
    # Other tests' agents may have left something in the same cluster.
    ours = [its for its in found.checks if its.name != "old agent"]
    assert {its.name: (its.result, its.findings, its.unknown) for its in ours} == {
        its.name: ("fine", (), "") for its in ours
    }
    done = run(shop.directory, "doctor", *options(shop, source=True), "-o", "json")
    assert done.code in (0, 1)
    assert [its["name"] for its in done.json["checks"]] == [its.name for its in found.checks]


def test_without_a_configuration_the_rest_is_checked(shop: Installation) -> None:
    done = run(shop.directory, "doctor", *options(shop, source=False))
    assert "not checked: no configuration is given" in done.out
    assert "clock" in done.out


def test_rights_that_are_missing_are_named(shop: Installation) -> None:
    found = examined(read_only(shop, "secrets"))
    records = [its.what for its in check(found, "rights of the records").findings]
    lease = marks.lease_name(shop.namespace)
    assert records == [
        "may not create, delete, update configmaps in namespace " + shop.namespace,
        "may not create secrets in namespace " + shop.namespace,
        "may not create leases.coordination.k8s.io in namespace " + shop.namespace,
        f"may not get secrets {marks.KEY_SECRET} in namespace {shop.namespace}",
        f"may not get, list, update, watch leases.coordination.k8s.io {lease} in namespace {shop.namespace}",
    ]
    assert check(found, "pause").result == "fine"
    projects = [its.what for its in check(found, "rights of the projects").findings]
    assert projects == [
        f"project shop may not create, delete, patch configmaps in namespace {shop.namespace}",
        f"project shop may not create, delete, patch deployments.apps in namespace {shop.namespace}",
    ]
    assert check(found, "key").result == "unknown"
    assert check(found, "records").result == "fine"


def test_the_watch_that_hears_a_sync_and_the_look_for_a_pause_are_rights_as_well(shop: Installation) -> None:
    found = examined(read_only(shop, "configmaps", "namespaces"))
    records = check(found, "rights of the records").findings[0].what
    assert "watch configmaps in namespace" in records
    unread, unheard = check(found, "pause").findings
    assert ("only the key paused stops writes" in unread.what, unread.minor) == (True, False)
    assert ("does not stop a run in flight" in unheard.what, unheard.minor) == (True, True)
    assert check(found, "pause").result == "findings"


def test_whether_agentk_runs_is_asked_within_the_namespaces(shop: Installation) -> None:
    theirs = read_only(shop)
    theirs.options = replace(theirs.options, namespaces=(shop.namespace,))
    unknown = "whether agentk still runs is unknown: may not list leases.coordination.k8s.io"
    assert f"{unknown} in namespace {shop.namespace};" in finding(examined(theirs), "old agent")


def test_what_was_recorded_beyond_the_namespaces_is_left_out(shop: Installation, api: Api) -> None:
    shop.commit({"role.yaml": manifest(RBAC.removeprefix("/apis/"), "ClusterRole", shop.namespace, rules=[])})
    shop.sync()
    shop.options = replace(shop.options, namespaces=(shop.namespace,))
    found = examined(shop)
    assert {its.name: its for its in found.checks if its.result != "fine"} == {}
    api.delete(f"{RBAC}/clusterroles/{shop.namespace}")


def test_rights_of_a_service_account_are_its_own(shop: Installation, api: Api) -> None:
    api.post(shop.path("serviceaccounts"), {"metadata": {"name": "poor"}})
    shop.configure(service_account=f"{shop.namespace}/poor")
    findings = check(examined(shop), "rights of the projects").findings
    assert any("list" in its.what and f"{shop.namespace}/poor" in its.mend for its in findings)
    assert check(examined(shop), "rights of the records").result == "fine"


def test_a_repository_that_cannot_be_read_is_found_and_the_others_go_on(shop: Installation) -> None:
    shop.configure_projects([{}, {"id": "other", "url": str(shop.directory / "missing")}])
    found = examined(shop)
    assert "project other: " in finding(found, "git")
    assert "unknown for project other" in finding(found, "rights of the projects")
    assert check(found, "records").result == "fine"


def test_problems_of_the_configuration_are_found(shop: Installation) -> None:
    shop.config_file.write_text("gitops: {manifest_projects: [{id: 1, ur: x}]}")
    found = examined(shop)
    assert check(found, "configuration").findings
    assert check(found, "git").skipped == "there is no usable configuration"
    assert check(found, "clock").result == "fine"


@pytest.mark.parametrize(("seconds", "word"), [(-60, "ahead of"), (60, "behind")])
def test_a_clock_that_is_wrong_is_found(
    shop: Installation, monkeypatch: pytest.MonkeyPatch, seconds: int, word: str
) -> None:
    moved = timedelta(seconds=seconds)
    monkeypatch.setattr(Cluster, "now", lambda _self: datetime.now(UTC) + moved)
    assert f"60 s {word} the API server's" in finding(examined(shop), "clock")


def test_a_second_installation_of_the_same_name_is_found(shop: Installation, api: Api) -> None:
    other = f"{shop.namespace}-2"
    api.post("/api/v1/namespaces", {"metadata": {"name": other}})
    labels = {marks.RECORDS_LABEL: shop.namespace, marks.PART_LABEL: "head"}
    record = {"metadata": {"name": "reconciler-0123456789ab", "labels": labels}}
    api.post(f"/api/v1/namespaces/{other}/configmaps", record)
    assert f"namespace {other} has records" in finding(examined(shop), "installations")
    within = run(
        shop.directory, "doctor", *options(shop, source=True), f"--namespaces={shop.namespace}", "-o", "json"
    )
    assert {its["name"]: its["result"] for its in within.json["checks"] if its["result"] != "fine"} == {}
    assert within.code == 0, "what lies beyond --namespaces is not looked at"
    api.delete(f"/api/v1/namespaces/{other}")


def test_a_missing_or_unusable_key_is_found_and_never_shown(shop: Installation, api: Api) -> None:
    path = shop.path("secrets", marks.KEY_SECRET)
    api.patch(path, {"stringData": {"key": CANARY}, "data": {"key": None}})
    done = run(shop.directory, "doctor", *options(shop, source=True))
    assert (done.code, "holds no key of 32 bytes" in done.out) == (1, True)
    assert CANARY not in done.out + done.err
    api.delete(path)
    assert "is missing while there are records" in finding(examined(shop), "key")


def test_damaged_records_orphans_and_departed_projects_are_found(shop: Installation, api: Api) -> None:
    shop.configure_projects([])
    assert "reconciler delete-project shop" in finding(examined(shop), "records")
    shop.configure()
    api.delete(shop.path("configmaps", shop.inventory_id + "-0"))
    found = examined(shop)
    assert "is missing" in finding(found, "records")
    assert check(found, "orphans").findings
    api.delete(shop.path("configmaps", shop.inventory_id))
    api.delete(shop.path("configmaps", shop.inventory_id + "-status"))
    assert "objects with our mark in no inventory: 2" in finding(examined(shop), "orphans")


def test_records_of_a_later_release_are_found(shop: Installation, api: Api) -> None:
    api.patch(shop.path("configmaps", shop.inventory_id), {"data": {"schema": "99"}})
    assert "schema 99" in finding(examined(shop), "records")


def test_what_agentk_left_is_found(shop: Installation, api: Api) -> None:
    labels = {"cli-utils.sigs.k8s.io/inventory-id": "1-4711"}
    api.post(shop.path("configmaps"), {"metadata": {"name": "inventory-4711", "labels": labels}})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    lease = {"metadata": {"name": "agent-4711-lock"}, "spec": {"holderIdentity": "x", "renewTime": now}}
    api.post(shop.path("coordination.k8s.io/v1/leases"), lease)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"old": "1"}}
    api.apply(shop.path("configmaps", "a"), {**body, "metadata": {"name": "a"}}, field_manager="agentk")
    found = examined(shop)
    told = [its.what for its in check(found, "old agent").findings]
    assert any("Lease" in its and "agent-4711-lock" in its for its in told)
    assert any(f"inventory {shop.namespace}/inventory-4711 (1-4711)" in its for its in told)
    assert "fields of agentk: 1, the first is ConfigMap" in finding(found, "fields of the old agent")
    api.delete(shop.path("coordination.k8s.io/v1/leases", "agent-4711-lock"))


def test_a_cluster_that_cannot_be_asked_is_exit_code_2(shop: Installation) -> None:
    place = [its for its in options(shop, source=True) if not its.startswith("--kubeconfig")]
    missing = shop.directory / "no-kubeconfig"
    done = run(shop.directory, "doctor", *place, f"--kubeconfig={missing}")
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("failure", ["defect", "slow"])
def test_a_check_that_fails_is_unknown_and_stops_no_other(
    shop: Installation, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    async def fail(_self: Any) -> Sequence[Finding]:
        if failure == "defect":
            raise KeyError(CANARY)
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(doctor, "CHECK_LIMIT", 5.0)
    monkeypatch.setattr(doctor._Doctor, "_clock", fail)
    found = examined(shop)
    why = "defect in this check (KeyError)" if failure == "defect" else "no answer within 5 s"
    assert check(found, "clock").unknown == why
    assert check(found, "records").result == "fine"
    assert not found.is_well
