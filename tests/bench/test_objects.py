"""The load that the bench makes: kubectl and we must read the same objects out of it."""

import json
from collections import Counter

import pytest
import yaml

from bench import objects
from reconciler.manifests.decode import decode_with_texts


def bodies(data):
    return [json.loads(text) for text in decode_with_texts(data)[1]]


@pytest.mark.parametrize("count", [1, 3, 100])
def test_files_hold_the_very_objects_that_the_loop_sends(count):
    made = objects.make(count)
    assert [body for text in made.files.values() for body in bodies(text.encode())] == list(made.bodies)
    assert [body for text in made.files.values() for body in yaml.safe_load_all(text)] == list(made.bodies)


def test_a_third_is_of_each_kind_and_three_are_in_a_file():
    made = objects.make(300)
    assert Counter(body["kind"] for body in made.bodies) == {
        "Deployment": 100,
        "Service": 100,
        "ConfigMap": 100,
    }
    assert len(made.files) == 100


@pytest.mark.parametrize(("whole", "differ"), [(True, 3), (False, 1)])
def test_a_change_touches_as_many_objects_as_it_says(whole, differ):
    before, after = (
        bodies(text.encode())
        for text in (objects.make(3).files[objects.path_of(0)], objects.changed(0, revision=2, whole=whole))
    )
    assert sum(old != new for old, new in zip(before, after, strict=True)) == differ
