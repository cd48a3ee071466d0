"""In which order objects are applied, what waits for what, and what a failure stops."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import Api
from reconciler.sync.outcome import Outcome, State
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, definition, deployment, manifest, text


@pytest.fixture
def group(api: Api, namespace: str) -> Iterator[str]:
    """An API group of the test's own; the definition of Widgets in it is deleted afterwards."""
    name = f"{namespace}.example.com"
    yield name
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{name}"
    if api.exists(path):
        api.delete(path)


def after(installation: Installation, kind: str, name: str) -> str:
    """A depends-on reference to an object in the installation's namespace."""
    group, _, plain = kind.rpartition("/")
    return f"{group}/namespaces/{installation.namespace}/{plain}/{name}"


@pytest.mark.parametrize("names", [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")])
def test_definition_and_its_objects_come_in_one_commit(
    installation: Installation, group: str, names: tuple[str, str]
) -> None:
    widget = manifest(f"{group}/v1", "Widget", "w", spec={"size": 1})
    installation.commit({names[0]: definition(group), names[1]: widget})
    with installation.recorded() as requests:
        report = installation.sync()
    assert report.state is State.SYNCED, report
    assert requests.of_objects[0] == f"patch customresourcedefinitions/widgets.{group}"
    assert requests.of_objects[-1] == "patch widgets/w"
    assert installation.get(f"{group}/v1/widgets", "w")["spec"] == {"size": 1}


def test_namespace_comes_before_what_lives_in_it(
    installation: Installation, api: Api, namespace: str
) -> None:
    other = f"{namespace}-in"
    installation.commit(
        {
            "a.yaml": [config_map("a", namespace=other), config_map("b", namespace=other)],
            "z.yaml": manifest("v1", "Namespace", other),
        }
    )
    with installation.recorded() as requests:
        report = installation.sync()
    try:
        assert report.state is State.SYNCED, report
        assert requests.of_objects[0] == f"patch namespaces/{other}"
    finally:
        api.delete(f"/api/v1/namespaces/{other}")


def test_slow_dependency_delays_only_its_dependants(installation: Installation) -> None:
    needs = after(installation, "apps/Deployment", "slow")
    installation.commit(
        {
            "all.yaml": [
                config_map("needs-slow", after=needs),
                deployment("slow", ready_after="1s"),
                config_map("first"),
                config_map("second", after=after(installation, "/ConfigMap", "first")),
            ]
        }
    )
    with installation.recorded() as requests:
        report = installation.sync()
    assert report.state is State.SYNCED, report
    written = requests.of_objects
    assert written.index("patch configmaps/second") < written.index("patch configmaps/needs-slow")
    ready = installation.get("apps/v1/deployments", "slow")["status"]["conditions"]
    assert [c["status"] for c in ready if c["type"] == "Available"] == ["True"]


def test_failing_dependency_blocks_its_dependants_by_name(installation: Installation) -> None:
    needs = after(installation, "apps/Deployment", "broken")
    installation.commit(
        {
            "all.yaml": [
                deployment("broken", behaviour="crash-looping", deadline=1),
                config_map("direct", after=needs),
                config_map("indirect", after=after(installation, "/ConfigMap", "direct")),
                config_map("free"),
            ]
        }
    )
    report = installation.sync()
    assert outcomes(report) == {
        "broken": "created",
        "direct": "blocked",
        "indirect": "blocked",
        "free": "created",
    }
    assert "blocked by Deployment.apps" in of(report, "direct").message
    assert "/broken" in of(report, "indirect").message
    assert report.state is State.FAILED
    assert not installation.exists("configmaps", "direct")


def test_blocked_objects_are_applied_once_their_dependency_is_mended(installation: Installation) -> None:
    bad = manifest("v1", "Service", "s", spec={"ports": [{"port": 0}]})
    user = config_map("user", after=after(installation, "/Service", "s"))
    installation.commit({"s.yaml": bad, "user.yaml": user})
    assert outcomes(installation.sync()) == {"s": "failed", "user": "blocked"}
    installation.commit({"s.yaml": manifest("v1", "Service", "s", spec={"ports": [{"port": 80}]})})
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"s": "created", "user": "created"})


def test_object_that_does_not_get_ready_times_out(installation: Installation) -> None:
    installation.configure(reconcile_timeout="0.5s")
    installation.commit({"all.yaml": [deployment("never", behaviour="unready"), config_map("a")]})
    report = installation.sync()
    assert outcomes(report) == {"never": "created", "a": "created"}
    assert report.state is State.FAILED
    assert (of(report, "never").health, of(report, "a").health) == ("InProgress", "Current")
    assert "not ready after 0.5 s" in of(report, "never").message


def test_dependants_of_what_times_out_are_blocked(installation: Installation) -> None:
    installation.configure(reconcile_timeout="0.5s")
    needs = after(installation, "apps/Deployment", "never")
    installation.commit({"a.yaml": [deployment("never", behaviour="unready"), config_map("a", after=needs)]})
    report = installation.sync()
    assert outcomes(report) == {"never": "created", "a": "blocked"}


def test_no_wait_ends_when_all_is_applied(installation: Installation) -> None:
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    report = installation.sync(wait=False)
    assert (report.state, outcomes(report)) == (State.SYNCED, {"never": "created"})


def test_no_wait_still_waits_for_what_others_need(installation: Installation) -> None:
    needs = after(installation, "apps/Deployment", "slow")
    installation.commit({"a.yaml": [deployment("slow", ready_after="0.5s"), config_map("a", after=needs)]})
    report = installation.sync(wait=False)
    assert outcomes(report) == {"slow": "created", "a": "created"}


def test_time_limit_of_a_pass_ends_the_waiting(installation: Installation) -> None:
    installation.commit({"a.yaml": deployment("never", behaviour="unready")})
    report = installation.sync(timeout=3)
    assert (report.state, outcomes(report)) == (State.PROGRESSING, {"never": "created"})


def test_readiness_of_unchanged_objects_is_looked_at_again(installation: Installation) -> None:
    installation.configure(reconcile_timeout="0.3s")
    installation.commit({"a.yaml": deployment("web", ready_after="1s")})
    assert of(installation.sync(), "web").health == "InProgress"
    installation.configure(reconcile_timeout="60s")
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.SYNCED, {"web": "unchanged"})
    assert of(report, "web").health == "Current"


def test_object_that_is_deleted_while_it_is_waited_for_is_reported(installation: Installation) -> None:
    installation.commit({"a.yaml": deployment("web", behaviour="unready")})
    path = installation.path("apps/v1/deployments", "web")

    def delete_when_applied(_project: str, _report: object) -> None:
        asyncio.get_running_loop().call_later(0.3, installation.api.delete, path)

    report = installation.sync(progress=delete_when_applied)
    assert (report.state, of(report, "web").reason) == (State.FAILED, "Deleted")


def test_unknown_kind_fails_alone_with_what_needs_it(installation: Installation) -> None:
    installation.commit(
        {
            "all.yaml": [
                manifest("nowhere.example.com/v1", "Thing", "t"),
                config_map("user", after=after(installation, "nowhere.example.com/Thing", "t")),
                config_map("free"),
            ]
        }
    )
    report = installation.sync()
    assert outcomes(report) == {"t": "failed", "user": "blocked", "free": "created"}
    assert "blocked by Thing.nowhere.example.com" in of(report, "user").message


def test_reference_to_what_git_does_not_hold_fails_its_object(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a", after=after(installation, "/ConfigMap", "nowhere"))]})
    its = of(installation.sync(), "a")
    assert (its.outcome.value, its.reason) == ("failed", "DependencyInvalid")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([manifest("nowhere.example.com/v1", "Thing", "t")], id="unknown kind"),
        pytest.param(
            [
                config_map("t", after="/namespaces/{namespace}/ConfigMap/u"),
                config_map("u", after="/namespaces/{namespace}/ConfigMap/t"),
            ],
            id="cycle of dependencies",
        ),
        pytest.param(
            [config_map("t", after="/namespaces/{namespace}/ConfigMap/elsewhere")],
            id="dependency that git does not hold",
        ),
    ],
)
def test_strict_applies_nothing_while_a_manifest_has_an_error(
    installation: Installation, wrong: list[dict[str, Any]]
) -> None:
    declared = text(*wrong, config_map("free")).replace("{namespace}", installation.namespace)
    installation.configure(strict=True)
    installation.commit({"all.yaml": declared})
    with installation.recorded() as requests:
        report = installation.sync()
    assert (report.state, requests.of_objects) == (State.FAILED, [])
    assert "strict" in report.reason
    assert of(report, "t").outcome is Outcome.FAILED
    installation.configure(strict=False)
    assert outcomes(installation.sync())["free"] == "created"


def test_cycle_of_dependencies_fails_its_members_alone(installation: Installation) -> None:
    def ref(name: str) -> str:
        return after(installation, "/ConfigMap", name)

    installation.commit(
        {"a.yaml": [config_map("a", after=ref("b")), config_map("b", after=ref("a")), config_map("free")]}
    )
    report = installation.sync()
    assert outcomes(report) == {"a": "failed", "b": "failed", "free": "created"}
    assert of(report, "a").reason == "DependencyInvalid"
