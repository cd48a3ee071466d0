"""
Row 8: foreign changes and deletes, and how long the running service takes to put them right.

From the answer to the foreign write until the object is seen as git has it, read every few
milliseconds. Each object is met once: what is changed again and again is left alone for a while.
"""

import time
from collections.abc import Iterator

from bench.applying import Say
from bench.contenders import Load, Reconciler, begun, perform
from bench.lab import Lab
from bench.objects import KINDS
from bench.service import running_service
from bench.verdict import Row, Spread

MEDIAN_LIMIT = 0.150  # s
WORST_LIMIT = 1.0  # s
READY_LIMIT = 60.0  # s for the service to hear at all
LOOK = 0.003  # s
SETTLED = 0.1  # s between two trials: the run of the one before is over


def drift_row(lab: Lab, load: Load, *, trials: int, say: Say) -> Row:
    """Measure and judge."""
    who = Reconciler(lab)
    with begun(lab, who, load, "drift") as namespaces:
        perform(lab, who, wait=True)
        with running_service(lab, who):
            apps = iter(range(load.size // KINDS))
            _trial(lab, namespaces[0], next(apps), turn=0, limit=READY_LIMIT)
            say(f"drift: {trials} trials")
            taken = list(_trials(lab, namespaces[0], apps, trials))
    spread = Spread.of(taken)
    return Row(
        number=8,
        what=f"foreign change or delete to corrected, {len(taken)} trials, {load.size:,} objects",
        measured=spread.text(milliseconds),
        target=f"median ≤ {MEDIAN_LIMIT * 1e3:.0f} ms, worst ≤ {WORST_LIMIT:g} s",
        passed=spread.median <= MEDIAN_LIMIT and spread.high <= WORST_LIMIT,
        data=taken,
    )


def milliseconds(value: float) -> str:
    """A short time."""
    return f"{value * 1e3:.0f} ms"


def _trials(lab: Lab, namespace: str, apps: Iterator[int], trials: int) -> Iterator[float]:
    for turn, app in zip(range(trials), apps, strict=False):
        time.sleep(SETTLED)
        yield _trial(lab, namespace, app, turn=turn, limit=READY_LIMIT)


def _trial(lab: Lab, namespace: str, app: int, *, turn: int, limit: float) -> float:
    """A ConfigMap is changed in one turn, and deleted in the next."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/app-{app:05}"
    uid = lab.api.get(path)["metadata"]["uid"]
    if turn % 2:
        lab.api.delete(path)
    else:
        lab.api.patch(path, {"data": {"LISTEN": "elsewhere"}})
    began = time.perf_counter()
    while time.perf_counter() - began < limit:
        found = lab.api.get(path) if lab.api.exists(path) else None
        if found and (found["metadata"]["uid"] != uid if turn % 2 else found["data"]["LISTEN"] == ":8080"):
            return time.perf_counter() - began
        time.sleep(LOOK)
    raise RuntimeError(f"{path} was not put right within {limit:g} s")
