"""
The body of a write: asks once more whether it may leave, in the moment in which it does.

A request waits its turn, then for a connection, then for the event loop, and the process may
be stopped anywhere in between. aiohttp sends the head together with the first piece of the
body, so that what is asked here, right before that, is asked as late as can be.
"""

from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractStreamWriter

PIECE = 256 * 1024  # bytes given to the connection at a time, so that a large body does not hold up the loop


class Body(aiohttp.Payload):
    """Bytes that leave only if `check` raises nothing; `refused` is what it raised."""

    _autoclose = True

    def __init__(self, data: bytes, check: Callable[[], None]) -> None:
        super().__init__(data, content_type="application/json")  # the request's own header wins
        self._size = len(data)
        self._data = data
        self._check = check
        self.refused: Exception | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text."""
        return self._data.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Ask, then send it all."""
        try:
            self._check()
        except Exception as refused:
            self.refused = refused
            raise
        for start in range(0, len(self._data), PIECE):
            await writer.write(self._data[start : start + PIECE])
