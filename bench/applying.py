"""
Rows 1 to 3: a first apply, small and large, and a second one with nothing changed.

Contenders take turns, and whoever comes first moves on by one in each repetition. Each finds
the server as empty as the one before: namespaces are wiped, the controllers have caught up.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from bench.child import Used
from bench.contenders import Contender, Load, begun, perform, perform_counted
from bench.lab import KUBECTL, LOOP, RECONCILER, Asked, Lab, count
from bench.objects import KINDS
from bench.verdict import Row, Spread, megabytes, ratios, seconds, times

FIRST_LIMIT = 0.6  # × kubectl
SECOND_LIMIT = 0.2  # × kubectl
REQUESTS_A_KIND = 5
LARGE_LIMIT = 1.1  # × the small time × how many times larger: 11 × for 10 times the objects
MEMORY_LIMIT = 180e6  # bytes

Say = Callable[[str], None]


@dataclass(slots=True)
class Applied:
    """What one contender did with one load, a value a repetition."""

    first: list[Used] = field(default_factory=list)
    again: list[Used] = field(default_factory=list)
    waiting: list[Used] = field(default_factory=list)
    """The second run once more, with `--wait`."""


@dataclass(frozen=True, slots=True)
class Applies:
    """What all did with one load, by identity."""

    size: int
    by: dict[str, Applied]


@dataclass(frozen=True, slots=True)
class Counted:
    """What a second run asked of the API server: by identity, and ours with `--wait`."""

    again: dict[str, list[Asked]]
    waiting: list[Asked]


def warm_up(lab: Lab, all_of_them: list[Contender], load: Load) -> None:
    """
    Let everybody do a small load once, unmeasured.

    The server builds its schemas at the first apply of a kind, kubectl its cache of kinds.
    """
    filled: list[str] = []
    for who in all_of_them:
        filled += who.begin(load, f"warm-{who.identity}")
        perform(lab, who)
        perform(lab, who)
    lab.wipe(*filled)


def measure_applies(
    lab: Lab, all_of_them: list[Contender], load: Load, *, repeat: int, again: bool, say: Say
) -> Applies:
    """First applies of `load`, each followed by second ones if `again`."""
    found = Applies(load.size, {who.identity: Applied() for who in all_of_them})
    for turn, who in _turns(all_of_them, repeat):
        run = f"n{load.size}-{turn}-{who.identity}"
        with begun(lab, who, load, run) as namespaces:
            mine = found.by[who.identity]
            mine.first.append(perform(lab, who))
            _check(lab, namespaces[0], load)
            say(f"{load.size} objects, {who.identity}: first {mine.first[-1].seconds:.2f} s")
            if again and who.identity != LOOP:
                mine.again.append(perform(lab, who))
                say(f"{load.size} objects, {who.identity}: again {mine.again[-1].seconds:.2f} s")
            if again and who.identity == RECONCILER:
                mine.waiting.append(perform(lab, who, wait=True))
                say(f"{load.size} objects, {who.identity}: again {mine.waiting[-1].seconds:.2f} s, wait")
    return found


def _turns(all_of_them: list[Contender], repeat: int) -> Iterator[tuple[int, Contender]]:
    for turn in range(repeat):
        first = turn % len(all_of_them)
        for who in (*all_of_them[first:], *all_of_them[:first]):
            yield turn, who


def _check(lab: Lab, namespace: str, load: Load) -> None:
    if (there := lab.count_objects(namespace)) != load.size:
        raise RuntimeError(f"{namespace} holds {there} objects, not {load.size}")


def first_row(small: Applies) -> Row:
    """Row 1."""
    return _against_kubectl(
        1, f"first apply of {small.size:,} objects, no wait", small, lambda its: its.first, FIRST_LIMIT
    )


def second_rows(small: Applies) -> Iterator[Row]:
    """Row 3: time without and with waiting."""
    what = f"nothing changed, new process, {small.size:,} objects"
    yield _against_kubectl(3, f"{what}, no wait", small, lambda its: its.again, SECOND_LIMIT)
    yield _against_kubectl(3, f"{what}, wait", small, lambda its: its.waiting or its.again, SECOND_LIMIT)


def count_second(lab: Lab, all_of_them: list[Contender], load: Load) -> Counted:
    """The second run once more, in a lab that counts."""
    counted = Counted({}, [])
    for who in all_of_them:
        if who.identity == LOOP:
            continue
        with begun(lab, who, load, f"counted-{who.identity}"):
            perform(lab, who)
            counted.again[who.identity] = perform_counted(lab, who)
            if who.identity == RECONCILER:
                counted.waiting.extend(perform_counted(lab, who, wait=True))
    return counted


def request_rows(counted: Counted) -> Iterator[Row]:
    """Row 3: requests."""
    runs = {"no wait": counted.again[RECONCILER], "wait": counted.waiting}
    theirs = str(len(counted.again[KUBECTL])) if KUBECTL in counted.again else "–"
    for word, asked in runs.items():
        yield Row(
            number=3,
            what=f"API requests of it, {word}",
            measured=f"{len(asked)} for {KINDS} kinds",
            target=f"≤ {REQUESTS_A_KIND} a kind",
            passed=len(asked) <= REQUESTS_A_KIND * KINDS,
            reconciler=str(len(asked)),
            kubectl=theirs,
            data=count(asked),
        )


def large_rows(small: Applies, large: Applies) -> Iterator[Row]:
    """Row 2: time and memory."""
    limit = LARGE_LIMIT * large.size / small.size
    ours, before = _times(_ours(large).first), _times(_ours(small).first)
    ratio = Spread.of(ours).median / Spread.of(before).median
    yield Row(
        number=2,
        what=f"first apply of {large.size:,} objects, no wait",
        measured=f"{times(ratio)} the {small.size:,}",
        target=f"≤ {limit:.3g} ×",
        passed=ratio <= limit,
        data={name: [asdict(run) for run in its.first] for name, its in large.by.items()},
        **{name: Spread.of(_times(its.first)).text(seconds) for name, its in large.by.items()},
    )
    peaks = {name: Spread.of([run.peak for run in its.first]) for name, its in large.by.items()}
    yield Row(
        number=2,
        what="most memory of it, resident",
        measured=megabytes(peaks[RECONCILER].high),
        target=f"≤ {megabytes(MEMORY_LIMIT)}",
        passed=peaks[RECONCILER].high <= MEMORY_LIMIT,
        **{name: spread.text(megabytes) for name, spread in peaks.items()},
    )


def _against_kubectl(
    row: int, what: str, found: Applies, of: Callable[[Applied], list[Used]], limit: float
) -> Row:
    runs = {name: of(its) for name, its in found.by.items() if of(its)}
    shown = {name: Spread.of(_times(its)).text(seconds) for name, its in runs.items()}
    data = {name: [asdict(run) for run in its] for name, its in runs.items()}
    target = f"≤ {limit:g} × kubectl"
    if KUBECTL not in runs:
        return Row(row, what, "no kubectl here", target, None, data=data, **shown)
    ratio = Spread.of(ratios(_times(runs[RECONCILER]), _times(runs[KUBECTL])))
    passed = ratio.median <= limit
    return Row(row, what, ratio.text(times), target, passed, data=data, **shown)


def _ours(found: Applies) -> Applied:
    return found.by[RECONCILER]


def _times(runs: list[Used]) -> list[float]:
    return [run.seconds for run in runs]
