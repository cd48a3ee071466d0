"""
What an inventory holds after a run, on a real API server.

Rows name what was recorded before (P) and what happened; "ours" marks where we keep more than
the old engine: it forgets what it could not create, we keep it as meant until it leaves git.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.sync.outcome import ProjectReport
from tests.faults.gateway import Gateway, Moment
from tests.fix_sync import Installation
from tests.objects import DEPENDS_ON, config_map, deployment, manifest

KEEP = {"cli-utils.sigs.k8s.io/on-remove": "keep"}
Objects = list[dict[str, Any]]


def bad(name: str) -> dict[str, Any]:
    """The API server refuses it."""
    return manifest("v1", "Service", name, spec={"ports": [{"port": 0}]})


def good(name: str) -> dict[str, Any]:
    """Of the same kind and name as a bad one."""
    return manifest("v1", "Service", name, spec={"ports": [{"port": 80}]})


def kept(name: str) -> dict[str, Any]:
    body = config_map(name)
    body["metadata"]["annotations"] = KEEP
    return body


def run(installation: Installation, objects: Objects) -> ProjectReport:
    installation.commit({"all.yaml": objects or "# nothing\n", "README.md": "x"})
    return installation.sync()


def foreign(installation: Installation, name: str) -> None:
    installation.api.post(installation.path("configmaps"), {"metadata": {"name": name}})


def no_marks(installation: Installation, name: str) -> None:
    """A prune that is skipped: somebody took the owner mark off."""
    owner = {"config.k8s.io/owning-inventory": None}
    installation.api.patch(installation.path("configmaps", name), {"metadata": {"annotations": owner}})


def finalizer(installation: Installation, name: str) -> None:
    """A delete that is accepted and does not come to its end."""
    finalizers = {"metadata": {"finalizers": ["example.com/wait"]}}
    installation.api.patch(installation.path("configmaps", name), finalizers)


def anothers(installation: Installation, name: str) -> None:
    """An apply that is skipped: somebody gave the object to another inventory."""
    owner = {"config.k8s.io/owning-inventory": "another"}
    installation.api.patch(installation.path("configmaps", name), {"metadata": {"annotations": owner}})


def half_pruned(installation: Installation) -> None:
    """Two prunes that fail; then one of the objects is gone, and may be applied again."""
    both("a", finalizer)(installation)
    both("b", finalizer)(installation)
    report = run(installation, [config_map("c")])
    assert {its.ref.name: its.outcome.value for its in report.objects} == {
        "a": "failed",
        "b": "failed",
        "c": "created",
    }
    installation.api.patch(installation.path("configmaps", "a"), {"metadata": {"finalizers": None}})


def nothing(_installation: Installation) -> None:
    pass


def both(name: str, *changes: Callable[[Installation, str], None]) -> Callable[[Installation], None]:
    def change(installation: Installation) -> None:
        for one in changes:
            one(installation, name)

    return change


@pytest.mark.parametrize(
    ("before", "between", "after", "final"),
    [
        pytest.param([], nothing, [], set(), id="applied 0, P empty"),
        pytest.param([], nothing, [config_map("a")], {"a"}, id="applied 1, P empty"),
        pytest.param(
            [config_map("a"), config_map("b")],
            both("b", no_marks),
            [config_map("a"), config_map("c")],
            {"a", "b", "c"},
            id="applied 2, 1 prune skipped, P both",
        ),
        pytest.param([], nothing, [bad("a")], {"a"}, id="1 apply failed, P empty (ours: kept without a uid)"),
        pytest.param([good("a")], nothing, [bad("a")], {"a"}, id="1 apply failed, P it"),
        pytest.param(
            [good("a")],
            nothing,
            [config_map("c"), bad("a"), bad("b")],
            {"a", "b", "c"},
            id="applied 1, 2 failed, P one of them (ours: the new one kept without a uid)",
        ),
        pytest.param(
            [good("a"), good("b")],
            nothing,
            [bad("a"), bad("b"), bad("c")],
            {"a", "b", "c"},
            id="3 apply failed, P two of them (ours: the new one kept without a uid)",
        ),
        pytest.param(
            [good("a"), good("b"), good("c")],
            nothing,
            [bad("a"), bad("b"), bad("c")],
            {"a", "b", "c"},
            id="3 apply failed, P three of them",
        ),
        pytest.param(
            [config_map("a"), config_map("b")],
            half_pruned,
            [config_map("a"), config_map("c", a="2")],
            {"a", "b", "c"},
            id="applied 2, 2 prune failed, one overlapping, P both",
        ),
        pytest.param(
            [config_map("a")],
            both("a", anothers),
            [config_map("a", a="2")],
            {"a"},
            id="1 apply skipped, P it (ours: blocked, as it is another's)",
        ),
        pytest.param(
            [],
            both("a", foreign),
            [config_map("a"), config_map("c")],
            {"c"},
            id="1 apply skipped by policy, P empty",
        ),
        pytest.param(
            [kept("a"), config_map("b"), config_map("c")],
            nothing,
            [config_map("b"), config_map("c")],
            {"b", "c"},
            id="applied 2, 1 abandoned, P all three",
        ),
        pytest.param(
            [kept("a"), config_map("b")],
            both("a", no_marks),
            [config_map("b")],
            {"b"},
            id="one object both skipped and abandoned, P it",
        ),
        pytest.param(
            [config_map("a"), config_map("b")],
            nothing,
            [{**config_map("a"), "metadata": {"name": "a", "labels": []}}, config_map("b")],
            {"a", "b"},
            id="1 invalid, P it",
        ),
        pytest.param(
            [config_map("b")],
            nothing,
            [{**config_map("a"), "metadata": {"name": "a", "labels": []}}, config_map("b")],
            {"b"},
            id="1 invalid, P not it",
        ),
        pytest.param(
            [config_map("b")],
            nothing,
            [config_map("b"), deployment("a", behaviour="unready")],
            {"a", "b"},
            id="applied 1, the same one timed out reconciling",
        ),
        pytest.param(
            [config_map("a"), config_map("b")],
            both("a", finalizer),
            [config_map("b")],
            {"a", "b"},
            id="1 deleted, reconcile timed out, P it",
        ),
    ],
)
def test_final_inventory(
    installation: Installation,
    before: Objects,
    between: Callable[[Installation], None],
    after: Objects,
    final: set[str],
) -> None:
    installation.configure(reconcile_timeout="1s", prune_timeout="1s")
    if before:
        run(installation, before)
    between(installation)
    run(installation, after)
    assert installation.recorded_names() == final


def test_what_could_not_be_created_is_forgotten_when_it_leaves_git(installation: Installation) -> None:
    run(installation, [config_map("b"), bad("a")])
    (record,) = [its for ref, its in installation.inventory().items() if ref.name == "a"]
    assert record.uid == ""
    run(installation, [config_map("b")])
    assert installation.recorded_names() == {"b"}


@pytest.mark.parametrize(
    ("before", "after", "union"),
    [
        pytest.param("", "", "", id="0 + 0"),
        pytest.param("", "a", "a", id="0 + 1"),
        pytest.param("a", "", "a", id="1 + 0"),
        pytest.param("ab", "abc", "abc", id="2 + 3, 2 shared"),
        pytest.param("ab", "bc", "abc", id="2 + 2, 1 shared"),
    ],
)
def test_inventory_is_united_before_anything_is_applied(
    installation: Installation,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    before: str,
    after: str,
    union: str,
) -> None:
    """`inventory-add`: looked at in the moment of the first apply, or in the end where none is sent."""
    run(installation, [config_map(name) for name in before])
    found: list[set[str]] = []
    gateway.arm(1, Moment.BEFORE, lambda: found.append(installation.recorded_names()), method="PATCH")
    installation.options = replace(installation.options, kubeconfig=gateway_kubeconfig)
    run(installation, [config_map(name, k="2") for name in after])
    assert len(found) == bool(after)
    assert (found or [installation.recorded_names()])[0] == set(union)


def test_record_comes_before_the_object(installation: Installation) -> None:
    """`inventory-add`: what was there and what is to be applied, before anything is applied."""
    run(installation, [config_map("a"), config_map("b")])
    with installation.recorded() as requests:
        run(installation, [config_map("b", b="2"), config_map("c")])
    writes = [str(asked) for asked in requests.writes]
    first = next(n for n, asked in enumerate(writes) if asked == "patch configmaps/c")
    assert any("configmaps/reconciler-" in asked for asked in writes[:first])


def test_what_only_a_broken_project_needs_is_not_lost(installation: Installation) -> None:
    """A blocked object of the inventory stays in it."""
    needs = f"/namespaces/{installation.namespace}/Service/a"
    run(installation, [good("a"), config_map("b")])
    user = config_map("b", b="2")
    user["metadata"]["annotations"] = {DEPENDS_ON: needs}
    report = run(installation, [bad("a"), user])
    assert {its.ref.name: its.outcome.value for its in report.objects} == {"a": "failed", "b": "blocked"}
    assert installation.recorded_names() == {"a", "b"}


def test_what_failed_reconciling_stays(installation: Installation) -> None:
    """Applied 1, the same one failed: not one that takes its time."""
    report = run(installation, [deployment("a", deadline=1, behaviour="unready")])
    assert [its.reason for its in report.objects] == ["ProgressDeadlineExceeded"]
    assert installation.recorded_names() == {"a"}
