"""
Which kinds the API server knows, asked with two requests (aggregated discovery).

What the server could not say is kept apart from what does not exist: a group whose
aggregated API server is down is in `Discovery.incomplete`, and asking for one of its
kinds raises DiscoveryIncomplete. Servers before 1.26 are asked group by group.
The tables are pure; `discover` at the end does the requests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.cluster import errors
from reconciler.cluster.replies import Doing
from reconciler.cluster.requests import Requests
from reconciler.cluster.resource import Resource

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)


@dataclass(frozen=True, slots=True)
class Discovery:
    """
    All served resources, each group's versions in the server's order of preference.

    `incomplete` names the group/versions (`metrics.k8s.io/v1beta1`) that could not be
    asked, or whose answer is an old one.
    """

    resources: tuple[Resource, ...]
    incomplete: tuple[str, ...] = ()
    _by_kind: Mapping[tuple[str, str], tuple[Resource, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_kind: dict[tuple[str, str], tuple[Resource, ...]] = {}
        for resource in self.resources:
            key = (resource.group, resource.kind)
            by_kind[key] = (*by_kind.get(key, ()), resource)
        object.__setattr__(self, "_by_kind", by_kind)

    def find(self, group: str, version: str, kind: str) -> Resource | None:
        """Return the resource; None: the server has no such kind. Raises DiscoveryIncomplete if unknown."""
        for resource in self._by_kind.get((group, kind), ()):
            if resource.version == version:
                return resource
        self._check_known(group, kind, version)
        return None

    def preferred(self, group: str, kind: str) -> Resource | None:
        """Return the kind in the version that the server prefers; otherwise as `find`."""
        if found := self._by_kind.get((group, kind)):
            return found[0]
        self._check_known(group, kind, None)
        return None

    def named(self, text: str) -> Resource | None:
        """
        The kind that a person means by `deploy`, `deployments` or `Deployment`, with or without `.apps`.

        Names in full come before short ones, and groups in the server's order, as for kubectl.
        """
        name, _, group = text.lower().partition(".")
        found = [
            its for its in self.resources if group in ("", its.group, _name(its.version, its.group, "."))
        ]
        for resource in found if name else ():
            if name in (resource.plural, resource.singular, resource.kind.lower()):
                return resource
        return next((its for its in found if name in its.short_names), None)

    def is_incomplete(self, group: str, version: str | None = None) -> bool:
        """Whether the server could not say everything about the group, or about one version of it."""
        if version is not None:
            return _name(group, version) in self.incomplete
        return any(name.rpartition("/")[0] == group for name in self.incomplete)

    def _check_known(self, group: str, kind: str, version: str | None) -> None:
        if self.is_incomplete(group, version):
            raise errors.DiscoveryIncomplete(
                what=f"the API server cannot say whether it knows {kind} of {_name(group, version or '')}",
                where="discovery",
                mend=f"look at the APIService objects of {group} and at what serves them",
            )


def _name(group: str, version: str, between: str = "/") -> str:
    return between.join(part for part in (group, version) if part)


def read_aggregated(answers: Iterable[Mapping[str, Any]]) -> Discovery:
    """Read APIGroupDiscoveryList documents (v2 or v2beta1), in their order."""
    resources: list[Resource] = []
    incomplete: list[str] = []
    for answer in answers:
        for group in answer.get("items") or ():
            name = str((group.get("metadata") or {}).get("name") or "")
            for version in group.get("versions") or ():
                # A stale version lists what it last had, or nothing: what it lists can be used.
                if version.get("freshness") == "Stale":
                    incomplete.append(_name(name, version["version"]))
                resources += (
                    _resource(name, version["version"], found)
                    for found in version.get("resources") or ()
                    if _usable(found)
                )
    return Discovery(tuple(resources), tuple(incomplete))


def _usable(found: Mapping[str, Any]) -> bool:
    # Resources that only have subresources (serviceaccounts/token of a foreign group) have no kind.
    return bool((found.get("responseKind") or {}).get("kind")) and bool(found.get("verbs"))


def _resource(group: str, version: str, found: Mapping[str, Any]) -> Resource:
    return Resource(
        group=group,
        version=version,
        kind=found["responseKind"]["kind"],
        plural=found["resource"],
        namespaced=found.get("scope") == "Namespaced",
        verbs=frozenset(found["verbs"]),
        singular=found.get("singularResource") or "",
        short_names=tuple(found.get("shortNames") or ()),
    )


def read_plain(group: str, version: str, answer: Mapping[str, Any]) -> list[Resource]:
    """Read one APIResourceList of a server without aggregated discovery."""
    return [
        Resource(
            group=group,
            version=version,
            kind=found["kind"],
            plural=found["name"],
            namespaced=found.get("namespaced") is True,
            verbs=frozenset(found.get("verbs") or ()),
            singular=found.get("singularName") or "",
            short_names=tuple(found.get("shortNames") or ()),
        )
        for found in answer.get("resources") or ()
        if "/" not in found["name"]
    ]


async def discover(sender: Requests) -> Discovery:
    """Ask the server; raises ClusterError when not even the list of groups can be had."""
    core = await _ask(sender, "/api", accept=_AGGREGATED)
    groups = await _ask(sender, "/apis", accept=_AGGREGATED)
    try:
        if _is_aggregated(core) and _is_aggregated(groups):
            return read_aggregated((core, groups))
        return await _group_by_group(sender, core, groups)
    except (KeyError, TypeError, AttributeError) as exc:
        raise errors.ServerFault(
            what="the answer to discovery has not the form that Kubernetes gives it",
            where="discovery",
            mend="check that the address is a Kubernetes API server",
        ) from exc


def _is_aggregated(answer: Mapping[str, Any]) -> bool:
    return answer.get("kind") == "APIGroupDiscoveryList"


async def _group_by_group(sender: Requests, core: Mapping[str, Any], groups: Mapping[str, Any]) -> Discovery:
    """Ask every group/version by itself; one that fails is incomplete, the others are kept."""
    wanted = [("", version) for version in _core_versions(core)]
    for group in groups.get("groups") or _named(groups):
        versions = [entry["version"] for entry in group["versions"]]
        preferred = (group.get("preferredVersion") or {}).get("version")
        wanted += [(group["name"], version) for version in sorted(versions, key=lambda v: v != preferred)]
    resources: list[Resource] = []
    incomplete: list[str] = []
    for name, version in wanted:
        path = f"/apis/{name}/{version}" if name else f"/api/{version}"
        try:
            resources += read_plain(name, version, await _ask(sender, path, accept="application/json"))
        except (errors.ServerFault, errors.NotFound, errors.TooManyRequests):
            incomplete.append(_name(name, version))
    return Discovery(tuple(resources), tuple(incomplete))


def _core_versions(core: Mapping[str, Any]) -> list[str]:
    if _is_aggregated(core):
        return [version["version"] for group in core["items"] for version in group["versions"]]
    return list(core["versions"])


def _named(groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups of an aggregated answer in the form of a plain one."""
    return [{"name": group["metadata"]["name"], "versions": group["versions"]} for group in groups["items"]]


async def _ask(sender: Requests, path: str, *, accept: str) -> dict[str, Any]:
    _, answer = await sender.call(
        "get", path, resource="discovery", doing=Doing(f"discovery {path}"), accept=accept
    )
    return answer
