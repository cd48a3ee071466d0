"""What is tested with kubectl where one is on PATH; nothing else of the suite needs it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.install.rendering import documents

needed = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="needs kubectl, which is not on PATH: install it to run this too"
)


def kustomize(directory: Path) -> list[dict[str, Any]]:
    """The objects that `kubectl apply -k` would send."""
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)
