"""
What both loaders produce: one value of a file, and where in the file it stands.
"""

from dataclasses import dataclass
from typing import Any

# Scalars, lists and mappings in one document. Etcd takes 1.5 MiB an object, which holds fewer.
MAX_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """
    One document; `line` (1-based) is where its value starts.

    `item_lines` has the line of each member of the top-level list `items`, for Lists.
    """

    line: int
    body: Any
    item_lines: tuple[int, ...] = ()
