"""A force-push to an ancestor: applied and named, or held until a person agrees or pushes on."""

import pytest

from reconciler.sync.outcome import ProjectReport, State
from tests.cli.running import records, sync
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map


def history(installation: Installation, count: int = 4) -> list[str]:
    """So many commits, the last of them applied."""
    commits = [installation.commit({"a.yaml": config_map("a", a=str(n))}) for n in range(count)]
    assert installation.sync().state is State.SYNCED
    return commits


def value(installation: Installation) -> str:
    return str(installation.get("configmaps", "a")["data"]["a"])


def told(before: str, now: str) -> str:
    return f"moved back from {before[:12]} to its ancestor {now[:12]}"


def test_move_back_is_applied_and_named_while_the_commit_stays(installation: Installation) -> None:
    commits = history(installation)
    installation.repo.branch("main", commits[1])
    report = installation.sync()
    assert (report.state, report.reason, value(installation)) == (State.SYNCED, "", "1")
    assert report.rewound == told(commits[-1], commits[1])
    assert installation.record("-status")["data"]["rewound"] == report.rewound
    again = installation.sync()
    assert again.rewound == report.rewound, "a new process knows it still"
    assert report.rewound in records(installation, "status").out
    assert records(installation, "status", "-o", "json").json["projects"][0]["notes"] == [report.rewound]
    assert report.rewound in sync(installation).out
    installation.commit({"a.yaml": config_map("a", a="on")})
    assert installation.sync().rewound == ""
    assert "rewound" not in installation.record("-status")["data"]
    assert "rewound" not in installation.record()["data"]


def held(installation: Installation) -> ProjectReport:
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.HELD, [])
    assert report.held
    assert report.held.plan_hash
    return report


def test_move_back_is_held_until_it_is_approved(installation: Installation) -> None:
    installation.configure(hold_on_rewind=True)
    commits = history(installation)
    installation.repo.branch("main", commits[1])
    report = held(installation)
    assert told(commits[-1], commits[1]) in report.reason
    assert value(installation) == "3"
    held(installation)  # also in the next run
    assert report.held
    done = records(installation, "approve", PROJECT, report.held.plan_hash)
    assert (done.code, "goes on with the next run" in done.out) == (0, True)
    report = installation.sync()
    assert (report.state, value(installation)) == (State.SYNCED, "1")
    assert report.rewound == told(commits[-1], commits[1])
    installation.repo.branch("main", commits[0])
    held(installation)  # an approval is good for one move


def test_newer_commit_ends_the_hold(installation: Installation) -> None:
    installation.configure(hold_on_rewind=True)
    commits = history(installation)
    installation.repo.branch("main", commits[1])
    held(installation)
    installation.commit({"a.yaml": config_map("a", a="on")})
    report = installation.sync()
    assert (report.state, value(installation), report.rewound) == (State.SYNCED, "on", "")


def test_rewritten_history_is_no_move_back(installation: Installation) -> None:
    installation.configure(hold_on_rewind=True)
    commits = history(installation)
    installation.repo.branch("main", commits[1])
    installation.commit({"a.yaml": config_map("a", a="amended")})
    assert (installation.sync().state, value(installation)) == (State.SYNCED, "amended")


@pytest.mark.parametrize("hold", [False, True])
def test_what_is_not_known_is_said_so(installation: Installation, hold: bool) -> None:
    installation.configure(hold_on_rewind=hold)
    commits = history(installation)
    repo = installation.repo
    repo.branch("main", commits[1])
    repo.git("reflog", "expire", "--all", "--expire=now")
    repo.git("gc", "--quiet", "--prune=now")
    if hold:
        assert "is not known" in held(installation).reason
        assert value(installation) == "3"
    else:
        report = installation.sync()
        assert (report.state, value(installation)) == (State.SYNCED, "1")
        assert any("is not known" in note for note in report.notes)


def test_approved_move_that_was_stopped_goes_on(installation: Installation) -> None:
    """The approval is used up by the first write, and the head says that it was given."""
    installation.configure(hold_on_rewind=True)
    commits = history(installation)
    installation.repo.branch("main", commits[1])
    report = held(installation)
    assert report.held
    records(installation, "approve", PROJECT, report.held.plan_hash)
    stopped = installation.run(timeout=0.0).reports[0]
    assert stopped.state in (State.PROGRESSING, State.SYNCED), stopped
    report = installation.sync()
    assert (report.state, value(installation)) == (State.SYNCED, "1")
