"""What a run sends for the objects of git, and what it leaves alone."""

from collections.abc import Callable

import pytest

from localcluster import Api
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.fix_sync import PROJECT, Installation, of, outcomes
from tests.objects import config_map, manifest


def test_first_apply_creates_with_our_manager_and_marks(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    report = installation.sync()
    metadata = installation.get("configmaps", "a")["metadata"]
    (entry,) = metadata["managedFields"]
    assert (report.state, outcomes(report)) == (State.SYNCED, {"a": "created"}), report
    assert (entry["manager"], entry["operation"]) == (f"reconciler:{PROJECT}", "Apply")
    assert metadata["labels"] == {marks.INSTANCE_LABEL: installation.namespace}
    assert metadata["annotations"].keys() == {marks.PROJECT, marks.OWNING_INVENTORY, marks.APPLIED}
    assert metadata["annotations"][marks.PROJECT] == PROJECT
    assert metadata["annotations"][marks.OWNING_INVENTORY] == installation.inventory_id


def test_second_run_writes_nothing_and_asks_little(installation: Installation) -> None:
    installation.commit({"all.yaml": [config_map("a"), config_map("b"), manifest("v1", "Secret", "c")]})
    installation.sync()
    with installation.recorded() as requests:
        report = installation.sync()
    assert report.counts()["unchanged"] == 3, report
    assert requests.writes == []
    assert sum(requests.count().values()) <= 2 * 5, requests.count()


def test_origin_of_an_object_is_reported(installation: Installation) -> None:
    installation.commit({"d/all.yaml": [config_map("a"), config_map("b")]})
    its = of(installation.sync(), "b")
    assert (its.path, its.line > 1) == ("d/all.yaml", True)


def test_changed_file_sends_only_the_changed_objects(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a"), "b.yaml": [config_map("b"), config_map("c")]})
    installation.sync()
    installation.commit({"b.yaml": [config_map("b"), config_map("c", a="2")]})
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.of_objects == ["patch configmaps/c"]
    assert outcomes(report) == {"a": "unchanged", "b": "unchanged", "c": "updated"}
    assert installation.get("configmaps", "c")["data"] == {"a": "2"}


def test_reformatted_file_sends_nothing(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", one="1", two="2")})
    installation.sync()
    body = "# same\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  two: '2'\n  one: \"1\"\n"
    installation.commit({"a.yaml": None, "moved/a.yaml": body})
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.of_objects == [], report
    assert of(report, "a").path == "moved/a.yaml"


def test_run_does_not_depend_on_the_commit(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    commit = installation.commit({"README.md": "words"})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.commit, requests.of_objects) == (commit, [])


def test_other_field_managers_keep_their_fields(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", ours="1")})
    installation.sync()
    installation.api.patch(installation.path("configmaps", "a"), {"data": {"theirs": "2"}})
    installation.commit({"a.yaml": config_map("a", ours="3")})
    installation.sync()
    assert installation.get("configmaps", "a")["data"] == {"ours": "3", "theirs": "2"}


def edit(installation: Installation) -> None:
    installation.api.patch(installation.path("configmaps", "a"), {"data": {"a": "edited"}})


def seize(installation: Installation) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "edited"}}
    installation.api.apply(installation.path("configmaps", "a"), body, field_manager="someone")


def take_off_label(installation: Installation) -> None:
    body = {"metadata": {"labels": {marks.INSTANCE_LABEL: None}}}
    installation.api.patch(installation.path("configmaps", "a"), body)


def change_label(installation: Installation) -> None:
    body = {"metadata": {"labels": {marks.INSTANCE_LABEL: "another"}}}
    installation.api.patch(installation.path("configmaps", "a"), body)


def take_off_annotations(installation: Installation) -> None:
    names = (marks.PROJECT, marks.OWNING_INVENTORY, marks.APPLIED)
    installation.api.patch(
        installation.path("configmaps", "a"), {"metadata": {"annotations": dict.fromkeys(names)}}
    )


def take_off_all_managed_fields(installation: Installation) -> None:
    installation.api.patch(installation.path("configmaps", "a"), {"metadata": {"managedFields": [{}]}})


def delete(installation: Installation) -> None:
    installation.api.delete(installation.path("configmaps", "a"))


def replace(installation: Installation) -> None:
    delete(installation)
    body = {"metadata": {"name": "a"}, "data": {"a": "edited", "b": "2"}}
    installation.api.post(installation.path("configmaps"), body)


@pytest.mark.parametrize(
    "disturb",
    [edit, seize, take_off_label, change_label, take_off_annotations, take_off_all_managed_fields],
)
def test_foreign_change_is_corrected_by_one_apply(
    installation: Installation, disturb: Callable[[Installation], None]
) -> None:
    installation.commit({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    installation.sync()
    before = installation.get("configmaps", "a")["metadata"]
    disturb(installation)
    with installation.recorded() as requests:
        report = installation.sync()
    after = installation.get("configmaps", "a")
    assert requests.of_objects == ["patch configmaps/a"], report
    assert (after["data"], after["metadata"]["labels"]) == ({"a": "1"}, before["labels"])
    assert after["metadata"]["annotations"] == before["annotations"]
    with installation.recorded() as requests:
        installation.sync()
    assert requests.writes == [], "the correction was not recorded"


def test_deleted_object_is_created_again(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    delete(installation)
    report = installation.sync()
    assert (outcomes(report), report.state) == ({"a": "created"}, State.SYNCED)
    (record,) = installation.inventory().values()
    assert record.uid == installation.get("configmaps", "a")["metadata"]["uid"]


def test_object_that_another_hand_made_is_left_alone(installation: Installation) -> None:
    installation.api.post(installation.path("configmaps"), {"metadata": {"name": "a"}, "data": {"x": "y"}})
    installation.commit({"a.yaml": config_map("a")})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, outcomes(report)) == (State.FAILED, {"a": "skipped"})
    assert requests.of_objects == []
    assert installation.recorded_names() == set()


def test_object_without_an_owner_is_adopted_where_the_policy_says_so(installation: Installation) -> None:
    installation.configure(inventory_policy="adopt_if_no_inventory")
    installation.api.post(installation.path("configmaps"), {"metadata": {"name": "a"}, "data": {"a": "x"}})
    installation.commit({"a.yaml": config_map("a")})
    assert installation.sync().state is State.SYNCED
    assert installation.get("configmaps", "a")["data"] == {"a": "1"}
    assert installation.recorded_names() == {"a"}


def test_object_of_another_project_is_blocked_and_names_it(installation: Installation) -> None:
    installation.commit({"one/a.yaml": config_map("a"), "two/b.yaml": config_map("b")})
    paths = {name: [{"glob": f"{name}/*"}] for name in ("one", "two", "*")}
    installation.configure_projects([{"id": "one", "paths": paths["one"]}])
    installation.run()
    installation.configure_projects(
        [{"id": "one", "paths": paths["one"]}, {"id": "two", "paths": paths["*"], "depends_on": ["one"]}]
    )
    _, two = installation.run().reports
    assert outcomes(two) == {"a": "blocked", "b": "created"}
    assert "project one" in of(two, "a").message


def test_applied_but_not_recorded_costs_one_patch(installation: Installation) -> None:
    installation.commit({"all.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    shard = installation.record("-0")["data"]
    head = installation.record()["data"]
    installation.commit({"all.yaml": [config_map("a", a="1", b="2"), config_map("b")]})
    installation.sync()
    # As if the process had died between the apply and the write of what it got back.
    installation.api.patch(installation.path("configmaps", installation.inventory_id + "-0"), {"data": shard})
    data = {"recent": None, **head}
    installation.api.patch(installation.path("configmaps", installation.inventory_id), {"data": data})
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.of_objects == ["patch configmaps/a"], report
    assert report.state is State.SYNCED


def test_lost_key_means_that_all_is_applied_once_more(installation: Installation) -> None:
    installation.commit({"all.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    installation.api.delete(installation.path("secrets", marks.KEY_SECRET))
    with installation.recorded() as requests:
        report = installation.sync()
    assert sorted(requests.of_objects) == ["patch configmaps/a", "patch configmaps/b"]
    assert report.state is State.SYNCED
    with installation.recorded() as requests:
        installation.sync()
    assert requests.writes == []


def test_applied_mark_does_not_show_what_a_secret_holds(installation: Installation) -> None:
    """Equal content under two keys has two marks, so the mark is no plain hash."""
    installation.commit({"s.yaml": manifest("v1", "Secret", "s", stringData={"pin": "0000"})})
    installation.sync()
    first = installation.get("secrets", "s")["metadata"]["annotations"][marks.APPLIED]
    installation.api.delete(installation.path("secrets", marks.KEY_SECRET))
    installation.sync()
    assert installation.get("secrets", "s")["metadata"]["annotations"][marks.APPLIED] != first


def test_namespace_is_filled_in_where_a_manifest_names_none(
    installation: Installation, api: Api, namespace: str
) -> None:
    other = f"{namespace}-other"
    installation.commit(
        {"all.yaml": [manifest("v1", "Namespace", other), config_map("a"), config_map("b", namespace=other)]}
    )
    report = installation.sync()
    try:
        assert report.state is State.SYNCED, report
        assert {(ref.namespace, ref.name) for ref in installation.inventory()} == {
            (namespace, "a"),
            (other, "b"),
            ("", other),
        }
        assert api.exists(f"/api/v1/namespaces/{other}/configmaps/b")
    finally:
        api.delete(f"/api/v1/namespaces/{other}")


def test_changed_default_namespace_moves_the_objects(
    installation: Installation, api: Api, namespace: str
) -> None:
    other = f"{namespace}-other"
    api.post("/api/v1/namespaces", {"metadata": {"name": other}})
    try:
        installation.commit({"a.yaml": config_map("a")})
        installation.sync()
        installation.configure(default_namespace=other)
        report = installation.sync()
        assert sorted(its.outcome.value for its in report.objects) == ["created", "pruned"]
        assert api.exists(f"/api/v1/namespaces/{other}/configmaps/a")
        assert not installation.exists("configmaps", "a")
    finally:
        api.delete(f"/api/v1/namespaces/{other}")


def test_invalid_object_fails_alone(installation: Installation) -> None:
    bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
    installation.commit({"a.yaml": config_map("a"), "bad.yaml": bad})
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.FAILED, {"a": "created", "bad": "failed"})
    assert (of(report, "bad").reason, of(report, "bad").path) == ("Invalid", "bad.yaml")


def test_misspelt_field_is_an_error_of_the_manifest(installation: Installation) -> None:
    bad = {**config_map("bad"), "dtaa": {}}
    installation.commit({"bad.yaml": bad})
    its = of(installation.sync(), "bad")
    assert (its.outcome.value, its.reason) == ("failed", "Invalid")
    assert "dtaa" in its.message


def test_project_with_a_very_long_name_has_a_valid_field_manager(installation: Installation) -> None:
    name = "group/" + "x" * 200
    installation.configure_projects([{"id": name}])
    installation.commit({"a.yaml": config_map("a")})
    (report,) = installation.run().reports
    (entry,) = installation.get("configmaps", "a")["metadata"]["managedFields"]
    assert report.state is State.SYNCED, report
    assert (entry["manager"], len(entry["manager"])) == (marks.field_manager(name), 128)


def test_rules_of_an_aggregated_role_are_left_to_the_control_plane(installation: Installation) -> None:
    """Most manifests say `rules: []`; applied again and again it would take the rights away each time."""
    name, label = installation.namespace, f"{installation.namespace}/part"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    rbac = "rbac.authorization.k8s.io/v1"
    selectors = {"clusterRoleSelectors": [{"matchLabels": {label: "yes"}}]}
    part = manifest(rbac, "ClusterRole", f"{name}:part", rules=rules)
    part["metadata"]["labels"] = {label: "yes"}
    whole = manifest(rbac, "ClusterRole", f"{name}:all", aggregationRule=selectors, rules=[])
    installation.commit({"roles.yaml": [part, whole]})
    assert installation.sync().state is State.SYNCED
    path = f"/apis/{rbac}/clusterroles/{name}:all"
    installation.api.until(path, lambda found: found["rules"] == rules)
    with installation.recorded() as requests:
        assert set(outcomes(installation.sync()).values()) == {"unchanged"}
    assert requests.writes == []
    assert installation.api.get(path)["rules"] == rules
