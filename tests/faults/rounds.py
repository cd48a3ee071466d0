"""
A repository that changes from round to round, and what must be true after each.

Each round creates, changes and prunes objects of three kinds, as many as sizes.py says; it is broken
at one API call and put right by a normal run. The tests say how it breaks.
"""

import random
import signal
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.cluster.managed import our_entry
from reconciler.sync import marks
from reconciler.sync.outcome import State
from tests.faults.gateway import Gateway, Moment
from tests.faults.sizes import OBJECTS, SEED
from tests.fix_sync import PROJECT, Asked, Installation, Requests
from tests.objects import config_map, manifest

GROUP = OBJECTS // 2
"""Objects that each round creates, changes and prunes."""
FOREIGN = 3
"""Objects that somebody else deletes before each round."""
MOVED_ON = 0.5
"""How often git holds the next generation when a round is put right."""
KINDS = {"ConfigMap": "configmaps", "Secret": "secrets", "Service": "services"}
LISTS = 5
"""Of each kind in one run: to compare, to wait, and of ConfigMaps those that hold the inventory."""
LIMIT = 30.0  # s for one run of the command
COMMAND = Path(sys.executable).with_name("reconciler")


class Command:
    """`reconciler sync` as a process of its own, on the other side of the gateway."""

    def __init__(self, installation: Installation, kubeconfig: Path) -> None:
        self._installation = installation
        options = installation.options
        self._arguments = [
            str(COMMAND),
            "sync",
            f"--config={options.config}",
            f"--instance={options.instance}",
            f"--records-namespace={options.records_namespace}",
            f"--data-dir={options.data_dir}",
            f"--kubeconfig={kubeconfig}",
            "--allow-local-repositories",
        ]

    def run(self) -> tuple[int, str]:
        """
        Run to its end, or until a signal ends it; returns the exit code and all that it said.

        What was killed could not let its lease go; nobody waits here until its time is over.
        """
        with subprocess.Popen(
            self._arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as self._process:
            said, _ = self._process.communicate(timeout=LIMIT)
        if self._process.returncode == -signal.SIGKILL:
            self._installation.drop_lease()
        return self._process.returncode, said

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


@dataclass(frozen=True)
class Ended:
    """How a broken run ended; `reached`: it came to the call at which it was to break."""

    code: int
    said: str
    reached: bool


class Rounds:
    """Rounds of one installation, after two whole ones that tell how many API calls a round has."""

    def __init__(self, installation: Installation, gateway: Gateway, kubeconfig: Path) -> None:
        self.command = Command(installation, kubeconfig)
        self._installation = installation
        self._gateway = gateway
        self._number = 0
        self._draw = random.Random(SEED)
        installation.configure(prune_limit="100%")
        for number in (0, 1):
            self._number = number
            commit(installation, number)
            gateway.disarm()
            code, said = self.command.run()
            assert code == 0, said
        self.calls = gateway.count
        assert self.calls > 3 * GROUP

    def broken(
        self, at: int, moment: Moment, how: Callable[[], Any], where: str, *, method: str = ""
    ) -> Ended:
        """
        One round, broken by `how` at call `at` (of `method`, where given), then put right.

        Somebody else deletes a few objects before it; by the time it is put right, git may hold
        the next generation. `where` names it in failures.
        """
        before = generation(self._number)
        for name in self._draw.sample(sorted(before), FOREIGN):
            delete(self._installation, name)
        wanted = self._next()
        where = f"{where}, round {self._number}, call {at} of {self.calls}, {moment.value}"
        with self._installation.recorded() as first:
            self._gateway.arm(at, moment, how, method=method)
            code, said = self.command.run()
            ended = Ended(code, said, self._gateway.count >= at)
            self._gateway.settle()
            self._gateway.disarm()
        assert "Traceback" not in said, f"{where}: {said}"
        check_known(self._installation, where)
        check_deletes(first, before.keys() - wanted.keys(), where)
        if self._draw.random() < MOVED_ON:
            wanted = self._next()
        needs = owed(self._installation, wanted)
        with self._installation.recorded() as second:
            report = self._installation.sync()
        assert report.state is State.SYNCED, f"{where}: {report}"
        check_equal(self._installation, wanted, where)
        check_deletes(second, everything().keys() - wanted.keys(), where)
        check_once([*first.writes, *second.writes], where)
        check_start(second, needs, wanted.keys(), where)
        return ended

    def _next(self) -> dict[str, dict[str, Any]]:
        self._number += 1
        return commit(self._installation, self._number)


def check_known(installation: Installation, where: str) -> None:
    """What is in the cluster is in the inventory: it was written down before it was created."""
    unknown = set(live(installation)) - installation.recorded_names()
    assert not unknown, f"{where}: in the cluster and not in the inventory: {sorted(unknown)}"


def check_equal(installation: Installation, wanted: Mapping[str, dict[str, Any]], where: str) -> None:
    """Cluster and inventory hold what git holds, and the inventory knows by uid which objects these are."""
    found = live(installation)
    assert changing(found) == changing(wanted), where
    recorded = {ref.name: record.uid for ref, record in installation.inventory().items()}
    assert recorded == {name: item["metadata"]["uid"] for name, item in found.items()}, f"{where}: inventory"


def check_deletes(requests: Requests, left: Set[str], where: str) -> None:
    """Only what left git was deleted, and each object by one request."""
    wrong = {asked.name for asked in _deletes(requests.writes)} - left
    assert not wrong, f"{where}: deleted though git holds them: {sorted(wrong)}"
    check_once(requests.writes, where)


def owed(installation: Installation, wanted: Mapping[str, dict[str, Any]]) -> set[str]:
    """What a start has to apply: all that is not as git holds it, and all that is not recorded as it is."""
    found, manager = live(installation), marks.field_manager(PROJECT)
    recorded = {ref.name: record for ref, record in installation.inventory().items()}

    def is_done(name: str) -> bool:
        if name not in found or name not in recorded:
            return False
        metadata, its = found[name]["metadata"], recorded[name]
        entry = our_entry(metadata, manager)
        if not entry or (its.uid, its.entry, its.time) != (metadata["uid"], entry.hash, entry.time):
            return False
        return changing({name: found[name]}) == changing({name: wanted[name]})

    return {name for name in wanted if not is_done(name)}


def check_start(requests: Requests, owed: Set[str], wanted: Set[str], where: str) -> None:
    """A start after a kill applies what it owes, once each, and reads nothing else but lists."""
    applied = Counter(a.name for a in requests.writes if a.verb == "patch" and a.name in wanted)
    assert applied == Counter(owed), f"{where}: it was to apply {sorted(owed)}"
    read = {a.name for a in requests.all if a.verb == "get" and a.name in wanted}
    assert not read - owed, f"{where}: read though done and recorded: {sorted(read - owed)}"
    lists = Counter(a.resource for a in requests.all if a.verb == "list")
    assert max(lists.values()) <= LISTS, f"{where}: {lists}"


def check_once(writes: Iterable[Asked], where: str) -> None:
    """Each object was deleted by one request."""
    uids = Counter(asked.body["preconditions"]["uid"] for asked in _deletes(writes))
    twice = [uid for uid, count in uids.items() if count > 1]
    assert not twice, f"{where}: deleted twice: {twice}"


def _deletes(writes: Iterable[Asked]) -> list[Asked]:
    """Of objects, those that the API server has carried out."""
    done = [asked for asked in writes if asked.verb == "delete" and asked.code == 200]
    return [asked for asked in done if not asked.name.startswith("reconciler-")]


def generation(number: int) -> dict[str, dict[str, Any]]:
    """What git holds in a round: two of three groups, with content that differs from any round before."""
    groups = (number % 3, (number + 1) % 3)
    return {
        numbered(n): declared(n, f"r{number}", "x") for g in groups for n in range(g * GROUP, (g + 1) * GROUP)
    }


def everything() -> dict[str, dict[str, Any]]:
    """All three groups at once."""
    return generation(0) | generation(1)


def numbered(number: int) -> str:
    """Of one of the objects."""
    return f"o{number:02}"


def declared(number: int, key: str, value: str) -> dict[str, Any]:
    """The manifest of one of the objects; its number decides the kind."""
    match number % 3:
        case 0:
            return config_map(numbered(number), **{key: value})
        case 1:
            return manifest("v1", "Secret", numbered(number), data={key: b64encode(value.encode()).decode()})
        case _:
            ports = [{"name": f"{key}{value}", "port": 80}]
            return manifest("v1", "Service", numbered(number), spec={"clusterIP": "None", "ports": ports})


def commit(installation: Installation, number: int) -> dict[str, dict[str, Any]]:
    """Make git hold a generation; returns it."""
    objects = generation(number)
    put(installation, objects)
    return objects


def put(installation: Installation, objects: Mapping[str, dict[str, Any]]) -> str:
    """Make git hold these objects and no others, three a file; returns the commit."""
    files: dict[str, list[dict[str, Any]] | None] = {f"f{n:02}.yaml": None for n in range(GROUP)}
    for name, body in objects.items():
        path = f"f{int(name[1:]) // 3:02}.yaml"
        files[path] = [*(files[path] or []), body]
    return installation.commit(files)


def delete(installation: Installation, name: str) -> None:
    """Delete an object as somebody else would."""
    installation.api.delete(path_of(installation, live(installation)[name]))


def path_of(installation: Installation, found: Mapping[str, Any]) -> str:
    """Of a live object."""
    return installation.path(KINDS[found["kind"]], found["metadata"]["name"])


def live(installation: Installation) -> dict[str, dict[str, Any]]:
    """Every object that carries our owner mark, by name; copies that controllers made are theirs."""
    items = {
        item["metadata"]["name"]: {**item, "kind": kind}
        for kind, plural in KINDS.items()
        for item in installation.api.get(installation.path(plural))["items"]
        if marks.owner_of(item["metadata"]) == installation.inventory_id
    }
    return {name: item for name, item in items.items() if name.startswith("o")}


def changing(objects: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    """Kind and content of manifests and of live objects alike."""

    def part(body: dict[str, Any]) -> list[str]:
        if body["kind"] == "Service":
            return [f"{port['name']} {port['port']}" for port in body["spec"]["ports"]]
        return sorted(f"{key}={value}" for key, value in body["data"].items())

    return {name: (body["kind"], part(body)) for name, body in objects.items()}
