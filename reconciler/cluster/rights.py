"""
What we may do, as the API server answers for all kinds at once (a SelfSubjectRulesReview).

Pure. Only good for asking less: an answer that is not whole allows everything, and the server
decides each request anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.cluster.resource import Resource

RULES_REVIEWS: Final = Resource(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    namespaced=False,
)
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class _Rule:
    groups: frozenset[str]
    resources: frozenset[str]
    verbs: frozenset[str]

    def allows(self, verb: str, resource: Resource) -> bool:
        return (
            not self.verbs.isdisjoint((verb, _ANY))
            and not self.groups.isdisjoint((resource.group, _ANY))
            and not self.resources.isdisjoint((resource.plural, _ANY))
        )


@dataclass(frozen=True, slots=True)
class Rights:
    """The rules for one namespace, those of the whole cluster among them; None where they are not known."""

    rules: tuple[_Rule, ...] | None = None

    def may(self, verb: str, resource: Resource) -> bool:
        """Whether objects of any name may be asked for; True where it is not known."""
        return self.rules is None or any(rule.allows(verb, resource) for rule in self.rules)


def read_rights(status: Mapping[str, Any]) -> Rights:
    """The `status` of a review; one that says itself that it is incomplete says nothing."""
    if status.get("incomplete") or not isinstance(status.get("resourceRules"), list):
        return Rights()
    return Rights(
        tuple(
            _Rule(
                frozenset(rule.get("apiGroups") or ()),
                frozenset(rule.get("resources") or ()),
                frozenset(rule.get("verbs") or ()),
            )
            for rule in status["resourceRules"]
            # A rule for some names allows no LIST of all.
            if not rule.get("resourceNames")
        )
    )
