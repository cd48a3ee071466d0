"""The records as they lie in the cluster: readable, small, and noticed when others write them."""

from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import Api
from reconciler.cluster.client import connect
from reconciler.sync import marks
from reconciler.sync.errors import TwoWriters
from reconciler.sync.outcome import ObjectReport, Outcome, State
from reconciler.sync.records import Records
from tests.faults.gateway import Gateway
from tests.fix_sync import PROJECT, Installation, outcomes
from tests.objects import config_map, deployment, manifest


def test_head_and_shard_can_be_read_by_people(installation: Installation) -> None:
    commit = installation.commit({"a.yaml": [config_map("a"), deployment("web", replicas=0)]})
    installation.sync()
    head, shard = installation.record(), installation.record("-0")
    metadata = installation.get("configmaps", "a")["metadata"]
    assert (head["data"]["project"], head["data"]["commit"]) == (PROJECT, commit)
    assert (head["data"]["schema"], head["data"]["instance"]) == ("2", installation.namespace)
    lines = shard["data"]["objects"].splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"apps/v1 Deployment {installation.namespace}/web uid=")
    assert lines[1].startswith(f"v1 ConfigMap {installation.namespace}/a uid={metadata['uid']} fields=")


def test_records_do_not_carry_the_label_of_objects(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    selector = f"?labelSelector={marks.INSTANCE_LABEL}={installation.namespace}"
    items = installation.api.get(installation.path("configmaps") + selector)["items"]
    assert [item["metadata"]["name"] for item in items] == ["a"]


def test_object_is_in_the_inventory_before_it_is_created(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        installation.sync()
    written = [str(asked) for asked in requests.writes]
    head, shard = f"configmaps/{installation.inventory_id}", f"configmaps/{installation.inventory_id}-0"
    created = written.index("patch configmaps/a")
    before, after = written[:created], written[created:]
    assert before[-3:] == [f"create {head}", f"create {shard}", f"update {head}"]
    assert after.index(f"update {shard}") < after.index(f"update {head}")


def test_object_leaves_the_inventory_after_it_is_gone(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        installation.sync()
    order = [str(asked) for asked in requests.all if asked.verb in ("delete", "get", "update")]
    shard = f"update configmaps/{installation.inventory_id}-0"
    assert order.index("delete configmaps/b") < order.index("get configmaps/b") < order.index(shard)


def test_failed_create_stays_in_the_inventory_until_it_is_seen_not_to_exist(
    installation: Installation,
) -> None:
    installation.commit({"s.yaml": manifest("v1", "Service", "s", spec={"ports": [{"port": 0}]})})
    installation.sync()
    (record,) = installation.inventory().values()
    assert (record.ref.name, record.uid) == ("s", "")
    installation.commit({"s.yaml": config_map("a")})
    assert installation.sync().state is State.SYNCED
    assert installation.recorded_names() == {"a"}


async def test_status_that_could_not_be_written_casts_no_doubt_on_the_inventory(
    installation: Installation,
) -> None:
    """Somebody else has touched the status record; a run that goes on writes head and shards as before."""
    installation.commit({"a.yaml": config_map("a")})
    async with connect(kubeconfig=installation.options.kubeconfig) as cluster:
        records = Records(cluster, namespace=installation.namespace, instance=installation.namespace)
        of_run = await records.of(PROJECT)
        await records.write_status(of_run, {"state": "progressing"})
        path = installation.path("configmaps", f"{installation.inventory_id}-status")
        installation.api.patch(path, {"metadata": {"labels": {"by": "another"}}})
        with pytest.raises(TwoWriters):
            await records.write_status(await records.of(PROJECT), {"state": "synced"})
        assert await records.of(PROJECT) is of_run
        await records.write_status(await records.of(PROJECT), {"state": "synced"})
    assert installation.record("-status")["data"] == {"state": "synced"}


def test_object_that_is_made_anew_is_recorded_as_new_before(installation: Installation) -> None:
    """With the uid of the object that is gone, a kill would leave one that looks like another hand's."""
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    installation.api.delete(installation.path("configmaps", "a"))
    seen: list[str] = []

    def look(_project: str, report: ObjectReport) -> None:
        if report.outcome is Outcome.CREATED:
            seen.extend(record.uid for ref, record in installation.inventory().items() if ref.name == "a")

    installation.sync(progress=look)
    assert set(seen) == {""}
    assert [record.uid for record in installation.inventory().values() if not record.uid] == []


def test_last_object_leaves_no_shard_behind(installation: Installation) -> None:
    installation.configure(prune_limit="100%")
    installation.commit({"a.yaml": [config_map("a"), manifest("v1", "Secret", "s")]})
    installation.sync()
    installation.commit({"a.yaml": manifest("nowhere.example.com/v1", "Thing", "t")})
    assert outcomes(installation.sync()) == {"a": "pruned", "s": "pruned", "t": "failed"}
    assert installation.record("-0") is None
    assert installation.record()["data"]["shards"] == ""


@pytest.mark.parametrize(
    ("part", "files"),
    [
        pytest.param("", {"a.yaml": [config_map("a", a="2", b="3"), config_map("b")]}, id="head"),
        pytest.param("-0", {"c.yaml": config_map("c")}, id="shard"),
    ],
)
def test_second_writer_is_noticed_and_not_overwritten(
    installation: Installation, part: str, files: dict[str, object]
) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    path = installation.path("configmaps", installation.inventory_id + part)

    def write_in_between(_project: str, report: object) -> None:
        if str(getattr(report, "outcome", "")) in ("created", "updated"):
            data = {"data": {"commit": "another"}} if not part else {}
            installation.api.patch(path, {"metadata": {"labels": {"by": "another"}}, **data})

    installation.commit(files)
    report = installation.sync(progress=write_in_between)
    assert report.state is State.FAILED
    assert "written by somebody else" in report.reason
    assert installation.record(part)["metadata"]["labels"]["by"] == "another"
    assert installation.sync().state is State.SYNCED


def test_requests_of_persons_while_the_head_is_written_are_no_second_writer(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path
) -> None:
    """Each of three comes at the very moment of a write, so that it conflicts three times."""
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    installation.commit({"a.yaml": config_map("a", a="2")})
    head = installation.path("configmaps", installation.inventory_id)
    tokens = iter(("one", "two", "three"))

    def ask_first(method: str, path: str) -> None:
        if method == "PUT" and head in path and (token := next(tokens, "")):
            installation.api.patch(head, {"metadata": {"annotations": {marks.ASKED: token}}})

    gateway.instead = ask_first
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"a": "updated"})
    assert installation.record()["metadata"]["annotations"][marks.ASKED] == "three"


def test_newest_lines_of_few_changed_objects_stand_in_the_head(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    shard = installation.record("-0")
    installation.commit({"a.yaml": [config_map("a", a="2", b="3"), config_map("b")]})
    with installation.recorded() as requests:
        installation.sync()
    uid = installation.get("configmaps", "a")["metadata"]["uid"]
    (line,) = installation.record()["data"]["recent"].splitlines()
    assert line.startswith(f"v1 ConfigMap {installation.namespace}/a uid={uid} fields=")
    assert requests.of_objects == ["patch configmaps/a"]
    assert installation.record("-0") == shard
    assert outcomes(installation.sync()) == {"a": "unchanged", "b": "unchanged"}


def test_two_instances_do_not_touch_each_other(installation: Installation) -> None:
    """The same repository and project under two names: the second is told whose the objects are."""
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    first = installation.options
    installation.options = type(first)(
        **{name: getattr(first, name) for name in first.__dataclass_fields__ if name != "instance"},
        instance="another",
    )
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, outcomes(report)) == (State.FAILED, {"a": "blocked"})
    assert requests.of_objects == []


def test_records_namespace_is_made_where_it_is_missing(
    installation: Installation, api: Api, namespace: str
) -> None:
    other = f"{namespace}-records"
    first = installation.options
    installation.options = type(first)(
        **{name: getattr(first, name) for name in first.__dataclass_fields__ if name != "records_namespace"},
        records_namespace=other,
    )
    installation.commit({"a.yaml": config_map("a")})
    try:
        assert installation.sync().state is State.SYNCED
        assert api.exists(f"/api/v1/namespaces/{other}/configmaps/{installation.inventory_id}")
    finally:
        api.delete(f"/api/v1/namespaces/{other}")


def test_records_of_a_later_release_are_left_alone(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    path = installation.path("configmaps", installation.inventory_id)
    installation.api.patch(path, {"data": {"schema": "3"}})
    installation.commit({"a.yaml": config_map("a", a="2")})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.FAILED, [])
    assert "schema 3" in report.reason


def test_key_that_cannot_be_used_stops_before_anything_is_applied(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.api.post(installation.path("secrets"), {"metadata": {"name": marks.KEY_SECRET}})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.FAILED, [])
    assert marks.KEY_SECRET in report.reason


@pytest.mark.parametrize("change", [{}, {"b.yaml": config_map("b")}])
def test_status_is_written_on_transitions_only(installation: Installation, change: dict[str, object]) -> None:
    """A run that changes objects but not the state of the project changes its counts alone."""
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    before = installation.record("-status")
    if change:
        installation.commit(change)
    with installation.recorded() as requests:
        installation.sync()
    wrote = f"update configmaps/{installation.inventory_id}-status" in map(str, requests.writes)
    assert wrote == bool(change), requests.writes
    assert before["data"]["state"] == "synced"
    assert installation.record("-status")["data"]["counts"].startswith(f"objects={2 if change else 1} ")


def test_status_names_every_object_that_is_not_well(installation: Installation) -> None:
    bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
    installation.commit({"a.yaml": config_map("a"), "bad.yaml": bad})
    installation.sync()
    data = installation.record("-status")["data"]
    assert data["state"] == "failed"
    assert len(data["objects"].splitlines()) == 1
    assert '"name":"bad"' in data["objects"]


def test_records_of_a_later_release_stop_their_own_project_only(installation: Installation) -> None:
    other = {"id": "other", "paths": [{"glob": "/other/*.yaml"}]}
    installation.configure_projects([{"paths": [{"glob": "/*.yaml"}]}, other])
    installation.commit({"a.yaml": config_map("a"), "other/b.yaml": config_map("b")})
    installation.run()
    head = installation.path("configmaps", installation.inventory_id)
    installation.api.patch(head, {"data": {"schema": "3"}})
    with installation.recorded() as requests:
        shop, rest = installation.run().reports
    assert (shop.state, rest.state) == (State.FAILED, State.SYNCED)
    assert "schema 3" in shop.reason
    assert requests.writes == []


def test_records_of_the_first_release_are_taken_on_and_upgraded_with_the_next_write(
    installation: Installation,
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    head = installation.path("configmaps", installation.inventory_id)
    installation.api.patch(head, {"data": {"schema": "1"}})
    with installation.recorded() as requests:
        assert installation.sync().state is State.SYNCED
    assert requests.writes == []
    installation.commit({"a.yaml": config_map("a", a="2")})
    assert outcomes(installation.sync()) == {"a": "updated"}
    assert installation.record()["data"]["schema"] == "2"


def test_owner_that_is_not_the_heads_name_outlives_the_head(installation: Installation) -> None:
    """Whoever deletes the head must not make our objects look like another's."""
    installation.commit({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    installation.sync()
    shard = installation.path("configmaps", installation.inventory_id + "-0")
    installation.api.patch(shard, {"metadata": {"annotations": {marks.OWNER: "1-2"}}})
    for name in ("a", "b"):
        note = {marks.OWNING_INVENTORY: "1-2"}
        installation.api.patch(installation.path("configmaps", name), {"metadata": {"annotations": note}})
    installation.api.delete(installation.path("configmaps", installation.inventory_id))
    installation.commit({"a.yaml": config_map("a", a="2"), "b.yaml": None})
    report = installation.sync()
    assert outcomes(report) == {"a": "updated", "b": "held"}
    assert installation.record()["data"]["owner"] == "1-2"
    assert installation.get("configmaps", "a")["metadata"]["annotations"][marks.OWNING_INVENTORY] == "1-2"
