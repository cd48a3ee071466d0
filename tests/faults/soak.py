"""
A service under random work and random trouble, which is compared with git after each storm.

A storm mixes commits, edits and deletes by another hand, faults of the way to the API server, and
kills. Then it is quiet: one more commit, and cluster and inventory must hold what git holds. After
that somebody changes and deletes a few objects without a word in git, and the watches alone must put
that right; then nothing may be written. All choices come from one seed; how far the service is when
it meets with them differs from one run to the next.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from localcluster import ApiError
from reconciler.sync import marks
from tests.faults.gateway import Fault, Gateway, Moment
from tests.faults.rounds import (
    GROUP,
    changing,
    check_deletes,
    check_equal,
    check_known,
    check_once,
    declared,
    everything,
    live,
    numbered,
    path_of,
    put,
)
from tests.fix_sync import Asked, Installation, Requests
from tests.service.process import ServiceProcess, service

MOVING = range(2 * GROUP)
"""Numbers of the objects that commits create, change and remove."""
STEADY = range(2 * GROUP, 3 * GROUP)
"""Numbers of those that git always holds as they are, and that are changed when it is quiet."""
HEARD_OF = [number for number in STEADY if declared(number, "", "")["kind"] != "Secret"]
"""Numbers of those whose changes a watch tells."""
FEWEST = 3
"""Moving objects that git holds at least: a repository without any is held until a person approves."""
MORE = (2, 10)
"""Things that happen in a storm, beside one of each sort."""
PAUSE, LONG_PAUSE = 0.6, 4.0
"""s between two of them, at most; the longer in one of four storms, where a fault may outlast the lease."""
REACH = 80
"""API calls within which a kill comes."""
AGREE = 90.0
"""s: half a minute for a request that nobody answers, and then the first tries after it."""
HEARD = 30.0
"""s for a change that a watch tells: one that broke again and again is opened after 15 s at most."""
AGAIN = 300.0
"""s in which no object is changed twice when quiet: what changes often is left to the comparison."""
TOLD = 5
"""Quiet periods between two lines that say how far it is."""
REST = 1.0
"""s in which nothing may be written."""
OWN_MARKS = {
    "labels": {marks.INSTANCE_LABEL: None},
    "annotations": {marks.PROJECT: None, marks.APPLIED: None},
}


@dataclass
class Tally:
    """What has happened."""

    commits: int = 0
    edits: int = 0
    deletes: int = 0
    kills: int = 0
    quiet: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """s from the end of each storm until all agreed."""
    corrected: list[float] = field(default_factory=list)
    """s from each change in a quiet period until it was put right."""

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "commits", str(self.commits)
        yield "foreign edits, deletes", f"{self.edits}, {self.deletes}"
        for fault in Fault:
            yield f"fault: {fault.value}", str(self.faults[fault])
        yield "kills", str(self.kills)
        yield "quiet periods", str(self.quiet)
        yield "s until all agreed", _spread(self.waits)
        yield "s until a foreign change was put right", _spread(self.corrected)


def _spread(seconds: list[float]) -> str:
    return f"median {median(seconds):.2f}, worst {max(seconds):.2f}" if seconds else "-"


class Soak:
    """One service, and all that happens to it; `say` tells how far it is."""

    def __init__(
        self,
        installation: Installation,
        gateway: Gateway,
        kubeconfig: Path,
        *,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self._installation = installation
        self._gateway = gateway
        self._kubeconfig = kubeconfig
        self._seed = seed
        self._say = say
        self._draw = random.Random(seed)
        self._share = 1.0
        struck = random.Random(seed + 1)  # asked in the gateway's own thread
        gateway.strikes = lambda: struck.random() < self._share
        self._content = dict.fromkeys(STEADY, "steady") | dict.fromkeys(MOVING[:GROUP], "first")
        self._process: ServiceProcess
        self._place = ExitStack()
        self._armed = False
        self._always: set[str] = set()
        """Names that every commit since the last quiet period holds."""
        self._deletes: list[Asked] = []
        self._changed: dict[int, float] = {}
        installation.configure(prune_limit="100%", interval="1s")

    def run(self, seconds: float) -> None:
        """Storms, each with its quiet period, until the time is over; at least one."""
        end = time.monotonic() + seconds
        with self._place:
            self._commit()
            self._start()
            while True:
                self._always = set(self._wanted())
                with self._installation.recorded() as requests:
                    self._storm()
                    self._agree()
                self._check(requests, everything().keys() - self._always)
                with self._installation.recorded() as requests:
                    self._put_right()
                self._check(requests, set())
                self.tally.quiet += 1
                if self.tally.quiet % TOLD == 0:
                    self._say(f"{self.tally.quiet} quiet periods, {self.tally.kills} kills: all agreed")
                if time.monotonic() > end:
                    break
            self._process.signal(signal.SIGTERM)
            assert self._process.wait() == 0, self._where()

    def table(self, result: str) -> str:
        """What has happened, for people."""
        rows = [*self.tally.rows(), ("result", result)]
        return "\n".join(f"| {what} | {value} |" for what, value in [("seed", str(self._seed)), *rows])

    # -- the service -------------------------------------------------------------------------

    def _start(self) -> None:
        arguments = f"--kubeconfig={self._kubeconfig}"
        self._process = self._place.enter_context(service(self._installation, arguments))

    def _revive(self) -> None:
        """Start it anew where it was killed."""
        if not self._process.ended:
            return
        code = self._process.wait()
        assert (self._armed, code) == (True, -signal.SIGKILL), f"it ended by itself: {code}, {self._where()}"
        assert "Traceback" not in self._process.text, self._where()
        self._place.close()
        self._gateway.disarm()
        self._gateway.settle()
        self._armed = False
        self.tally.kills += 1
        check_known(self._installation, self._where())
        self._installation.drop_lease()
        self._start()

    def _where(self) -> str:
        """For failures: what was going on."""
        log = "\n".join(self._process.log[-60:])
        return f"seed {self._seed}, storm {self.tally.quiet + 1}, {self.tally}; the service said:\n{log}"

    # -- a storm -----------------------------------------------------------------------------

    def _storm(self) -> None:
        pause = LONG_PAUSE if self._draw.random() < 0.25 and self.tally.quiet else PAUSE
        what = [self._commit, self._edit, self._delete, self._trouble, self._calm, self._kill]
        # Each of them at least once, so that the shortest run goes through all.
        more = self._draw.choices(what, weights=(4, 4, 2, 4, 3, 1), k=self._draw.randint(*MORE))
        for happens in self._draw.sample([*what, *more], len(what) + len(more)):
            self._revive()
            happens()
            time.sleep(self._draw.uniform(0, pause))
        self._calm()
        if self._armed:
            self._process.signal(signal.SIGKILL)  # where it needed fewer calls
            self._process.wait()
        self._revive()

    def _commit(self) -> str:
        """Create, change and remove some objects."""
        draw = self._draw
        for number in draw.sample(MOVING, draw.randint(1, GROUP)):
            held = len(self._content.keys() & set(MOVING))
            if number in self._content and held > FEWEST and draw.random() < 0.5:
                del self._content[number]
            else:
                self._content[number] = f"c{self.tally.commits}"
        commit = put(self._installation, self._wanted())
        self._always &= self._wanted().keys()
        self.tally.commits += 1
        return commit

    def _wanted(self) -> dict[str, dict[str, Any]]:
        return {numbered(n): declared(n, "value", text) for n, text in sorted(self._content.items())}

    def _edit(self) -> None:
        number, marks_only = self._draw.choice(MOVING), self._draw.random() < 0.2
        if found := live(self._installation).get(numbered(number)):
            self._change(found, number, marks_only=marks_only)

    def _delete(self) -> None:
        if found := live(self._installation).get(numbered(self._draw.choice(MOVING))):
            self._remove(found)

    def _change(self, found: Mapping[str, Any], number: int, *, marks_only: bool = False) -> None:
        """Take a field of ours, or our marks, off an object."""
        # An older state of it must not be changed: a field that left git since would then stay.
        now = {"resourceVersion": found["metadata"]["resourceVersion"]}
        theirs = declared(number, "value", "theirs")
        parts = {key: theirs[key] for key in ("data", "spec") if key in theirs}
        patch = {"metadata": OWN_MARKS | now} if marks_only else parts | {"metadata": now}
        with _unless_too_late():
            self._installation.api.patch(path_of(self._installation, found), patch)
            self.tally.edits += 1

    def _remove(self, found: Mapping[str, Any]) -> None:
        with _unless_too_late():
            self._installation.api.delete(path_of(self._installation, found))
            self.tally.deletes += 1

    def _trouble(self) -> None:
        """A part of the requests, or all, meet with a fault from now on."""
        self._share = self._draw.choice((0.1, 0.3, 1.0))
        self._gateway.fault = fault = self._draw.choice(list(Fault))
        self.tally.faults[fault] += 1
        if self._draw.random() < 0.3:
            self._gateway.cut()

    def _calm(self) -> None:
        """The fault is over; what nobody answered is cut, or from the second storm on left to its limit."""
        self._gateway.fault = None
        if self._draw.random() < 0.8 or not self.tally.quiet:
            self._gateway.cut()

    def _kill(self) -> None:
        """At one of the next API calls, in the middle of the work for a commit."""
        moment, at = self._draw.choice(list(Moment)), self._draw.randint(1, REACH)
        if not self._armed:
            self._gateway.arm(at, moment, partial(self._process.signal, signal.SIGKILL))
            self._armed = True
        self._commit()

    # -- quiet -------------------------------------------------------------------------------

    def _agree(self) -> None:
        """All faults are over: wait until the service has done what git says now."""
        began = time.monotonic()
        commit = self._commit()
        self._until(lambda: f"synced at {commit[:12]}" in self._process.text, AGREE, "synced")
        self._until(self._is_equal, HEARD, "cluster equals git")
        check_equal(self._installation, self._wanted(), self._where())
        self.tally.waits.append(time.monotonic() - began)

    def _put_right(self) -> None:
        """What a watch hears is put right without a commit; then nothing is written."""
        for number in self._draw.sample(HEARD_OF, 2):
            delete, began = self._draw.random() < 0.5, time.monotonic()
            if began - self._changed.get(number, -AGAIN) < AGAIN:
                continue
            self._changed[number] = began
            found = live(self._installation)[numbered(number)]
            if delete:
                self._remove(found)
            else:
                self._change(found, number)
            self._until(self._is_equal, HEARD, f"foreign change of {found['kind']} {numbered(number)}")
            self.tally.corrected.append(time.monotonic() - began)
        check_equal(self._installation, self._wanted(), self._where())
        with self._installation.recorded() as requests:
            time.sleep(REST)
        assert not requests.of_objects, f"written at rest: {requests.of_objects}, {self._where()}"

    def _is_equal(self) -> bool:
        found = live(self._installation)
        labelled = all(marks.INSTANCE_LABEL in it["metadata"].get("labels", {}) for it in found.values())
        if not labelled or changing(found) != changing(self._wanted()):
            return False
        recorded = {ref.name: record.uid for ref, record in self._installation.inventory().items()}
        return recorded == {name: it["metadata"]["uid"] for name, it in found.items()}

    def _until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert not self._process.ended, f"it ended by itself: {self._where()}"
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; {self._where()}"
            time.sleep(0.05)

    def _check(self, requests: Requests, left: Set[str]) -> None:
        """Nothing was deleted but what left git, and nothing twice, ever."""
        check_deletes(requests, left, self._where())
        self._deletes += [asked for asked in requests.writes if asked.verb == "delete"]
        check_once(self._deletes, self._where())
        assert "Traceback" not in self._process.text, self._where()


@contextmanager
def _unless_too_late() -> Iterator[None]:
    """The object is gone, or another one meanwhile."""
    try:
        yield
    except ApiError as error:
        if error.status not in (404, 409):
            raise
