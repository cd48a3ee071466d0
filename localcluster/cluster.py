"""
Run a real control plane on this machine: etcd, API server, controller manager, scheduler, kwok.

    with running() as cluster:
        ...                              # cluster.kubeconfig, cluster.api("admin"), cluster.kill("etcd")

Each cluster has its own data directory, CA, tokens and ports, so several run side by side. It
ends with its `with` block, with the interpreter, on SIGTERM, and (by the kernel's hand) when
the harness itself is killed. Nothing here waits without a limit. Neighbours: roles.py (command
lines), process.py (child processes), content.py (files and first objects), build.py (binaries).
"""

import json
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localcluster import build, content, lifetime, metrics, ports, roles
from localcluster.api import Api
from localcluster.errors import LocalClusterError, RoleError
from localcluster.process import Health, RoleProcess
from localcluster.roles import Role

READY_LIMIT = 60.0  # s for one role; the slowest needs 3 s on two idle cores
STOP_LIMIT = 3.0  # s from SIGTERM to SIGKILL; the API server would wait 60 s for open watches
START_ATTEMPTS = 3  # a drawn port may be taken by somebody else before the role binds it
PORT_LOST = "address already in use"  # EADDRINUSE as Go writes it
TEST_IDENTITIES = ("nobody", "reader")


class ControlPlane:
    """A running cluster. Made by `running()`; roles are named by `Role` or its text."""

    def __init__(self, plan: roles.Plan, tokens: Mapping[str, str]) -> None:
        self.url = f"https://{roles.HOST}:{plan.ports.api_server}"
        self.data_dir = plan.data
        self.ca_file = plan.keys.ca
        self.tokens = MappingProxyType(dict(tokens))
        self.audit_log = plan.audit.log if plan.audit else None
        self._kubeconfigs = plan.kubeconfigs
        self._stop_lock = threading.RLock()  # SIGTERM may call stop() inside of stop()
        logs = plan.data / "logs"
        self._roles = {
            role: RoleProcess(
                role, command, log=logs / f"{role}.log", health=self._health(role, plan.ports), home=plan.data
            )
            for role, command in roles.commands(plan).items()
        }

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of `admin`, who may do everything."""
        return self.kubeconfig_for("admin")

    def kubeconfig_for(self, identity: str) -> Path:
        """Return the kubeconfig of an identity: admin, nobody, reader or one given to `running()`."""
        return self._kubeconfigs[identity]

    def api(self, identity: str = "admin") -> Api:
        """Return a small client of the API server with the identity's token."""
        return Api(self.url, ca_file=self.ca_file, token=self.tokens[identity])

    def request_counts(self) -> dict[metrics.Request, int]:
        """Return how many requests the API server has answered since it started; everybody's."""
        return metrics.requests(self.api().text("/metrics"))

    def audit_events(self, user: str | None = None) -> list[dict[str, Any]]:
        """Return what the audit log holds, oldest first: all of it, or one user's requests."""
        if self.audit_log is None:
            raise LocalClusterError(
                what="the audit log is off", where=f"local cluster in {self.data_dir}", mend="pass audit=True"
            )
        events = [json.loads(line) for line in self.audit_log.read_text().splitlines()]
        return [event for event in events if user is None or event["user"]["username"] == user]

    def pid(self, role: str) -> int | None:
        """Return the role's process id while it runs, else None."""
        return self._roles[Role(role)].pid

    def log(self, role: str) -> Path:
        """Return the role's log file."""
        return self._roles[Role(role)].log

    def kill(self, role: str) -> None:
        """End a role as `kill -9` does; its data stays."""
        self._roles[Role(role)].kill()

    def pause(self, role: str) -> None:
        """Freeze a role (SIGSTOP): its connections stay open and nobody answers."""
        self._roles[Role(role)].signal(signal.SIGSTOP)

    def resume(self, role: str) -> None:
        """Let a paused role go on."""
        self._roles[Role(role)].signal(signal.SIGCONT)

    def restart(self, role: str) -> None:
        """Start a role again with its data and port, ending it first if it runs; returns when it is ready."""
        process = self._roles[Role(role)]
        process.end(seconds=STOP_LIMIT)
        process.start()
        process.wait_ready(seconds=READY_LIMIT)

    def ended(self) -> RoleError | None:
        """Return why the cluster is no longer whole, if a role has ended; None while all run."""
        for process in self._roles.values():
            if process.pid is None:
                return process.failure("has ended")
        return None

    def start(self, *, nodes: int) -> None:
        """Start all roles; returns when the nodes are ready and ServiceAccounts are made."""
        self._start([Role.ETCD])
        self._start([Role.API_SERVER])
        content.create(self.api(), nodes=nodes)
        self._start([Role.CONTROLLER_MANAGER, Role.SCHEDULER, Role.KWOK])
        content.wait_usable(self.api(), nodes=nodes, seconds=READY_LIMIT)

    def stop(self) -> None:
        """End all roles, by force after a few seconds. A second call does nothing."""
        # Clients before their server: it waits for their open watches, etcd is asked until the last.
        with self._stop_lock:
            for process in reversed(self._roles.values()):
                process.end(seconds=STOP_LIMIT)

    def _start(self, names: Iterable[Role]) -> None:
        processes = [self._roles[name] for name in names]
        for process in processes:
            process.start()
        for process in processes:
            process.wait_ready(seconds=READY_LIMIT)

    def _health(self, role: Role, at: roles.Ports) -> Health:
        match role:
            case Role.ETCD:
                return Health(roles.HOST, at.etcd, "/health")
            case Role.API_SERVER:
                return Health(roles.HOST, at.api_server, "/readyz", self.ca_file, self.tokens["admin"])
            case Role.CONTROLLER_MANAGER:
                return Health(roles.HOST, at.controller_manager, "/healthz", self.ca_file)
            case Role.SCHEDULER:
                return Health(roles.HOST, at.scheduler, "/healthz", self.ca_file)
            case Role.KWOK:
                return Health(roles.HOST, at.kwok, "/healthz")


@contextmanager
def running(
    *,
    data_dir: Path | None = None,
    nodes: int = 1,
    audit: bool = False,
    identities: Sequence[str] = (),
    api_server_flags: Sequence[str] = (),
    say: build.Say | None = None,
) -> Iterator[ControlPlane]:
    """
    Start a cluster, yield it when it is ready, end it.

    `data_dir` must be empty or missing and stays afterwards; by default it is a temporary
    directory that goes with the cluster. `audit` writes `cluster.audit_log` (one JSON event a
    line, requests of the cluster's own controllers left out). `identities` are further users
    without any rights, beside "nobody" and "reader". Raises RoleError with the end of the log
    of the role that did not start. Missing binaries are built first, which takes minutes; `say`
    gets lines about it (default: standard error).
    """
    binaries = build.ensure(say=say or _to_stderr)
    directory = _own_directory(data_dir)
    made: list[ControlPlane] = []

    def make() -> ControlPlane:
        drawn = roles.Ports(*ports.draw(6, host=roles.HOST))
        files = content.write(
            directory,
            url=f"https://{roles.HOST}:{drawn.api_server}",
            identities=(*TEST_IDENTITIES, *identities),
            audit=audit,
        )
        made.append(ControlPlane(_plan(binaries, directory, drawn, files, api_server_flags), files.tokens))
        return made[-1]

    def end() -> None:
        for cluster in made:
            cluster.stop()
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)  # a dying role may still write

    with lifetime.ended_with_process(end):
        try:
            yield _started(make, directory, nodes=nodes)
        finally:
            end()


def _started(make: Callable[[], ControlPlane], directory: Path, *, nodes: int) -> ControlPlane:
    """Make and start a cluster, again with other ports when one was lost to somebody else."""
    for _ in range(START_ATTEMPTS - 1):
        cluster = make()
        try:
            cluster.start(nodes=nodes)
        except RoleError as error:
            if PORT_LOST not in error.log:
                raise
            cluster.stop()
            _empty(directory)
        else:
            return cluster
    cluster = make()
    cluster.start(nodes=nodes)
    return cluster


def _own_directory(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="localcluster-"))
    wanted.mkdir(parents=True, exist_ok=True)
    if any(wanted.iterdir()):
        raise LocalClusterError(
            what="the data directory is not empty", where=str(wanted), mend="name an empty or a new one"
        )
    wanted.chmod(0o700)
    return wanted.resolve()


def _plan(
    binaries: build.Binaries,
    directory: Path,
    drawn: roles.Ports,
    files: content.Files,
    api_server_flags: Sequence[str],
) -> roles.Plan:
    return roles.Plan(
        binaries=binaries,
        keys=files.keys,
        ports=drawn,
        data=directory,
        tokens=files.token_file,
        kubeconfigs=files.kubeconfigs,
        stages=files.stages,
        audit=files.audit,
        api_server_flags=api_server_flags,
    )


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
