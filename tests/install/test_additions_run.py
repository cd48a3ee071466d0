"""The whole service with one addition, run with exactly its ServiceAccount's token: enough, and no more."""

import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import pytest

from localcluster import ApiError
from reconciler.cluster.client import connect
from reconciler.cluster.errors import Forbidden
from reconciler.cluster.resource import CONFIG_MAPS
from reconciler.sync.outcome import State
from tests.fix_sync import of, outcomes
from tests.install.rendering import RBAC, example
from tests.install.test_guard import FROM_GIT, is_refused
from tests.install.test_run import running, synced
from tests.localcluster.waiting import eventually
from tests.objects import config_map, deployment, manifest, text

ROLES = f"/apis/{RBAC}/v1/clusterroles"


@dataclass(frozen=True)
class Installed:
    """The service in a namespace of its own, and a namespace for what it applies."""

    addition: str
    own: str
    shop: str
    keys: dict[str, str] = field(default_factory=dict)
    """Further keys of its project."""


@pytest.fixture
def installed(api, applier, install, identity, namespace, request):
    """`manifests` and the addition that the test names."""
    its = Installed(request.param, install("cluster-wide", request.param, shop=namespace), namespace)
    if its.addition == "guard":
        own = identity(its.own).api
        eventually(lambda: is_refused(own))  # the API server takes a policy up a moment later
    if its.addition != "impersonate":
        yield its
        return
    documented = json.loads(json.dumps(example("install.md", "deployer")).replace("shop", namespace))
    applier.apply(documented)
    yield replace(its, keys={"service_account": f"{namespace}/deployer"})
    for part in documented:
        api.delete(applier.path(part))


def needing(addition, value):
    """What git can declare with the addition alone, or what passes through it; it changes with `value`."""
    match addition:
        case "bind":
            role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
            viewer = {"apiGroup": RBAC, "kind": "User", "name": f"viewer-{value}"}
            return manifest(f"{RBAC}/v1", "RoleBinding", "viewers", roleRef=role, subjects=[viewer])
        case "escalate":
            rules = [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get", "list"][: int(value)]}]
            return manifest(f"{RBAC}/v1", "ClusterRole", "shop-operator", rules=rules)
        case "secrets":
            return manifest("v1", "Secret", "password", stringData={"password": value})
        case _:
            return config_map("settings", a=value)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("installed", ["bind", "escalate", "guard", "impersonate", "secrets"], indirect=True)
def test_a_full_run_asks_for_nothing_that_is_refused(api, identity, installed, repo, tmp_path):
    """Create, change and prune what needs the addition, beside what does not."""
    who, shop = identity(installed.own), installed.shop
    entry = {"id": "shop", "url": repo.url, "interval": "1s", "default_namespace": shop, **installed.keys}
    (tmp_path / "config.yaml").write_text(json.dumps({"gitops": {"manifest_projects": [entry]}}))
    kept = [config_map("kept"), deployment("web"), manifest("v1", "ServiceAccount", "web")]
    first, second = needing(installed.addition, "1"), needing(installed.addition, "2")

    with running(tmp_path, who.kubeconfig, instance=shop, namespace=installed.own) as service:
        for objects in ([*kept, first], [*kept, second], kept):
            synced(api, installed.own, shop, repo.commit({"all.yaml": text(*objects)}))
        service.stop()

    requests = who.requests()
    refused = [its["requestURI"] for its in requests if its["responseStatus"]["code"] in (401, 403)]
    assert not refused
    log = service.log.read_text()
    assert " failed at " not in log, "in sync at the second try only"
    done = [its for its in requests if its.get("objectRef", {}).get("name") == first["metadata"]["name"]]
    # Created, changed and deleted, as whoever is to do it.
    writes = [its for its in done if its["verb"] in ("patch", "delete")]
    assert [(its["verb"], its["responseStatus"]["code"]) for its in writes] == [
        ("patch", 201),
        ("patch", 200),
        ("delete", 200),
    ]
    actor = f"system:serviceaccount:{shop}:deployer" if installed.keys else None
    assert {its.get("impersonatedUser", {}).get("username") for its in done} == {actor}


@pytest.mark.parametrize("installed", ["secrets"], indirect=True)
def test_secrets_give_nothing_but_secrets_of_the_seven_verbs(applier, identity, installed):
    own, shop = identity(installed.own).api, f"/api/v1/namespaces/{installed.shop}"
    applier.apply([config_map("a", namespace=installed.shop)])
    wider = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["deletecollection"]}]
    role = manifest(f"{RBAC}/v1", "ClusterRole", "reconciler-secrets", rules=wider)
    each_is_refused(
        lambda: own.delete(f"{shop}/secrets"),
        lambda: own.post(f"{shop}/serviceaccounts/default/token", {}),
        lambda: own.get("/api/v1/nodes"),
        lambda: own.post(f"{shop}/pods/p/exec?command=id", {}),
        lambda: own.apply(f"{ROLES}/reconciler-secrets", role),
        lambda: own.apply(f"{ROLES}/another", {**role, "metadata": {"name": "another"}}),
    )


@pytest.mark.parametrize("installed", ["guard"], indirect=True)
def test_guarded_namespaces_are_not_changed_by_the_service_itself_either(identity, installed):
    """Its own field manager opens its records, and nothing else."""
    own, system = identity(installed.own).api, "/api/v1/namespaces/kube-system"
    its_own = f"/api/v1/namespaces/{installed.own}"
    named, account = config_map("reconciler-a"), manifest("v1", "ServiceAccount", "reconciler")
    each_is_refused(
        lambda: own.apply(f"{system}/configmaps/reconciler-a", named, field_manager="reconciler"),
        lambda: own.delete(f"{system}/configmaps/kube-root-ca.crt?dryRun=All"),
        lambda: own.apply(f"{its_own}/configmaps/reconciler-a", named, field_manager=FROM_GIT),
        lambda: own.apply(f"{its_own}/serviceaccounts/reconciler", account, field_manager="reconciler"),
        lambda: own.delete(f"/apis/{RBAC}/v1/namespaces/{installed.own}/roles/reconciler-records?dryRun=All"),
        lambda: own.delete(f"{its_own}?dryRun=All"),
        because="policy reconciler-guard",
    )


@pytest.mark.parametrize("installed", ["guard"], indirect=True)
def test_what_git_declares_in_a_guarded_namespace_fails_alone(identity, installed, make_installation):
    shop = make_installation(installed.own, kubeconfig=identity(installed.own).kubeconfig)
    shop.configure(default_namespace=installed.shop)
    shop.commit({"all.yaml": [config_map("a"), config_map("far", namespace="kube-system")]})
    report = shop.sync()
    assert outcomes(report) == {"a": "created", "far": "failed"}
    assert "policy reconciler-guard" in of(report, "far").message


@pytest.mark.parametrize("installed", ["impersonate"], indirect=True)
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"as": "system:serviceaccount:{shop}:default"}, id="another account of the namespace"),
        pytest.param({"as": "system:serviceaccount:kube-system:deployer"}, id="its name in another one"),
        pytest.param({"as": "admin"}, id="a user"),
        pytest.param(
            {"as": "system:serviceaccount:{shop}:deployer", "as-groups": ["system:masters"]},
            id="the account, with a group that may do everything",
        ),
    ],
)
async def test_nobody_else_can_be_impersonated(identity, installed, tmp_path, wanted):
    kubeconfig = json.loads(identity(installed.own).kubeconfig.read_text())
    kubeconfig["users"][0]["user"] |= {**wanted, "as": wanted["as"].format(shop=installed.shop)}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    async with connect(kubeconfig=tmp_path / "kubeconfig") as cluster:
        with pytest.raises(Forbidden, match="impersonate"):
            await cluster.get(CONFIG_MAPS, installed.shop, "kube-root-ca.crt")


@pytest.mark.parametrize("installed", ["impersonate"], indirect=True)
def test_a_project_does_not_reach_further_than_its_account(identity, installed, make_installation):
    """Nor by the rights of the service, which may write everywhere; nor as an account that is not named."""
    shop = make_installation(installed.own, kubeconfig=identity(installed.own).kubeconfig)
    shop.configure(default_namespace=installed.shop, **installed.keys)
    shop.commit({"all.yaml": [config_map("a"), config_map("far", namespace="default")]})
    report = shop.sync()
    assert outcomes(report) == {"a": "created", "far": "failed"}
    assert of(report, "far").reason == "Forbidden"
    shop.configure(service_account=f"{installed.shop}/default")
    with shop.recorded() as requests:
        assert shop.sync().state is State.FAILED
    assert requests.of_objects == []


def each_is_refused(*attempts, because="forbidden|not currently held"):
    for attempt in attempts:
        with pytest.raises(ApiError, match=because) as refused:
            attempt()
        assert refused.value.status == HTTPStatus.FORBIDDEN
