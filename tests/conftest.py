"""Fixtures of the whole suite, by topic in fix_*.py."""

import pytest

from tests import kubectl

pytest_plugins = [
    "tests.fix_cluster",
    "tests.fix_git",
    "tests.fix_install",
    "tests.fix_sync",
    "tests.fix_faults",  # after those that it imports
]


def pytest_report_header() -> str:
    """Say at the beginning what is left out; -ra of pyproject.toml says it at the end."""
    return f"kubectl: {kubectl.PATH or kubectl.MISSING}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Property tests are what `make fuzz` repeats."""
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("fuzz")
