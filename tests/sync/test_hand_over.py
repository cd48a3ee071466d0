"""
Objects that move between projects, whatever the order of runs, and wherever one is killed.

A small world stands in for the cluster and the records; what is decided is the product's own:
plan, departures, others, and what is recorded when. Runs of several projects interleave at
every request.
"""

import itertools
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.manifests.identity import ObjectRef
from reconciler.manifests.manifest import ManifestSet
from reconciler.sync.inventory import Record, stamp
from reconciler.sync.others import OtherProject, OtherProjects
from reconciler.sync.outcome import Outcome
from reconciler.sync.plan import Live, Plan
from reconciler.sync.recording import between_projects, new_record
from tests.sync.pieces import MARK, manifest, ref, whole_plan

PROJECTS = ("one", "two", "three")
OBJECTS = (ref("x"), ref("y"))
Git = dict[str, frozenset[ObjectRef]]
"""What each project declares."""


@dataclass
class World:
    """What outlives a process: the cluster, and the records of each project."""

    policy: str = "must_match"
    grace: float = 0.0
    now: float = 1_000_000.0
    live: dict[ObjectRef, Live] = field(default_factory=dict)
    records: dict[str, dict[ObjectRef, Record]] = field(default_factory=lambda: {p: {} for p in PROJECTS})
    versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    deleted: list[tuple[str, ObjectRef, Git]] = field(default_factory=list)

    def others(self, project: str, git: Git, *, shared: bool) -> OtherProjects:
        others = [p for p in PROJECTS if p != project]
        return OtherProjects(
            each=tuple(
                OtherProject(project=p, owner=owner(p), records=dict(self.records[p])) for p in others
            ),
            declared={one: p for p in others for one in git[p]} if shared else {},
        )

    def apply(self, project: str, one: ObjectRef) -> Record:
        version = str(next(self.versions))
        uid = self.live[one].uid if one in self.live else f"uid-{version}"
        self.live[one] = Live(
            uid=uid,
            resource_version=version,
            owner=owner(project),
            project=project,
            applied=MARK,
            entry=version,
            time="t",
            api_version="v1",
        )
        return Record(one, "v1", uid=uid, entry=version, time="t")

    def run(self, project: str, git: Git, *, shared: bool) -> Generator[None, None, Plan]:
        """One run; it may be left for good wherever it yields."""
        recorded = dict(self.records[project])
        declared = git[project]
        manifests = ManifestSet(tuple(map(manifest, sorted(declared))), (), (), (), declared)
        work = whole_plan(
            declared,
            records=recorded.values(),
            live=dict(self.live),
            inventory=owner(project),
            policy=self.policy,
            others=self.others(project, git, shared=shared),
            now=self.now,
            grace=self.grace,
        )
        yield
        new = [
            new_record(step.wanted.manifest)
            for step in work.steps
            if step.live is None or step.wanted.manifest.ref not in recorded
        ]
        noted = between_projects(work, recorded, manifests, prune=True, now=self.now)
        recorded.update({record.ref: record for record in (*new, *noted)})
        self.records[project] = dict(recorded)
        yield
        for step in work.steps:
            one = step.wanted.manifest.ref
            recorded[one] = self.apply(project, one)
            yield
        for candidate in work.candidates:
            found = self.live.get(candidate.ref)
            if found and (found.owner, found.uid) == (owner(project), candidate.live.uid):
                del self.live[candidate.ref]
                self.deleted.append((project, candidate.ref, git))
                found = None
            if found is None:
                recorded.pop(candidate.ref)
            yield
        for one in work.gone:
            recorded.pop(one)
        for one in recorded.keys() - declared:
            recorded[one] = replace(recorded[one], left=recorded[one].left or stamp(self.now))
        self.records[project] = recorded
        return work

    def run_whole(self, project: str, git: Git, *, shared: bool = True) -> Plan:
        run = self.run(project, git, shared=shared)
        while True:
            try:
                next(run)
            except StopIteration as end:
                plan: Plan = end.value
                return plan

    def settle(self, git: Git, *, shared: bool) -> None:
        """Enough rounds for any hand-over: one records, the other lets go, the one takes."""
        for _ in range(4):
            self.now += self.grace
            for project in PROJECTS:
                self.run_whole(project, git, shared=shared)


def owner(project: str) -> str:
    return f"reconciler-{project}"


def git(**declares: str) -> Git:
    """`git(one="xy")`."""
    return {p: frozenset(ref(name) for name in declares.get(p, "")) for p in PROJECTS}


def check_settled(world: World, now: Git) -> None:
    declared = frozenset[ObjectRef]().union(*now.values())
    assert world.live.keys() == declared, "what is declared exists, and nothing else"
    for one, found in world.live.items():
        holders = [p for p in PROJECTS if owner(p) == found.owner]
        assert [p for p in holders if one in now[p]] == holders, (
            f"{one} belongs to a project that declares it"
        )
        (holder,) = holders
        assert world.records[holder][one].uid == found.uid, f"{one} is in its inventory"
    for project in PROJECTS:
        assert world.records[project].keys() == now[project], "each inventory is what its project declares"


# -- in words ------------------------------------------------------------------------------


def outcome(work: Plan, one: ObjectRef) -> str:
    if any(step.wanted.manifest.ref == one for step in work.steps):
        return next(step.why for step in work.steps if step.wanted.manifest.ref == one)
    return next((str(its.outcome) for its in work.refusals if its.ref == one), "")


X = ref("x")


def owned_by_one(**settings_: float) -> World:
    world = World(**settings_)
    world.run_whole("one", git(one="x"))
    return world


@pytest.mark.parametrize("policy", ["must_match", "adopt_if_no_inventory", "adopt_all"])
def test_second_project_is_blocked_while_the_first_declares_it(policy: str) -> None:
    world = owned_by_one()
    world.policy = policy
    for _ in range(3):
        assert outcome(world.run_whole("two", git(one="x", two="x")), X) == Outcome.BLOCKED
        world.run_whole("one", git(one="x", two="x"))
    assert world.live[X].owner == owner("one")


@pytest.mark.parametrize("first", ["one", "two"])
def test_object_changes_hands_without_a_delete_whichever_runs_first(first: str) -> None:
    world = owned_by_one()
    uid = world.live[X].uid
    moved = git(two="x")
    second = {"one": "two", "two": "one"}[first]
    outcomes = [outcome(world.run_whole(p, moved), X) for p in (first, second, first, second)]
    want = {
        "one": ["handed_over", "handed over by project one", "handed_over", ""],
        "two": ["blocked", "handed_over", "handed over by project one", "handed_over"],
    }
    assert outcomes == want[first]
    assert (world.live[X].uid, world.live[X].owner, world.deleted) == (uid, owner("two"), [])
    assert X not in world.records["one"]


def test_object_that_comes_back_before_it_was_taken_stays_where_it_was() -> None:
    world = owned_by_one()
    world.run_whole("one", git(two="x"))
    world.run_whole("one", git(one="x", two="x"))
    assert outcome(world.run_whole("two", git(one="x", two="x")), X) == Outcome.BLOCKED
    assert world.live[X].owner == owner("one")


def test_object_that_nobody_declares_any_more_is_pruned_by_its_owner() -> None:
    world = owned_by_one()
    world.run_whole("two", git(two="x"))
    world.run_whole("one", git(two="x"))
    world.settle(git(), shared=True)
    assert (world.live, [p for p, _, _ in world.deleted]) == ({}, ["one"])


def test_project_of_another_repository_that_asked_for_it_is_waited_for() -> None:
    world = owned_by_one()
    world.run_whole("two", git(two="x"), shared=False)  # blocked, and recorded
    assert outcome(world.run_whole("one", git(), shared=False), X) == "handed_over"
    assert outcome(world.run_whole("two", git(two="x"), shared=False), X) == "handed over by project one"
    assert world.deleted == []


def test_within_the_grace_a_project_of_another_repository_may_come_later() -> None:
    world = owned_by_one(grace=60.0)
    uid = world.live[X].uid
    assert outcome(world.run_whole("one", git(), shared=False), X) == Outcome.HELD
    world.now += 59
    assert outcome(world.run_whole("one", git(), shared=False), X) == Outcome.HELD
    assert outcome(world.run_whole("two", git(two="x"), shared=False), X) == "handed over by project one"
    world.now += 60
    world.run_whole("one", git(), shared=False)
    assert (world.live[X].uid, world.deleted) == (uid, [])


def test_grace_begins_when_it_left_and_ends() -> None:
    world = owned_by_one(grace=60.0)
    for wait in (0, 30, 29):
        world.now += wait
        assert outcome(world.run_whole("one", git(), shared=False), X) == Outcome.HELD
    world.now += 1
    world.run_whole("one", git(), shared=False)
    assert world.live == {}


def test_grace_starts_over_for_what_came_back() -> None:
    world = owned_by_one(grace=60.0)
    world.run_whole("one", git(), shared=False)
    world.now += 50
    world.run_whole("one", git(one="x"), shared=False)
    world.now += 50
    assert outcome(world.run_whole("one", git(), shared=False), X) == Outcome.HELD


# -- in any order --------------------------------------------------------------------------

commits = st.fixed_dictionaries({p: st.frozensets(st.sampled_from(OBJECTS)) for p in PROJECTS})
steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), commits),
        st.tuples(st.sampled_from(["go", "go", "go", "whole", "kill"]), st.sampled_from(PROJECTS)),
    ),
    max_size=60,
)
MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Story:
    """Runs that interleave, over commits."""

    world: World
    shared: bool
    now: Git = field(default_factory=git)
    running: dict[str, Generator[None, None, Plan]] = field(default_factory=dict)

    def tell(self, script: Iterable[tuple[str, object]]) -> Iterable[None]:
        for word, what in script:
            self.world.now += 1
            match word, what:
                case "commit", dict():
                    self.now = what
                case "kill", str():
                    self.running.pop(what, None)
                case "whole", str():
                    self.running.pop(what, None)
                    self.world.run_whole(what, self.now, shared=self.shared)
                case "go", str():
                    self._go(what)
            yield
        self.running.clear()
        self.world.settle(self.now, shared=self.shared)

    def _go(self, project: str) -> None:
        if project not in self.running:
            self.running[project] = self.world.run(project, self.now, shared=self.shared)
        try:
            next(self.running[project])
        except StopIteration:
            del self.running[project]


@MANY
@given(script=steps, policy=st.sampled_from(["must_match", "adopt_all"]))
def test_on_one_repository_nothing_that_is_declared_is_ever_deleted(script, policy):
    world = World(policy=policy)
    story = Story(world, shared=True)
    since: dict[ObjectRef, str] = {}
    for _ in story.tell(script):
        declared = frozenset[ObjectRef]().union(*story.now.values())
        since = {one: uid for one, uid in since.items() if one in declared}
        for one in declared & world.live.keys():
            assert since.setdefault(one, world.live[one].uid) == world.live[one].uid, f"{one} was made anew"
    for project, one, git_ in world.deleted:
        assert not any(one in its for its in git_.values()), f"{project} deleted {one}, which git declares"
    check_settled(world, story.now)


@MANY
@given(script=steps, grace=st.sampled_from([0.0, 5.0]))
def test_on_repositories_of_their_own_all_is_as_declared_in_the_end(script, grace):
    world = World(grace=grace)
    story = Story(world, shared=False)
    for _ in story.tell(script):
        pass
    check_settled(world, story.now)
