"""
Where config.yaml comes from: what every source can do, and the loop around one.

A source gives the newest bytes, or says that there is no file, or that it could not
look. The three are never mixed up: "could not look" must not read as "there is none".
filesource.py and gitsource.py are the two sources; parse.py reads the bytes, state.py
decides what they change.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The file was read. `where` is its name in errors, `revision` a short name of these bytes."""

    where: str
    revision: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The source answered, and there is no such file. `mend`: what would make it be there."""

    where: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """The source did not answer, or what is there is no file: nothing is known about the content."""

    where: str
    what: str
    mend: str


Reading = Content | Missing | Unreadable


class ConfigSource(Protocol):
    """
    A place that holds a configuration.

    `read` works at any time. Inside `async with`, `changed` also wakes at once for what
    can be noticed without asking; outside, it only ever wakes by being poked.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def read(self) -> Reading:
        """Look now. Raises nothing for a source that fails: that is an `Unreadable`."""
        ...

    async def changed(self) -> None:
        """Return once something may have changed since the last `read` began."""
        ...

    def poke(self) -> None:
        """Make `changed` return: somebody (a webhook, a signal) knows of something new."""
        ...


async def readings(source: ConfigSource, *, interval: float) -> AsyncGenerator[Reading]:
    """
    Yield what the source holds, at first and whenever that is another than before.

    Looks again every `interval` seconds and at once when the source notices something.
    Only the newest counts: what comes and goes while the consumer is busy is not seen.
    Never ends; close it with `contextlib.aclosing`, which also ends the watching.
    """
    async with source:
        last: Reading | None = None
        while True:
            reading = await source.read()
            if reading != last:
                last = reading
                yield reading
            try:
                async with asyncio.timeout(interval):
                    await source.changed()
            except TimeoutError:
                continue  # the interval is over: look again
