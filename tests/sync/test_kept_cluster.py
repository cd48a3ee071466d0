"""Objects that left git and that an annotation keeps: never deleted, and no longer ours."""

from typing import Any

import pytest

from reconciler.cluster.client import Cluster
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map

KEEP = ("cli-utils.sigs.k8s.io/on-remove", "keep")
DETACH = ("client.lifecycle.config.k8s.io/deletion", "detach")


def kept(name: str, annotation: tuple[str, str] = KEEP) -> dict[str, Any]:
    body = config_map(name)
    body["metadata"]["annotations"] = dict([annotation])
    return body


def leave(installation: Installation, *leaving: dict[str, Any], beside: bool = True) -> None:
    """Sync `leaving` (with `stays` beside it), and take it out of git."""
    installation.commit(
        {"leaving.yaml": list(leaving), "stays.yaml": config_map("stays") if beside else None}
    )
    assert installation.sync().state is State.SYNCED
    installation.commit({"leaving.yaml": None, "README.md": "nothing to apply"})


def marks_of(metadata: dict[str, Any]) -> set[str]:
    words = {*metadata.get("labels", {}), *metadata.get("annotations", {})}
    return words & {marks.INSTANCE_LABEL, marks.PROJECT, marks.APPLIED, marks.OWNING_INVENTORY}


@pytest.mark.parametrize("annotation", [KEEP, DETACH], ids=["on-remove: keep", "deletion: detach"])
def test_annotated_object_is_kept_without_our_marks_and_forgotten(
    installation: Installation, annotation: tuple[str, str]
) -> None:
    leave(installation, kept("a", annotation))
    uid = installation.get("configmaps", "a")["metadata"]["uid"]
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, of(report, "a").outcome, of(report, "a").reason) == (
        State.SYNCED,
        "handed_over",
        "Kept",
    )
    assert requests.of_objects == ["patch configmaps/a"]
    found = installation.get("configmaps", "a")
    assert (found["metadata"]["uid"], found["data"], marks_of(found["metadata"])) == (uid, {"a": "1"}, set())
    assert installation.recorded_names() == {"stays"}
    with installation.recorded() as requests:
        assert outcomes(installation.sync()) == {"stays": "unchanged"}
    assert requests.writes == []


def test_annotation_of_the_live_object_counts_and_not_that_of_git(installation: Installation) -> None:
    leave(installation, config_map("a"))
    annotations = {"metadata": {"annotations": dict([KEEP])}}
    installation.api.patch(installation.path("configmaps", "a"), annotations)
    assert outcomes(installation.sync())["a"] == "handed_over"
    assert installation.exists("configmaps", "a")


def test_kill_after_the_marks_were_taken_off_converges(installation: Installation) -> None:
    leave(installation, kept("a"))
    head, shard = installation.record(), installation.record("-0")
    installation.sync()
    for part in (shard, head):  # as if we had died before it was forgotten
        part["metadata"].pop("resourceVersion")
        installation.api.put(installation.path("configmaps", part["metadata"]["name"]), part)
    assert "a" in installation.recorded_names()
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, outcomes(report)["a"], requests.of_objects) == (State.SYNCED, "handed_over", [])
    assert installation.recorded_names() == {"stays"}


def test_change_between_look_and_patch_is_looked_at_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The annotation is taken off in that moment: then nothing is done to the object in this run."""
    leave(installation, kept("a"))
    send = Cluster.json_patch

    async def late(cluster: Cluster, *where: Any, **how: Any) -> dict[str, Any]:
        installation.api.patch(
            installation.path("configmaps", "a"), {"metadata": {"annotations": {KEEP[0]: None}}}
        )
        return await send(cluster, *where, **how)

    monkeypatch.setattr(Cluster, "json_patch", late)
    with installation.recorded() as requests:
        report = installation.sync()
    assert [asked.code for asked in requests.writes if asked.name == "a"] == [409]
    assert outcomes(report)["a"] == "skipped"
    assert marks.OWNING_INVENTORY in marks_of(installation.get("configmaps", "a")["metadata"])
    assert "a" in installation.recorded_names()


@pytest.mark.parametrize("strategy", ["client", "server"])
def test_dry_run_takes_no_marks_off(installation: Installation, strategy: str) -> None:
    leave(installation, kept("a"))
    installation.configure(dry_run_strategy=strategy)
    with installation.recorded() as requests:
        report = installation.sync()
    assert requests.writes == []
    assert outcomes(report)["a"] == "held"
    assert "would be kept" in of(report, "a").message


def test_without_prune_it_stays_ours(installation: Installation) -> None:
    leave(installation, kept("a"))
    installation.configure(prune=False)
    with installation.recorded() as requests:
        assert installation.sync().state is State.SYNCED
    assert requests.of_objects == []
    assert "a" in installation.recorded_names()


def test_while_git_declares_nothing_it_stays_ours_until_that_is_approved(installation: Installation) -> None:
    leave(installation, kept("a"), beside=False)
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, outcomes(report), requests.of_objects) == (State.HELD, {"a": "held"}, [])
    installation.commit({"leaving.yaml": kept("a")})
    assert outcomes(installation.sync()) == {"a": "unchanged"}


def test_object_that_comes_back_to_git_is_ours_again_where_the_policy_says_so(
    installation: Installation,
) -> None:
    leave(installation, kept("a"))
    installation.sync()
    installation.commit({"leaving.yaml": kept("a")})
    assert outcomes(installation.sync())["a"] == "skipped"
    installation.configure(inventory_policy="adopt_if_no_inventory")
    report = installation.sync()
    assert (report.state, outcomes(report)["a"]) == (State.SYNCED, "updated")
