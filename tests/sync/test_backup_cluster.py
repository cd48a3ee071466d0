"""Backup and restore against the real API server: nothing lost, overwritten or deleted wrongly."""

import base64
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcluster import Api
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.cli.running import Done, options, run
from tests.fix_sync import Installation, outcomes
from tests.objects import config_map
from tests.service.reader import read_only


def command(installation: Installation, name: str, file: object, *more: str) -> Done:
    """Run it, and see that the key is in no output."""
    done = run(installation.directory, name, *options(installation, source=False), str(file), *more)
    if installation.exists("secrets", marks.KEY_SECRET):
        key = installation.get("secrets", marks.KEY_SECRET)["data"]["key"]
        assert key not in done.err
        assert key not in done.out or file == "-"
    return done


def records(installation: Installation) -> dict[str, Mapping[str, Any]]:
    selector = f"?labelSelector={marks.RECORDS_LABEL}={installation.namespace}"
    items = installation.api.get(installation.path("configmaps") + selector)["items"]
    return {item["metadata"]["name"]: item for item in items}


def contents(installation: Installation) -> dict[str, Any]:
    """Names, labels, annotations and data of all records."""
    return {
        name: (item["metadata"]["labels"], item["metadata"].get("annotations"), item["data"])
        for name, item in records(installation).items()
    }


def lose_all(installation: Installation) -> None:
    selector = f"?labelSelector={marks.RECORDS_LABEL}={installation.namespace}"
    installation.api.delete(installation.path("configmaps") + selector)
    installation.api.delete(installation.path("secrets", marks.KEY_SECRET))


def synced(installation: Installation, *names: str) -> None:
    installation.commit({"a.yaml": [config_map(name) for name in names]})
    assert installation.sync().state is State.SYNCED


def saved(installation: Installation) -> Path:
    file = installation.directory / "its.backup"
    assert command(installation, "backup", file).code == 0
    return file


def test_lost_records_come_back_and_the_next_run_writes_nothing(installation: Installation) -> None:
    synced(installation, "a", "b")
    before = contents(installation)
    done = command(installation, "backup", installation.directory / "its.backup")
    assert "1 project with 2 objects, and the key: keep it as you keep Secrets" in done.out
    file = installation.directory / "its.backup"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lose_all(installation)
    done = command(installation, "restore", file)
    assert (done.code, "the key was restored" in done.out) == (0, True), done.err
    assert contents(installation) == before
    with installation.recorded() as asked:
        assert outcomes(installation.sync()) == {"a": "unchanged", "b": "unchanged"}
    assert asked.writes == []
    installation.commit({"a.yaml": config_map("a")})
    assert outcomes(installation.sync())["b"] == "pruned"


def test_a_pipe_carries_it_too(installation: Installation) -> None:
    synced(installation, "a")
    done = command(installation, "backup", "-")
    assert done.json["schema"] == "reconciler-backup/v1"
    assert "standard output: records of 1 project" in done.err


def test_a_file_is_not_replaced_unasked_and_never_through_a_link(installation: Installation) -> None:
    synced(installation, "a")
    file = installation.directory / "precious"
    file.write_text("precious")
    assert "is there already" in command(installation, "backup", file).error
    link = installation.directory / "link"
    link.symlink_to(file)
    assert "no ordinary file" in command(installation, "backup", link, "--force").error
    assert "no ordinary file" in command(installation, "backup", installation.directory, "--force").error
    assert "cannot be written" in command(installation, "backup", "/nowhere/at/all").error
    assert file.read_text() == "precious"
    file.chmod(0o644)
    assert command(installation, "backup", file, "--force").code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [its for its in installation.directory.iterdir() if its.name.startswith(".precious")]


def test_other_records_are_replaced_only_with_force(installation: Installation) -> None:
    synced(installation, "a")
    file = saved(installation)
    synced(installation, "a", "b")
    newer = contents(installation)
    done = command(installation, "restore", file)
    assert (done.code, "other records are there already" in done.error) == (2, True)
    assert contents(installation) == newer
    assert command(installation, "restore", file, "--force").code == 0
    assert installation.recorded_names() == {"a"}
    # What was made since has our mark, and git declares it: it is ours again, and nothing was deleted.
    report = installation.sync()
    assert (report.state, installation.recorded_names()) == (State.SYNCED, {"a", "b"})


def test_another_key_is_replaced_only_with_force(installation: Installation, api: Api) -> None:
    synced(installation, "a")
    file = saved(installation)
    lose_all(installation)
    other = base64.b64encode(b"x" * 32).decode()
    api.post(installation.path("secrets"), {"metadata": {"name": marks.KEY_SECRET}, "data": {"key": other}})
    assert f"Secret {marks.KEY_SECRET}" in command(installation, "restore", file).error
    assert contents(installation) == {}
    assert command(installation, "restore", file, "--force").code == 0
    assert outcomes(installation.sync()) == {"a": "unchanged"}


def test_a_restore_that_was_cut_off_is_not_believed_and_can_be_run_again(installation: Installation) -> None:
    synced(installation, "a", "b")
    before = contents(installation)
    file = saved(installation)
    head = installation.inventory_id
    lose_all(installation)
    assert command(installation, "restore", file).code == 0
    for name in (head, head + "-status"):  # as if killed before the head was written
        installation.api.delete(installation.path("configmaps", name))
    assert command(installation, "restore", file).code == 0
    assert contents(installation) == before


def test_shards_without_their_head_hold_the_prune(installation: Installation) -> None:
    synced(installation, "a", "b")
    file = saved(installation)
    lose_all(installation)
    assert command(installation, "restore", file).code == 0
    for suffix in ("", "-status"):
        installation.api.delete(installation.path("configmaps", installation.inventory_id + suffix))
    installation.commit({"a.yaml": config_map("a")})
    report = installation.sync()
    assert report.held is not None
    assert installation.exists("configmaps", "b")


def test_an_approval_is_not_brought_back(installation: Installation) -> None:
    synced(installation, *"abc")
    installation.commit({"a.yaml": None})
    report = installation.sync()
    assert report.held
    approve = run(
        installation.directory,
        "approve",
        *options(installation, source=False),
        "shop",
        report.held.plan_hash,
    )
    assert approve.code == 0, approve.err
    file = saved(installation)
    lose_all(installation)
    assert command(installation, "restore", file).code == 0
    assert installation.sync().state is State.HELD
    assert installation.exists("configmaps", "a")


def test_an_old_backup_deletes_nothing_that_was_made_anew_since(installation: Installation, api: Api) -> None:
    synced(installation, "a", "anew", "other", "gone")
    file = saved(installation)
    installation.commit({"a.yaml": config_map("a"), "gone.yaml": config_map("gone")})
    installation.sync()
    for name in ("anew", "other"):
        assert not installation.exists("configmaps", name)
    # Another hand's object, with our marks copied, and another project's object.
    head = installation.inventory_id
    copied = {marks.OWNING_INVENTORY: head, marks.PROJECT: "shop"}
    label = {marks.INSTANCE_LABEL: installation.namespace}
    made = {"metadata": {"name": "anew", "annotations": copied, "labels": label}}
    api.post(installation.path("configmaps"), made)
    theirs = {
        "metadata": {"name": "other", "annotations": {marks.OWNING_INVENTORY: "reconciler-0123456789ab"}}
    }
    api.post(installation.path("configmaps"), theirs)
    installation.commit({"a.yaml": config_map("a"), "gone.yaml": None})
    assert command(installation, "restore", file, "--force").code == 0
    installation.sync()
    assert installation.exists("configmaps", "anew")
    assert installation.exists("configmaps", "other")
    assert not installation.exists("configmaps", "gone")


def test_the_epoch_is_not_lowered(installation: Installation) -> None:
    synced(installation, "a")
    file = saved(installation)
    path = installation.path("configmaps", installation.inventory_id)
    installation.api.patch(path, {"data": {"epoch": "7"}})
    assert command(installation, "restore", file).code == 0
    assert installation.record()["data"]["epoch"] == "7"


def test_rights_to_read_are_not_enough_to_restore(installation: Installation) -> None:
    synced(installation, "a")
    file = saved(installation)
    reader = read_only(installation)
    before = contents(installation)
    synced(installation, "a", "b")
    done = command(reader, "restore", file, "--force")
    assert (done.code, "may not" in done.error) == (2, True), done.error
    assert contents(installation) != before


def test_without_rights_to_the_key_there_is_no_backup(installation: Installation) -> None:
    synced(installation, "a")
    file = installation.directory / "its.backup"
    done = command(read_only(installation, "secrets"), "backup", file)
    assert (done.code, file.exists()) == (2, False)
    assert marks.KEY_SECRET in done.error


def test_broken_files_are_one_line(installation: Installation, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b'{"schema": "reconciler-backup/v1"')
    assert "no JSON document" in command(installation, "restore", broken).error
    assert "cannot be read" in command(installation, "restore", tmp_path / "missing").error
    assert "no ordinary file" in command(installation, "restore", "/dev/zero").error
    assert "cannot be read" in command(installation, "restore", tmp_path).error
