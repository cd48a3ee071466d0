"""
Holds the Lease of an instance: reads, writes, watches and waits as lease.py says.

Writes nothing but the Lease and, where it is missing, the namespace around it. While the
Lease is held, the process's `Permit` says until when anything else may be written; it is
not extended by anything but a renewal that the API server has answered.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import AlreadyExists, ClusterError, Conflict, Forbidden, NotFound
from reconciler.cluster.follow import Listed
from reconciler.cluster.permit import Permit
from reconciler.cluster.resource import LEASES, NAMESPACES
from reconciler.cluster.watch import EventKind, WatchEvent
from reconciler.errors import ReconcilerError
from reconciler.sync import lease, marks
from reconciler.sync.errors import LeaseUnusable, RecordsUnusable
from reconciler.sync.lease import Action, Claim, Phase, Role, State

log = logging.getLogger(__name__)

ANSWER_LIMIT: Final = 2.5  # s for one request: a lost one leaves time for two more before the Lease is lost
NOTE_TRIES: Final = 10  # the Lease is renewed every 3 s: hardly ever is a second one needed
RELEASE_LIMIT: Final = 2.0  # s at the very end; a Lease that is not released runs out by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Gained:
    """The Lease is ours; `clean` False: the last holder did not say that it has stopped writing."""

    clean: bool


class Leader:
    """
    One process in the election for `instance`.

    `waiting` is told of each holder that it waits for, `heard` of the annotations, and of when it was
    renewed, whenever the Lease is read: those who wait write there what they want of the holder, and
    it answers.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        instance: str,
        role: Role,
        permit: Permit,
        waiting: Callable[[Claim], None] = lambda _claim: None,
        heard: Callable[[Mapping[str, str], str], None] = lambda _notes, _renewed: None,
    ) -> None:
        self.name = marks.lease_name(instance)
        self._cluster = cluster.unfenced()
        self._namespace = namespace
        self._instance = instance
        self._role = role
        self._permit = permit
        self._waiting = waiting
        self._heard = heard
        self._notes: dict[str, str] = {}
        self._state = State(me=f"{socket.gethostname()[:63]}_{secrets.token_hex(6)}")
        self._found: Mapping[str, Any] = {}
        permit.revoke()

    @property
    def me(self) -> str:
        """The name of this process as holder."""
        return self._state.me

    @property
    def leads(self) -> bool:
        """Whether this process holds the Lease, as far as it knows."""
        return self._state.phase is Phase.LEADING

    @property
    def holder(self) -> Claim | None:
        """The other process that holds it, as last seen."""
        return self._state.held_by

    async def gain(self, *, unless: Callable[[Claim], bool] = lambda _claim: False) -> Gained | None:
        """
        Wait for the Lease and take it; None as soon as somebody holds it for whom `unless` says so.

        Raises LeaseUnusable or ClusterError; call it again to go on.
        """
        await self._read()
        while not self.leads:
            if held := self._state.held_by:
                if unless(held):
                    return None
                await self._stand_by(unless)
            before = self._state.claim
            if self._state.held_by is None or self._is_due():
                await self._step()
        return Gained(clean=lease.is_clean(before))

    async def hold(self) -> None:
        """Renew it until it is lost, for whatever reason; then nothing may be written any more."""
        try:
            while self.leads:
                await self._step()
        finally:
            if not self.leads:
                self._permit.revoke()

    async def release(self) -> None:
        """Let it go, so that whoever waits need not wait for its end; nothing may be written after it."""
        if not self.leads:
            return
        self._permit.revoke()
        if not self._permit.is_settled():
            log.warning("the lease is left to run out: a write got no answer and may still be at work")
            self._set(lease.lost(self._state))
            return
        claim = replace(self._claim(), holder="", role="", duration=1.0)
        self._set(lease.lost(self._state))
        try:
            async with asyncio.timeout(RELEASE_LIMIT):
                try:
                    await self._put(claim)
                except Conflict:
                    await self._read()  # a note of another hand, if it is still ours
                    if self._state.claim and self._state.claim.holder == self._state.me:
                        await self._put(claim)
        except (TimeoutError, ReconcilerError) as error:
            log.warning("the lease is not released and runs out in %.0f s: %s", lease.DURATION, error)

    def note(self, key: str, text: str) -> None:
        """Have an annotation written with the next renewal, or taken off where the text is empty."""
        self._notes[key] = text

    async def ask_holder(self, key: str, change: Callable[[Mapping[str, str]], str]) -> bool:
        """
        Put an annotation beside the claim of another process, which sees it with its next renewal.

        `change` gives its text, from all that are there. False where nobody else holds the Lease.
        """
        for _ in range(NOTE_TRIES):
            await self._read()
            if not self._state.held_by:
                return False
            metadata = self._found["metadata"]
            notes = metadata.get("annotations") or {}
            body = {**self._found, "metadata": {**metadata, "annotations": {**notes, key: change(notes)}}}
            try:
                await self._cluster.update(
                    LEASES, self._namespace, self.name, body, field_manager=marks.RECORDS_MANAGER
                )
            except (Conflict, NotFound):
                continue  # it was renewed in between
            except ClusterError as error:
                raise self._explained(error) from error
            return True
        raise LeaseUnusable(
            what=f"was written by others {NOTE_TRIES} times in a row",
            where=f"Lease {self._namespace}/{self.name}",
            mend="try again",
        )

    # -- steps -------------------------------------------------------------------------

    async def _step(self) -> None:
        """Do what is due, or rest until something is; while we lead, nothing is raised."""
        loop = asyncio.get_running_loop()
        action, until = lease.decide(self._state, now=loop.time())
        match action:
            case Action.REST:
                await asyncio.sleep(max(0.0, until - loop.time()))
            case Action.LOSE:
                log.warning("the lease could not be renewed in time: this replica stops writing")
                self._set(lease.lost(self._state))
            case Action.READ:
                await self._read()
            case Action.CREATE | Action.TAKE:
                await self._contend()
            case Action.RENEW:
                await self._renew()

    async def _contend(self) -> None:
        try:
            await self._write()
        except (AlreadyExists, Conflict):
            await self._lost_race()
        except ClusterError as error:
            raise self._explained(error) from error

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._state.writes_until - loop.time()  # its end must not be overslept
        try:
            async with asyncio.timeout(min(left, ANSWER_LIMIT)):
                try:
                    await self._write()
                except (Conflict, NotFound):
                    await self._lost_race()
        except (TimeoutError, ReconcilerError) as error:
            said = error if isinstance(error, ReconcilerError) else "no answer in time"
            log.warning("the lease is not renewed yet: %s", said)
            self._set(lease.failed(self._state, now=loop.time()))

    async def _lost_race(self) -> None:
        """Somebody wrote first: another holder, or only a note beside our claim."""
        await self._read()
        self._set(lease.failed(self._state, now=asyncio.get_running_loop().time()))

    def _set(self, state: State) -> None:
        before, self._state = self._state, state
        if before.phase is Phase.LEADING and state.phase is not Phase.LEADING:
            self._permit.revoke()
            if state.held_by:
                log.warning("the lease was taken by %s: this replica stops writing", state.held_by.holder)
        held = state.held_by
        if held and (before.held_by is None or before.held_by.holder != held.holder):
            self._waiting(held)

    # -- reads -------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            found = await self._cluster.get(LEASES, self._namespace, self.name)
        except NotFound:
            self._see(None)
        except ClusterError as error:
            raise self._explained(error) from error
        else:
            self._see(found)

    def _see(self, found: Mapping[str, Any] | None) -> None:
        self._found = found or {}
        claim = lease.claim_of(found) if found else None
        if found and claim:
            self._heard(found["metadata"].get("annotations") or {}, claim.renewed)
        self._set(lease.seen(self._state, claim, now=asyncio.get_running_loop().time()))

    def _is_due(self) -> bool:
        return lease.decide(self._state, now=asyncio.get_running_loop().time())[0] is not Action.REST

    async def _stand_by(self, unless: Callable[[Claim], bool]) -> None:
        """Watch until it is free, its time is over without having changed, or it has such a holder."""
        loop = asyncio.get_running_loop()
        try:
            async with self._cluster.follow(
                LEASES, namespace=self._namespace, field_selector=f"metadata.name={self.name}"
            ) as stream:
                news = asyncio.ensure_future(anext(stream))
                try:
                    while (held := self._state.held_by) and not unless(held):
                        action, until = lease.decide(self._state, now=loop.time())
                        if action is not Action.REST:
                            return
                        await asyncio.wait([news], timeout=max(0.0, until - loop.time()))
                        if news.done():
                            self._hear(news.result())
                            news = asyncio.ensure_future(anext(stream))
                finally:
                    news.cancel()
                    await asyncio.wait([news])
        except ClusterError as error:
            raise self._explained(error) from error

    def _hear(self, news: Listed | WatchEvent) -> None:
        match news:
            case Listed(items=(found,)):
                self._see(found)
            case Listed() | WatchEvent(kind=EventKind.DELETED):
                self._see(None)
            case WatchEvent(object=found):
                self._see(found)

    # -- writes ------------------------------------------------------------------------

    def _claim(self) -> Claim:
        """Ours, from now on."""
        last = self._state.claim
        transitions = last.transitions if last else 0
        return Claim(
            holder=self._state.me,
            role=self._role.value,
            renewed=lease.stamp(datetime.now(UTC)),
            transitions=transitions if self.leads or last is None else transitions + 1,
            # It stays beside our claim until that is let go, and is over when somebody takes it.
            promised=self._promised() if self.leads else "",
        )

    def _promised(self) -> str:
        notes = (self._found.get("metadata") or {}).get("annotations") or {}
        return str(notes.get(marks.TURN_FOR, ""))

    async def _write(self) -> None:
        sent = asyncio.get_running_loop().time()
        claim = self._claim()
        gained = not self.leads
        if self._state.claim is None:
            await self._create(claim)
        else:
            await self._put(claim)
        self._set(lease.written(self._state, claim, sent=sent))
        self._permit.allow(until=self._state.writes_until)
        if gained:
            log.info("this replica holds the lease %s/%s and leads", self._namespace, self.name)

    def _body(self, claim: Claim) -> dict[str, Any]:
        metadata = self._found.get("metadata") or {}
        notes = {**(metadata.get("annotations") or {}), **self._notes, marks.ROLE: claim.role}
        if not claim.promised:
            notes.pop(marks.TURN_FOR, None)
        acquired = (self._found.get("spec") or {}).get("acquireTime") if self.leads else None
        body: dict[str, Any] = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {marks.RECORDS_LABEL: self._instance, marks.PART_LABEL: "lease"},
                "annotations": {key: text for key, text in notes.items() if text},
            },
            "spec": lease.spec_of(claim, acquired=acquired or claim.renewed),
        }
        if version := metadata.get("resourceVersion"):
            body["metadata"]["resourceVersion"] = version
        return body

    async def _put(self, claim: Claim) -> None:
        self._found = await self._cluster.update(
            LEASES, self._namespace, self.name, self._body(claim), field_manager=marks.RECORDS_MANAGER
        )

    async def _create(self, claim: Claim) -> None:
        body, manager = self._body(claim), marks.RECORDS_MANAGER
        try:
            self._found = await self._cluster.create(LEASES, self._namespace, body, field_manager=manager)
        except NotFound:
            await self._make_namespace()
            self._found = await self._cluster.create(LEASES, self._namespace, body, field_manager=manager)

    async def _make_namespace(self) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        try:
            await self._cluster.create(NAMESPACES, "", body, field_manager=marks.RECORDS_MANAGER)
        except AlreadyExists:
            return
        except Forbidden as error:
            raise RecordsUnusable(
                what=f"the records namespace {self._namespace} does not exist and may not be created",
                where="records",
                mend=f"create it (kubectl create namespace {self._namespace}) or set --records-namespace",
            ) from error

    def _explained(self, error: ClusterError) -> ReconcilerError:
        """What waiting does not mend, as LeaseUnusable."""
        if error.retry:
            return error
        rights = f"grant get, list, watch, create and update on {LEASES} in namespace {self._namespace}"
        return LeaseUnusable(
            what=f"the Lease that keeps two writers apart cannot be used: {error.what}",
            where=f"Lease {self._namespace}/{self.name}",
            mend=rights if isinstance(error, Forbidden) else error.mend,
        )
