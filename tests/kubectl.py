"""What is tested with kubectl where one is on PATH; nothing else of the suite needs it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PATH = shutil.which("kubectl")
MISSING = "not on PATH; what needs it is skipped: the migration page word for word, kustomizations"

needed = pytest.mark.skipif(PATH is None, reason="needs kubectl, which is not on PATH")


def kustomize(directory: Path) -> list[dict[str, Any]]:
    """The objects that `kubectl apply -k` would send."""
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [its for its in yaml.safe_load_all(done.stdout) if its]
