"""
The Kubernetes API as the rest of the service uses it: discover, read, apply, delete, watch.

    async with connect(kubeconfig=None, context=None) as cluster:
        discovery = await cluster.discover()
        applied = await cluster.apply(resource, "shop", "web", body, field_manager="reconciler:shop")

Objects are plain dicts as the API gives them. Nothing is decided here and nothing is
cached; each call raises a ClusterError or has done all that its name says. The caller
owns the deadline (`asyncio.timeout`), beside which every single request has its own.
Neighbours: requests.py sends, listing.py pages, watch.py streams, discovery.py reads kinds.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from reconciler.cluster import discovery, errors, listing, requests
from reconciler.cluster.counter import RequestCounter
from reconciler.cluster.discovery import Discovery
from reconciler.cluster.follow import Followed, Listed, follow
from reconciler.cluster.kubeconfig import Access, find_access
from reconciler.cluster.listing import Listing, Page
from reconciler.cluster.permit import Permit
from reconciler.cluster.reach import Reach
from reconciler.cluster.replies import Doing
from reconciler.cluster.requests import Requests
from reconciler.cluster.resource import Resource, collection_path, describe, is_secret, object_path
from reconciler.cluster.rights import RULES_REVIEWS, Rights, read_rights
from reconciler.cluster.transport import REQUEST_LIMIT, Transport
from reconciler.cluster.watch import SILENCE, Watch, WatchEvent, open_watch

APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML, and cheaper for both sides
JSON_PATCH = "application/json-patch+json"
FIELD_MANAGER_LIMIT = 128  # bytes, the server's bound

_CREATED = 201


Check = Callable[[str, Resource, str, str], None]
"""Verb, resource, namespace and name of a write."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply left: the object's `metadata` (managedFields included), and whether it is new."""

    metadata: dict[str, Any]
    created: bool


@asynccontextmanager
async def connect(
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    request_limit: float = REQUEST_LIMIT,
    permit: Permit | None = None,
) -> AsyncIterator["Cluster"]:
    """
    Open a client; nothing is sent yet, so an unreachable server shows with the first call.

    Configuration as kubectl finds it (kubeconfig.find_access). `request_limit` seconds bound
    each single request, `permit` says until when writes may be sent (none: always). Raises
    KubeconfigInvalid, or Unauthorized from a credential plugin.
    """
    access = find_access(kubeconfig=kubeconfig, context=context)
    transport = Transport(access, request_limit=request_limit)
    try:
        await transport.prepare()
        yield Cluster(access, transport, permit or Permit())
    finally:
        await transport.close()


class Cluster:
    """One API server, one user."""

    def __init__(self, access: Access, transport: Transport, permit: Permit) -> None:
        self.server = access.server
        self.namespace = access.namespace  # of the kubeconfig's context, or the pod's own
        self.requests = RequestCounter()
        self._sender = Requests(transport, self.requests, permit)
        self._check: Check = _allow
        self.reach = Reach()

    def acting_as(self, namespace: str, service_account: str) -> "Cluster":
        """
        The same server, asked as a ServiceAccount (impersonation); its groups are the server's business.

        Raises KubeconfigInvalid for an empty part: the request would be our own then.
        """
        if not namespace or not service_account:
            raise errors.KubeconfigInvalid(
                what="no ServiceAccount is named to act as",
                where="impersonation",
                mend="write service_account: NAMESPACE/NAME",
            )
        other = copy(self)
        other._sender = copy(self._sender)  # the queues stay shared: it is the same server's load
        other._sender.headers = {"Impersonate-User": f"system:serviceaccount:{namespace}:{service_account}"}
        return other

    def confined(self, check: Check) -> "Cluster":
        """
        The same server; `check` is called right before each write, and raises for one that may not be.

        What was asked before, if this is confined already, is asked as well.
        """
        before = self._check

        def both(verb: str, resource: Resource, namespace: str, name: str) -> None:
            before(verb, resource, namespace, name)
            check(verb, resource, namespace, name)

        other = copy(self)
        other._check = both
        return other

    def within(self, namespaces: Sequence[str]) -> "Cluster":
        """The same server; NotAllowed for all that lies outside of these namespaces. None: everything."""
        other = copy(self)
        other.reach = Reach(tuple(namespaces))
        return other

    def unfenced(self) -> "Cluster":
        """
        The same server for what neither a lease nor a pause may stop: the election itself.

        It waits in no queue with others, which a server under load may close for half a minute.
        """
        other = copy(self)
        other._sender = Requests(self._sender.transport, self.requests, Permit())
        other._check = _allow
        return other

    def now(self) -> datetime:
        """The API server's time, as its last answer told it."""
        return self._sender.clock.now()

    async def discover(self) -> Discovery:
        """Ask which kinds are served: two requests."""
        return await discovery.discover(self._sender)

    async def rights(self, namespace: str) -> Rights:
        """Ask what we may do in a namespace, where the rights of the whole cluster hold as well."""
        _, answer = await self._sender.call(
            "create",
            collection_path(RULES_REVIEWS, ""),
            resource=str(RULES_REVIEWS),
            doing=Doing(describe("create", RULES_REVIEWS)),
            body=_encode(
                {
                    "apiVersion": RULES_REVIEWS.api_version,
                    "kind": RULES_REVIEWS.kind,
                    "spec": {"namespace": namespace},
                }
            ),
        )
        return read_rights(answer.get("status") or {})

    async def get(
        self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False
    ) -> dict[str, Any]:
        """Return the object, or its PartialObjectMetadata. Raises NotFound."""
        _, answer = await self._call(
            "get",
            resource,
            namespace,
            name,
            accept=requests.METADATA if metadata_only else requests.JSON,
        )
        return answer

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool,
        page_size: int = listing.PAGE,
    ) -> Listing:
        """Return every object ("" namespace: of all) from one consistent snapshot, or raise."""
        self.reach.check("list", resource, namespace)
        return await listing.list_all(
            self._sender,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            page_size=page_size,
        )

    def pages(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool,
        page_size: int = listing.PAGE,
    ) -> AsyncIterator[Page]:
        """Like `list`, page by page; if it raises, what came before is not a list."""
        self.reach.check("list", resource, namespace)
        return listing.pages(
            self._sender,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            page_size=page_size,
        )

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: bytes | Mapping[str, Any],
        *,
        field_manager: str,
        dry_run: bool = False,
        secret: bool = False,
    ) -> Applied:
        """
        Send a forced server-side apply; `body` is JSON text or what is to become it.

        `secret`: the object holds a Secret's values, so that errors repeat nothing of it.

        Only metadata is asked back: small, and a Secret's values never return. May be
        sent again after Unreachable, whatever `maybe_written` says: it is idempotent.
        """
        query = {"fieldManager": field_manager, "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        status, answer = await self._call(
            "apply",
            resource,
            namespace,
            name,
            query=query,
            accept=requests.METADATA,
            content_type=APPLY_PATCH,
            body=_encode(body),
            secret=secret,
        )
        return Applied(_metadata(answer, describe("apply", resource, namespace, name)), status == _CREATED)

    async def json_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        ops: Sequence[Mapping[str, Any]],
        *,
        field_manager: str,
    ) -> dict[str, Any]:
        """
        Change what the operations name, and return the object's `metadata`. Raises NotFound.

        An operation that replaces `/metadata/resourceVersion` makes a lost race a Conflict; a
        `test` of it would not, as the server tries again with what it finds then. Nothing is
        sent a second time: after Unreachable with `maybe_written` read the object again.
        """
        _, answer = await self._call(
            "patch",
            resource,
            namespace,
            name,
            query={"fieldManager": field_manager},
            accept=requests.METADATA,
            content_type=JSON_PATCH,
            body=orjson.dumps(ops),
        )
        return _metadata(answer, describe("patch", resource, namespace, name))

    async def try_apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: bytes | Mapping[str, Any],
        *,
        field_manager: str,
    ) -> dict[str, Any]:
        """
        What `apply` would make of the object, whole; nothing is written (a dry-run).

        Of a Secret the answer holds live values, also those of fields that were not sent: it is
        as secret as the Secret. Needs the right to patch. Raises NoDryRun where a webhook refuses.
        """
        _, answer = await self._call(
            "apply",
            resource,
            namespace,
            name,
            query={"fieldManager": field_manager, "force": "true", "dryRun": "All"},
            content_type=APPLY_PATCH,
            body=_encode(body),
        )
        _metadata(answer, describe("apply", resource, namespace, name))
        return answer

    async def try_update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
    ) -> dict[str, Any]:
        """What the server would make of an object that is replaced by `body`; as `try_apply`."""
        query = {"fieldManager": field_manager, "dryRun": "All"}
        _, answer = await self._call("update", resource, namespace, name, query=query, body=_encode(body))
        return answer

    async def create(
        self, resource: Resource, namespace: str, body: bytes | Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """Create and return the object. Raises AlreadyExists."""
        name = "" if isinstance(body, bytes) else str((body.get("metadata") or {}).get("name") or "")
        _, answer = await self._call(
            "create", resource, namespace, name, query={"fieldManager": field_manager}, body=_encode(body)
        )
        return answer

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: bytes | Mapping[str, Any],
        *,
        field_manager: str,
    ) -> dict[str, Any]:
        """Replace and return the object; a `metadata.resourceVersion` in it makes a lost race a Conflict."""
        _, answer = await self._call(
            "update", resource, namespace, name, query={"fieldManager": field_manager}, body=_encode(body)
        )
        return answer

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> None:
        """
        Delete exactly this object; that it is gone already is success.

        `uid` must be given: a name alone may be another object's by now (Conflict).
        `propagation` is Foreground, Background or Orphan. Returns when the server has
        accepted it; finalizers may keep the object for longer.
        """
        if not uid:
            raise errors.Invalid(
                what="no uid is given",
                where=describe("delete", resource, namespace, name),
                mend="read the object first, so that no other one is deleted in its place",
            )
        preconditions = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = resource_version
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": propagation.capitalize(),
        }
        try:
            await self._call("delete", resource, namespace, name, body=_encode(options))
        except errors.NotFound:
            return

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str,
        metadata_only: bool,
        silence: float = SILENCE,
    ) -> AbstractAsyncContextManager[Watch]:
        """
        Open one watch: `async with cluster.watch(...) as events: async for event in events`.

        Ends when the server ends it; raises WatchExpired (list anew) or WatchLost (also
        after `silence` seconds without a byte). Bookmarks come as events.
        """
        self.reach.check("watch", resource, namespace)
        return open_watch(
            self._sender,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            metadata_only=metadata_only,
            silence=silence,
        )

    def follow(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        silence: float = SILENCE,
        since: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[Listed | WatchEvent]]:
        """
        List and watch without end: `async with cluster.follow(...) as stream: async for ...`.

        With `since`, a resourceVersion, begin with the events after it; a `Listed` comes only
        where the server does not remember them any more.
        """
        self.reach.check("watch", resource, namespace)
        what = Followed(resource, namespace, label_selector, field_selector, metadata_only, silence, since)
        return follow(self._sender, what)

    async def _call(
        self,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = requests.JSON,
        content_type: str = requests.JSON,
        body: bytes | None = None,
        secret: bool = False,
    ) -> tuple[int, dict[str, Any]]:
        self.reach.check(verb, resource, namespace, name)
        if verb == "create":
            path = collection_path(resource, namespace)
        else:
            path = object_path(resource, namespace, name)
        return await self._sender.call(
            verb,
            path,
            resource=str(resource),
            doing=Doing(
                describe(verb, resource, namespace, name), secret or is_secret(resource), verb != "get"
            ),
            check=None if verb == "get" else partial(self._check, verb, resource, namespace, name),
            query=query,
            accept=accept,
            content_type=content_type,
            body=body,
        )


def _allow(_verb: str, _resource: Resource, _namespace: str, _name: str) -> None:
    """Nothing is checked."""


def _encode(body: bytes | Mapping[str, Any]) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)


def _metadata(answer: Mapping[str, Any], where: str) -> dict[str, Any]:
    metadata = answer.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("uid"):
        raise errors.ServerFault(
            what="the answer to a write names no object", where=where, mend="look at what serves this kind"
        )
    return metadata
