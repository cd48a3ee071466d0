"""What is deleted after it left git, how, and what is left alone."""

import pytest

from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, deployment, manifest

KEEP = config_map("keep")


def settle(installation: Installation, *leaving: object, staying: object = KEEP) -> None:
    """Sync once with `leaving` and `staying` in git, then take the first out of it."""
    installation.commit({"keep.yaml": staying, "leaving.yaml": list(leaving)})
    report = installation.sync()
    assert report.state is State.SYNCED, report
    installation.commit({"leaving.yaml": None})


def test_object_that_left_git_is_deleted_and_forgotten(installation: Installation) -> None:
    settle(installation, config_map("a"))
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"a": "pruned", "keep": "unchanged"})
    assert requests.of_objects == ["delete configmaps/a"]
    assert installation.recorded_names() == {"keep"}
    with installation.recorded() as requests:
        installation.sync()
    assert requests.writes == []


def test_delete_names_uid_version_and_propagation(installation: Installation) -> None:
    settle(installation, config_map("a"))
    metadata = installation.get("configmaps", "a")["metadata"]
    with installation.recorded() as requests:
        installation.sync()
    (delete,) = [asked for asked in requests.writes if asked.verb == "delete"]
    assert delete.body["preconditions"] == {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }
    assert delete.body["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize("policy", ["foreground", "background", "orphan"])
def test_propagation_policy_is_what_the_project_says(installation: Installation, policy: str) -> None:
    installation.configure(prune_propagation_policy=policy)
    settle(installation, config_map("a"))
    with installation.recorded() as requests:
        report = installation.sync()
    (delete,) = [asked for asked in requests.writes if asked.verb == "delete"]
    assert delete.body["propagationPolicy"] == policy.capitalize()
    assert outcomes(report)["a"] == "pruned"


def test_dependants_are_deleted_first(installation: Installation) -> None:
    needs = f"/namespaces/{installation.namespace}/ConfigMap/base"
    settle(
        installation, config_map("base"), config_map("a-user", after=needs), config_map("z-user", after=needs)
    )
    with installation.recorded() as requests:
        installation.sync()
    assert requests.of_objects[-1] == "delete configmaps/base"
    assert len(requests.of_objects) == 3


def test_what_an_object_in_git_still_needs_is_not_deleted(installation: Installation) -> None:
    needs = f"/namespaces/{installation.namespace}/ConfigMap/base"
    settle(installation, config_map("base"), staying=config_map("user", after=needs))
    report = installation.sync()
    assert outcomes(report) == {"user": "blocked", "base": "skipped"}
    assert installation.exists("configmaps", "base")
    assert "base" in installation.recorded_names()


def test_object_replaced_by_another_hand_is_not_deleted(installation: Installation) -> None:
    settle(installation, config_map("a"))
    path = installation.path("configmaps", "a")
    body = installation.api.get(path)
    installation.api.delete(path)
    # Our marks and all: only the uid tells that it is another one.
    marked = {key: body["metadata"][key] for key in ("name", "labels", "annotations")}
    made = installation.api.post(installation.path("configmaps"), {"metadata": marked, "data": {"mine": "1"}})
    report = installation.sync()
    assert outcomes(report)["a"] == "skipped"
    assert "re-created by another hand" in of(report, "a").message
    assert installation.api.get(path)["metadata"]["uid"] == made["metadata"]["uid"]


def test_object_replaced_between_plan_and_delete_is_not_deleted(installation: Installation) -> None:
    """`b` is deleted after `a` was; its own replacement arrives in between."""
    needs = f"/namespaces/{installation.namespace}/ConfigMap/b"
    settle(installation, config_map("b"), config_map("a", after=needs))
    path = installation.path("configmaps", "b")
    body = installation.api.get(path)
    marked = {key: body["metadata"][key] for key in ("name", "labels", "annotations")}

    def replace_b(_project: str, report: object) -> None:
        if (report.ref.name, report.outcome) == ("a", "pruned"):
            installation.api.delete(path)
            installation.api.post(installation.path("configmaps"), {"metadata": marked})

    report = installation.sync(progress=replace_b)
    assert outcomes(report) == {"a": "pruned", "b": "skipped", "keep": "unchanged"}
    assert installation.exists("configmaps", "b")


def test_object_whose_owner_mark_was_removed_is_skipped(installation: Installation) -> None:
    settle(installation, config_map("a"))
    path = installation.path("configmaps", "a")
    installation.api.patch(path, {"metadata": {"annotations": {marks.OWNING_INVENTORY: None}}})
    report = installation.sync()
    assert (outcomes(report)["a"], report.state) == ("skipped", State.FAILED)
    assert "does not carry our owner mark" in of(report, "a").message
    assert installation.exists("configmaps", "a")


def test_object_with_our_label_alone_is_never_deleted(installation: Installation) -> None:
    settle(installation, config_map("a"))
    labels = {marks.INSTANCE_LABEL: installation.namespace}
    body = {"metadata": {"name": "copied", "labels": labels}}
    installation.api.post(installation.path("configmaps"), body)
    with installation.recorded() as requests:
        installation.sync()
    assert requests.of_objects == ["delete configmaps/a"]


def test_object_that_is_gone_already_is_only_forgotten(installation: Installation) -> None:
    settle(installation, config_map("a"))
    installation.api.delete(installation.path("configmaps", "a"))
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.SYNCED, [])
    assert installation.recorded_names() == {"keep"}


def test_without_prune_the_objects_stay_and_are_pruned_when_it_is_switched_on(
    installation: Installation,
) -> None:
    installation.configure(prune=False)
    settle(installation, config_map("a"))
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.SYNCED, [])
    assert installation.recorded_names() == {"a", "keep"}
    assert "prune is false" in " ".join(report.notes)
    installation.configure(prune=True)
    assert outcomes(installation.sync())["a"] == "pruned"
    assert not installation.exists("configmaps", "a")


def test_object_with_a_finalizer_times_out_and_stays_recorded(installation: Installation) -> None:
    stuck = config_map("stuck")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    installation.configure(prune_timeout="0.5s")
    settle(installation, stuck)
    path = installation.path("configmaps", "stuck")
    report = installation.sync()
    assert (outcomes(report)["stuck"], of(report, "stuck").reason) == ("failed", "PruneTimeout")
    assert "stuck" in installation.recorded_names()
    installation.api.patch(path, {"metadata": {"finalizers": None}})
    installation.api.until(path, lambda body: body is None)
    assert installation.sync().state is State.SYNCED
    assert installation.recorded_names() == {"keep"}


def test_delete_waits_until_the_object_is_gone(installation: Installation) -> None:
    settle(installation, deployment("web", deletion_takes="0.5s"))
    with installation.recorded():
        report = installation.sync()
    assert outcomes(report)["web"] == "pruned"
    assert not installation.exists("apps/v1/deployments", "web")


def test_object_that_comes_back_to_git_while_it_is_deleted_is_created_again(
    installation: Installation,
) -> None:
    stuck = config_map("stuck")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    installation.configure(prune_timeout="0.5s")
    settle(installation, stuck)
    installation.sync()
    installation.commit({"leaving.yaml": config_map("stuck")})
    report = installation.sync()
    assert (outcomes(report)["stuck"], of(report, "stuck").reason) == ("blocked", "Terminating")
    path = installation.path("configmaps", "stuck")
    installation.api.patch(path, {"metadata": {"finalizers": None}})
    installation.api.until(path, lambda body: body is None)
    assert outcomes(installation.sync())["stuck"] == "created"


def test_invalid_manifest_does_not_prune_its_object(installation: Installation) -> None:
    installation.commit({"keep.yaml": KEEP, "a.yaml": config_map("a")})
    installation.sync()
    broken = config_map("a")
    broken["data"] = {"a": "1"}
    broken["metadata"]["labels"] = {"number": 1}
    installation.commit({"a.yaml": broken})
    report = installation.sync()
    assert outcomes(report) == {"a": "failed", "keep": "unchanged"}
    assert installation.exists("configmaps", "a")
    assert installation.recorded_names() == {"a", "keep"}


def test_leases_of_the_service_are_never_pruned(installation: Installation) -> None:
    lease = manifest("coordination.k8s.io/v1", "Lease", "leader", spec={})
    installation.commit({"keep.yaml": KEEP, "leaving.yaml": lease})
    assert installation.sync().state is State.SYNCED
    installation.commit({"leaving.yaml": None})
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.of_objects == []
    assert outcomes(report) == {"keep": "unchanged", "leader": "skipped"}
    assert of(report, "leader").reason == "Protected"


def test_manifest_of_a_record_never_touches_the_record(installation: Installation) -> None:
    installation.commit({"keep.yaml": KEEP})
    installation.sync()
    installation.commit({"record.yaml": config_map(installation.inventory_id, commit="forged")})
    before = installation.record()
    report = installation.sync()
    assert outcomes(report)[installation.inventory_id] == "skipped"
    assert installation.record()["data"]["commit"] != "forged"
    assert installation.record()["metadata"]["uid"] == before["metadata"]["uid"]


def test_object_that_is_being_deleted_already_is_only_waited_for(installation: Installation) -> None:
    stuck = config_map("stuck")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    installation.configure(prune_timeout="0.3s")
    settle(installation, stuck)
    assert outcomes(installation.sync())["stuck"] == "failed"
    with installation.recorded() as requests:
        report = installation.sync()
    assert (requests.of_objects, of(report, "stuck").reason) == ([], "PruneTimeout")
