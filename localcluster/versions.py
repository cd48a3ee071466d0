"""
Which versions a local cluster is made of.

They are declared in one place, the two go.mod files; this module only reads them, so that
a version is changed by `go get` alone. Pure but for reading those files.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError

PACKAGE = Path(__file__).resolve().parent
CONTROLPLANE_MODULE = PACKAGE / "controlplane"
KWOK_MODULE = PACKAGE / "kwok"


@dataclass(frozen=True, slots=True)
class Versions:
    """What the binaries are built from: releases as Go names them ("v1.36.1"), and the oldest Go that can."""

    kubernetes: str
    etcd: str
    kwok: str
    go: tuple[int, ...]


def read() -> Versions:
    """Return the versions that the go.mod files declare."""
    controlplane = (CONTROLPLANE_MODULE / "go.mod").read_text()
    kwok = (KWOK_MODULE / "go.mod").read_text()
    return Versions(
        kubernetes=_required(controlplane, "k8s.io/kubernetes"),
        etcd=_required(controlplane, "go.etcd.io/etcd/server/v3"),
        kwok=_required(kwok, "sigs.k8s.io/kwok"),
        go=max(go_directive(controlplane), go_directive(kwok)),
    )


def go_directive(go_mod: str) -> tuple[int, ...]:
    """Return the `go` line of a go.mod as numbers."""
    found = re.search(r"^go ([0-9.]+)$", go_mod, re.MULTILINE)
    if found is None:
        raise LocalClusterError(
            what="go.mod has no go line", where=str(PACKAGE), mend="restore the file from git"
        )
    return tuple(int(part) for part in found[1].split("."))


def _required(go_mod: str, module: str) -> str:
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise LocalClusterError(
            what=f"go.mod does not require {module}", where=str(PACKAGE), mend="restore the file from git"
        )
    return found[1]
