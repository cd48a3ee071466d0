"""
What has to be there before what: the dependency graph of a run.

Pure; the rules are those of cli-utils. An edge leads from an object to one it needs: a
custom resource to its CustomResourceDefinition, a namespaced object to its Namespace,
and whatever its `depends_on` holds: what `config.kubernetes.io/depends-on` names, and the
role of a binding. Layers and ranks give the order of requests; whether a dependant may
start is decided from `Graph.needs` alone. manifest.py parses the annotations with
`parse_depends_on`; sync/ walks the graph.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from reconciler.manifests.decode import RBAC, CustomKind
from reconciler.manifests.identity import ObjectRef

_FIRST = (
    ("", "Namespace"),
    ("", "ResourceQuota"),
    ("storage.k8s.io", "StorageClass"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("", "ServiceAccount"),
    ("extensions", "PodSecurityPolicy"),
    ("policy", "PodSecurityPolicy"),
    (RBAC, "Role"),
    (RBAC, "ClusterRole"),
    (RBAC, "RoleBinding"),
    (RBAC, "ClusterRoleBinding"),
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "Service"),
    ("", "LimitRange"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("extensions", "Deployment"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("policy", "PodDisruptionBudget"),
)
_LAST = (("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),)
_MIDDLE = len(_FIRST)
_RANKS = {
    **{kind: number for number, kind in enumerate(_FIRST)},
    **{kind: _MIDDLE + 1 + number for number, kind in enumerate(_LAST)},
}
_CLUSTER_FIELDS, _NAMESPACED_FIELDS = 3, 5
_SHOWN_EDGES = 8  # of a cycle in a message; enough to find it, and a cycle may have thousands


@dataclass(frozen=True, slots=True)
class Node:
    """One object of a run, to apply or to prune."""

    ref: ObjectRef
    depends_on: tuple[ObjectRef, ...] = ()
    defines: CustomKind | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """
    The order of a run.

    `layers` and, flattened, `order` hold every node that is not invalid; an object never
    comes before one it needs. `needs` holds every node that needs something, the invalid
    ones too; what it names may itself be invalid or only known. `invalid` says why.
    """

    layers: tuple[tuple[ObjectRef, ...], ...]
    needs: Mapping[ObjectRef, frozenset[ObjectRef]]
    invalid: Mapping[ObjectRef, str]

    @property
    def order(self) -> tuple[ObjectRef, ...]:
        """A topological order, by rank inside a layer."""
        return tuple(ref for layer in self.layers for ref in layer)


def rank(ref: ObjectRef) -> tuple[int, str, str, str, str]:
    """Sort key inside a layer: place of the kind in cli-utils' list, then the reference itself."""
    place = _RANKS.get((ref.group, ref.kind), _MIDDLE)
    return place, ref.group, ref.kind, ref.namespace, ref.name


def parse_depends_on(text: str) -> tuple[ObjectRef, ...]:
    """
    The references of a `config.kubernetes.io/depends-on` annotation, in their order.

    Separated by commas, each `group/Kind/name` or `group/namespaces/namespace/Kind/name`.
    Raises ValueError with the reason.
    """
    if not text.strip():
        raise ValueError("empty value")
    refs: dict[ObjectRef, None] = {}
    for part in text.split(","):
        ref = _parse_reference(part.strip())
        if ref in refs:
            raise ValueError(f"the same reference twice: {ref}")
        refs[ref] = None
    return tuple(refs)


def build(nodes: Iterable[Node], *, known: Set[ObjectRef] = frozenset()) -> Graph:
    """
    The graph of all nodes; each ref appears once.

    `known` are objects that may be referenced though they take no part. A reference to
    anything else, or a cycle, makes an object invalid; what depends on it does not become
    invalid but keeps needing it.
    """
    by_ref = {node.ref: node for node in nodes}
    needs = _edges(by_ref)
    invalid = {ref: reason for node in by_ref.values() for ref, reason in _external(node, by_ref, known)}
    layers, left = _layers(by_ref, needs)
    for members in _cycles(left, needs):
        invalid |= dict.fromkeys(members, _describe_cycle(members, needs))
    if invalid:
        layers, _ = _layers([ref for ref in by_ref if ref not in invalid], needs)
    return Graph(layers, needs, invalid)


def prune_order(graph: Graph) -> tuple[ObjectRef, ...]:
    """The order in which objects are deleted: layers reversed, and reversed inside them."""
    return graph.order[::-1]


def needed_by(graph: Graph) -> dict[ObjectRef, frozenset[ObjectRef]]:
    """The edges the other way round: who depends on an object, which has to go before it."""
    found: defaultdict[ObjectRef, set[ObjectRef]] = defaultdict(set)
    for ref, needed in graph.needs.items():
        for one in needed:
            found[one].add(ref)
    return {ref: frozenset(dependants) for ref, dependants in found.items()}


def _parse_reference(text: str) -> ObjectRef:
    fields = text.split("/")
    if len(fields) == _CLUSTER_FIELDS:
        group, kind, name = fields
        namespace = ""
    elif len(fields) == _NAMESPACED_FIELDS:
        group, word, namespace, kind, name = fields
        if word != "namespaces":
            raise ValueError(f'expected "namespaces" as second field of "{text}"')
        if not namespace:
            raise ValueError(f'empty namespace in "{text}"')
    else:
        raise ValueError(f'expected 3 or 5 fields, found {len(fields)}: "{text}"')
    if not kind or not name:
        raise ValueError(f'empty kind or name in "{text}"')
    return ObjectRef(group, kind, namespace, name)


def _edges(nodes: Mapping[ObjectRef, Node]) -> dict[ObjectRef, frozenset[ObjectRef]]:
    crds = {(n.defines.group, n.defines.kind): n.ref for n in nodes.values() if n.defines}
    edges = {}
    for ref, node in nodes.items():
        found = set(node.depends_on)
        if crd := crds.get((ref.group, ref.kind)):
            found.add(crd)
        namespace = ObjectRef("", "Namespace", "", ref.namespace)
        if ref.namespace and namespace in nodes:
            found.add(namespace)
        if found:
            edges[ref] = frozenset(found)
    return edges


def _external(
    node: Node, nodes: Mapping[ObjectRef, Node], known: Set[ObjectRef]
) -> Iterator[tuple[ObjectRef, str]]:
    missing = [ref for ref in node.depends_on if ref not in nodes and ref not in known]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield node.ref, f"external dependency: {node.ref} -> {missing[0]}{others}"


def _layers(
    refs: Iterable[ObjectRef], needs: Mapping[ObjectRef, frozenset[ObjectRef]]
) -> tuple[tuple[tuple[ObjectRef, ...], ...], set[ObjectRef]]:
    """Layers of `refs`, edges to others ignored, and what a cycle keeps out of them."""
    left = set(refs)
    waits = {ref: sum(one in left for one in needs.get(ref, ())) for ref in left}
    dependants: defaultdict[ObjectRef, list[ObjectRef]] = defaultdict(list)
    for ref in left:
        for one in needs.get(ref, ()):
            dependants[one].append(ref)
    layers = []
    layer = [ref for ref, count in waits.items() if not count]
    while layer:
        layers.append(tuple(sorted(layer, key=rank)))
        left.difference_update(layer)
        released = []
        for ref in layer:
            for dependant in dependants[ref]:
                waits[dependant] -= 1
                if not waits[dependant]:
                    released.append(dependant)
        layer = released
    return tuple(layers), left


def _cycles(
    refs: Set[ObjectRef], needs: Mapping[ObjectRef, frozenset[ObjectRef]]
) -> Iterator[list[ObjectRef]]:
    """
    Groups of objects that need each other (strongly connected components, by Kosaraju's two walks).

    `refs` also has what merely depends on a cycle: that is in no group.
    """
    inside = {ref: sorted(needs.get(ref, frozenset()) & refs) for ref in refs}
    reverse: dict[ObjectRef, list[ObjectRef]] = {ref: [] for ref in refs}
    for ref, needed in inside.items():
        for one in needed:
            reverse[one].append(ref)
    seen: set[ObjectRef] = set()
    finished = [ref for start in sorted(refs) for ref in _walk(start, inside, seen)]
    seen = set()
    for start in reversed(finished):
        group = list(_walk(start, reverse, seen))
        if len(group) > 1 or (group and group[0] in inside[group[0]]):
            yield sorted(group)


def _walk(
    start: ObjectRef, edges: Mapping[ObjectRef, list[ObjectRef]], seen: set[ObjectRef]
) -> Iterator[ObjectRef]:
    """Everything reachable that was not seen, each after all that it leads to."""
    if start in seen:
        return
    seen.add(start)
    path = [(start, iter(edges[start]))]
    while path:
        ref, following = path[-1]
        for one in following:
            if one not in seen:
                seen.add(one)
                path.append((one, iter(edges[one])))
                break
        else:
            path.pop()
            yield ref


def _describe_cycle(members: list[ObjectRef], needs: Mapping[ObjectRef, frozenset[ObjectRef]]) -> str:
    inside = set(members)
    edges = [f"{ref} -> {one}" for ref in members for one in sorted(needs[ref] & inside)]
    more = f", and {len(edges) - _SHOWN_EDGES} more" if len(edges) > _SHOWN_EDGES else ""
    return f"cyclic dependency: {', '.join(edges[:_SHOWN_EDGES])}{more}"
