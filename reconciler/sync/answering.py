"""
Hears what persons ask the running service for: requests on the heads of the projects.

One watch of the heads' metadata; at rest it costs nothing. Which requests were answered before
is in the status records, so that a new leader takes on those that are open. Decides nothing:
what is heard goes to `asked`. Neighbour: asked.py.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.cluster.follow import Listed
from reconciler.cluster.watch import EventKind, WatchEvent
from reconciler.errors import ReconcilerError
from reconciler.sync import marks
from reconciler.sync.records import Records

log = logging.getLogger(__name__)

DEAF_FOR: Final = 60.0  # s until the watch is tried again where it may not be opened


class Ear:
    """
    `asked` is called with project and requests, once for each new text; `deaf` is told why nothing
    can be heard, and "" when it can.
    """

    def __init__(
        self, records: Records, *, asked: Callable[[str, str], None], deaf: Callable[[str], None]
    ) -> None:
        self._records = records
        self._asked = asked
        self._deaf = deaf
        self._heard: dict[str, str] = {}

    async def listen(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except ReconcilerError as error:
                log.warning("`reconciler sync` cannot ask this service for a run: %s", error)
                self._deaf(str(error))
                await asyncio.sleep(DEAF_FOR)

    async def _follow(self) -> None:
        async with self._records.follow("head", metadata_only=True) as stream:
            async for news in stream:
                match news:
                    case Listed(items=heads):
                        self._deaf("")
                        for head in heads:
                            await self._hear(head)
                    case WatchEvent(kind=kind, object=head) if kind is not EventKind.DELETED:
                        await self._hear(head)

    async def _hear(self, head: Mapping[str, Any]) -> None:
        annotations = head["metadata"].get("annotations") or {}
        project, requests = annotations.get(marks.PROJECT, ""), annotations.get(marks.ASKED, "")
        if not project or not requests or self._heard.get(project) == requests:
            return
        self._heard[project] = requests
        try:
            answered = (await self._records.of(project)).answered
        except ReconcilerError as error:
            log.debug("the run will say it again: %s", error)
            answered = ""
        if answered != requests:
            self._asked(project, requests)
