"""
Whether a person has stopped all writes: the key `paused`, or an annotation on the records namespace.

`check` stands right before each write of objects and records, so that a run in flight sends
nothing more. The annotation is heard by a watch of that one namespace; where that is not
allowed it is read before each comparison. Writes nothing, decides nothing about projects.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, Forbidden, NotFound, Paused
from reconciler.cluster.follow import Listed
from reconciler.cluster.resource import NAMESPACES, Resource, describe
from reconciler.cluster.watch import EventKind
from reconciler.sync import marks

log = logging.getLogger(__name__)

CONFIGURED: Final = "paused is set in the configuration"
_NOT_PAUSED: Final = ("", "false")


def annotated(namespace: str) -> str:
    """Why nothing may be written while this namespace has the annotation."""
    return f"namespace {namespace} has the annotation {marks.PAUSED}"


def is_annotated(metadata: Mapping[str, Any]) -> bool:
    """Whether a person has stopped all writes by annotating the records namespace."""
    value = str((metadata.get("annotations") or {}).get(marks.PAUSED, ""))
    # Whoever writes "yes" there wants what whoever writes "true" wants.
    return value.strip().lower() not in _NOT_PAUSED


class Pause:
    """`reason` is why nothing may be written, "" while all may; `on_change` is called when that changes."""

    def __init__(self, cluster: Cluster, *, namespace: str, watch: bool = True) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._cluster = cluster
        self._namespace = namespace
        self._may_watch = watch
        self._configured = False
        self._annotated = False
        self._known = False
        self._watched = False
        self._refused = ""
        self._version = ""
        self._writing = asyncio.Event()

    @property
    def reason(self) -> str:
        """Why nothing may be written; "" lets writes through."""
        if self._configured:
            return CONFIGURED
        return annotated(self._namespace) if self._annotated else ""

    def check(self, verb: str, resource: Resource, namespace: str, name: str) -> None:
        """Raise Paused for any write while all is paused."""
        self._writing.set()
        if reason := self.reason:
            raise Paused(
                what=f"not sent: {reason}",
                where=describe(verb, resource, namespace, name),
                mend="take that back when writes may go on",
            )

    def configure(self, *, paused: bool) -> None:
        """What the configuration says."""
        self._set(configured=paused, annotated=self._annotated)

    async def refresh(self) -> None:
        """
        Read the annotation, unless the watch tells of it.

        Raises ClusterError where it cannot be known: nothing may be written then.
        """
        if not (self._watched and self._known):
            await self._read()

    async def know(self) -> None:
        """As `refresh`, but what was read once is enough: for a single pass."""
        if not self._known:
            await self._read()

    async def _read(self) -> None:
        try:
            found = await self._cluster.get(NAMESPACES, "", self._namespace, metadata_only=True)
        except NotFound:
            self._take({})
        except Forbidden as error:
            # A right that was never given stops nobody's work, and stays visible.
            self._take({})
            self._tell_refused(
                f"whether namespace {self._namespace} has the annotation {marks.PAUSED} may not be read, "
                f"only the key paused stops writes: {error.what}; {error.mend}"
            )
        else:
            self._version = str(found["metadata"].get("resourceVersion") or "")
            self._take(found["metadata"])

    async def follow_writes(self) -> None:
        """As `follow`, from the first write on: a pass that writes nothing needs no watch."""
        await self._writing.wait()
        await self.follow()

    async def follow(self) -> None:
        """Until cancelled, or until the server refuses the watch."""
        if not self._may_watch:
            log.info(
                "annotation %s of namespace %s: read before each comparison", marks.PAUSED, self._namespace
            )
            return
        selector = f"metadata.name={self._namespace}"
        self._watched = True
        try:
            async with self._cluster.follow(
                NAMESPACES, field_selector=selector, metadata_only=True, since=self._version
            ) as changes:
                log.debug("annotation %s of namespace %s: watched", marks.PAUSED, self._namespace)
                async for change in changes:
                    match change:
                        case Listed():
                            self._take(change.items[0]["metadata"] if change.items else {})
                        case _ if change.kind is EventKind.DELETED:
                            self._take({})
                        case _:
                            self._take(change.object["metadata"])
        except ClusterError as error:
            self._tell_refused(
                f"annotation {marks.PAUSED} of namespace {self._namespace} cannot be watched and is read "
                f"before each comparison: {error.what}; {error.mend}"
            )
        finally:
            self._watched = self._known = False

    def _take(self, metadata: Mapping[str, Any]) -> None:
        self._known = True
        self._set(configured=self._configured, annotated=is_annotated(metadata))

    def _set(self, *, configured: bool, annotated: bool) -> None:
        before = self.reason
        self._configured, self._annotated = configured, annotated
        if self.reason == before:
            return
        if self.reason:
            log.warning("paused: %s; nothing is written any more", self.reason)
        else:
            log.warning("no longer paused")
        self.on_change()

    def _tell_refused(self, text: str) -> None:
        if text != self._refused:
            self._refused = text
            log.warning("%s", text)


@asynccontextmanager
async def hearing(pause: Pause, *, at_once: bool = False) -> AsyncIterator[None]:
    """Hear of the annotation during the block, `at_once` or as soon as something is written."""
    task = asyncio.create_task(pause.follow() if at_once else pause.follow_writes())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
