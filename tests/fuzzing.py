"""How long property tests look: shortly in `make test`, as long as one likes in `make fuzz TIMES=n`."""

import os
from typing import Any

from hypothesis import settings

_TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


def examples(count: int, **more: Any) -> settings:
    """`count` examples, times what `make fuzz` was told; the more of them, the newer they are each time."""
    if _TIMES > 1:
        more["derandomize"] = False
    return settings(max_examples=count * _TIMES, deadline=None, **more)
