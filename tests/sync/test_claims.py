"""Which of two projects speaks for an object that is in no cluster yet."""

from reconciler.manifests.identity import ObjectRef
from reconciler.sync.claims import Claims


def refs(letters: str) -> frozenset[ObjectRef]:
    return frozenset(ObjectRef("", "ConfigMap", "ns", letter) for letter in letters)


def names(found: dict[ObjectRef, str]) -> dict[str, str]:
    return {ref.name: project for ref, project in found.items()}


def test_first_to_declare_has_it_until_it_declares_it_no_more() -> None:
    claims = Claims()
    assert names(claims.take("first", refs("ab"))) == {}
    assert names(claims.take("second", refs("bc"))) == {"b": "first"}
    assert names(claims.take("first", refs("a"))) == {}
    assert names(claims.take("second", refs("bc"))) == {}
    assert names(claims.take("first", refs("ab"))) == {"b": "second"}


def test_what_is_declared_is_known_whoever_was_first() -> None:
    claims = Claims()
    claims.take("first", refs("ab"))
    claims.take("second", refs("bc"), unread="x.yaml")
    assert (claims.declared("first"), claims.unread("first")) == (refs("ab"), "")
    assert (claims.declared("second"), claims.unread("second")) == (refs("bc"), "x.yaml")
    assert (claims.knows("second"), claims.knows("third")) == (True, False)


def test_project_that_left_the_configuration_claims_nothing() -> None:
    claims = Claims()
    claims.take("first", refs("ab"))
    claims.retain(["second"])
    assert names(claims.take("second", refs("ab"))) == {}
    assert not claims.knows("first")
