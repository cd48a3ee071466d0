"""
Row 6: objects that the old agent has applied become ours, beside a first apply of as many.

Both of a pair run one after the other, each on a namespace of its own.
"""

from dataclasses import asdict

from bench.applying import Say
from bench.child import Used
from bench.contenders import PREDECESSOR, Load, Reconciler, Successor, begun, perform
from bench.lab import RECONCILER, Lab
from bench.verdict import Row, Spread, ratios, seconds, times

TAKE_OVER_LIMIT = 2.2  # × the first apply: two requests an object in place of one


def take_over_row(lab: Lab, load: Load, *, repeat: int, say: Say) -> Row:
    """Measure and judge."""
    first: list[Used] = []
    taken: list[Used] = []
    for turn in range(repeat):
        pairs = [(Reconciler(lab), first), (Successor(lab), taken)]
        for who, mine in pairs if turn % 2 == 0 else reversed(pairs):
            word = "take-over" if mine is taken else "first"
            with begun(lab, who, load, f"t{load.size}-{turn}-{word}") as namespaces:
                mine.append(perform(lab, who))
                _check(lab, namespaces[0], load)
                say(f"{load.size} objects, {word}: {mine[-1].seconds:.2f} s")
    ratio = Spread.of(ratios([run.seconds for run in taken], [run.seconds for run in first]))
    return Row(
        number=6,
        what=f"take-over of {load.size:,} objects of the old agent, no wait",
        measured=f"{ratio.text(times)} the first apply",
        target=f"≤ {TAKE_OVER_LIMIT:g} ×",
        passed=ratio.median <= TAKE_OVER_LIMIT,
        reconciler=Spread.of([run.seconds for run in taken]).text(seconds),
        data={RECONCILER: [asdict(run) for run in taken], "first": [asdict(run) for run in first]},
    )


def _check(lab: Lab, namespace: str, load: Load) -> None:
    if (there := lab.count_objects(namespace)) != load.size:
        raise RuntimeError(f"{namespace} holds {there} objects, not {load.size}")
    if PREDECESSOR in lab.appliers(namespace):
        raise RuntimeError(f"{namespace} holds objects that {PREDECESSOR} still owns")
