"""`reconciler explain` against the real API server: whose an object is, from where, who owns its fields."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from localcluster import Api
from reconciler.cluster.errors import NotAllowed
from reconciler.service.explaining import Explained, explain_object
from reconciler.service.options import OptionsInvalid
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map, definition, deployment, manifest
from tests.service.reader import read_only

CANARY = "canary-4711-pass+word"
US = f"reconciler:{PROJECT}"


def explain(installation: Installation, what: str, *, git: bool = True, namespace: str = "") -> Explained:
    """Explain, and see that nothing was written."""
    options = installation.options if git else replace(installation.options, config=None)
    with installation.recorded() as asked:
        found = asyncio.run(explain_object(options, what, namespace=namespace or installation.namespace))
    assert asked.writes == []
    return found


def owners(explained: Explained, path: str) -> list[tuple[str, str, str]]:
    (found,) = [its for its in explained.fields if its.path == path]
    return [(its.name, its.operation, its.subresource) for its in found.owners]


def names(refs: Iterable[Any]) -> list[str]:
    return [ref.name for ref in refs]


@pytest.fixture
def shop(installation: Installation) -> Installation:
    """A Deployment that needs a ConfigMap."""
    after = f"/namespaces/{installation.namespace}/ConfigMap/settings"
    installation.commit({"a.yaml": config_map("settings"), "web/web.yaml": deployment("web", after=after)})
    installation.sync()
    return installation


def test_project_commit_file_and_dependencies(shop: Installation) -> None:
    commit = shop.repo.ref("refs/heads/main")
    found = explain(shop, "deploy/web")
    assert (found.managed, found.exists, found.api_version) == (True, True, "apps/v1")
    origin = found.origin
    assert (origin.project, origin.instance, origin.commit) == (PROJECT, shop.namespace, commit)
    assert (origin.path, origin.line, origin.ref) == ("web/web.yaml", 2, "refs/heads/main")
    assert origin.repository == shop.repo.url
    assert (found.project_state, found.status) == ("synced", "Current")
    assert (names(found.needs), names(found.needed_by)) == (["settings"], [])
    assert names(explain(shop, "cm/settings").needed_by) == ["web"]
    assert found.unseen == ()


def test_each_field_has_its_owners_and_their_last_write(shop: Installation) -> None:
    path = shop.path("apps/v1/deployments", "web")
    shop.api.patch(f"{path}?fieldManager=by-hand", {"spec": {"replicas": 2}})
    found = explain(shop, "deployment/web")
    image = '.spec.template.spec.containers[name="web"].image'
    assert owners(found, image) == [(US, "Apply", "")]
    assert owners(found, ".spec.replicas") == [("by-hand", "Update", "")]
    assert owners(found, ".status.readyReplicas") == [("kube-controller-manager", "Update", "status")]
    assert all(its.time for field in found.fields for its in field.owners)


@pytest.mark.parametrize(
    "kind", ["deploy", "deployment", "deployments", "Deployment", "deployments.apps", "deployment.v1.apps"]
)
def test_the_kind_is_taken_as_kubectl_takes_it(shop: Installation, kind: str) -> None:
    assert explain(shop, f"{kind}/web", git=False).ref.kind == "Deployment"


def test_a_custom_kind_by_its_names(installation: Installation, namespace: str) -> None:
    group = f"{namespace}.example.com"
    installation.commit(
        {"a.yaml": [definition(group), manifest(f"{group}/v1", "Widget", "w", spec={"n": 1})]}
    )
    installation.sync()
    found = explain(installation, f"widget.{group}/w")
    assert (found.managed, owners(found, ".spec.n")) == (True, [(US, "Apply", "")])
    assert [str(ref) for ref in found.needs] == [
        f"CustomResourceDefinition.apiextensions.k8s.io widgets.{group}"
    ]


def test_without_the_configuration_project_and_commit_are_still_told(shop: Installation) -> None:
    found = explain(shop, "deploy/web", git=False)
    assert (found.origin.project, found.origin.commit) == (PROJECT, shop.repo.ref("refs/heads/main"))
    assert (found.origin.path, names(found.needs)) == ("", ["settings"])
    assert len(found.unseen) == 1
    assert "say where the configuration is" in found.unseen[0]


def test_what_is_not_well_has_its_reason_from_the_record(installation: Installation) -> None:
    installation.configure(reconcile_timeout="1s")
    installation.commit({"a.yaml": deployment("web", behaviour="unready")})
    installation.sync()
    found = explain(installation, "deploy/web")
    assert (found.project_state, found.status) == ("failed", "InProgress")
    assert "not ready after 1 s" in found.message


def test_file_is_told_as_of_the_commit_that_was_applied(shop: Installation) -> None:
    shop.commit({"web/web.yaml": None, "moved.yaml": deployment("web")})
    assert explain(shop, "deploy/web").origin.path == "web/web.yaml"
    shop.sync()
    assert explain(shop, "deploy/web").origin.path == "moved.yaml"


def test_an_object_of_nobody_says_who_wrote_it(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    path = f"{installation.path('configmaps')}?fieldManager=helm"
    installation.api.post(path, config_map("theirs"))
    found = explain(installation, "configmap/theirs")
    assert (found.managed, found.origin.project) == (False, "")
    assert "no project manages it" in found.standing
    assert owners(found, ".data.a") == [("helm", "Update", "")]


def test_an_object_that_belongs_to_another_one_says_so(shop: Installation) -> None:
    (pods,) = [shop.api.get(shop.path("pods"))["items"][:1]]
    found = explain(shop, f"pod/{pods[0]['metadata']['name']}")
    assert (found.managed, found.controllers[0].split()[0]) == (False, "ReplicaSet")


def test_marks_and_inventory_that_disagree_are_told(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("lost"), config_map("bare"), config_map("gone")]})
    installation.sync()
    path = installation.path("configmaps", "bare")
    installation.api.patch(path, {"metadata": {"annotations": {"config.k8s.io/owning-inventory": None}}})
    installation.api.delete(installation.path("configmaps", "gone"))
    assert "does not carry its mark" in explain(installation, "cm/bare").standing
    gone = explain(installation, "cm/gone")
    assert (gone.exists, gone.managed, gone.status) == (False, False, "NotFound")
    assert "but not in the cluster" in gone.standing
    elsewhere = replace(installation.options, instance="another", config=None)
    found = asyncio.run(explain_object(elsewhere, "cm/lost", namespace=installation.namespace))
    assert f"of another installation, {installation.namespace}" in found.standing


def test_of_a_secret_only_the_names_of_fields_are_told(installation: Installation) -> None:
    made = manifest("v1", "Secret", "s", stringData={"password": CANARY})
    made["metadata"]["annotations"] = {"note": CANARY}
    installation.commit({"a.yaml": made})
    installation.sync()
    installation.api.patch(installation.path("secrets", "s"), {"data": {"by-hand": "eA=="}})
    with installation.recorded() as asked:
        found = explain(installation, "secret/s")
    assert ".data.by-hand" in [its.path for its in found.fields]
    assert CANARY not in repr(found)
    assert found.status == "Current"
    assert [its.verb for its in asked.all if its.name == "s"] == ["get"]


def test_who_may_only_read_gets_it_and_what_is_not_seen(shop: Installation) -> None:
    found = explain(read_only(shop, "configmaps"), "deploy/web")
    assert (found.managed, found.origin.project) == (False, PROJECT), "from the mark alone"
    assert "whose records could not be read" in found.standing
    assert found.unseen[0].startswith("the records: ")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        pytest.param("deployment/nowhere", "is not in the cluster and in no inventory", id="no such object"),
        pytest.param("deploymnt/web", "there is deployment", id="no such kind"),
        pytest.param("web", "names no object", id="no kind"),
        pytest.param("deploy/a/b", "names no object", id="two names"),
        pytest.param("pods.nowhere.example/x", "knows no kind", id="no such group"),
    ],
)
def test_what_there_is_not_is_said(installation: Installation, what: str, said: str) -> None:
    with pytest.raises(OptionsInvalid, match=said):
        explain(installation, what, git=False)


def test_what_lies_beyond_the_namespaces_is_not_asked_for(shop: Installation) -> None:
    shop.options = replace(shop.options, namespaces=(shop.namespace,))
    assert explain(shop, "deploy/web").managed
    beyond = {"cm/kube-root-ca.crt": "does not hold default", f"ns/{shop.namespace}": "has no namespace"}
    for what, why in beyond.items():
        with shop.recorded() as asked, pytest.raises(NotAllowed, match=why):
            explain(shop, what, namespace="default")
        assert [str(its) for its in asked.all if its.resource in ("configmaps", "namespaces")] == []


def test_a_cluster_scoped_object_needs_no_namespace(installation: Installation, api: Api) -> None:
    found = explain(installation, f"ns/{installation.namespace}", git=False)
    assert (found.ref.namespace, found.exists) == ("", True)
