"""
Row 7: a plan where nothing has changed, beside a second pass over the same objects.

Both of a pair run one after the other, on the same installation; neither writes anything.
"""

from dataclasses import asdict

from bench.applying import Say
from bench.child import Used
from bench.contenders import Load, Reconciler, begun, perform, perform_command
from bench.lab import RECONCILER, Lab
from bench.verdict import Row, Spread, ratios, seconds, times

PLAN_LIMIT = 1.2  # × the no-op sync: it reads the same, and has nothing to compare
PAIRS = 5  # for each installation: its first apply takes longer than all of them


def plan_row(lab: Lab, load: Load, *, repeat: int, say: Say) -> Row:
    """Measure and judge."""
    passes: list[Used] = []
    plans: list[Used] = []
    for turn in range(repeat):
        who = Reconciler(lab)
        with begun(lab, who, load, f"p{load.size}-{turn}"):
            perform(lab, who)
            for pair in range(PAIRS):
                commands = [(who.command(wait=False), passes), (who.plan(), plans)]
                for command, mine in commands if pair % 2 == 0 else reversed(commands):
                    mine.append(perform_command(lab, who, command))
                say(f"{load.size} objects, plan: {plans[-1].seconds:.2f} s, sync: {passes[-1].seconds:.2f} s")
    ratio = Spread.of(ratios([run.seconds for run in plans], [run.seconds for run in passes]))
    return Row(
        number=7,
        what=f"plan of {load.size:,} unchanged objects",
        measured=f"{ratio.text(times)} the no-op sync",
        target=f"≤ {PLAN_LIMIT:g} ×",
        passed=ratio.median <= PLAN_LIMIT,
        reconciler=Spread.of([run.seconds for run in plans]).text(seconds),
        data={RECONCILER: [asdict(run) for run in plans], "sync": [asdict(run) for run in passes]},
    )
