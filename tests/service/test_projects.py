"""Projects that have to do with each other, in the running service: nobody waits for a poll or a retry."""

import time

import pytest

from reconciler.sync import marks
from tests.fix_sync import Installation
from tests.objects import config_map, deployment, manifest
from tests.service.process import service, until

SOON = 8.0
"""s; a retry after a failure takes 10 and more."""


def configure(installation: Installation, **depends_on: list[str]) -> None:
    """Projects `base`, `app`, `free`, each with a folder."""
    names = ("base", "app", "free")
    installation.configure_projects(
        {
            "id": name,
            "paths": [{"glob": f"{name}/*"}],
            "depends_on": depends_on.get(name, []),
            "interval": "1s",
        }
        for name in names
    )


def data(installation: Installation, name: str) -> dict[str, str]:
    found: dict[str, str] = installation.get("configmaps", name)["data"]
    return found


def owner(installation: Installation) -> str:
    found: str = installation.get("configmaps", "a")["metadata"]["annotations"][marks.PROJECT]
    return found


def test_object_changes_hands_within_seconds(installation: Installation) -> None:
    configure(installation)
    own = {f"{name}/own.yaml": config_map(f"own-{name}") for name in ("base", "app", "free")}
    installation.commit({**own, "base/a.yaml": config_map("a")})
    with service(installation) as process:
        for name in ("base", "app", "free"):
            process.said(f"project {name} synced")
        uid = installation.get("configmaps", "a")["metadata"]["uid"]
        with installation.recorded() as requests:
            installation.commit({"base/a.yaml": None, "app/a.yaml": config_map("a")})
            until(lambda: owner(installation) == "app", "the hand-over", seconds=SOON)
        assert installation.get("configmaps", "a")["metadata"]["uid"] == uid
    assert not [asked for asked in requests.writes if asked.verb == "delete"]


def test_object_whose_grace_is_over_is_pruned_without_waiting_for_a_comparison(
    installation: Installation,
) -> None:
    installation.configure(prune_grace="2s", interval="1s")
    installation.commit({"a.yaml": config_map("a"), "own.yaml": config_map("own")})
    with service(installation) as process:
        process.said("project shop synced")
        installation.commit({"a.yaml": None})
        installation.api.until(
            installation.path("configmaps", installation.inventory_id),
            lambda it: "left=" in it["data"].get("recent", "") + it["data"].get("objects", ""),
        )
        assert installation.exists("configmaps", "a")
        until(lambda: not installation.exists("configmaps", "a"), "the prune", seconds=SOON)


def test_dependant_does_not_run_ahead_of_a_commit_that_changes_both(installation: Installation) -> None:
    configure(installation, app=["base"])
    installation.commit(
        {
            "base/x.yaml": config_map("base"),
            "app/x.yaml": config_map("app"),
            "free/x.yaml": config_map("free"),
        }
    )
    with service(installation) as process:
        process.said("project app synced")
        slow = deployment("slow", ready_after="2s")
        installation.commit(
            {"base/x.yaml": [config_map("base"), slow], "app/x.yaml": config_map("app", a="2")}
        )
        until(lambda: data(installation, "app") == {"a": "2"}, "the dependant", seconds=SOON)
        found = installation.get("apps/v1/deployments", "slow")
        ready = {c["type"]: c["status"] for c in found["status"].get("conditions", ())}
        assert ready.get("Available") == "True", "the dependant ran before what it depends on was ready"


def test_failed_project_blocks_its_dependants_and_nobody_else(installation: Installation) -> None:
    configure(installation, app=["base"])
    installation.commit(
        {
            "base/x.yaml": config_map("base"),
            "app/x.yaml": config_map("app"),
            "free/x.yaml": config_map("free"),
        }
    )
    status = installation.path("configmaps", marks.inventory_id(installation.namespace, "app") + "-status")
    with service(installation) as process:
        process.said("project app synced")
        bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
        installation.commit(
            {
                "base/bad.yaml": bad,
                "app/x.yaml": config_map("app", a="2"),
                "free/x.yaml": config_map("free", a="2"),
            }
        )
        until(lambda: data(installation, "free") == {"a": "2"}, "the project that depends on nobody")
        process.said("project base failed")
        found = installation.api.until(status, lambda it: it and it["data"]["state"] == "pending")
        assert "blocked by project base, which is failed" in found["data"]["reason"]
        assert data(installation, "app") == {"a": "1"}
        began = time.monotonic()
        installation.commit({"base/bad.yaml": None})
        until(lambda: data(installation, "app") == {"a": "2"}, "the dependant", seconds=SOON)
        assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    "needs", [{"app": ["base"], "base": ["app"]}, {"app": ["app"]}], ids=["two", "itself"]
)
def test_cycle_is_an_error_of_the_configuration(
    installation: Installation, needs: dict[str, list[str]]
) -> None:
    configure(installation, **needs)
    with service(installation) as process:
        process.said("depends_on")
        assert "synced" not in process.text
