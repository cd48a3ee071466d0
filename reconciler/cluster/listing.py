"""
Read all objects of a resource: every page, or an error.

Reads are consistent: `resourceVersion` is left out, so that the server answers from etcd
(or from a cache that it has proved to be as new), never from a stale one, because a
decision to delete may follow. `resourceVersion=0` would be two to three times cheaper
and may go back in time. All pages show the snapshot of the first one; when it expires
half-way (410) the list starts over once, and pages already handed out by `pages()` then
make that impossible, so it raises.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from reconciler.cluster import errors, requests
from reconciler.cluster.replies import Doing
from reconciler.cluster.requests import Requests
from reconciler.cluster.resource import Resource, collection_path, describe, is_secret

PAGE = 500  # objects; what kubectl asks for, about 1 MiB of metadata


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of one snapshot; `resource_version` is where a watch goes on from it."""

    items: tuple[dict[str, Any], ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; it is the last one if `more` is False."""

    items: list[dict[str, Any]]
    resource_version: str
    more: bool


async def list_all(
    sender: Requests,
    resource: Resource,
    *,
    namespace: str,
    label_selector: str,
    field_selector: str,
    metadata_only: bool,
    page_size: int,
) -> Listing:
    """Return every object or raise ClusterError; starts over once when the snapshot expires."""
    for attempt in (1, 2):
        items: list[dict[str, Any]] = []
        version = ""
        try:
            async for page in pages(
                sender,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                metadata_only=metadata_only,
                page_size=page_size,
            ):
                items += page.items
                version = page.resource_version
        except errors.ListExpired:
            if attempt == 1:
                continue
            raise
        return Listing(tuple(items), version)
    raise AssertionError("unreachable: the loop returns or raises")


async def pages(
    sender: Requests,
    resource: Resource,
    *,
    namespace: str,
    label_selector: str,
    field_selector: str,
    metadata_only: bool,
    page_size: int,
) -> AsyncIterator[Page]:
    """
    Yield pages as they come, so that a caller need not hold them all.

    Any failure raises, after however many pages: what was yielded before is then not a
    list and must not be taken for one.
    """
    doing = Doing(_describe(resource, namespace, label_selector), secret=is_secret(resource))
    query = {"limit": str(page_size)}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    while True:
        page = await _page(sender, resource, namespace, query, metadata_only=metadata_only, doing=doing)
        yield page[0]
        if not page[1]:
            return
        query["continue"] = page[1]


async def _page(
    sender: Requests,
    resource: Resource,
    namespace: str,
    query: dict[str, str],
    *,
    metadata_only: bool,
    doing: Doing,
) -> tuple[Page, str]:
    try:
        _, answer = await sender.call(
            "list",
            collection_path(resource, namespace),
            resource=str(resource),
            doing=doing,
            query=query,
            accept=requests.METADATA_LIST if metadata_only else requests.JSON,
        )
    except errors.WatchExpired as exc:
        raise errors.ListExpired(
            what="the list's snapshot expired between two pages (410)",
            where=doing.text,
            mend="it is read again; if it repeats, look at the API server's load and etcd's compaction",
        ) from exc
    metadata, items = answer.get("metadata"), answer.get("items")
    # An answer without `items` is not an empty list: Go writes null for that, and never leaves it out.
    if not isinstance(metadata, dict) or "items" not in answer or not isinstance(items, list | None):
        raise errors.ServerFault(
            what="the answer is not a list", where=doing.text, mend="look at what serves this kind"
        )
    token = str(metadata.get("continue") or "")
    return Page(_typed(items or [], resource), str(metadata.get("resourceVersion") or ""), bool(token)), token


def _typed(items: list[dict[str, Any]], resource: Resource) -> list[dict[str, Any]]:
    # Lists of built-in kinds leave apiVersion and kind out of their items; every consumer wants them.
    for item in items:
        if item.get("kind") in {None, "PartialObjectMetadata"}:
            item["kind"] = resource.kind
            item["apiVersion"] = resource.api_version
    return items


def _describe(resource: Resource, namespace: str, label_selector: str) -> str:
    text = describe("list", resource, namespace)
    return f"{text} where {label_selector}" if label_selector else text
