"""Objects with our mark in no inventory: found, told from copies of the label, and never deleted."""

import asyncio

from localcluster import Api
from reconciler.service.searching import search_orphans
from reconciler.sync import marks
from reconciler.sync.orphans import Orphans
from tests.cli.running import Done, options, run
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map, manifest
from tests.service.reader import read_only


def search(installation: Installation) -> Orphans:
    """Search, and see that nothing was written."""
    with installation.recorded() as asked:
        found = asyncio.run(search_orphans(installation.options)).orphans
    assert asked.writes == []
    return found


def lose_records(installation: Installation) -> None:
    selector = f"?labelSelector={marks.RECORDS_LABEL}={installation.namespace}"
    installation.api.delete(installation.path("configmaps") + selector)


def command(installation: Installation, *arguments: str) -> Done:
    return run(installation.directory, "orphans", *options(installation, source=False), *arguments)


def test_what_an_inventory_names_is_no_orphan(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    found = search(installation)
    assert (found.found, found.unread) == ((), ())
    assert command(installation).code == 0


def test_objects_of_lost_records_are_orphans(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    lose_records(installation)
    found = search(installation)
    assert [(its.ref.name, its.project) for its in found.found] == [("a", PROJECT), ("b", PROJECT)]
    assert {its.inventory for its in found.found} == {installation.inventory_id}
    done = command(installation, "-o", "json")
    assert (done.code, [its["name"] for its in done.json["orphans"]]) == (1, ["a", "b"])
    assert "2 objects with our mark in no inventory" in command(installation).out
    assert installation.exists("configmaps", "a")


def test_a_copied_label_or_annotation_makes_no_orphan(installation: Installation, api: Api) -> None:
    installation.commit(
        {
            "a.yaml": [
                config_map("a"),
                manifest("v1", "Service", "web", spec={"selector": {"app": "x"}, "ports": [{"port": 80}]}),
            ]
        }
    )
    installation.sync()
    annotations = installation.get("configmaps", "a")["metadata"]["annotations"]
    copied = {"labels": {marks.INSTANCE_LABEL: installation.namespace}, "annotations": annotations}
    api.post(installation.path("configmaps"), {"metadata": {"name": "copy", **copied}})
    lose_records(installation)
    names = {its.ref.name for its in search(installation).found}
    assert names == {"a", "web"}


def test_objects_of_damaged_records_are_not_called_orphans(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    installation.api.delete(installation.path("configmaps", installation.inventory_id + "-0"))
    found = search(installation)
    assert found.found == ()
    assert len(found.unread) == 1
    assert PROJECT in found.unread[0]
    assert command(installation).code == 2


def test_kinds_that_may_not_be_listed_are_said(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    lose_records(installation)
    found = search(read_only(installation, "secrets"))
    assert [its.ref.name for its in found.found] == ["a"]
    assert "secrets" in found.forbidden
    assert "configmaps" not in found.forbidden


def test_without_rights_to_the_records_nothing_is_concluded(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    done = command(read_only(installation, "configmaps"))
    assert done.code == 2
    assert "configmaps" in done.error
    assert done.out == ""
