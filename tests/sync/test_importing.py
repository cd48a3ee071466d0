"""Which inventory of the old agent a project takes over, as tables: keys, candidates, its Lease."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests.decode import INVENTORY_ID
from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import InventoryObject, Origin
from reconciler.sync import marks
from reconciler.sync.importing import (
    Asking,
    Decision,
    Hold,
    OldInventory,
    Start,
    Take,
    choose,
    choose_named,
    lease_of,
    named_id,
    parse_key,
    read_inventory,
    still_running,
)
from tests.agentk import key_of
from tests.fuzzing import examples

RBAC = "rbac.authorization.k8s.io"

# -- keys (gitlab-agent.md 6.5) ----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "ref"),
    [
        pytest.param(
            "_test-name_apps_ReplicaSet", ("apps", "ReplicaSet", "", "test-name"), id="no namespace"
        ),
        pytest.param(
            "test-namespace_test-name_apps_Deployment",
            ("apps", "Deployment", "test-namespace", "test-name"),
            id="namespace, name, group, kind",
        ),
        pytest.param("my-ns_web__Service", ("", "Service", "my-ns", "web"), id="core group"),
        pytest.param("_my-ns__Namespace", ("", "Namespace", "", "my-ns"), id="Namespace object"),
        pytest.param(
            f"kube-system_kubeadm__nodes-kubeadm-config_{RBAC}_Role",
            (RBAC, "Role", "kube-system", "kubeadm:nodes-kubeadm-config"),
            id="colon in the name of a Role",
        ),
        pytest.param(
            f"kube-system_system____leader-locking_{RBAC}_Role",
            (RBAC, "Role", "kube-system", "system::leader-locking"),
            id="two colons",
        ),
        pytest.param(
            f"ns___leading_{RBAC}_RoleBinding", (RBAC, "RoleBinding", "ns", ":leading"), id="leading colon"
        ),
        pytest.param(
            f"ns_trailing___{RBAC}_RoleBinding", (RBAC, "RoleBinding", "ns", "trailing:"), id="trailing colon"
        ),
        pytest.param(
            f"_system__node-x_{RBAC}_ClusterRole",
            (RBAC, "ClusterRole", "", "system:node-x"),
            id="ClusterRole",
        ),
        pytest.param("ns_a.b.c__ConfigMap", ("", "ConfigMap", "ns", "a.b.c"), id="dots in the name"),
    ],
)
def test_key_is_a_reference(key: str, ref: tuple[str, str, str, str]) -> None:
    assert parse_key(key) == ObjectRef(*ref)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("_test-name_apps", id="a field too few"),
        pytest.param("test-name", id="no separator"),
        pytest.param("", id="nothing"),
        pytest.param("a_b_c_apps_Deployment", id="a field too many"),
        pytest.param("ns_web__apps_Deployment", id="a colon in a name that may have none"),
        pytest.param(f"ns_my_role_{RBAC}_Role", id="an underscore that is no colon"),
        pytest.param(f"ns_my___role_{RBAC}_Role", id="three underscores"),
        pytest.param(f"ns_a__b_{RBAC}_Widget", id="another kind of the RBAC group"),
        pytest.param("ns__apps_Deployment", id="no name"),
        pytest.param("ns_web_apps_", id="no kind"),
        pytest.param("Ns_web_apps_Deployment", id="a namespace that cannot be"),
        pytest.param("ns_.._apps_Deployment", id="a name that would be another path"),
        pytest.param("ns_web_Apps_Deployment", id="a group that cannot be"),
        pytest.param("ns_web_apps_Deploy-ment", id="a kind that cannot be"),
        pytest.param("ns_we/b_apps_Deployment", id="a slash"),
        pytest.param("ns_web_apps_Deployment\n", id="a line's end"),
    ],
)
def test_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|not <namespace>"):
        parse_key(key)


@examples(100)
@given(st.text("abz_-.:AR\x00/", max_size=40))
def test_key_is_a_reference_or_refused(key: str) -> None:
    try:
        ref = parse_key(key)
    except ValueError:
        return
    assert "/" not in ref.name
    assert ref.name not in ("", ".", "..")


names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)


@examples(100)
@given(names, names.map(lambda name: name.replace(".", ":")), st.sampled_from(["Role", "ClusterRoleBinding"]))
def test_keys_of_agentk_are_read_back(namespace: str, name: str, kind: str) -> None:
    namespace = namespace.replace(".", "-")
    body = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}}
    assert parse_key(key_of(body, namespace=namespace)) == ObjectRef(RBAC, kind, namespace, name)


def test_inventory_names_the_keys_that_it_cannot_read() -> None:
    config_map = {
        "metadata": {
            "namespace": "ns",
            "name": "inventory-1-2",
            "uid": "u",
            "resourceVersion": "5",
            "labels": {INVENTORY_ID: "1-2"},
        },
        "data": {
            "ns_web_apps_Deployment": "",
            "ns_odd_example.com_Widget": '{"actuation":"Succeeded"}',
            "ns_x__Namespace": "",
            "_web__Service": "",
            "nonsense": "",
        },
    }
    scopes = {"Deployment": True, "Namespace": False, "Service": True}
    found = read_inventory(config_map, namespaced=lambda ref: scopes.get(ref.kind))
    assert found.refs == {
        ObjectRef("apps", "Deployment", "ns", "web"),
        ObjectRef("example.com", "Widget", "ns", "odd"),
    }
    assert found.malformed == ("_web__Service", "nonsense", "ns_x__Namespace")
    assert (found.id, found.uid, found.resource_version) == ("1-2", "u", "5")
    assert (found.imported_by, found.annotated) == ("", False)


# -- which one ---------------------------------------------------------------------------


def refs(letters: str) -> frozenset[ObjectRef]:
    return frozenset(ObjectRef("", "ConfigMap", "ns", letter) for letter in letters)


def inventory(text: str) -> OldInventory:
    """`1-2=ab` lists a and b; `!x` behind it a malformed key, `@i/p` who imported it."""
    rest, _, by = text.partition("@")
    rest, _, bad = rest.partition("!")
    name, _, letters = rest.partition("=")
    return OldInventory(
        namespace="ns",
        name=f"inventory-{name}",
        id=name.rstrip("'"),
        refs=refs(letters),
        malformed=(bad,) if bad else (),
        imported_by=by,
    )


def summary(decision: Decision) -> str:
    match decision:
        case Take(found):
            return f"take {found.id}"
        case Start(owner):
            return f"start {owner}".rstrip()
        case Hold(reason):
            return f"hold: {reason}"


@pytest.mark.parametrize(
    ("found", "declared", "elsewhere", "unread", "want"),
    [
        pytest.param("", "ab", "", "", "start", id="nothing was left"),
        pytest.param("1-2=ab", "ab", "", "", "take 1-2", id="the only one"),
        pytest.param("1-2=abc", "cd", "", "", "take 1-2", id="one object in common is enough"),
        pytest.param("1-2=ab 1-3=cd", "ab", "cd", "", "take 1-2", id="one for each of two projects"),
        pytest.param("1-2=ab 1-3=xy", "ab", "", "", "take 1-2", id="another one of a project that is gone"),
        pytest.param("1-2=abc 1-3=a", "bc", "a", "", "hold: .*1-2", id="objects of another project too"),
        pytest.param("1-2=a 1-3=b", "ab", "", "", "hold: .*1-2.*1-3.*inventory_id", id="two that fit"),
        pytest.param("1-2=xy", "ab", "", "", "hold: .*1-2.*inventory_id", id="one that nobody declares"),
        pytest.param("1-2=cd", "ab", "cd", "", "start", id="plainly another project's"),
        pytest.param("1-2=ab", "", "", "", "hold: .*1-2", id="a project that declares nothing"),
        pytest.param("1-2=", "ab", "", "", "start", id="one that lists nothing"),
        pytest.param("1-2=ab!bad", "ab", "", "", "hold: .*1-2.*bad", id="a malformed key"),
        pytest.param(
            "1-2=ab 1-3=x!bad", "ab", "", "", "hold: .*1-3.*bad", id="a malformed key that may be ours"
        ),
        pytest.param("1-2=ab 1-3=c!bad", "ab", "c", "", "take 1-2", id="a malformed key of another project"),
        pytest.param("1-2=ab 1-2'=ab", "ab", "", "", "hold: .*list objects", id="one id twice, both fit"),
        pytest.param("1-2=ab 1-2'=", "ab", "", "", "hold: found 2 inventory objects", id="one id twice"),
        pytest.param(
            "1-2=ab", "ab", "", "p", "hold: .*of p, which.*x.yaml", id="an unread project may have it"
        ),
        pytest.param("", "ab", "", "p", "start", id="an unread project where nothing was left"),
        pytest.param(
            "1-2=ab@i/other",
            "ab",
            "",
            "",
            "hold: .*taken over by i/other; .*delete-project other",
            id="another has taken it, or this one under another name",
        ),
        pytest.param(
            "1-2=ab@j/other", "ab", "", "", "hold: .*taken over by j/other; remove", id="another installation"
        ),
        pytest.param("1-2=xy@i/other", "ab", "", "", "start", id="another has taken what is not ours"),
        pytest.param("1-2=a@i/other 1-3=b", "ab", "", "", "take 1-3", id="another has taken a part"),
        pytest.param("1-2=ab@i/me", "", "", "p", "take 1-2", id="our mark is on it already"),
        pytest.param("1-2=ab@i/me 1-3=ab", "ab", "", "", "take 1-2", id="the mark decides"),
    ],
)
def test_choice(found: str, declared: str, elsewhere: str, unread: str, want: str) -> None:
    asking = Asking(
        by="i/me",
        namespace="ns",
        declared=refs(declared),
        elsewhere=dict.fromkeys(refs(elsewhere), "other"),
        unread=dict.fromkeys(unread, "x.yaml"),
    )
    decision = summary(choose([inventory(text) for text in found.split()], asking))
    assert matches(decision, want), f"{found or '-'} for {declared or '-'}: {decision}"


@pytest.mark.parametrize(
    ("found", "owners", "must_exist", "want"),
    [
        pytest.param("1-2=xy 1-3=ab", "", True, "take 1-2", id="also where nothing is in common"),
        pytest.param(
            "1-3=ab", "", True, "hold: there is no inventory 1-2 in namespace ns", id="is not there"
        ),
        pytest.param("1-3=ab", "", False, "start 1-2", id="need not be there"),
        pytest.param("1-2=a 1-2'=b", "", False, "hold: found 2 inventory objects", id="is there twice"),
        pytest.param("1-2=a!bad", "", True, "hold: .*bad", id="a malformed key"),
        pytest.param("1-2=a@i/other", "", True, "hold: .*taken over by i/other", id="another has taken it"),
        pytest.param("1-2=a@i/me", "", True, "take 1-2", id="we have marked it"),
        pytest.param(
            "1-2=a", "1-2", True, "hold: inventory 1-2 is project other's", id="another project's owner"
        ),
    ],
)
def test_named_one(found: str, owners: str, must_exist: bool, want: str) -> None:
    asking = Asking(by="i/me", namespace="ns", owners=dict.fromkeys(owners.split(), "other"))
    inventories = [inventory(text) for text in found.split()]
    decision = summary(choose_named("1-2", inventories, asking, must_exist=must_exist))
    assert matches(decision, want), decision


def test_mark_of_another_project_of_ours_is_never_taken() -> None:
    """Somebody who may write ConfigMaps lists the objects of a project of another instance, and ours."""
    own = marks.inventory_id("other", "shop")
    asking = Asking(by="i/me", namespace="ns", declared=refs("a"))
    forged = inventory(f"{own}=abc")
    assert summary(choose([forged], asking)).startswith(f"hold: {own} is the owner mark")
    assert isinstance(choose_named(own, [], asking, must_exist=False), Hold)


def matches(text: str, want: str) -> bool:
    return re.match(want + ("" if want.startswith("hold") else "$"), text) is not None


def declares(id_: str) -> InventoryObject:
    return InventoryObject(ObjectRef("", "ConfigMap", "ns", "inv"), id_, Origin("inv.yaml", 3, "blob", 0))


@pytest.mark.parametrize(
    ("key", "objects", "want"),
    [
        pytest.param(None, [], None, id="nobody says"),
        pytest.param("1-2", [], "1-2", id="the key"),
        pytest.param("", [], "", id="the key says none"),
        pytest.param(None, ["a"], "a", id="an inventory object"),
        pytest.param("a", ["a"], "a", id="both agree"),
        pytest.param("", ["a"], "", id="the key says none to an inventory object"),
    ],
)
def test_who_names_it(key: str | None, objects: list[str], want: str | None) -> None:
    assert named_id(key, [declares(id_) for id_ in objects]) == want


@pytest.mark.parametrize(
    ("key", "objects", "says"),
    [
        pytest.param(
            "1-2", ["a"], "inventory_id is 1-2, but the inventory object at inv.yaml:3 says a", id="two"
        ),
        pytest.param(None, ["a", "b"], "found 2: inv.yaml:3", id="two inventory objects"),
    ],
)
def test_two_who_name_it_hold(key: str | None, objects: list[str], says: str) -> None:
    held = named_id(key, [declares(id_) for id_ in objects])
    assert isinstance(held, Hold)
    assert says in held.reason


# -- whether the old agent runs ------------------------------------------------------------

NOW = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def lease(
    *, name: str = "agent-1-lock", renewed: float | None = None, stamped: float | None = None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "gitlab-agent"}
    if stamped is not None:
        metadata["managedFields"] = [{"manager": "agentk", "time": ago(stamped)}, {"manager": "x"}]
    return {"metadata": metadata, "spec": {} if renewed is None else {"renewTime": ago(renewed)}}


@pytest.mark.parametrize(
    ("make", "runs"),
    [
        pytest.param(lambda: lease(renewed=2, stamped=2), True, id="just renewed"),
        pytest.param(lambda: lease(renewed=59.5, stamped=59.5), True, id="within the minute"),
        pytest.param(lambda: lease(renewed=61, stamped=61), False, id="longer ago"),
        pytest.param(lambda: lease(renewed=3600, stamped=2), True, id="its clock is behind"),
        pytest.param(lambda: lease(renewed=-3600, stamped=61), False, id="its clock was ahead"),
        pytest.param(lambda: lease(renewed=2), True, id="no stamp of the server, just renewed"),
        pytest.param(lambda: lease(renewed=61), False, id="no stamp of the server, longer ago"),
        pytest.param(lambda: lease(renewed=-3600), True, id="no stamp of the server, in the future"),
        pytest.param(lease, False, id="never renewed"),
        pytest.param(lambda: lease(name="agent-x-lock", stamped=2), False, id="another's Lease"),
    ],
)
def test_old_agent_runs(make: Callable[[], dict[str, Any]], runs: bool) -> None:
    assert still_running([make()], now=NOW) == ("gitlab-agent/agent-1-lock" if runs else "")


@pytest.mark.parametrize(
    ("inventory", "want"),
    [
        pytest.param("1-278964", "agent-1-lock", id="numbers"),
        pytest.param("some_id", "", id="an id of somebody's own"),
        pytest.param("1-2-3", "", id="not two numbers"),
    ],
)
def test_lease_is_named_by_the_agents_number(inventory: str, want: str) -> None:
    assert lease_of(inventory) == want


def test_mark_is_read() -> None:
    metadata = {
        "namespace": "ns",
        "name": "n",
        "uid": "u",
        "resourceVersion": "1",
        "annotations": {marks.IMPORTED_BY: "i/p"},
    }
    found = read_inventory({"metadata": metadata}, namespaced=lambda _ref: None)
    assert (found.imported_by, found.annotated, found.id) == ("i/p", True, "")
