"""
What an installation has to be allowed to do, and what of it the API server says it is not.

Asked by SelfSubjectAccessReview: nothing is tried. A project with a `service_account` is asked
for as that ServiceAccount. Decides nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.reach import Reach
from reconciler.cluster.resource import CONFIG_MAPS, LEASES, NAMESPACES, SECRETS, Resource
from reconciler.sync import marks

_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
_AT_ONCE: Final = 8
READING: Final = ("get", "list", "watch")
RECORDS_VERBS: Final = (*READING, "create", "update", "delete")
LEASE_VERBS: Final = (*READING, "update")


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on a kind; namespace "" is all of them, name "" is any."""

    verb: str
    group: str
    plural: str
    namespace: str = ""
    name: str = ""


def of_records(namespace: str, *, instance: str) -> tuple[Right, ...]:
    """What the service's own records take, and the Lease by which one process at a time writes them."""
    maps, secrets, leases = CONFIG_MAPS, SECRETS, LEASES
    lease = marks.lease_name(instance)
    return (
        *(Right(verb, maps.group, maps.plural, namespace) for verb in RECORDS_VERBS),
        *(Right(verb, leases.group, leases.plural, namespace, lease) for verb in LEASE_VERBS),
        # `create` cannot be limited to a name.
        Right("create", leases.group, leases.plural, namespace),
        Right("create", secrets.group, secrets.plural, namespace),
        Right("get", secrets.group, secrets.plural, namespace, marks.KEY_SECRET),
    )


def of_pause(namespace: str, *, watched: bool) -> tuple[Right, ...]:
    """What it takes to know of the annotation that pauses all; `watched`: also to hear of it."""
    group, plural = NAMESPACES.group, NAMESPACES.plural
    # To the API server a GET of a Namespace is a request within it, for which a Role is enough; a
    # watch is one of the whole cluster, also where it is for one name.
    listening = [Right(verb, group, plural, "", namespace) for verb in ("list", "watch")]
    return (Right("get", group, plural, namespace, namespace), *(listening if watched else ()))


class Reviews:
    """Questions to the API server, each asked once, a few at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[tuple[str | None, Right], asyncio.Task[bool]] = {}

    async def missing(
        self, rights: Iterable[Right], *, service_account: str | None = None
    ) -> tuple[Right, ...]:
        """Those that are not given, sorted; ClusterError where it cannot be asked."""
        wanted = sorted(set(rights))
        answers = await asyncio.gather(*(self._is_given(right, service_account) for right in wanted))
        return tuple(right for right, given in zip(wanted, answers, strict=True) if not given)

    async def _is_given(self, right: Right, who: str | None) -> bool:
        if (who, right) not in self._known:
            self._known[who, right] = asyncio.ensure_future(self._ask(right, who))
        return await self._known[who, right]

    async def _ask(self, right: Right, who: str | None) -> bool:
        cluster = self._cluster
        if who is not None:
            namespace, _, name = who.partition("/")
            cluster = cluster.acting_as(namespace, name)
        body = {
            "apiVersion": _REVIEWS.api_version,
            "kind": _REVIEWS.kind,
            "spec": {
                "resourceAttributes": {
                    "verb": right.verb,
                    "group": right.group,
                    "resource": right.plural,
                    "namespace": right.namespace,
                    "name": right.name,
                }
            },
        }
        async with self._places:
            answer = await cluster.create(_REVIEWS, "", body, field_manager=marks.RECORDS_MANAGER)
        return (answer.get("status") or {}).get("allowed") is True


async def missing_for_objects(
    reviews: Reviews,
    namespaces_of: Mapping[Resource, Iterable[str]],
    *,
    reach: Reach,
    prune: bool,
    service_account: str | None,
) -> tuple[Right, ...]:
    """
    What a project lacks for its objects, given the namespaces of each kind.

    Lists and watches are of all that is in reach; the others are asked for all of it at first, and
    only what is not given there for each namespace.
    """
    changing = ("create", "patch", "delete") if prune else ("create", "patch")
    kinds = {(its.group, its.plural): its for its in namespaces_of}
    everywhere = [
        Right(verb, *kind, place)
        for kind, resource in kinds.items()
        for place in reach.places(resource)
        for verb in (*READING, *changing)
    ]
    missing = await reviews.missing(everywhere, service_account=service_account)
    surely = [right for right in missing if right.verb in ("list", "watch")]
    nearer: list[Right] = []
    for right in missing:
        resource = kinds[right.group, right.plural]
        if right in surely:
            continue
        places = sorted(set(namespaces_of[resource])) if resource.namespaced else [""]
        nearer += [Right(right.verb, right.group, right.plural, place) for place in places]
    return (*surely, *await reviews.missing(nearer, service_account=service_account))


def told(rights: Sequence[Right]) -> list[str]:
    """`patch, delete deployments.apps in namespace shop`, one for each kind and place."""
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.plural, right.namespace, right.name), []).append(right.verb)
    return [
        f"{', '.join(its)} {plural}{'.' + group if group else ''}{' ' + name if name else ''}"
        + (f" in namespace {namespace}" if namespace else "")
        for (group, plural, namespace, name), its in verbs.items()
    ]
