"""
Where and with what was measured: numbers without that say nothing.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from localcluster import versions


@dataclass(frozen=True, slots=True)
class Machine:
    """The conditions of one run; `memory` in bytes, `load` is the one-minute average at its start."""

    date: str
    cpu: str
    cores: int
    memory: int
    load: float
    versions: dict[str, str]

    def text(self) -> str:
        """One line for people."""
        used = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.date}, {self.cpu}, {self.cores} cores, {self.memory / 2**30:.0f} GiB,"
            f" load {self.load:.1f} at the start; {used}"
        )


def look(kubectl: str | None) -> Machine:
    """Look at this machine; `kubectl` is its program."""
    used = {
        "reconciler": importlib.metadata.version("reconciler"),
        "Python": platform.python_version(),
        "Kubernetes": versions.read().kubernetes,
        "git": subprocess.check_output(["git", "--version"], text=True).split()[2],
    }
    if kubectl:
        told = subprocess.check_output([kubectl, "version", "--client", "--output=json"], text=True)
        used["kubectl"] = json.loads(told)["clientVersion"]["gitVersion"]
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load=os.getloadavg()[0],
        versions=used,
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
