"""What may start next: as soon as all that it needs is ready, and never before."""

import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests.identity import ObjectRef
from reconciler.sync.walk import Walk
from tests.sync.pieces import ref


def walk(order: str, *edges: str, bad: str = "") -> Walk:
    """`walk("abc", "c>a")`: c needs a."""
    needs: dict[ObjectRef, set[ObjectRef]] = {}
    for edge in edges:
        needs.setdefault(ref(edge[0]), set()).add(ref(edge[2]))
    return Walk([ref(name) for name in order], needs, bad=[ref(name) for name in bad])


def startable(walk: Walk) -> str:
    names = ""
    while found := walk.next():
        names += found.name
    return names


def blocked(walk: Walk) -> str:
    return " ".join(f"{one.name}<{cause.name}" for one, cause in sorted(walk.blocked.items()))


def play(walk: Walk, script: str) -> str:
    """`"a+ b- b?"`: a is ready, b is bad, b is open again. Returns what could be started after each step."""
    said = [startable(walk)]
    steps = {"+": walk.ready, "-": walk.bad, "?": walk.reopen}
    for step in script.split():
        steps[step[1]](ref(step[0]))
        said.append(startable(walk))
    return " ".join(names or "." for names in said)


@pytest.mark.parametrize(
    ("order", "edges", "script", "started", "stopped"),
    [
        pytest.param("", [], "", ".", "", id="nothing"),
        pytest.param("cab", [], "", "cab", "", id="no edges: all at once, in order"),
        pytest.param("ab", ["b>a"], "a+ b+", "a b .", "", id="b needs a"),
        pytest.param("ba", ["b>a"], "a+ b+", "a b .", "", id="the order does not override what is needed"),
        pytest.param("abxy", ["b>a", "y>x"], "x+ a+", "ax y b", "", id="no barrier between layers"),
        pytest.param("abc", ["c>a", "c>b"], "a+ b+", "ab . c", "", id="all needs, not one"),
        pytest.param("abc", ["b>a", "c>b"], "a-", "a .", "b<a c<a", id="a cause is named through the chain"),
        pytest.param(
            "abcd", ["c>a", "c>b", "d>c"], "a- b-", "ab . .", "c<a d<a", id="the first cause is kept"
        ),
        pytest.param("abc", ["c>a", "c>b"], "a- b+", "ab . .", "c<a", id="one bad of two needs"),
        pytest.param("abc", ["c>a", "c>b"], "b+ a-", "ab . .", "c<a", id="one bad of two needs, late"),
        pytest.param("abc", ["b>a"], "a-", "ac .", "b<a", id="others go on"),
        pytest.param("ab", ["b>z"], "", "ab", "", id="a need outside counts as ready"),
        pytest.param("ab", ["b>a"], "a+ a+ a-", "a b . .", "", id="ready stays ready"),
        pytest.param("ab", ["b>a"], "a- a+", "a . .", "b<a", id="bad stays bad"),
        pytest.param("aba", ["b>a"], "a+ b+", "a b .", "", id="named twice in the order"),
        pytest.param("ab", ["b>a"], "a- a? a+", "a . . b", "", id="failed, then ready after all"),
        pytest.param("ab", ["b>a"], "a- a? a-", "a . . .", "b<a", id="failed, open, failed again"),
        pytest.param("abc", ["b>a", "c>b"], "a- a? a+ b+", "a . . b c", "", id="and what needs that"),
        pytest.param(
            "abc", ["c>a", "c>b"], "a- b- a? a+", "ab . . . .", "c<b", id="another reason is left, and named"
        ),
        pytest.param(
            "abcd", ["c>a", "c>b", "d>c"], "a- b- a?", "ab . . .", "c<b d<b", id="named through the chain"
        ),
        pytest.param(
            "abcd", ["d>a", "d>c", "c>b"], "a- b- a? a+", "ab . . . .", "c<b d<b", id="a reason further off"
        ),
        pytest.param(
            "abc", ["c>a", "c>b"], "a+ a? b+ a+", "ab . . . c", "", id="ready, then not, before all are"
        ),
        pytest.param("ab", ["b>a"], "a+ a? a-", "a b . .", "", id="what was started goes on"),
    ],
)
def test_walk(order, edges, script, started, stopped):
    walked = walk(order, *edges)
    assert (play(walked, script), blocked(walked)) == (started, stopped)


@pytest.mark.parametrize(
    ("order", "edges", "bad", "started", "stopped"),
    [
        pytest.param("ab", ["b>z"], "z", "a", "b<z", id="bad outside blocks what needs it"),
        pytest.param("abc", ["b>z", "c>b"], "z", "a", "b<z c<z", id="and what needs that"),
        pytest.param("a", ["a>z", "z>y"], "y", "a", "", id="edges outside the order do not count"),
        pytest.param("ab", [], "z", "ab", "", id="bad that nobody needs"),
        pytest.param("ab", ["a>z", "b>y"], "zy", "", "a<z b<y", id="each has its own cause"),
    ],
)
def test_bad_from_the_start(order, edges, bad, started, stopped):
    walked = walk(order, *edges, bad=bad)
    assert (startable(walked), blocked(walked)) == (started, stopped)


@pytest.mark.parametrize(
    ("order", "edges", "started", "stopped"),
    [
        pytest.param("ab", ["a>b", "b>a"], "", "a<b b<a", id="two"),
        pytest.param("a", ["a>a"], "", "a<a", id="itself"),
        pytest.param("abcx", ["a>b", "b>c", "c>a"], "x", "a<b b<c c<a", id="three, and one beside"),
        pytest.param("abcd", ["a>b", "b>a", "c>a", "d>c"], "", "a<b b<a c<a d<c", id="and what needs them"),
        pytest.param("abc", ["a>b", "b>a", "b>c"], "c", "a<b b<a", id="one that the circle needs goes on"),
    ],
)
def test_a_circle_ends_the_walk_instead_of_hanging_it(order, edges, started, stopped):
    walked = walk(order, *edges)
    names = startable(walked)
    assert (names, blocked(walked)) == (started, stopped)
    for name in names:
        walked.ready(ref(name))
    assert walked.finished


def test_finished_only_when_everything_has_ended():
    walked = walk("abc", "c>b")
    assert not walked.finished
    startable(walked)
    walked.ready(ref("a"))
    assert not walked.finished
    walked.bad(ref("b"))
    assert walked.finished


def test_an_empty_walk_is_finished():
    assert Walk([], {}).finished


def test_dependants_are_those_that_still_wait():
    walked = walk("abc", "b>a", "c>b")
    assert walked.next() == ref("a")
    assert (walked.has_dependants(ref("a")), walked.has_dependants(ref("c"))) == (True, False)
    walked.ready(ref("a"))
    walked.next()
    assert not walked.has_dependants(ref("a"))


@pytest.mark.parametrize("fate", ["ready", "bad"])
def test_a_chain_of_ten_thousand_takes_no_time_and_no_stack(fate):
    order = [ref(f"n{n:05}") for n in range(10_000)]
    started = time.process_time()
    walked = Walk(order, {one: {before} for before, one in itertools.pairwise(order)})
    while found := walked.next():
        getattr(walked, fate)(found)
    assert walked.finished
    # Quadratic work would take minutes.
    assert time.process_time() - started < 5.0


@st.composite
def graphs(draw):
    """Objects in a random order; each may need objects of a lower number, and some will fail."""
    size = draw(st.integers(1, 14))
    needs = {n: draw(st.sets(st.integers(0, n - 1), max_size=4)) if n else set() for n in range(size)}
    order = draw(st.permutations(range(size)))
    return needs, order, draw(st.sets(st.integers(0, size - 1), max_size=3)), draw(st.integers(0, 2**32))


@given(graphs())
def test_every_object_ends_once_and_none_starts_before_its_needs(graph):
    needs, order, failing, seed = graph
    refs = {n: ref(f"n{n:02}") for n in order}
    number = {one: n for n, one in refs.items()}
    walked = Walk([refs[n] for n in order], {refs[n]: {refs[m] for m in its} for n, its in needs.items()})
    choose = random.Random(seed)
    started, ready, bad = [], set(), set()
    running: list[int] = []
    reopenings = len(order)
    while not walked.finished:
        while (found := walked.next()) is not None:
            n = number[found]
            assert needs[n] <= ready, f"{n} needs {needs[n]}, ready are {ready}"
            started.append(n)
            running.append(n)
        assert running, "nothing runs, and the walk is not finished"
        n = running.pop(choose.randrange(len(running)))
        (walked.bad if n in failing else walked.ready)(refs[n])
        (bad if n in failing else ready).add(n)
        if reopenings and choose.random() < 0.3:
            reopenings -= 1
            again = choose.choice(sorted(ready | bad))
            walked.reopen(refs[again])
            ready.discard(again)
            bad.discard(again)
            failing ^= {again}
            running.append(again)
    stopped = {number[one]: number[cause] for one, cause in walked.blocked.items()}
    assert len(started) == len(set(started))
    assert not running
    assert set(started) | stopped.keys() == set(order)
    assert not set(started) & stopped.keys()
    assert set(stopped.values()) <= bad
    for n in stopped:
        assert needs[n] & (bad | stopped.keys()), f"{n} is blocked without a reason"
