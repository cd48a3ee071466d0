"""
Rows 4 and 5: the running service, while nothing happens and when one file changes.

The service polls as it does by default. What it asked of the API server is read from the audit
log when it has ended, since a watch is written there at its end; moments are the wall clock of
this machine, which the API server, the git server and this process share.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.applying import Say
from bench.child import peak_memory
from bench.contenders import Load, Reconciler, begun, environment, perform
from bench.gitserver import Exchange
from bench.lab import RECONCILER, Asked, Lab, count
from bench.objects import KINDS, changed, path_of
from bench.verdict import Row, Spread, megabytes, number, seconds

LEASES = "coordination.k8s.io/leases"  # renewed every 3 s by the replica that works
BEYOND_LISTS = 5
NOTICE_LIMIT = 1.0  # s from the notice to the last apply
STILL = 4.0  # s without a request of ours: what had to be done is done
STILL_LIMIT = 60.0
NOTICE_DEADLINE = 60.0  # s for a poll to notice a commit; it comes every 20 s
STOP_LIMIT = 25.0
LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """One commit: its id, what it changes, and the span of wall clock in which nothing else happened."""

    commit: str
    objects: int
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Watched:
    """What a running service was seen to do."""

    size: int
    idle: tuple[float, float]
    """From and to, wall clock."""
    changes: list[Change]
    asked: list[Asked]
    exchanges: list[Exchange]
    peak: int


def watch_service(lab: Lab, load: Load, *, idle: float, changes: int, say: Say) -> Watched:
    """Sync `load`, run the service on it, look at it for `idle` seconds, then commit `changes` times."""
    who = Reconciler(lab)
    with begun(lab, who, load, "service"):
        perform(lab, who, wait=True)
        mark = lab.mark()
        with running_service(lab, who) as pid:
            _until_still(lab, mark)
            say(f"service: looking on for {idle:g} s")
            start = time.time()
            time.sleep(idle)
            end = time.time()
            made = [_change(lab, load, turn, say) for turn in range(changes)]
            peak = peak_memory(pid)
        asked = lab.requests(RECONCILER, since=mark)
    return Watched(load.size, (start, end), made, asked, list(lab.git.exchanges), peak)


@contextmanager
def running_service(lab: Lab, who: Reconciler) -> Iterator[int]:
    """The service for the length of a block; yields its process id."""
    with (lab.directory / "service.log").open("wb") as log:
        service = subprocess.Popen(
            who.service(), env=environment(lab), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield service.pid
            if service.poll() is not None:
                raise RuntimeError(f"the service has ended with {service.returncode}, see {log.name}")
        finally:
            service.send_signal(signal.SIGTERM)
            try:
                service.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()
                raise


def _until_still(lab: Lab, mark: int) -> None:
    """Return when the service has begun to ask, and asked nothing for a while."""
    deadline = time.time() + STILL_LIMIT
    while time.time() < deadline:
        asked = [its for its in lab.requests(RECONCILER, since=mark) if its.what != LEASES]
        if asked and time.time() - max(its.answered for its in asked) > STILL:
            return
        time.sleep(LOOK * 5)
    raise RuntimeError(f"the service still asks the API server after {STILL_LIMIT:g} s")


def _change(lab: Lab, load: Load, turn: int, say: Say) -> Change:
    # One object of a file, then all of the next one's, in turn.
    app, whole = turn % (load.size // KINDS), turn % 2 == 1
    mark, since = lab.mark(), time.time()
    commit = load.repository.commit({path_of(app): changed(app, revision=turn + 2, whole=whole)})
    deadline = since + NOTICE_DEADLINE
    while _noticed(lab.git.exchanges, commit) is None:
        if time.time() > deadline:
            raise RuntimeError(f"commit {commit} was not noticed within {NOTICE_DEADLINE:g} s")
        time.sleep(LOOK)
    _until_still(lab, mark)
    say(f"service: change {turn + 1} is applied")
    return Change(commit, KINDS if whole else 1, since, time.time())


def _noticed(exchanges: list[Exchange], commit: str) -> float | None:
    """When an answer told the service of a commit."""
    wanted = commit.encode()
    return next((its.at for its in exchanges if wanted in its.answer), None)


def idle_rows(seen: Watched) -> Iterator[Row]:
    """Row 4."""
    start, end = seen.idle
    what = f"service between two comparisons, {end - start:.0f} s, {seen.size:,} objects"
    heard = [its for its in seen.asked if start <= its.received < end]
    asked = [its for its in heard if its.what != LEASES]
    yield Row(
        number=4,
        what=f"{what}: API requests",
        measured=f"{len(asked)} and {len(heard) - len(asked)} renewals",
        target="0 but Lease renewals",
        passed=not asked,
        reconciler=f"{megabytes(seen.peak)} resident",
        data={"requests": count(heard), "peak": seen.peak},
    )
    git = [its.kind for its in seen.exchanges if start <= its.at < end]
    fetches = git.count("fetch")
    yield Row(
        number=4,
        what="git transfers in the same time",
        measured=str(fetches),
        target="0 but ls-remote",
        passed=not fetches,
        reconciler=f"{git.count('ls-refs')} ls-remote",
        data={kind: git.count(kind) for kind in sorted(set(git))},
    )


def change_rows(seen: Watched) -> Iterator[Row]:
    """Row 5: requests, then time."""
    asked_for_work = [its for its in seen.asked if its.what != LEASES]
    spans = [[its for its in asked_for_work if c.since <= its.received < c.until] for c in seen.changes]
    for objects in sorted({change.objects for change in seen.changes}):
        mine = [its for its, change in zip(spans, seen.changes, strict=True) if change.objects == objects]
        beyond = [len(asked) - KINDS for asked in mine]
        word = "1 object" if objects == 1 else f"{objects} objects"
        yield Row(
            number=5,
            what=f"one file ({word}) of {seen.size:,} changed, service: requests beyond a LIST a kind",
            measured=str(max(beyond)),
            target=f"≤ {BEYOND_LISTS}",
            passed=max(beyond) <= BEYOND_LISTS,
            reconciler=f"{Spread.of([len(asked) for asked in mine]).text(number)} in all",
            data=[count(asked) for asked in mine],
        )
    delays = [
        max(its.answered for its in asked if its.is_apply) - noticed
        for asked, change in zip(spans, seen.changes, strict=True)
        if (noticed := _noticed(seen.exchanges, change.commit))
    ]
    delay = Spread.of(delays)
    yield Row(
        number=5,
        what="from the answer of ls-remote to the last apply's",
        measured=delay.text(seconds),
        target=f"≤ {NOTICE_LIMIT:g} s",
        passed=delay.high <= NOTICE_LIMIT,
        data=delays,
    )
