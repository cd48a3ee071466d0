"""An installation with `--namespaces`: nothing beyond them is asked for, read or written."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.cluster.client import connect
from reconciler.cluster.errors import NotAllowed
from reconciler.cluster.resource import CONFIG_MAPS, NAMESPACES
from reconciler.sync.outcome import State
from tests.fix_sync import Installation, Requests, of, outcomes
from tests.objects import Manifest, config_map, deployment, manifest

NOT_NAMESPACED = "has no namespace: an installation with --namespaces has no such objects"


@pytest.fixture
def second(make_namespace: Callable[[], str]) -> str:
    return make_namespace()


@pytest.fixture
def narrow(installation: Installation, second: str) -> Installation:
    """It sees its own namespace and a second one."""
    installation.options = replace(installation.options, namespaces=(installation.namespace, second))
    return installation


def elsewhere(its: Manifest, namespace: str) -> Manifest:
    its["metadata"]["namespace"] = namespace
    return its


def beyond(requests: Requests, *namespaces: str) -> list[str]:
    """Requests for more than these namespaces; kinds and rights are asked of nobody's namespace."""
    return [
        f"{asked.verb} {asked.uri}"
        for asked in requests.all
        if asked.namespace not in namespaces and asked.resource not in ("", "selfsubjectrulesreviews")
    ]


def test_objects_of_all_namespaces_are_kept_and_nothing_else_is_asked_for(
    narrow: Installation, second: str
) -> None:
    both = [config_map("a"), deployment("web"), elsewhere(deployment("other"), second)]
    narrow.commit({"all.yaml": [*both, elsewhere(config_map("b"), second)]})
    with narrow.recorded() as requests:
        first = narrow.sync()
        assert narrow.sync().counts()["unchanged"] == 4
        narrow.commit({"all.yaml": [*both, elsewhere(config_map("c"), second)]})
        after = narrow.sync()

    assert first.state is State.SYNCED, first.reason
    assert outcomes(first) == dict.fromkeys(("a", "web", "other", "b"), "created")
    assert {its.health for its in first.objects} == {"Current"}
    assert outcomes(after) == {"c": "created", "b": "pruned"} | dict.fromkeys(
        ("a", "web", "other"), "unchanged"
    )
    assert beyond(requests, narrow.namespace, second) == []
    assert {its.namespace for its in requests.all if its.verb == "list"} == {narrow.namespace, second}


def test_what_lies_beyond_fails_alone(narrow: Installation, second: str) -> None:
    narrow.commit({
        "in.yaml": [config_map("a"), elsewhere(config_map("left"), second)],
        "out.yaml": [
            elsewhere(config_map("far"), "default"),
            manifest("v1", "Namespace", "more"),
            manifest("rbac.authorization.k8s.io/v1", "ClusterRole", "all", rules=[]),
        ],
    })  # fmt: skip
    with narrow.recorded() as requests:
        report = narrow.sync()
        narrow.commit({"in.yaml": config_map("a", a="2"), "out.yaml": None})
        after = narrow.sync()

    far = of(report, "far")
    assert (far.outcome.value, far.reason) == ("failed", NotAllowed.reason)
    assert far.message == "--namespaces of this installation does not hold default"
    assert of(report, "more").message == of(report, "all").message == NOT_NAMESPACED
    assert (of(report, "a").outcome, of(report, "left").outcome) == ("created", "created")
    assert (of(after, "a").outcome, of(after, "left").outcome) == ("updated", "pruned")
    assert beyond(requests, narrow.namespace, second) == []


def test_what_was_recorded_beyond_stays_and_is_told(installation: Installation, second: str) -> None:
    """First the whole cluster, then one namespace only."""
    installation.commit({
        "a.yaml": [config_map("a"), config_map("b")],
        "far.yaml": elsewhere(config_map("far"), second),
    })  # fmt: skip
    installation.sync()
    installation.options = replace(installation.options, namespaces=(installation.namespace,))
    installation.commit({"a.yaml": config_map("a", a="2"), "far.yaml": None})

    with installation.recorded() as requests:
        report = installation.sync()

    assert outcomes(report) == {"a": "updated", "b": "pruned", "far": "skipped"}
    why = f"--namespaces of this installation does not hold {second}"
    assert of(report, "far").message == f"left git and stays: {why}"
    assert installation.api.exists(f"/api/v1/namespaces/{second}/configmaps/far")
    assert "far" in installation.recorded_names(), "forgotten, though nobody saw it gone"
    assert beyond(requests, installation.namespace) == []
    installation.options = replace(installation.options, namespaces=())
    assert outcomes(installation.sync())["far"] == "pruned", "as soon as it is seen again"


def test_lost_records_are_found_again_in_all_namespaces(narrow: Installation, second: str) -> None:
    narrow.commit({"all.yaml": [config_map("a"), elsewhere(config_map("b"), second)]})
    narrow.sync()
    for part in ("", "-0"):
        if narrow.record(part):
            narrow.api.delete(narrow.path("configmaps", narrow.inventory_id + part))
    narrow.commit({"all.yaml": config_map("a")})

    with narrow.recorded() as requests:
        report = narrow.sync()

    assert outcomes(report) == {"a": "updated", "b": "held"}
    assert beyond(requests, narrow.namespace, second) == []


def test_a_default_namespace_beyond_is_a_clear_word(narrow: Installation) -> None:
    narrow.configure(default_namespace="default")
    narrow.commit({"a.yaml": config_map("a")})
    report = narrow.sync()
    assert report.state is State.FAILED
    assert "--namespaces of this installation does not hold default" in report.reason
    assert "correct default_namespace" in report.reason


async def test_the_client_itself_sends_nothing_that_leads_beyond(narrow: Installation) -> None:
    async with connect(kubeconfig=narrow.options.kubeconfig) as whole:
        cluster = whole.within((narrow.namespace,))
        before = dict(whole.requests.as_json())
        for ask in (
            cluster.get(CONFIG_MAPS, "kube-system", "a"),
            cluster.list(CONFIG_MAPS, metadata_only=True),
            cluster.list(CONFIG_MAPS, namespace="kube-system", metadata_only=True),
            cluster.get(NAMESPACES, "", narrow.namespace),
            cluster.apply(CONFIG_MAPS, "kube-system", "a", {}, field_manager="x"),
            cluster.delete(CONFIG_MAPS, "kube-system", "a", uid="1"),
            cluster.create(CONFIG_MAPS, "kube-system", {}, field_manager="x"),
        ):
            with pytest.raises(NotAllowed):
                await ask
        with pytest.raises(NotAllowed):
            cluster.pages(CONFIG_MAPS, metadata_only=True)
        with pytest.raises(NotAllowed):
            cluster.follow(CONFIG_MAPS)
        assert whole.requests.as_json() == before
