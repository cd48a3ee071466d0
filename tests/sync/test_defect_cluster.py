"""A defect that one project runs into is its own."""

import pytest

from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.request import Request
from reconciler.sync.runner import Runner
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map


def test_defect_fails_one_project_and_not_the_pass(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"id": "other", "paths": [{"glob": "/other/*.yaml"}]}
    installation.configure_projects([{"paths": [{"glob": "/*.yaml"}]}, other])
    installation.commit({"a.yaml": config_map("a"), "other/b.yaml": config_map("b")})
    run = Runner.run

    async def broken(self: Runner, request: Request) -> ProjectReport:
        if request.project.id == PROJECT:
            raise KeyError("uid")
        return await run(self, request)

    monkeypatch.setattr(Runner, "run", broken)
    shop, rest = installation.run().reports
    assert (shop.state, rest.state) == (State.FAILED, State.SYNCED)
    assert "defect in the service (KeyError)" in shop.reason
