import subprocess
import sys

CODE = """
import sys
from reconciler.config.parse import parse
parse(b"gitops: {manifest_projects: [{id: a, url: 'https://h/a'}]}", where="config.yaml")
print(*sorted(sys.modules))
"""
HEAVY = {"watchdog", "git", "reconciler.config.compat", "reconciler.config.filewatch", "graphlib", "aiohttp"}


def test_a_usual_file_is_read_without_what_only_others_need():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=15
    )
    assert HEAVY & set(done.stdout.split()) == set()
