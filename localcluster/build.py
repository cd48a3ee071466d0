"""
Build the binaries of a local cluster, once.

They lie in the user's cache directory below a key made of what they are built from, so a
changed go.mod, source file or flag means another binary and never a stale one. Two builders
do not race: the second waits for the first and then finds the result. Neighbours:
toolchain.py finds the compiler, versions.py the versions, cluster.py runs the binaries.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import compiler, toolchain, versions
from localcluster.errors import ToolchainError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """One binary: where and how it is built, and the minutes that takes two cores with cold caches."""

    name: str
    module: Path
    package: str
    flags: tuple[str, ...]
    minutes: int


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the built binaries."""

    controlplane: Path
    kwok: Path


def targets(of: versions.Versions) -> tuple[Target, ...]:
    """List what is built for these versions."""
    major, minor, _ = of.kubernetes.removeprefix("v").split(".", 2)
    version = "k8s.io/component-base/version"
    stamp = (
        f"-X {version}.gitVersion={of.kubernetes} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
    # No VCS stamp and no local paths: the same sources give the same binary. Stripped: half the size.
    common = ("-buildvcs=false", "-trimpath")
    return (
        Target(
            name="controlplane",
            module=versions.CONTROLPLANE_MODULE,
            package=".",
            # providerless leaves out the volume drivers of cloud providers.
            flags=(*common, "-tags=providerless", f"-ldflags=-s -w {stamp}"),
            minutes=5,
        ),
        Target(
            name="kwok",
            module=versions.KWOK_MODULE,
            package="sigs.k8s.io/kwok/cmd/kwok",
            flags=(*common, "-ldflags=-s -w"),
            minutes=1,
        ),
    )


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return where binaries and running clusters are kept: below XDG_CACHE_HOME, else ~/.cache."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "reconciler" / "localcluster"


def key(target: Target) -> str:
    """Return a name for exactly this build: the module's files, the flags and the platform."""
    digest = hashlib.sha256()
    parts = [target.package, *target.flags, platform.system(), platform.machine()]
    sources = [
        path for path in target.module.iterdir() if path.suffix == ".go" or path.name in ("go.mod", "go.sum")
    ]
    for path in sorted(sources):
        parts += [path.name, path.read_text()]
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return f"{target.name}-{digest.hexdigest()[:16]}"


def is_possible(environment: Mapping[str, str]) -> bool:
    """Say whether `ensure` has what it needs: cached binaries, or a Go that is new enough."""
    of = versions.read()
    root = cache_directory(environment)
    if all((root / key(target) / target.name).exists() for target in targets(of)):
        return True
    try:
        toolchain.find(of.go, environment=environment, interpreter=Path(sys.executable))
    except ToolchainError:
        return False
    return True


def ensure(*, say: Say, environment: Mapping[str, str] = os.environ) -> Binaries:
    """Return both binaries, building what is not in the cache; `say` gets lines for the user."""
    of = versions.read()
    built = {target.name: _ensure(target, of, say=say, environment=environment) for target in targets(of)}
    return Binaries(controlplane=built["controlplane"], kwok=built["kwok"])


def _ensure(target: Target, of: versions.Versions, *, say: Say, environment: Mapping[str, str]) -> Path:
    root = cache_directory(environment)
    binary = root / key(target) / target.name
    if binary.exists():
        return binary
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f"{target.name}.lock", say=say):
        if not binary.exists():  # the one before us in the queue may have built it
            go = toolchain.find(of.go, environment=environment, interpreter=Path(sys.executable))
            _build(target, go, binary, say=say, environment=environment)
    return binary


def _build(
    target: Target, go: toolchain.Toolchain, binary: Path, *, say: Say, environment: Mapping[str, str]
) -> None:
    say(
        f"building {target.name} with Go {go.version_text}: about {target.minutes} min the first time"
        f" on two cores, then it is kept in {binary.parent}"
    )
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=binary.parent.parent) as scratch:
        directory = Path(scratch) / "out"
        directory.mkdir()
        compiler.compile_module(
            [
                str(go.command),
                "build",
                "-v",
                *target.flags,
                "-o",
                str(directory / target.name),
                target.package,
            ],
            name=target.name,
            module=target.module,
            environment=environment,
            say=say,
        )
        if binary.parent.exists():  # without its binary: somebody emptied it by hand
            shutil.rmtree(binary.parent)
        directory.rename(binary.parent)  # atomic: a binary is there whole or not at all


@contextmanager
def _locked(path: Path, *, say: Say) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process builds the same binary, waiting for it ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
