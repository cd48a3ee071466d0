"""
Those who are measured: the service's own command, kubectl, and a bare loop.

Each applies one load to a namespace of its own, as a new process, with an identity of its own.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import child
from bench.child import Used
from bench.gitserver import Repository
from bench.lab import KUBECTL, LOOP, RECONCILER, Asked, Lab
from bench.objects import Body, Objects, make

LIMIT = 900.0  # s for one command; kubectl needs 37 s for 10,000 objects on two cores
PROJECT = "bench"
PREDECESSOR = "agentk"  # the old agent's field manager
INVENTORY = "1-42"  # its inventory's id
FLOOR = Path(__file__).with_name("floor.py")


@dataclass(frozen=True, slots=True)
class Load:
    """The same objects as a git repository, as files, and decoded as lines of JSON."""

    objects: Objects
    repository: Repository
    files: Path
    bodies: Path

    @property
    def size(self) -> int:
        """How many objects it has."""
        return len(self.objects.bodies)


def make_load(lab: Lab, count: int) -> Load:
    """Write `count` objects in all three forms below the lab's directory."""
    objects = make(count)
    name = f"objects-{count}"
    repository = Repository(lab.git.root, name)
    repository.commit(objects.files)
    files = lab.directory / name
    for path, text in objects.files.items():
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text(text)
    bodies = lab.directory / f"{name}.jsonl"
    bodies.write_text("".join(json.dumps(body) + "\n" for body in objects.bodies))
    return Load(objects, repository, files, bodies)


class Contender(Protocol):
    """One who can apply a load; `identity` is its name, too."""

    identity: str

    def begin(self, load: Load, run: str) -> tuple[str, ...]:
        """Start from nothing, under a new name; returns the namespaces it will fill, made already."""
        ...

    def command(self, *, wait: bool) -> Sequence[str]:
        """What applies the load of the last `begin`."""
        ...


class Reconciler:
    """`reconciler sync`, or the service, as a new installation for each `begin`."""

    identity = RECONCILER

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._run = ""

    def begin(self, load: Load, run: str) -> tuple[str, ...]:
        """A new instance with its own records, mirror and cache."""
        self._run = run
        namespaces = (f"{run}-objects", f"{run}-records")
        for namespace in namespaces:
            self._lab.make_namespace(namespace)
        project = {
            "id": PROJECT,
            "url": self._lab.git.url(load.repository),
            "default_namespace": namespaces[0],
        }
        self._home.mkdir()
        self._config.write_text(json.dumps({"gitops": {"manifest_projects": [project]}}))
        return namespaces

    def command(self, *, wait: bool) -> Sequence[str]:
        """One pass."""
        return [_script(), "sync", "--wait" if wait else "--no-wait", *self._options()]

    def plan(self) -> Sequence[str]:
        """What a pass would do."""
        return [_script(), "plan", *self._options()]

    def service(self) -> Sequence[str]:
        """The service, on a free port."""
        return [_script(), "run", "--listen", "127.0.0.1:0", "--log-level", "debug", *self._options()]

    @property
    def _home(self) -> Path:
        return self._lab.directory / self._run

    @property
    def _config(self) -> Path:
        return self._home / "config.json"

    def _options(self) -> list[str]:
        options = {
            "config": self._config,
            "instance": self._run,
            "kubeconfig": self._lab.cluster.kubeconfig_for(self.identity),
            "records-namespace": f"{self._run}-records",
            "data-dir": self._home / "data",
        }
        return [text for name, value in options.items() for text in (f"--{name}", str(value))]


class Successor(Reconciler):
    """The same, where the old agent has applied the load before."""

    def begin(self, load: Load, run: str) -> tuple[str, ...]:
        """A new instance, and a namespace as the old agent leaves it, with its inventory."""
        namespaces = super().begin(load, run)
        left = [_of_predecessor(body) for body in load.objects.bodies]
        left.append(_inventory(namespaces[0], load.objects.bodies))
        bodies = self._lab.directory / f"{run}.jsonl"
        bodies.write_text("".join(json.dumps(body) + "\n" for body in left))
        kubeconfig = self._lab.cluster.kubeconfig_for(LOOP)
        child.measure(
            [sys.executable, "-P", str(FLOOR), str(kubeconfig), namespaces[0], str(bodies), PREDECESSOR],
            environment=environment(self._lab),
            output=self._lab.directory / f"{PREDECESSOR}.log",
            limit=LIMIT,
        )
        return namespaces


def _of_predecessor(body: Body) -> Body:
    """An object with the mark that the old agent put on it."""
    metadata = body["metadata"]
    annotations = {**metadata["annotations"], "config.k8s.io/owning-inventory": INVENTORY}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def _inventory(namespace: str, bodies: Iterable[Body]) -> Body:
    """The old agent's list of these objects: one key each, without a value."""
    labels = {"cli-utils.sigs.k8s.io/inventory-id": INVENTORY}
    keys = {
        f"{namespace}_{body['metadata']['name']}_{group}_{body['kind']}": ""
        for body in bodies
        for group in [body["apiVersion"].rpartition("/")[0]]
    }
    metadata = {"name": f"inventory-{INVENTORY}", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": keys}


class Kubectl:
    """`kubectl apply --server-side` of the same files."""

    identity = KUBECTL

    def __init__(self, lab: Lab, program: str) -> None:
        self._lab = lab
        self._program = program
        self._arguments: list[str] = []

    def begin(self, load: Load, run: str) -> tuple[str, ...]:
        """One namespace; what kubectl caches of the API's kinds stays from run to run."""
        namespace = f"{run}-objects"
        self._lab.make_namespace(namespace)
        self._arguments = ["--namespace", namespace, "--recursive", "--filename", str(load.files)]
        return (namespace,)

    def command(self, *, wait: bool) -> Sequence[str]:
        """One apply; it never waits."""
        kubeconfig = str(self._lab.cluster.kubeconfig_for(self.identity))
        access = ["--kubeconfig", kubeconfig]
        return [self._program, *access, "apply", "--server-side", "--validate=false", *self._arguments]


class Loop:
    """floor.py as a process."""

    identity = LOOP

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._arguments: list[str] = []

    def begin(self, load: Load, run: str) -> tuple[str, ...]:
        """One namespace."""
        namespace = f"{run}-objects"
        self._lab.make_namespace(namespace)
        self._arguments = [namespace, str(load.bodies)]
        return (namespace,)

    def command(self, *, wait: bool) -> Sequence[str]:
        """One apply of all; it never waits."""
        kubeconfig = str(self._lab.cluster.kubeconfig_for(self.identity))
        return [sys.executable, "-P", str(FLOOR), kubeconfig, *self._arguments]


def contenders(lab: Lab) -> list[Contender]:
    """All that this machine has, ourselves first."""
    program = shutil.which("kubectl")
    return [Reconciler(lab), *([Kubectl(lab, program)] if program else []), Loop(lab)]


def perform(lab: Lab, who: Contender, *, wait: bool = False) -> Used:
    """Run the contender's command to its end, then let the controllers catch up."""
    return perform_command(lab, who, who.command(wait=wait))


def perform_command(lab: Lab, who: Contender, command: Sequence[str]) -> Used:
    """The same for another command of the contender."""
    log = lab.directory / f"{who.identity}.log"
    used = child.measure(command, environment=environment(lab), output=log, limit=LIMIT)
    lab.settle()
    return used


def perform_counted(lab: Lab, who: Contender, *, wait: bool = False) -> list[Asked]:
    """The same in a lab that counts: what was asked of the API server."""
    since = lab.mark()
    perform(lab, who, wait=wait)
    return lab.requests(who.identity, since=since)


@contextmanager
def begun(lab: Lab, who: Contender, load: Load, run: str) -> Iterator[tuple[str, ...]]:
    """A new start for the length of a block; what it filled is wiped afterwards. Yields the namespaces."""
    namespaces = who.begin(load, run)
    lab.settle()
    try:
        yield namespaces
    finally:
        lab.wipe(*namespaces)


def environment(lab: Lab) -> dict[str, str]:
    """A home of their own, so that no configuration or cache of the user's is touched or used."""
    home = lab.directory / "home"
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LANG": "C.UTF-8"}


def _script() -> str:
    return str(Path(sys.executable).with_name("reconciler"))
