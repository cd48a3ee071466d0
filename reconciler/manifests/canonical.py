"""
One form for each body, whatever the order of its keys and the layout of its file.

Pure. decode.py takes the digest from here; whoever sends a body should use `dump` as
well, since it takes every nesting that the loader lets through and orjson does not.
"""

import hashlib
from typing import Any

import orjson

# Containers inside each other in one document. kubectl takes 10,000, but what we apply we must be
# able to read back, and orjson reads no more than 1,024; CPython's own recursion ends near there too.
MAX_DEPTH = 1_000


def dump(body: Any) -> bytes:
    """JSON with sorted keys and no blanks."""
    try:
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # orjson writes 254 levels at most and says so with this type
        return _dump_deep(body)


def digest(body: Any) -> str:
    """Hex SHA-256 of `dump`: equal for equal values, however they were written."""
    return digest_of(dump(body))


def digest_of(text: bytes) -> str:
    """`digest` of a body whose `dump` is at hand."""
    return hashlib.sha256(text).hexdigest()


def _dump_deep(body: Any) -> bytes:
    """As `dump`, with a stack of our own; `bytes` on it are ready text, which no body contains."""
    done: list[bytes] = []
    todo: list[Any] = [body]
    while todo:
        item = todo.pop()
        if isinstance(item, bytes):
            done.append(item)
        elif isinstance(item, dict) and item:
            todo.append(b"}")
            for key in sorted(item, reverse=True):
                todo += (item[key], orjson.dumps(key) + b":", b",")
            todo[-1] = b"{"
        elif isinstance(item, list) and item:
            todo.append(b"]")
            for value in reversed(item):
                todo += (value, b",")
            todo[-1] = b"["
        else:
            done.append(orjson.dumps(item))
    return b"".join(done)
