"""
Waiting for objects, as a script of what the watch tells: who is waited for, and when it ends.

One word an event: `a-` failed, `a.` in progress, `a+` current, `a!` deleted, `a*` made anew by
another hand, `a,` current at a generation before the one that was applied.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from string import ascii_lowercase
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.cluster.errors import Forbidden, NotFound
from reconciler.cluster.follow import Listed
from reconciler.cluster.reach import Reach
from reconciler.cluster.resource import Resource
from reconciler.cluster.watch import EventKind, WatchEvent
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.apply import Applying, ApplyPass, Standing
from reconciler.sync.outcome import ObjectReport, Outcome, State
from reconciler.sync.passing import IN_FLIGHT, NoTimings, Pass
from reconciler.sync.plan import Candidate, Live
from reconciler.sync.prune import PrunePass, Pruning
from reconciler.sync.readiness import Readiness
from reconciler.sync.walk import Walk
from reconciler.tasks import task_group
from tests.faults.gateway import Gateway
from tests.fix_sync import PROJECT, Installation
from tests.objects import config_map
from tests.sync.inprocess import running

WIDGETS = Resource("example.com", "v1", "Widget", "widgets", namespaced=True)
GENERATION = 2
CONDITIONS = {"-": ("Stalled", "True"), ".": ("Reconciling", "True"), "+": ("Ready", "True")}


def widget(name: str) -> ObjectRef:
    return ObjectRef("example.com", "Widget", "shop", name)


def item(name: str, how: str, *, uid: str = "") -> dict[str, Any]:
    kind, status = CONDITIONS["+" if how in "*," else how]
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": uid or f"uid-{name}",
            "resourceVersion": "7",
            "generation": GENERATION - 1 if how == "," else GENERATION,
        },
        "status": {"conditions": [{"type": kind, "status": status}]},
    }


class Told:
    """A cluster of which only what the script tells is known."""

    def __init__(self, names: str) -> None:
        self.items = {name: item(name, ".") for name in names}
        self.deleted: list[str] = []
        self.deaf = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.reach = Reach()
        self._news: asyncio.Queue[WatchEvent] = asyncio.Queue()

    @asynccontextmanager
    async def follow(self, _resource: Resource, **_how: Any) -> AsyncIterator[AsyncIterator[Any]]:
        yield self._changes()

    async def _changes(self) -> AsyncIterator[Listed | WatchEvent]:
        if self.deaf:
            raise Forbidden(what="may not watch", where="widgets", mend="grant watch")
        yield Listed(tuple(self.items.values()), "1")
        while True:
            yield await self._news.get()

    async def get(self, _resource: Resource, _namespace: str, name: str, **_how: Any) -> dict[str, Any]:
        if name not in self.items:
            raise NotFound(what="is not there", where=name, mend="")
        return self.items[name]

    async def delete(self, _resource: Resource, _namespace: str, name: str, **_how: Any) -> None:
        self.deleted.append(name)
        await self.answers.wait()

    def happen(self, word: str) -> None:
        name, how = word
        if how == "!":
            self._news.put_nowait(WatchEvent(EventKind.DELETED, self.items.pop(name)))
            return
        self.items[name] = item(name, how, uid="another" if how == "*" else "")
        self._news.put_nowait(WatchEvent(EventKind.MODIFIED, self.items[name]))


async def _nothing() -> None:
    pass


async def rest() -> None:
    """Let everything happen that can without time passing."""
    for _ in range(30):
        await asyncio.sleep(0)


class Waiting:
    """A pass that waits; `tell` gives it news, `ended` says whether it has come to its end."""

    def __init__(self, names: str, *, timeout: float = 0.0, needs: str = "") -> None:
        """`needs`: pairs such as `ba`, b needs a."""
        self.cluster: Any = Told(names)
        self.needs = {widget(pair[0]): frozenset({widget(pair[1])}) for pair in needs.split()}
        self.order = [widget(name) for name in names]
        self.timeout = timeout
        self.stop = asyncio.Event()
        self.started: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def applied(self, readiness: Readiness) -> ApplyPass:
        unused: Any = dict.fromkeys(("kinds", "declared", "mark", "render", "since", "replacing"))
        ownership: Any = SimpleNamespace(notes={})
        return ApplyPass(
            Walk(self.order, self.needs),
            {},
            {ref: Standing(WIDGETS, f"uid-{ref.name}", "6", GENERATION) for ref in self.order},
            cluster=self.cluster,
            readiness=readiness,
            settings=Applying(manager="m", timeout=self.timeout, wait=True),
            ownership=ownership,
            stop=self.stop,
            save=_nothing,
            timings=NoTimings(),
            progress=lambda _report: None,
            so_far={ref: ObjectReport(ref=ref, outcome=Outcome.UPDATED) for ref in self.order},
            **unused,
        )

    def deleted(self, readiness: Readiness) -> PrunePass:
        live = {ref: Live(uid=f"uid-{ref.name}", owner="i") for ref in self.order}
        return PrunePass(
            Walk(self.order, self.needs),
            {ref: (Candidate(ref=ref, live=its), WIDGETS) for ref, its in live.items()},
            cluster=self.cluster,
            readiness=readiness,
            settings=Pruning(
                instance="i", project="p", inventory="i", propagation="foreground", timeout=self.timeout
            ),
            stop=self.stop,
            save=_nothing,
            timings=NoTimings(),
            progress=lambda _report: None,
        )

    @asynccontextmanager
    async def running(self, kind: str) -> AsyncIterator[Pass]:
        async with task_group() as tasks:
            readiness = Readiness(self.cluster, instance="i", tasks=tasks)
            waiting: Pass = self.applied(readiness) if kind == "apply" else self.deleted(readiness)
            self._task = tasks.create_task(waiting.run())
            await rest()
            yield waiting
            self.stop.set()
            await self._task

    async def tell(self, script: str) -> str:
        """After each event `y` if the pass had ended, else `n`."""
        ended = ""
        for word in script.split():
            self.cluster.happen(word)
            await rest()
            ended += "y" if self.ended else "n"
        return ended

    async def end(self) -> None:
        assert self._task
        await asyncio.wait([self._task])

    @property
    def ended(self) -> bool:
        assert self._task
        return self._task.done()


def healths(waiting: Any) -> str:
    words = {"Current": "+", "Failed": "-", "InProgress": ".", "Unknown": "?", "": " "}
    reports = sorted(waiting.reports.values(), key=lambda report: report.ref)
    return " ".join(f"{its.ref.name}{words[its.health]}" for its in reports)


@pytest.mark.parametrize(
    ("names", "script", "ended", "result"),
    [
        pytest.param("a", "a+", "y", "a+", id="current: met"),
        pytest.param("a", "a.", "n", "a.", id="in progress: waits"),
        pytest.param("ab", "a-", "n", "a- b.", id="one failed, the other in progress: waits on for it"),
        pytest.param("ab", "a- b+", "ny", "a- b+", id="and ends with it"),
        pytest.param("ab", "b+ a-", "ny", "a- b+", id="the last pending one failed: ends"),
        pytest.param("ab", "a- a+ b+", "nny", "a+ b+", id="failed, and current meanwhile"),
        pytest.param("ab", "a- a. b+", "nnn", "a. b+", id="failed, and in progress again: waited for"),
        pytest.param("ab", "a- a. b+ a+", "nnny", "a+ b+", id="until it is current"),
        pytest.param("ab", "a+ a. b+", "nnn", "a. b+", id="current, and not any more: waited for"),
        pytest.param("ab", "a+ a- b+", "nny", "a- b+", id="current, and failed meanwhile"),
        pytest.param("a", "a, a,", "nn", "a.", id="current, but older than what was applied: not met"),
        pytest.param("ab", "a*", "n", "a? b.", id="uid changed after the apply: failed"),
        pytest.param("ab", "a* a+", "nn", "a? b.", id="and stays so"),
        pytest.param("a", "a!", "y", "a?", id="deleted while it is waited for: failed"),
    ],
)
async def test_wait_after_an_apply(names: str, script: str, ended: str, result: str) -> None:
    wait = Waiting(names)
    async with wait.running("apply") as waiting:
        assert (await wait.tell(script), healths(waiting)) == (ended, result)


@pytest.mark.parametrize(
    ("script", "started"),
    [
        pytest.param("a+", True, id="what it needs is current"),
        pytest.param("a- b+", False, id="what it needs has failed"),
        pytest.param(
            "a- a+ b+", True, id="what it needs has failed and recovered while others are waited for"
        ),
        pytest.param("a- a. b+ a+", True, id="or after they were"),
    ],
)
async def test_dependant(script: str, started: bool) -> None:
    """`c` needs `a`; `b` is waited for beside."""
    wait = Waiting("abc", needs="ca")
    async with wait.running("apply") as waiting:
        await wait.tell(script)
        assert (widget("c") not in waiting.walk.blocked) is started


@pytest.mark.parametrize(
    ("script", "ended", "gone"),
    [
        pytest.param("a.", "n", "", id="still there"),
        pytest.param("a!", "y", "a", id="gone"),
        pytest.param("a*", "y", "a", id="uid changed after the delete: successful"),
    ],
)
async def test_wait_after_a_delete(script: str, ended: str, gone: str) -> None:
    wait = Waiting("a")
    async with wait.running("delete") as waiting:
        assert wait.cluster.deleted == ["a"]
        assert isinstance(waiting, PrunePass)
        assert (await wait.tell(script), "".join(ref.name for ref in waiting.gone)) == (ended, gone)


@pytest.mark.parametrize("script", ["", "a."], ids=["nothing happens", "only in progress"])
async def test_timeout_ends_the_wait_and_says_so(script: str) -> None:
    wait = Waiting("ab", timeout=0.1)
    async with wait.running("apply") as waiting:
        await wait.tell("b+")
        await wait.tell(script)
        async with asyncio.timeout(5):
            await wait.end()
        assert isinstance(waiting, ApplyPass)
        assert "not ready after 0.1 s" in waiting.reports[widget("a")].message
        assert waiting.reports[widget("b")].health == "Current"


async def test_what_comes_and_goes_does_not_start_its_time_over() -> None:
    wait = Waiting("ab", timeout=0.3)
    async with wait.running("apply") as waiting:
        async with asyncio.timeout(5):
            while not wait.ended:
                await wait.tell("a+ a.")
                await asyncio.sleep(0.01)
        assert isinstance(waiting, ApplyPass)
        assert waiting.reports[widget("b")].reason


async def test_timeout_of_a_delete_keeps_the_object_recorded() -> None:
    wait = Waiting("a", timeout=0.1)
    async with wait.running("delete") as waiting:
        async with asyncio.timeout(5):
            await wait.end()
        assert isinstance(waiting, PrunePass)
        assert (waiting.gone, waiting.reports[widget("a")].reason) == (set(), "PruneTimeout")


async def test_cancel_during_a_wait_ends_it_at_once() -> None:
    wait = Waiting("a")
    async with wait.running("apply"):
        wait.stop.set()
        await rest()
        assert wait.ended


@pytest.mark.parametrize(
    ("names", "needs", "sent"),
    [
        pytest.param("ab", "ba", "a", id="what waits for it"),
        pytest.param(ascii_lowercase, "", ascii_lowercase[:IN_FLIGHT], id="what waits for its turn"),
    ],
)
async def test_cancel_while_deletes_are_sent_finishes_them_and_begins_no_other(
    names: str, needs: str, sent: str
) -> None:
    wait = Waiting(names, needs=needs)
    wait.cluster.answers.clear()
    async with wait.running("delete") as waiting:
        assert isinstance(waiting, PrunePass)
        wait.stop.set()
        await rest()
        assert not wait.ended
        assert await wait.tell(" ".join(f"{name}!" for name in sent)) == "n" * len(sent)
        wait.cluster.answers.set()
        await rest()
        assert wait.ended
        assert "".join(sorted(wait.cluster.deleted)) == sent
        assert waiting.gone == {widget(name) for name in sent}


async def test_cancel_while_an_apply_is_sent_finishes_it_and_begins_no_other(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`b` needs `a`, which is being applied when a newer commit comes that has no `b`."""
    caplog.set_level(logging.INFO)
    path = installation.path("configmaps", "a")
    gateway.hold = lambda method, where: method == "PATCH" and where.startswith(path)
    installation.configure(interval="1s")
    needs = f"/namespaces/{installation.namespace}/ConfigMap/a"
    installation.commit({"all.yaml": [config_map("a"), config_map("b", after=needs)]})
    with installation.recorded() as requests:
        async with running(installation, kubeconfig=gateway_kubeconfig) as (_, seen), asyncio.timeout(10):
            while path not in gateway.written:  # noqa: ASYNC110 - it is asked in a thread of its own
                await asyncio.sleep(0.02)
            newer = installation.commit({"all.yaml": [config_map("a", a="2"), config_map("c")]})
            while f"is at {newer[:12]}" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            gateway.let_go()
            await seen.until(lambda its: its[PROJECT].commit == newer and its[PROJECT].state is State.SYNCED)
    first, *later = [(str(asked), asked.code) for asked in requests.writes if asked.verb == "patch"]
    assert first == ("patch configmaps/a", 201)
    assert sorted(later) == [("patch configmaps/a", 200), ("patch configmaps/c", 201)]
    assert installation.recorded_names() == {"a", "c"}


async def test_watcher_error_fails_the_objects_of_its_kind() -> None:
    """Ours: the old engine ended the whole run; here the objects of other kinds go on."""
    wait = Waiting("a")
    wait.cluster.deaf = True
    async with wait.running("apply") as waiting:
        assert wait.ended
        assert isinstance(waiting, ApplyPass)
        report = waiting.reports[widget("a")]
        assert (report.health, report.reason) == ("Unknown", "Forbidden")
        assert "status cannot be read" in report.message
