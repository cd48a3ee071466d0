"""Several runs of one process, which remembers what it read: what changes under it is noticed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from localcluster import Api
from reconciler.git.mirror import Revision
from reconciler.service.assembly import Assembled, assembled
from reconciler.service.onepass import one_pass, read_configuration
from reconciler.sync import marks
from reconciler.sync.errors import TwoWriters
from reconciler.sync.outcome import ProjectReport, State
from reconciler.sync.repositories import place_of
from reconciler.sync.request import Request
from tests.fix_sync import Installation, of, outcomes
from tests.objects import config_map, definition, deployment, manifest

Run = Callable[[], Awaitable[ProjectReport]]


async def newest(parts: Assembled, *, wait: bool = False) -> Request:
    """What to run now: the configuration and the repository are read anew."""
    configuration = await read_configuration(parts)
    (project,) = configuration.projects
    found = await parts.repositories.look(place_of(project), [project.ref], {})
    revision = found[project.ref]
    assert isinstance(revision, Revision), revision
    source = parts.repositories.source(project, configuration.limits)
    return Request(project=project, revision=revision, source=source, limits=configuration.limits, wait=wait)


@pytest.fixture
async def run(installation: Installation) -> AsyncIterator[Run]:
    """Sync the project once more, as a service that goes on does."""
    async with assembled(installation.options) as parts:

        async def once() -> ProjectReport:
            return await parts.runner.run(await newest(parts))

        yield once


@pytest.fixture
async def run_and_wait(installation: Installation) -> AsyncIterator[Run]:
    """As `run`, and wait until everything is ready."""
    async with assembled(installation.options) as parts:

        async def once() -> ProjectReport:
            return await parts.runner.run(await newest(parts, wait=True))

        yield once


@pytest.fixture
def group(api: Api, namespace: str) -> Iterator[str]:
    """An API group of the test's own; the definition of Widgets in it is deleted afterwards."""
    name = f"{namespace}.example.com"
    yield name
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{name}"
    if api.exists(path):
        api.delete(path)


async def test_run_without_a_change_costs_one_request_for_each_kind(
    installation: Installation, run: Run
) -> None:
    installation.commit({"a.yaml": [config_map("a"), manifest("v1", "Secret", "s")]})
    await run()
    with installation.recorded() as requests:
        await run()
    assert requests.count() == {"list configmaps": 1, "list secrets": 1}


async def test_one_changed_file_costs_few_requests_more(installation: Installation, run: Run) -> None:
    """The apply, and shard and head once it is done: an update needs no record beforehand."""
    installation.commit({f"{n:03}.yaml": config_map(f"c{n:03}") for n in range(100)})
    await run()
    installation.commit({"007.yaml": config_map("c007", a="2", b="3")})
    with installation.recorded() as requests:
        await run()
    assert requests.of_objects == ["patch configmaps/c007"]
    assert len(requests.all) <= 1 + 5, requests.count()


@pytest.mark.parametrize("forced", [False, True], ids=["update", "forced apply"])
async def test_foreign_change_is_corrected_by_the_next_run(
    installation: Installation,
    run: Run,
    forced: bool,
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    await run()
    path = installation.path("configmaps", "a")
    if forced:
        installation.api.apply(path, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "2"}})
    else:
        installation.api.put(path, {**installation.api.get(path), "data": {"a": "2"}})
    with installation.recorded() as requests:
        report = await run()
    assert (report.state, requests.of_objects) == (State.SYNCED, ["patch configmaps/a"])
    assert installation.get("configmaps", "a")["data"] == {"a": "1"}


async def test_shard_that_another_writes_is_noticed_and_read_again(
    installation: Installation, run: Run
) -> None:
    installation.commit({"a.yaml": config_map("a")})
    await run()
    path = installation.path("configmaps", installation.inventory_id + "-0")
    installation.api.patch(path, {"metadata": {"labels": {"by": "another"}}})
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    with installation.recorded() as requests, pytest.raises(TwoWriters):
        await run()
    assert requests.of_objects == [], "nothing may be created before it is recorded"
    assert (await run()).state is State.SYNCED
    assert installation.recorded_names() == {"a", "b"}


@pytest.mark.parametrize("suffix", ["", "-0"])
async def test_record_deleted_under_us_is_noticed_and_never_prunes(
    installation: Installation, run: Run, suffix: str
) -> None:
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    await run()
    installation.api.delete(installation.path("configmaps", installation.inventory_id + suffix))
    installation.commit({"a.yaml": [config_map("a", a="2", b="2"), config_map("c")]})
    with pytest.raises(TwoWriters):
        await run()
    report = await run()
    assert (report.state, outcomes(report)["b"]) == (State.HELD, "held")
    assert installation.exists("configmaps", "b")


async def test_definition_that_another_installs_is_seen_by_the_next_run(
    installation: Installation, api: Api, group: str, run: Run
) -> None:
    installation.commit({"w.yaml": manifest(f"{group}/v1", "Widget", "w", spec={})})
    assert outcomes(await run()) == {"w": "failed"}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.post(crds, definition(group))
    api.until(f"/apis/{group}/v1", bool)
    assert outcomes(await run()) == {"w": "created"}


async def test_namespace_that_was_deleted_and_made_again_gets_its_objects_back(
    installation: Installation, api: Api, namespace: str, run: Run
) -> None:
    other = f"{namespace}-other"
    path = f"/api/v1/namespaces/{other}"
    installation.commit({"a.yaml": [manifest("v1", "Namespace", other), config_map("a", namespace=other)]})
    try:
        assert (await run()).state is State.SYNCED
        api.delete(path)
        api.until(path, lambda it: it is None)
        report = await run()
        assert (report.state, outcomes(report)) == (State.SYNCED, {other: "created", "a": "created"})
    finally:
        if api.exists(path):
            api.delete(path)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_namespace_that_is_being_deleted_blocks_what_lives_in_it(
    installation: Installation, api: Api, namespace: str, run: Run
) -> None:
    other = f"{namespace}-other"
    path = f"/api/v1/namespaces/{other}"
    held = {"metadata": {"name": "held", "finalizers": ["example.com/wait"]}}
    installation.commit({"a.yaml": [manifest("v1", "Namespace", other), config_map("a", namespace=other)]})
    await run()
    api.post(f"{path}/configmaps", held)
    api.delete(path)
    try:
        api.until(f"{path}/configmaps/a", lambda it: it is None)
        report = await run()
        assert outcomes(report) == {other: "blocked", "a": "blocked"}
        assert of(report, other).reason == "Terminating"
    finally:
        api.patch(f"{path}/configmaps/held", {"metadata": {"finalizers": None}})
    api.until(path, lambda it: it is None, seconds=40)
    assert (await run()).state is State.SYNCED
    api.delete(path)


async def test_approval_is_read_anew_in_a_process_that_goes_on(installation: Installation, run: Run) -> None:
    installation.configure(prune_limit=0)
    installation.commit({"a.yaml": [config_map("a"), config_map("b")]})
    await run()
    installation.commit({"a.yaml": config_map("a")})
    held = (await run()).held
    assert held
    installation.api.patch(
        installation.path("configmaps", installation.inventory_id),
        {"metadata": {"annotations": {marks.APPROVED: held.plan_hash}}},
    )
    assert outcomes(await run()) == {"a": "unchanged", "b": "pruned"}
    assert marks.APPROVED not in installation.record()["metadata"]["annotations"]


async def test_stopped_run_records_what_it_has_done(installation: Installation) -> None:
    """The stop comes with the first created object; what was sent is finished, the rest not started."""
    names = [f"c{n:02}" for n in range(60)]
    installation.commit({"a.yaml": [config_map(name) for name in names]})
    stop = asyncio.Event()
    async with assembled(installation.options, progress=lambda *_: stop.set()) as parts:
        report = await parts.runner.run(replace(await newest(parts), wait=True, stop=stop))
    created = {name for name in names if installation.exists("configmaps", name)}
    assert report.state is State.PROGRESSING
    assert 0 < len(created) < len(names)
    recorded = installation.inventory()
    assert {ref.name for ref, record in recorded.items() if record.uid} == created
    (report,) = (await one_pass(installation.options)).reports
    assert report.state is State.SYNCED


async def test_waiting_for_what_was_just_written_needs_no_list_of_its_own(
    installation: Installation, run_and_wait: Run
) -> None:
    """Beyond the comparison: three applies, shard and head, and a watch of the Deployments."""

    def files(number: str) -> dict[str, object]:
        service = manifest("v1", "Service", "web", spec={"clusterIP": "None", "selector": {"n": number}})
        return {"a.yaml": [config_map("a", a=number), service, deployment("web", ready_after=f"0.{number}s")]}

    installation.commit(files("1"))
    await run_and_wait()
    installation.commit(files("2"))
    with installation.recorded() as requests:
        report = await run_and_wait()
    assert [its.health for its in report.objects] == ["Current"] * 3
    asked = requests.count()
    lists = {f"list {kind}": 1 for kind in ("configmaps", "services", "deployments")}
    assert {name: count for name, count in asked.items() if name.startswith("list ")} == lists
    assert (asked - Counter(lists)).total() <= 5 + 1, asked
