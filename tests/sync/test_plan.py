"""
What one run does to each object, from git, from our records and from what the cluster shows.

Rows are named after the sentences that they decide: the policy table of the apply engine,
the marks, the uid, and what may never be pruned.
"""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.cluster.managed import Owner
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.inventory import Record
from reconciler.sync.others import OtherProject, OtherProjects, among
from reconciler.sync.outcome import Outcome
from reconciler.sync.plan import Live, Plan, unseen
from tests.sync.pieces import INVENTORY, MARK, record, ref, version_of, whole_plan

OTHER = "reconciler-ffffffffffff"
A = ref("a")


def live(**but: Any) -> Live:
    """An object exactly as we applied and recorded it, but for what is said."""
    ours: dict[str, Any] = {
        "uid": "u1",
        "owner": INVENTORY,
        "project": "shop",
        "applied": MARK,
        "entry": "e1",
        "time": "t1",
        "api_version": "v1",
    }
    return Live(**{**ours, **but})


UNMARKED = {"owner": None, "project": "", "applied": "", "entry": ""}


def decide(
    *,
    wanted: tuple[ObjectRef, ...] = (),
    claimed: tuple[ObjectRef, ...] = (),
    records: tuple[Record, ...] = (),
    found: dict[ObjectRef, Live] | None = None,
    policy: str = "must_match",
) -> Plan:
    return whole_plan(wanted, claimed=claimed, records=records, live=found or {}, policy=policy)


def summary(work: Plan) -> str:
    """All that a plan holds, as text."""
    said = [f"apply {step.wanted.manifest.ref.name}: {step.why}" for step in work.steps]
    said += [f"leave {one.name}" for one in work.unchanged]
    said += [f"{one.outcome} {one.ref.name}: {one.reason}" for one in work.refusals]
    said += [f"prune {one.ref.name}" for one in work.candidates]
    said += [f"forget {one.name}" for one in work.gone]
    return ", ".join(said)


@pytest.mark.parametrize(
    ("had", "found", "want"),
    [
        pytest.param(None, None, "apply a: not in the cluster", id="new in git"),
        pytest.param(
            {"uid": ""}, None, "apply a: not in the cluster", id="recorded, then killed before the write"
        ),
        pytest.param({}, None, "apply a: deleted by another hand", id="deleted by another hand"),
        pytest.param({}, {}, "leave a", id="unchanged costs nothing"),
        pytest.param(None, {}, "apply a: applied but not recorded", id="ours, but in no inventory"),
        pytest.param(
            {"uid": ""}, {}, "apply a: applied but not recorded", id="applied, then killed before the record"
        ),
        pytest.param(
            {"uid": ""}, {"applied": ""}, "apply a: taken over with its inventory", id="made by the old agent"
        ),
        pytest.param({"uid": "u0"}, {}, "apply a: re-created by another hand", id="restored with our marks"),
        pytest.param({}, {"applied": "mark-of-d0"}, "apply a: changed in git", id="changed in git"),
        pytest.param({}, {"applied": ""}, "apply a: changed in git", id="applied mark removed"),
        pytest.param({}, {"labelled": False}, "apply a: our label was removed", id="label removed"),
        pytest.param(
            {}, {"entry": "e2"}, "apply a: changed in the cluster", id="another set of fields is ours"
        ),
        pytest.param({}, {"time": "t2"}, "apply a: changed in the cluster", id="applied under our name"),
        pytest.param(
            {}, {"entry": "", "time": ""}, "apply a: changed in the cluster", id="managed fields cleared"
        ),
        pytest.param({"entry": ""}, {}, "apply a: changed in the cluster", id="applied, entry not recorded"),
        pytest.param(
            {},
            {"owners": (Owner("agentk", "Apply", "v1"),)},
            "apply a: fields taken over from agentk",
            id="the old agent applies it as well",
        ),
        pytest.param(
            {}, {"owners": (Owner("kubectl", "Apply", "v1"),)}, "leave a", id="another owns fields too"
        ),
        pytest.param(
            {},
            {"owners": (Owner("reconciler:shop", "Apply", "v1"), Owner("agentk", "Apply", "v1beta1"))},
            "leave a",
            id="the old agent owns fields in another version",
        ),
        pytest.param({}, {"resource_version": "9"}, "leave a", id="only the status moved on"),
        pytest.param({}, {"owner": None}, "apply a: our marks were removed", id="owner mark removed"),
        pytest.param({}, UNMARKED, "apply a: our marks were removed", id="all marks removed"),
        pytest.param(
            {"uid": "u0"}, UNMARKED, "skipped a: NotOurs", id="made anew by another hand, without marks"
        ),
        pytest.param({"uid": ""}, UNMARKED, "skipped a: NotOurs", id="recorded, but another hand was first"),
        pytest.param({}, {"terminating": True}, "blocked a: Terminating", id="being deleted"),
        pytest.param(
            None, {**UNMARKED, "terminating": True}, "blocked a: Terminating", id="not ours, being deleted"
        ),
    ],
)
def test_what_git_declares(had, found, want):
    records = () if had is None else (record("a", **had),)
    got = decide(wanted=(A,), records=records, found={} if found is None else {A: live(**found)})
    assert summary(got) == want


FOREIGN = {**UNMARKED, "owner": OTHER}
POLICIES = ("must_match", "adopt_if_no_inventory", "adopt_all")


@pytest.mark.parametrize(
    ("found", "outcomes"),
    [
        pytest.param(None, ["apply a: not in the cluster"] * 3, id="does not exist"),
        pytest.param(
            UNMARKED, ["skipped a: NotOurs", "apply a: adopted", "apply a: adopted"], id="annotation absent"
        ),
        pytest.param({}, ["apply a: applied but not recorded"] * 3, id="our inventory id"),
        pytest.param(
            FOREIGN, ["skipped a: OwnedByAnother"] * 2 + ["apply a: adopted"], id="another inventory id"
        ),
        pytest.param(
            {"owner": OTHER},
            ["blocked a: OwnedByAnother"] * 2 + ["apply a: adopted"],
            id="another project of ours",
        ),
    ],
)
def test_inventory_policy_for_an_apply(found, outcomes):
    there = {} if found is None else {A: live(**found)}
    got = [summary(decide(wanted=(A,), found=there, policy=policy)) for policy in POLICIES]
    assert got == outcomes


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        pytest.param(UNMARKED, "skipped a: NotOurs", id="annotation absent"),
        pytest.param({}, "prune a", id="our inventory id"),
        pytest.param(FOREIGN, "handed_over a: OwnedByAnother, forget a", id="another inventory id"),
        pytest.param(
            {"owner": OTHER}, "handed_over a: OwnedByAnother, forget a", id="another project of ours"
        ),
    ],
)
@pytest.mark.parametrize("policy", POLICIES)
def test_inventory_policy_never_lets_go_what_lacks_our_mark(policy, found, outcome):
    """Stricter than the old agent, which deletes by policy: both the inventory and the mark are wanted."""
    got = decide(records=(record("a"),), found={A: live(**found)}, policy=policy)
    assert summary(got) == outcome


@pytest.mark.parametrize(
    ("had", "found", "want"),
    [
        pytest.param({}, {}, "prune a", id="left git"),
        pytest.param({}, None, "forget a", id="left git, and is gone"),
        pytest.param({"uid": ""}, None, "forget a", id="left git, never created"),
        pytest.param({"uid": ""}, {}, "prune a", id="left git, applied but not recorded"),
        pytest.param({"uid": ""}, UNMARKED, "forget a", id="left git, our apply never reached it"),
        pytest.param({}, UNMARKED, "skipped a: NotOurs", id="left git, our marks were removed"),
        pytest.param({"uid": ""}, {"owner": OTHER}, "forget a", id="left git, was another's all the time"),
        pytest.param({"uid": "u0"}, {}, "skipped a: NotOurs", id="left git, another uid with our marks"),
        pytest.param({}, {"labelled": False}, "prune a", id="left git, label removed"),
        pytest.param({}, {"applied": "", "entry": ""}, "prune a", id="left git, edited by others"),
        pytest.param({}, {"terminating": True}, "prune a", id="left git, is being deleted already"),
    ],
)
def test_what_left_git(had, found, want):
    got = decide(records=(record("a", **had),), found={} if found is None else {A: live(**found)})
    assert summary(got) == want


@pytest.mark.parametrize(
    ("inventory", "found", "fates"),
    [
        pytest.param("1-4711", {}, ["leave a", "prune a"], id="ours"),
        pytest.param(
            "1-4711",
            {"labelled": False},
            ["apply a: our label was removed", "prune a"],
            id="nobody's label, so that the mark counts",
        ),
        pytest.param(
            "1-4711",
            {"labelled": False, "elsewhere": "east"},
            ["blocked a: OwnedByAnother", "skipped a: NotOurs"],
            id="another instance's, which has the same id",
        ),
        pytest.param(
            INVENTORY,
            {"labelled": False, "elsewhere": "east"},
            ["apply a: our label was removed", "prune a"],
            id="an id that only we can have, whatever the label says",
        ),
    ],
)
def test_id_that_git_gives_may_be_another_instances_too(inventory, found, fates):
    there = {A: replace(live(**found), owner=inventory)}
    records = [record("a")]
    declared = whole_plan((A,), records=records, live=there, inventory=inventory)
    left = whole_plan(records=records, live=there, inventory=inventory)
    assert [summary(declared), summary(left)] == fates


def test_our_mark_without_an_entry_in_the_inventory_is_never_pruned():
    assert summary(decide(found={A: live()})) == ""


def test_a_candidate_carries_what_the_delete_needs():
    there = live(resource_version="41")
    (candidate,) = decide(records=(record("a"),), found={A: there}).candidates
    assert (candidate.ref, candidate.live) == (A, there)


@pytest.mark.parametrize("found", [live(), live(**UNMARKED), None])
def test_what_git_claims_but_cannot_apply_stays(found):
    """A broken manifest, an unknown scope: both readings of the reference are claimed."""
    got = decide(claimed=(A,), records=(record("a"),), found={A: found} if found else {})
    assert summary(got) == ""


def own(name: str, *, kind: str = "ConfigMap", group: str = "", namespace: str = "own") -> ObjectRef:
    return ref(name, kind=kind, group=group, namespace=namespace)


@pytest.mark.parametrize(
    ("left", "want"),
    [
        pytest.param(
            own("own", kind="Namespace", namespace=""), "skipped own: Protected", id="its namespace"
        ),
        pytest.param(
            own("x", kind="Lease", group="coordination.k8s.io"), "skipped x: Protected", id="a Lease there"
        ),
        pytest.param(
            own("reconciler-key", kind="Secret"), "skipped reconciler-key: Protected", id="the digest key"
        ),
        pytest.param(
            own("reconciler-0123456789ab-0"), "skipped reconciler-0123456789ab-0: Protected", id="a shard"
        ),
        pytest.param(own("reconciler-config"), "prune reconciler-config", id="an ordinary object there"),
        pytest.param(
            own("reconciler-key", kind="Secret", namespace="shop"), "prune reconciler-key", id="elsewhere"
        ),
    ],
)
def test_what_the_service_needs_is_never_pruned(left, want):
    got = decide(records=(Record(left, version_of(left), uid="u1"),), found={left: live()})
    assert summary(got) == want


def test_manifest_of_a_record_is_not_applied():
    head = own("reconciler-0123456789ab")
    assert summary(decide(wanted=(head,))) == "skipped reconciler-0123456789ab: Protected"


@pytest.mark.parametrize("found", [live(**UNMARKED), live(owner="another")], ids=["nobody's", "another's"])
@pytest.mark.parametrize(
    ("secret", "want"),
    [
        pytest.param(own("git", kind="Secret"), "skipped git: Protected", id="beside the records"),
        pytest.param(own("git", kind="Secret", namespace="shop"), "apply git: adopted", id="elsewhere"),
    ],
)
def test_secret_beside_the_records_is_not_taken_over_by_any_policy(secret, want, found):
    got = decide(wanted=(secret,), found={secret: found}, policy="adopt_all")
    assert summary(got) == want


SHOP = ref("shop", kind="Namespace", namespace="")


@pytest.mark.parametrize(
    ("wanted", "claimed", "left", "want"),
    [
        pytest.param((), (), SHOP, "prune shop", id="no namespace in use"),
        pytest.param((ref("a", namespace="other"),), (), SHOP, "prune shop", id="another one in use"),
        pytest.param((A,), (), SHOP, "skipped shop: InUse", id="the same name in use"),
        pytest.param((), (A,), SHOP, "skipped shop: InUse", id="in use by a broken manifest"),
        pytest.param(
            (A,),
            (),
            ref("shop", kind="Namespace", group="example.com", namespace=""),
            "prune shop",
            id="Namespace of another group",
        ),
        pytest.param(
            (A,), (), ref("shop", kind="ClusterRole", namespace=""), "prune shop", id="only the same name"
        ),
        pytest.param(
            (SHOP,), (), ref("a", namespace="shop"), "prune a", id="the namespace stays, what is in it goes"
        ),
    ],
)
def test_a_namespace_in_use_stays(wanted, claimed, left, want):
    records = (Record(left, "v1", uid="u1", entry="e1", time="t1"),)
    got = decide(wanted=wanted, claimed=claimed, records=records, found={left: live()})
    assert summary(got).split(", ")[-1] == want


def test_a_refused_namespace_says_why():
    records = (Record(SHOP, "v1", uid="u1"),)
    (refusal,) = decide(wanted=(A,), records=records, found={SHOP: live()}).refusals
    assert (refusal.outcome, refusal.message) == (
        Outcome.SKIPPED,
        "left git, but is still in use: ConfigMap shop/a is declared",
    )


def test_a_refusal_names_the_owner_and_what_to_do():
    by_project, by_id = (
        decide(wanted=(A,), found={A: live(**its)}).refusals[0].message
        for its in ({"owner": OTHER, "project": "team/other"}, FOREIGN)
    )
    assert "project team/other" in by_project
    assert f"inventory {OTHER}" in by_id
    assert "adopt_all" in by_project


def test_an_object_of_a_project_that_left_the_configuration_says_how_it_is_handed_over():
    gone = among([OtherProject(project="old", owner=OTHER, records={A: record("a")})], ["shop"])
    found = {A: live(owner=OTHER, project="old")}
    (refusal,) = whole_plan((A,), live=found, others=OtherProjects(each=gone)).refusals
    assert "project old, which has left the configuration" in refusal.message
    assert "`reconciler delete-project old`" in refusal.message


def test_an_object_that_another_project_has_is_told_alike_whoever_is_first():
    """Otherwise each run of two processes, or of one that begins anew, would write another status."""
    others = OtherProjects(each=(OtherProject(project="other", owner=OTHER, records={A: record("a")}),))
    found = {A: live(owner=OTHER, project="other")}
    after, before = (
        whole_plan((A,), live=found, others=others, first=first).refusals for first in ({}, {A: "other"})
    )
    assert after == before


def test_the_same_kind_name_and_namespace_in_another_group_is_another_object():
    old = ref("web", kind="Deployment", group="extensions")
    new = ref("web", kind="Deployment", group="apps")
    got = decide(wanted=(new,), records=(Record(old, "extensions/v1", uid="u1"),), found={old: live()})
    assert summary(got) == "apply web: not in the cluster, prune web"


def test_a_moved_name_is_one_apply_and_one_prune():
    got = decide(wanted=(ref("b"),), records=(record("a"),), found={A: live()})
    assert summary(got) == "apply b: not in the cluster, prune a"


def test_everything_that_left_git_is_a_candidate_in_a_stable_order():
    """Whether so many may go is the guard's business."""
    names = [f"n{n}" for n in range(5)]
    got = decide(
        records=tuple(record(name) for name in reversed(names)), found={ref(name): live() for name in names}
    )
    assert [one.ref.name for one in got.candidates] == names


@pytest.mark.parametrize(
    ("wanted", "recorded", "found", "want"),
    [
        pytest.param("", "", "", "", id="nothing"),
        pytest.param("a", "a", "a", "", id="all were listed"),
        pytest.param("a", "", "", "a", id="declared"),
        pytest.param("", "a", "", "a", id="recorded"),
        pytest.param("ba", "ac", "b", "a c", id="each once, sorted"),
    ],
)
def test_what_the_list_did_not_show_is_looked_up(wanted, recorded, found, want):
    got = unseen(
        [ref(name) for name in wanted],
        {ref(name): record(name) for name in recorded},
        {ref(name): live() for name in found},
    )
    assert " ".join(one.name for one in got) == want
