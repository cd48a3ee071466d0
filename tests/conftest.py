"""Fixtures of the whole suite, by topic in fix_*.py."""

import pytest

pytest_plugins = [
    "tests.fix_cluster",
    "tests.fix_git",
    "tests.fix_install",
    "tests.fix_sync",
    "tests.fix_faults",  # after those that it imports
]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Property tests are what `make fuzz` repeats."""
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("fuzz")
