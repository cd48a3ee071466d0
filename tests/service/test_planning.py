"""`reconciler plan` against the real API server: what it tells, and that it writes nothing."""

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api
from reconciler.cli import diffview
from reconciler.service.options import OptionsInvalid
from reconciler.service.planning import Planned, PlannedObject, PlannedProject, plan_projects
from reconciler.sync import marks
from reconciler.sync.diff import Mask, difference
from tests.agentk import Agentk
from tests.fix_sync import PROJECT, Installation
from tests.fix_takeover import Predecessor
from tests.objects import config_map, definition, deployment, manifest, text
from tests.service.reader import read_only
from tests.sync.test_replacing_cluster import job

CANARY = "canary-4711-pass+word"
ENCODED = base64.b64encode(CANARY.encode()).decode()


def plan_all(installation: Installation, *only: str, **settings: Any) -> Planned:
    """Plan, and see that nothing was written: not an object, not a record, not a namespace."""
    with installation.recorded() as asked:
        planned = asyncio.run(plan_projects(installation.options, only=only, **settings))
    assert [str(its) for its in asked.writes if not its.is_dry_run] == []
    return planned


def plan(installation: Installation, **settings: Any) -> PlannedProject:
    (project,) = plan_all(installation, **settings).projects
    return project


def objects(project: PlannedProject) -> dict[str, str]:
    """Action and outcome of each object that is not simply unchanged, by name."""
    return {
        its.report.ref.name: f"{its.change.action} {its.report.outcome}"
        for its in project.objects
        if f"{its.change.action} {its.report.outcome}" != "none unchanged"
    }


def of(project: PlannedProject, name: str) -> PlannedObject:
    (found,) = [its for its in project.objects if its.report.ref.name == name]
    return found


def fields(project: PlannedProject, name: str) -> list[str]:
    return [
        f"{c.change} {c.path}" + ("" if c.masked else f" {shown(c.old)} -> {shown(c.new)}")
        for c in of(project, name).change.fields
    ]


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def code(planned: Planned | PlannedProject) -> int:
    return diffview.exit_code(planned if isinstance(planned, Planned) else Planned(projects=(planned,)))


def all_said(planned: Planned) -> str:
    """Every output there is."""
    said = [*diffview.text(planned, coloured=True), diffview.markdown(planned)]
    return "\n".join([*said, repr(diffview.document(planned)), repr(planned)])


def test_first_plan_makes_neither_key_nor_records(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", a="1")})
    project = plan(installation)
    assert objects(project) == {"a": "create created"}
    assert "added .data.a null -> 1" in fields(project, "a")
    assert (of(project, "a").report.path, of(project, "a").report.line) == ("a.yaml", 2)
    assert code(project) == 1
    assert not installation.exists("secrets", marks.KEY_SECRET)
    assert installation.record() is None


def test_nothing_to_do_is_0_and_costs_what_a_sync_costs(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    with installation.recorded() as by_sync:
        installation.sync()
    with installation.recorded() as by_plan:
        project = plan(installation)
    assert (objects(project), code(project)) == ({}, 0)
    assert len(by_plan.all) <= len(by_sync.all)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_thousand_unchanged_objects_cost_no_request_of_their_own(installation: Installation) -> None:
    files = {f"{n}.yaml": [config_map(f"c-{n}-{i}") for i in range(50)] for n in range(20)}
    installation.commit(files)
    installation.sync()
    with installation.recorded() as by_sync:
        installation.sync()
    with installation.recorded() as by_plan:
        assert code(plan(installation)) == 0
    assert len(by_plan.all) <= 1.2 * len(by_sync.all), by_plan.count()


def test_create_update_and_prune_with_their_fields(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a", x="1", y="2"), config_map("old"), deployment("web")]})
    installation.sync(wait=False)
    changed = deployment("web", replicas=3)
    changed["spec"]["template"]["spec"]["containers"] = [
        {"name": "web", "image": "web:2"},
        {"name": "log", "image": "log:1"},
    ]
    installation.commit({"a.yaml": [config_map("a", x="1"), config_map("new"), changed]})
    project = plan(installation)
    assert objects(project) == {
        "a": "update updated",
        "new": "create created",
        "old": "prune pruned",
        "web": "update updated",
    }
    assert fields(project, "a") == ["removed .data.y 2 -> null"]
    assert fields(project, "web") == [
        "changed .spec.replicas 1 -> 3",
        'changed .spec.template.spec.containers[name="web"].image web:1 -> web:2',
        'added .spec.template.spec.containers[name="log"] null -> {"image": "log:1", "name": "log"}',
    ]
    report = installation.sync(wait=False)
    done = {its.ref.name: its.outcome.value for its in report.objects}
    assert done == {"a": "updated", "new": "created", "old": "pruned", "web": "updated"}, "the plan was wrong"
    assert code(plan(installation)) == 0


def test_another_way_to_write_a_quantity_is_no_change(installation: Installation) -> None:
    def web(cpu: Any) -> dict[str, Any]:
        made = deployment("web", replicas=0)
        made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": cpu}}
        return made

    installation.commit({"a.yaml": web("100m")})
    installation.sync(wait=False)
    installation.commit({"a.yaml": web("0.1")})
    project = plan(installation)
    assert (objects(project), code(project)) == ({}, 0)
    assert of(project, "web").report.message == "only our marks on it would be written: changed in git"


def test_drift_is_told_with_the_value_that_comes_back(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a", x="1")})
    installation.sync()
    installation.api.patch(installation.path("configmaps", "a"), {"data": {"x": "by hand"}})
    project = plan(installation)
    assert objects(project) == {"a": "update updated"}
    assert fields(project, "a") == ["changed .data.x by hand -> 1"]
    assert of(project, "a").report.message == "changed in the cluster"


def test_held_prune_has_its_reason_and_hash(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.sync()
    installation.commit({"a.yaml": None})
    project = plan(installation)
    assert objects(project) == {"a": "prune held"}
    assert project.report.held is not None
    planned_hash = project.report.held.plan_hash
    assert code(project) == 1
    held = installation.sync().held
    assert held is not None
    assert held.plan_hash == planned_hash


def test_prune_waits_for_what_may_take_its_place(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b"), config_map("c")]})
    installation.sync()
    bad = manifest("v1", "ConfigMap", "d", data="not a map")
    installation.commit({"a.yaml": [config_map("a"), config_map("b"), bad]})
    project = plan(installation)
    assert objects(project) == {"c": "prune held", "d": "none failed"}
    assert code(project) == 2


def test_blocked_skipped_and_failed_are_told(installation: Installation) -> None:
    installation.api.post(installation.path("configmaps"), config_map("foreign"))
    bad = manifest("v1", "Service", "bad", spec={"ports": [{"port": 0}]})
    after_bad = config_map("after", after=f"/namespaces/{installation.namespace}/Service/bad")
    installation.commit({"a.yaml": [config_map("foreign"), bad, after_bad]})
    project = plan(installation)
    assert objects(project) == {
        "after": "none blocked",
        "bad": "none failed",
        "foreign": "none skipped",
    }
    assert "spec.ports[0].port" in of(project, "bad").report.message
    assert code(project) == 2


def test_what_is_taken_from_another_hand_is_told(installation: Installation) -> None:
    installation.api.post(installation.path("configmaps"), config_map("theirs", x="old"))
    installation.configure(inventory_policy="adopt_all")
    installation.commit({"a.yaml": config_map("theirs", x="new")})
    project = plan(installation)
    assert objects(project) == {"theirs": "take_over updated"}
    assert fields(project, "theirs") == ["changed .data.x old -> new"]


def test_what_comes_with_its_namespace_or_definition(installation: Installation, namespace: str) -> None:
    group = f"{namespace}.example.com"
    inside = f"{namespace}-inside"
    space = manifest("v1", "Namespace", inside)
    widget = manifest(f"{group}/v1", "Widget", "w", spec={"n": 1})
    installation.commit({"a.yaml": [space, config_map("c", namespace=inside), definition(group), widget]})
    project = plan(installation)
    assert set(objects(project).values()) == {"create created"}
    assert of(project, "c").change.unseen == f"Namespace {inside} does not exist yet"
    assert "not served yet" in of(project, "w").change.unseen
    assert "added .spec.n null -> 1" in fields(project, "w")
    assert code(project) == 1


SECRETS = {
    "new": (None, {"stringData": {"password": CANARY}}, None),
    "new in a new namespace": (None, {"stringData": {"password": CANARY}, "stringDatta": CANARY}, "inner"),
    "changed": ({"stringData": {"password": "x"}}, {"stringData": {"password": CANARY}}, None),
    "changed back": ({"stringData": {"password": CANARY}}, {"stringData": {"password": "x"}}, None),
    "removed": ({"data": {"password": ENCODED, "a": ""}}, {"data": {"a": ""}}, None),
    "refused": ({"stringData": {"password": CANARY}}, {"data": {"password": CANARY}}, None),
    "misspelt": ({"stringData": {"password": CANARY}}, {"stringDatta": {"password": CANARY}}, None),
    "not sent": ({"stringData": {"password": CANARY}}, {"metadata": {"labels": {"a": "b"}}}, None),
}


@pytest.mark.parametrize(("before", "after", "inside"), SECRETS.values(), ids=SECRETS.keys())
def test_no_value_of_a_secret_is_told(
    installation: Installation,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    inside: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0, logger="reconciler")

    def secret(parts: dict[str, Any]) -> dict[str, Any]:
        made = manifest("v1", "Secret", "s")
        last_applied = {"kubectl.kubernetes.io/last-applied-configuration": CANARY, "note": CANARY}
        made["metadata"] |= {"annotations": last_applied, **parts.get("metadata", {})}
        return {**made, **{name: its for name, its in parts.items() if name != "metadata"}}

    if before is not None:
        installation.commit({"s.yaml": secret(before)})
        installation.sync()
    made = [secret(after)]
    if inside:
        space = f"{installation.namespace}-{inside}"
        made[0]["metadata"]["namespace"] = space
        made.append(manifest("v1", "Namespace", space))
    installation.commit({"s.yaml": made})
    planned = plan_all(installation)
    (project,) = planned.projects
    assert "s" in objects(project)
    said = all_said(planned) + caplog.text
    assert CANARY not in said
    assert ENCODED[:8] not in said
    if before and of(project, "s").change.fields:
        assert ".data.password" in said or "labels" in said


def test_who_may_only_read_gets_the_plan_and_what_it_could_not_see(installation: Installation) -> None:
    removed = config_map("a", x="1", y="2", z="3")
    secret = manifest("v1", "Secret", "s", stringData={"password": "x"})
    installation.commit({"a.yaml": [removed, secret, deployment("web")]})
    installation.sync(wait=False)
    secret["stringData"]["password"] = CANARY
    installation.commit({"a.yaml": [config_map("a", x="1", y="changed"), secret, config_map("n")]})
    planned = plan_all(read_only(installation))
    (project,) = planned.projects
    assert objects(project) == {
        "a": "update updated",
        "n": "create created",
        "s": "update updated",
        "web": "prune pruned",
    }
    assert fields(project, "a") == ["changed .data.y 2 -> changed", "removed .data.z 3 -> null"]
    assert fields(project, "s") == ["changed .data.password"]
    (configs, secrets) = project.unseen
    assert configs.startswith("2 of ConfigMap: not checked by the server, only its own fields compared")
    assert "may not patch configmaps" in configs
    assert secrets.startswith("1 of Secret: ")
    assert CANARY not in all_said(planned)
    assert code(project) == 1


def test_without_the_key_each_object_is_compared(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    project = plan(read_only(installation, "secrets"))
    assert (objects(project), code(project)) == ({}, 0)
    assert any("our marks cannot be verified" in its for its in project.unseen), project.unseen


def test_without_the_records_nothing_is_said_of_prunes(installation: Installation) -> None:
    installation.commit({"a.yaml": [manifest("v1", "Service", "a", spec={"ports": [{"port": 1}]})]})
    installation.sync()
    project = plan(read_only(installation, "configmaps"))
    assert objects(project) == {}
    assert any("what would be pruned, as the records cannot be read" in its for its in project.unseen)
    assert code(project) == 2


def test_a_kind_that_cannot_be_read_is_2_and_named(installation: Installation) -> None:
    secret = manifest("v1", "Secret", "s", stringData={"password": CANARY})
    installation.commit({"a.yaml": [config_map("a"), secret]})
    planned = plan_all(read_only(installation, "secrets"))
    (project,) = planned.projects
    assert objects(project) == {"a": "create created", "s": "none failed"}
    assert any(its.startswith("objects of Secret: ") for its in project.unseen), project.unseen
    assert code(planned) == 2
    assert CANARY not in all_said(planned)


def test_another_revision_is_planned_by_branch_tag_and_commit(installation: Installation) -> None:
    first = installation.commit({"a.yaml": config_map("a", x="1")})
    installation.sync()
    installation.repo.tag("v1", first, annotated=True)
    installation.repo.branch("side", first)
    installation.commit({"a.yaml": config_map("a", x="2")})
    assert fields(plan(installation), "a") == ["changed .data.x 1 -> 2"]
    for revision in ("v1", "side", first, "refs/tags/v1", "refs/heads/side"):
        project = plan(installation, revision=revision)
        assert (objects(project), project.report.commit) == ({}, first), revision


def test_a_revision_that_is_not_there_is_2(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    project = plan(installation, revision="nowhere")
    assert (project.report.state.value, code(project)) == ("unknown", 2)
    assert "no branch nowhere" in project.report.reason
    with pytest.raises(OptionsInvalid, match="can be no revision"):
        plan(installation, revision="--upload-pack=x")


def test_a_directory_is_planned_as_if_it_were_committed(installation: Installation, tmp_path: Path) -> None:
    installation.commit({"a.yaml": config_map("a", x="1")})
    installation.sync()
    work = tmp_path / "work"
    (work / ".git").mkdir(parents=True)
    (work / ".git" / "config.yaml").write_text("no manifest")
    (work / "a.yaml").write_text(text(config_map("a", x="local"), config_map("b")))
    installation.configure(url=str(tmp_path / "no-repository.git"))
    project = plan(installation, path=work)
    assert objects(project) == {"a": "update updated", "b": "create created"}
    assert fields(project, "a") == ["changed .data.x 1 -> local"]
    assert project.directory == str(work)


def test_a_directory_stands_for_one_project(installation: Installation, tmp_path: Path) -> None:
    installation.configure_projects([{}, {"id": "other"}])
    with pytest.raises(OptionsInvalid, match="2 projects"):
        plan_all(installation, path=tmp_path)
    with pytest.raises(OptionsInvalid, match="both given"):
        plan_all(installation, path=tmp_path, revision="main")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a.yaml").write_text(text(config_map("a")))
    (project,) = plan_all(installation, PROJECT, path=tmp_path / "w").projects
    assert objects(project) == {"a": "create created"}


def test_what_stands_still_is_planned_as_such(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.configure(suspend=True)
    project = plan(installation)
    assert (project.report.state.value, objects(project), code(project)) == ("suspended", {}, 0)


def test_a_project_that_declares_what_another_declares(installation: Installation) -> None:
    installation.commit({"a.yaml": config_map("a")})
    installation.configure_projects([{}, {"id": "second", "depends_on": [PROJECT]}])
    first, second = plan_all(installation).projects
    assert objects(first) == {"a": "create created"}
    assert objects(second) == {"a": "none blocked"}


def test_a_strict_project_applies_nothing_while_a_manifest_is_broken(installation: Installation) -> None:
    installation.configure(strict=True)
    installation.commit({"a.yaml": config_map("a"), "b.yaml": "kind: [\n"})
    planned = plan_all(installation)
    (project,) = planned.projects
    assert (objects(project), code(planned)) == ({}, 2)
    assert "strict: nothing is applied" in "\n".join(diffview.text(planned, coloured=False))
    assert "b.yaml" in "\n".join(diffview.text(planned, coloured=False))


def test_a_file_that_cannot_be_read_is_2_and_holds_all_prunes(installation: Installation) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    installation.sync()
    installation.commit({"a.yaml": config_map("a"), "b.yaml": "kind: [\n"})
    planned = plan_all(installation)
    (project,) = planned.projects
    assert (objects(project), code(planned)) == ({"b": "prune held"}, 2)
    assert "b.yaml cannot be read" in "\n".join(diffview.text(planned, coloured=False))


def test_what_an_annotation_keeps_is_let_go(installation: Installation) -> None:
    kept = config_map("kept")
    kept["metadata"]["annotations"] = {"client.lifecycle.config.k8s.io/deletion": "detach"}
    installation.commit({"a.yaml": [config_map("a"), kept]})
    installation.sync()
    installation.commit({"a.yaml": config_map("a")})
    project = plan(installation)
    assert objects(project) == {"kept": "hand_over handed_over"}
    assert code(project) == 1
    assert {its.ref.name: its.outcome.value for its in installation.sync().objects}["kept"] == "handed_over"


def test_what_something_else_needs_is_not_pruned(installation: Installation) -> None:
    needed = f"/namespaces/{installation.namespace}/ConfigMap/needed"
    installation.commit({"a.yaml": [config_map("a"), config_map("needed"), config_map("b", after=needed)]})
    installation.sync()
    installation.commit({"a.yaml": [config_map("a"), config_map("b", after=needed)]})
    planned = plan(installation)
    done = {its.ref.name: its.outcome.value for its in installation.sync().objects}
    told = {its.report.ref.name: its.report.outcome.value for its in planned.objects}
    assert told == done


@pytest.fixture
def predecessor(installation: Installation) -> Predecessor:
    installation.configure(inventory_policy="adopt_all")
    return Predecessor(installation)


def as_told(before: Mapping[str, Any], planned: PlannedObject, after: Mapping[str, Any]) -> None:
    """What the plan told is just what has become of the object's spec; its controller writes elsewhere."""
    found = [c for c in difference(before, after, after, mask=Mask.NOTHING) if c.path.startswith(".spec")]
    assert {c.path: c.new for c in planned.change.fields} == {c.path: c.new for c in found}


@pytest.mark.parametrize("how", ["applied", "created"])
def test_what_goes_with_a_take_over_is_told(
    installation: Installation, predecessor: Predecessor, how: str
) -> None:
    """`applied`: as agentk did; `created`: as kubectl did, who then owns the server's defaults as well."""
    made = deployment("web", replicas=3)
    made["spec"]["template"]["spec"]["containers"].append({"name": "old", "image": "old:1"})
    getattr(predecessor, how)("apps/v1/deployments", made)
    getattr(predecessor, how)("configmaps", config_map("a", kept="1", gone="1"))
    service = manifest("v1", "Service", "s", spec={"selector": {"a": "b"}, "ports": [{"port": 80}]})
    getattr(predecessor, how)("services", service)
    wanted = deployment("web", replicas=3)
    installation.commit({"a.yaml": [wanted, config_map("a", kept="2"), service]})
    before = installation.get("apps/v1/deployments", "web")
    project = plan(installation)
    assert objects(project) == dict.fromkeys(("a", "s", "web"), "take_over updated")
    assert fields(project, "a") == ["removed .data.gone 1 -> null", "changed .data.kept 1 -> 2"]
    assert fields(project, "s") == [], "what the server filled in is filled in again"
    assert [c.path for c in of(project, "web").change.fields] == [
        '.spec.template.spec.containers[name="old"]'
    ]
    installation.sync(wait=False)
    as_told(before, of(project, "web"), installation.get("apps/v1/deployments", "web"))


def test_who_may_only_read_is_told_of_a_take_over_too(
    installation: Installation, predecessor: Predecessor
) -> None:
    predecessor.applied("configmaps", config_map("a", kept="1", gone="1"))
    predecessor.created("configmaps", config_map("b", kept="1", gone="1"))
    installation.commit({"a.yaml": [config_map("a", kept="1"), config_map("b", kept="1")]})
    project = plan(read_only(installation))
    assert objects(project) == {"a": "take_over updated", "b": "take_over updated"}
    assert fields(project, "a") == ["removed .data.gone 1 -> null"]
    assert "taken over" in of(project, "a").report.message
    assert project.unseen


def test_a_number_that_stays_for_an_autoscaler_is_no_change(installation: Installation) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9}
    scaler = manifest("autoscaling/v2", "HorizontalPodAutoscaler", "web-scaler", spec=spec)
    installation.commit({"a.yaml": [deployment("web", replicas=3), scaler]})
    installation.sync(wait=False)
    released = deployment("web")
    del released["spec"]["replicas"]
    installation.commit({"a.yaml": [released, scaler]})
    project = plan(installation)
    assert (objects(project), code(project)) == ({}, 0)
    assert ".spec.replicas left git, live value kept" in of(project, "web").report.message
    installation.commit({"a.yaml": released})
    assert fields(plan(installation), "web") == []


def test_a_number_that_nobody_scales_falls(installation: Installation) -> None:
    installation.commit({"a.yaml": deployment("web", replicas=3)})
    installation.sync(wait=False)
    released = deployment("web")
    del released["spec"]["replicas"]
    installation.commit({"a.yaml": released})
    assert fields(plan(installation), "web") == ["changed .spec.replicas 3 -> 1"]


def test_what_agentk_left_is_planned_and_not_touched(installation: Installation, api: Api) -> None:
    agentk = Agentk(api, namespace=installation.namespace)
    agentk.run(config_map("a"), config_map("b"), config_map("c"))
    installation.commit({"a.yaml": [config_map("a"), config_map("b", a="2"), config_map("new")]})
    project = plan(installation)
    assert objects(project) == {
        "a": "take_over updated",
        "b": "take_over updated",
        "c": "prune pruned",
        "new": "create created",
    }
    assert any(agentk.name in note for note in project.report.notes)
    done = {its.ref.name: its.outcome.value for its in installation.sync().objects}
    assert done == {"a": "updated", "b": "updated", "c": "pruned", "new": "created"}


def test_a_project_that_is_held_as_a_whole_is_1(installation: Installation, api: Api) -> None:
    agentk = Agentk(api, namespace=installation.namespace)
    agentk.run(config_map("a"))
    installation.configure(inventory_id="another")
    installation.commit({"a.yaml": config_map("a")})
    planned = plan_all(installation)
    (project,) = planned.projects
    assert (project.report.state.value, objects(project), code(planned)) == ("held", {}, 1)
    assert "another" in "\n".join(diffview.text(planned, coloured=False))


def taking(name: str, source: str, path: str, **data: str) -> dict[str, Any]:
    """A ConfigMap whose `a` is a value of another object."""
    kind = source.partition("/")[0]
    ref = {"apiVersion": "v1", "kind": kind, "name": source.partition("/")[2]}
    made = config_map(name, a="none", **data)
    entry = {"sourceRef": ref, "sourcePath": path, "targetPath": "$.data.a"}
    made["metadata"]["annotations"] = {"config.kubernetes.io/apply-time-mutation": json.dumps([entry])}
    return made


def test_a_version_that_comes_with_its_definition(installation: Installation, namespace: str) -> None:
    group = f"{namespace}.example.com"
    made = definition(group)
    installation.commit({"a.yaml": [made, manifest(f"{group}/v1", "Widget", "w", spec={"n": 1})]})
    installation.sync()
    first = made["spec"]["versions"][0]
    made["spec"]["versions"] = [first, {**first, "name": "v2", "storage": False}]
    installation.commit({"a.yaml": [made, manifest(f"{group}/v2", "Widget", "w", spec={"n": 1})]})
    project = plan(installation)
    assert objects(project)["w"] == "update updated"
    assert fields(project, "w") == [f"changed .apiVersion {group}/v1 -> {group}/v2"]


def test_values_of_other_objects_are_part_of_the_plan(installation: Installation) -> None:
    source = config_map("source", x="1")
    installation.commit({"a.yaml": [source, taking("target", "ConfigMap/source", "$.data.x")]})
    first = plan(installation)
    assert objects(first) == {"source": "create created", "target": "create created"}
    assert "it takes values of ConfigMap" in of(first, "target").change.unseen
    installation.sync()
    assert code(plan(installation)) == 0
    installation.commit({"a.yaml": [source, taking("target", "ConfigMap/source", "$.data.x", b="2")]})
    assert fields(plan(installation), "target") == ["added .data.b null -> 2"]
    assert installation.sync().state.value == "synced"
    assert code(plan(installation)) == 0


def test_values_of_a_secret_in_another_object_are_not_told(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0, logger="reconciler")
    secret = manifest("v1", "Secret", "s", data={"password": ENCODED})
    direct = taking("direct", "Secret/s", "$.data.password")
    through = taking("through", "ConfigMap/direct", "$.data.a")
    installation.commit({"a.yaml": [secret, direct, through]})
    installation.sync()
    assert installation.get("configmaps", "through")["data"]["a"] == ENCODED
    for name in ("through", "direct"):
        installation.api.patch(installation.path("configmaps", name), {"data": {"a": "by hand"}})
        planned = plan_all(installation)
        assert fields(planned.projects[0], name) == ["changed .data.a"]
        assert ENCODED not in all_said(planned) + caplog.text


def test_what_would_be_replaced_is_told(installation: Installation) -> None:
    installation.commit({"a.yaml": job("a:1")})
    installation.sync(wait=False)
    installation.commit({"a.yaml": job("a:2")})
    planned = plan(installation)
    assert objects(planned) == {"it": "none failed"}
    assert "set the annotation reconciler.dev/replace: allowed" in of(planned, "it").report.message
    installation.commit({"a.yaml": job("a:2", value="allowed")})
    planned = plan(installation)
    assert objects(planned) == {"it": "replace updated"}
    assert code(planned) == 1
    assert any("a:1" in line and "a:2" in line for line in fields(planned, "it"))
    assert "deleted and created anew" in of(planned, "it").report.message
