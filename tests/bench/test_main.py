"""The whole bench with few objects, as `make bench` calls it. Its times mean nothing here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("binaries")
def test_quick_bench_measures_every_row(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--readme", "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (saved,) = tmp_path.iterdir()
    rows = json.loads(saved.read_text())["rows"]
    assert {row["number"] for row in rows} == {1, 2, 3, 4, 5, 6, 7, 8}
    assert done.stdout.count("\n| ") >= len(rows)
