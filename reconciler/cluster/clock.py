"""
The API server's wall clock, as the Date of its answers tells it.

Times in the cluster's objects are compared with this clock and not with ours, which may be
wrong. Whole seconds; what passed since the last answer is counted by the loop's clock.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


class ServerClock:
    """One for a server; `heard` is told of every answer."""

    def __init__(self) -> None:
        self._date: datetime | None = None
        self._at = 0.0

    def heard(self, date: str) -> None:
        """The `Date` header of an answer that has just come; one that is no date is passed over."""
        try:
            found = parsedate_to_datetime(date)
        except ValueError:
            return
        self._date = found if found.tzinfo else found.replace(tzinfo=UTC)
        self._at = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The server's time; our own where no answer has told it yet."""
        if self._date is None:
            return datetime.now(UTC)
        return self._date + timedelta(seconds=asyncio.get_running_loop().time() - self._at)
