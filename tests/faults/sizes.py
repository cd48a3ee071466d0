"""
How long kills and soaks go on: shortly in `make test`, at length in `make test-faults` and `make soak`.

The seed is fixed in `make test`, and otherwise another one each time, until SEED= repeats it.
"""

import os
import random

LONG = "FAULT_SEED" in os.environ
"""Somebody waits for this run alone: it says how far it is, and no test has a limit of time."""
KILLS = int(os.environ.get("FAULT_KILLS", "30"))
OBJECTS = int(os.environ.get("FAULT_OBJECTS", "40"))
"""What git holds at a time: half of it is created by each commit, the other half changed, as many pruned."""
SECONDS = float(os.environ.get("SOAK_MINUTES", "0.1")) * 60.0
SEED = int(os.environ.get("FAULT_SEED") or (random.SystemRandom().randrange(10**8) if LONG else 20261123))


def limit(seconds: float) -> float:
    """Of one test, for pytest.mark.timeout."""
    return 0 if LONG else seconds
