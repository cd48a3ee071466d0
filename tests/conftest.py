"""Fixtures of the whole suite, by topic in fix_*.py."""

pytest_plugins = [
    "tests.fix_cluster",
    "tests.fix_git",
    "tests.fix_install",
    "tests.fix_sync",
    "tests.fix_faults",  # after those that it imports
]
