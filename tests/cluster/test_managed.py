from typing import Any

import pytest

from reconciler.cluster.managed import LAST_APPLIED, OurEntry, Owner, our_entry, owners

FIELDS = {"f:data": {"f:k": {}, "f:a": {}}}
ANNOTATION = {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}}


def entry(manager: str = "me", operation: str = "Apply", **more: Any) -> dict[str, Any]:
    made = {"manager": manager, "operation": operation, "apiVersion": "v1", "time": "2026-11-23T18:10:22Z"}
    return {**made, "fieldsType": "FieldsV1", "fieldsV1": FIELDS, **more}


def metadata(*entries: Any) -> dict[str, Any]:
    return {"managedFields": list(entries)}


def test_our_entry_holds_hash_time_and_version() -> None:
    got = our_entry(metadata(entry("kubectl"), entry()), "me")
    assert got == OurEntry(hash="4ff1db6c0d444ca4", time="2026-11-23T18:10:22Z", api_version="v1")


def test_hash_does_not_depend_on_the_order_of_keys() -> None:
    turned = entry(fieldsV1={"f:data": {"f:a": {}, "f:k": {}}})
    assert our_entry(metadata(turned), "me") == our_entry(metadata(entry()), "me")


def test_hash_tells_that_a_field_was_taken_from_us() -> None:
    less = entry(fieldsV1={"f:data": {"f:k": {}}})
    got, had = our_entry(metadata(less), "me"), our_entry(metadata(entry()), "me")
    assert got is not None
    assert had is not None
    assert got.hash != had.hash


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="no managedFields at all"),
        pytest.param({"managedFields": None}, id="null"),
        pytest.param(metadata({}), id="cleared by a person"),
        pytest.param(metadata(entry("other")), id="only others"),
        pytest.param(metadata(entry(operation="Update")), id="someone updates under our name"),
        pytest.param(metadata(entry(subresource="status")), id="only our status entry"),
        pytest.param(metadata("odd"), id="no mapping"),
    ],
)
def test_no_entry_of_ours(given: dict[str, Any]) -> None:
    assert our_entry(given, "me") is None


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param({}, (), id="no managedFields at all"),
        pytest.param(metadata({}), (Owner("", "", ""),), id="cleared by a person"),
        pytest.param(metadata(entry()), (Owner("me", "Apply", "v1"),), id="we alone"),
        pytest.param(
            metadata(entry(), entry("kcm", "Update", subresource="status")),
            (Owner("me", "Apply", "v1"),),
            id="a writer of status",
        ),
        pytest.param(
            metadata(entry("kubectl", "Update", fieldsV1=ANNOTATION)),
            (Owner("kubectl", "Update", "v1", client_side=True),),
            id="client-side apply",
        ),
        pytest.param(
            metadata(entry(fieldsV1=ANNOTATION)), (Owner("me", "Apply", "v1"),), id="git holds the annotation"
        ),
    ],
)
def test_owners(given: dict[str, Any], want: tuple[Owner, ...]) -> None:
    assert owners(given) == want


def test_equal_owners_are_one_value() -> None:
    assert owners(metadata(entry())) is owners(metadata(entry(fieldsV1={})))
