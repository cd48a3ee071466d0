"""
One request as the rest of this layer sees it: counted, in its turn, repeated when refused for load.

Stands between transport.py (bytes) and client.py, listing.py, discovery.py (meaning).
429, and 503 with Retry-After, are waited out here within `PATIENCE`; the caller's own
deadline may be shorter. Nothing else is repeated but an apply that lost its connection
(transport.py), once: whether a write that may have happened is sent again is for the
caller to decide.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from reconciler.cluster import errors, replies
from reconciler.cluster.clock import ServerClock
from reconciler.cluster.counter import RequestCounter
from reconciler.cluster.permit import Permit
from reconciler.cluster.replies import Doing
from reconciler.cluster.throttle import Slot, Throttle
from reconciler.cluster.transport import Answer, Request, Transport

PATIENCE = 60.0  # s of refusals, for callers that have no deadline of their own

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_METHODS: Mapping[str, str] = {
    "get": "GET",
    "list": "GET",
    "apply": "PATCH",
    "patch": "PATCH",
    "create": "POST",
    "update": "PUT",
    "delete": "DELETE",
}
_OK = range(200, 300)
_TOO_MANY, _UNAVAILABLE = 429, 503


class Requests:
    """Sends requests to one API server and decodes what it answers."""

    def __init__(self, transport: Transport, counter: RequestCounter, permit: Permit) -> None:
        self.headers: Mapping[str, str] = {}
        """Sent with each request."""
        self.transport = transport
        self.counter = counter
        self.clock = ServerClock()
        self.permit = permit
        self.writes = Throttle()
        self.reads = Throttle()

    async def call(
        self,
        verb: str,
        path: str,
        *,
        resource: str,
        doing: Doing,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        content_type: str = JSON,
        body: bytes | None = None,
        check: Callable[[], None] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """
        Return status and decoded answer of a success; raise ClusterError for anything else.

        `check` is called when it is the request's turn, each time that it is, and may raise.
        """
        headers = {**self.headers, "Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        request = Request(
            _METHODS[verb],
            path,
            doing,
            query or {},
            headers,
            body,
            idempotent=verb == "apply",
            check=self.permit.check if _changes(doing, query) else None,
        )
        answer = await self._in_turn(request, verb, resource, check)
        if answer.status not in _OK:
            raise replies.from_status(
                answer.status, answer.body, doing=doing, retry_after=answer.retry_after, sent=body
            )
        return answer.status, self._decode(answer, doing)

    async def _in_turn(
        self, request: Request, verb: str, resource: str, check: Callable[[], None] | None
    ) -> Answer:
        throttle = self.writes if request.doing.write else self.reads
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE
        while True:
            async with throttle.slot() as slot:
                if check:
                    check()
                self.counter.add(verb, resource)
                answer = await self._answer(request)
                self.clock.heard(answer.date)
                _mark(slot, answer)
            if not slot.was_refused or loop.time() + (answer.retry_after or 0.0) >= give_up:
                return answer

    async def _answer(self, request: Request) -> Answer:
        if not request.check:
            return await self.transport.send(request)
        leaving = _Leaving(request.check)
        answers = 0
        try:
            answer = await self.transport.send(replace(request, check=leaving))
            answers = 1
            return answer
        finally:
            # Also where a second try was answered, or kept from leaving: the first got no answer. (After
            # a 401 it did; that it counts as lost makes a hand-over in the next half minute slower.)
            if leaving.times > answers:
                self.permit.unanswered()

    def _decode(self, answer: Answer, doing: Doing) -> dict[str, Any]:
        try:
            decoded = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            decoded = None
        if not isinstance(decoded, dict):
            raise errors.ServerFault(
                what=f"the answer ({answer.status}) is not a JSON object",
                where=f"{self.transport.server} ({doing.text})",
                mend="check that the address is a Kubernetes API server and not a proxy or login page",
            )
        return decoded


class _Leaving:
    """Asks whether a write may leave, and counts how often it did."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.times = 0
        self._check = check

    def __call__(self) -> None:
        self._check()
        self.times += 1


def _changes(doing: Doing, query: Mapping[str, str] | None) -> bool:
    return doing.write and not (query and "dryRun" in query)


def _mark(slot: Slot, answer: Answer) -> None:
    if answer.status == _TOO_MANY or (answer.status == _UNAVAILABLE and answer.retry_after is not None):
        slot.refused(answer.retry_after)
