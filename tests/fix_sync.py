"""
One installation of the service in a namespace of its own: repository, configuration, records.

`installation` drives the product as its commands do, in process and with a fresh state for
each pass, so a pass is what a new process would do. What was asked of the API server is read
from its audit log, where our requests carry our User-Agent.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api, ControlPlane
from reconciler.manifests.identity import ObjectRef
from reconciler.service.onepass import PassResult, one_pass
from reconciler.service.options import Options
from reconciler.sync import marks
from reconciler.sync.inventory import Record, parse_line
from reconciler.sync.outcome import ObjectReport, ProjectReport
from tests.fix_git import Repository
from tests.objects import text

USER_AGENT = "reconciler"
WRITES = frozenset({"create", "update", "patch", "delete"})
NOT_COUNTED = frozenset({"selfsubjectrulesreviews", "leases"})
"""Created, and answered, and kept by nobody."""
PROJECT = "shop"


@dataclass(frozen=True)
class Asked:
    """One request of ours, as the API server's audit log has it."""

    verb: str
    resource: str
    namespace: str
    name: str
    uri: str
    code: int
    body: Mapping[str, Any]
    impersonated: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}/{self.name}"

    @property
    def is_renewal(self) -> bool:
        """Of the lease: the one thing that a service writes at rest."""
        return (self.verb, self.resource) == ("update", "leases")

    @property
    def is_dry_run(self) -> bool:
        return "dryRun=All" in self.uri


@dataclass
class Requests:
    """Our requests during a block; filled when the block ends."""

    all: list[Asked] = field(default_factory=list)

    @property
    def writes(self) -> list[Asked]:
        """All that is changed but the lease, which every pass takes and a service renews."""
        return [asked for asked in self.all if asked.verb in WRITES and asked.resource not in NOT_COUNTED]

    @property
    def of_objects(self) -> list[str]:
        """Writes of anything but our own records, as `patch configmaps/a`, in order."""
        return [str(asked) for asked in self.writes if not asked.name.startswith("reconciler-")]

    def count(self) -> Counter[str]:
        return Counter(f"{asked.verb} {asked.resource}" for asked in self.all)


class AuditLog:
    """The audit log of a control plane, read from a place on."""

    def __init__(self, control_plane: ControlPlane) -> None:
        assert control_plane.audit_log, "the control plane runs without an audit log"
        self._path = control_plane.audit_log

    @contextmanager
    def recorded(self, agent: str = USER_AGENT) -> Iterator[Requests]:
        """Requests of one User-Agent that the block makes."""
        start = self._path.stat().st_size
        requests = Requests()
        yield requests
        requests.all = [asked for asked, who in self._read(start) if who == agent]

    def _read(self, start: int) -> Iterator[tuple[Asked, str]]:
        with self._path.open("rb") as log:
            log.seek(start)
            for line in log:
                event = json.loads(line)
                yield _asked(event), event.get("userAgent", "")


def _asked(event: Mapping[str, Any]) -> Asked:
    ref = event.get("objectRef", {})
    body = event.get("requestObject") or {}
    return Asked(
        verb=event["verb"],
        resource=ref.get("resource", ""),
        namespace=ref.get("namespace", ""),
        name=ref.get("name") or body.get("metadata", {}).get("name", ""),
        uri=event["requestURI"],
        code=event.get("responseStatus", {}).get("code", 0),
        body=body,
        impersonated=(event.get("impersonatedUser") or {}).get("username", ""),
    )


class Installation:
    """One instance: `commit`, `configure`, `sync`, and a look at what came of it."""

    def __init__(
        self,
        api: Api,
        audit: AuditLog,
        *,
        namespace: str,
        kubeconfig: Path,
        repo: Repository,
        directory: Path,
    ) -> None:
        self.api = api
        self.audit = audit
        self.namespace = namespace
        self.repo = repo
        self.config_file = directory / "config.yaml"
        self.directory = directory
        self.options = Options(
            config=self.config_file,
            instance=namespace,
            kubeconfig=kubeconfig,
            records_namespace=namespace,
            data_dir=directory / "data",
            allow_local=True,
        )
        self._keys: dict[str, Any] = {
            "id": PROJECT,
            "url": repo.url,
            "default_namespace": namespace,
            "reconcile_timeout": "10s",
            "prune_timeout": "10s",
        }
        self.configure()

    # -- inputs ------------------------------------------------------------------------

    def configure(self, **keys: Any) -> None:
        """Change keys of the one project."""
        self._keys.update(keys)
        self.configure_projects([self._keys])

    def configure_projects(self, projects: Iterable[Mapping[str, Any]], **top: Any) -> None:
        """Write the whole file; a project takes the defaults of this installation where it says nothing."""
        entries = [{**self._keys, **entry} for entry in projects]
        self.config_file.write_text(json.dumps({"gitops": {"manifest_projects": entries}, **top}))

    def commit(self, files: Mapping[str, Any]) -> str:
        """Commit files: a text, a manifest, a list of manifests, or None to remove it."""
        return self.repo.commit({path: _content(content) for path, content in files.items()})

    # -- runs --------------------------------------------------------------------------

    def run(self, *only: str, **settings: Any) -> PassResult:
        """What `reconciler sync` does."""
        return asyncio.run(one_pass(self.options, only=only, **settings))

    def sync(self, **settings: Any) -> ProjectReport:
        """Sync the one project."""
        (report,) = self.run(**settings).reports
        return report

    @contextmanager
    def recorded(self) -> Iterator[Requests]:
        """Our requests during the block."""
        with self.audit.recorded() as requests:
            yield requests

    # -- what came of it ---------------------------------------------------------------

    @property
    def inventory_id(self) -> str:
        return marks.inventory_id(self.namespace, PROJECT)

    def path(self, kind: str, name: str = "") -> str:
        """Path of a resource in this namespace: `configmaps`, `apps/v1/deployments`."""
        *group, plural = kind.split("/")
        base = "/apis/" + "/".join(group) if group else "/api/v1"
        return f"{base}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> Any:
        return self.api.get(self.path(kind, name))

    def exists(self, kind: str, name: str) -> bool:
        return self.api.exists(self.path(kind, name))

    def record(self, suffix: str = "") -> Any:
        """The head, or with `-1` a shard, `-status` the status; None where it is missing."""
        path = self.path("configmaps", self.inventory_id + suffix)
        return self.api.get(path) if self.api.exists(path) else None

    def inventory(self) -> dict[ObjectRef, Record]:
        """All recorded objects, read from shards and heads as they lie in the cluster."""
        selector = f"?labelSelector={marks.RECORDS_LABEL}={self.namespace}"
        parts = self.api.get(self.path("configmaps") + selector)["items"]
        # The newest line of an object may stand in the head.
        texts = [
            part["data"].get(key, "")
            for key in ("objects", "recent")
            for part in parts
            if not _is_status(part)
        ]
        records = [parse_line(line) for text in texts for line in text.splitlines()]
        return {record.ref: record for record in records}

    def drop_lease(self) -> None:
        """As if the time of a holder that was killed were over."""
        path = self.path("coordination.k8s.io/v1/leases", marks.lease_name(self.namespace))
        if self.api.exists(path):
            self.api.delete(path)

    def recorded_names(self) -> set[str]:
        return {ref.name for ref in self.inventory()}


def _is_status(part: Mapping[str, Any]) -> bool:
    return bool(part["metadata"]["labels"].get(marks.PART_LABEL) == "status")


def _content(content: Any) -> str | bytes | None:
    match content:
        case None | str() | bytes():
            return content
        case list():
            return text(*content)
        case _:
            return text(content)


def lease(installation: Installation) -> Any:
    """The Lease of an installation."""
    return installation.get("coordination.k8s.io/v1/leases", marks.lease_name(installation.namespace))


def outcomes(report: ProjectReport) -> dict[str, str]:
    """Object names to outcomes."""
    return {its.ref.name: its.outcome.value for its in report.objects}


def of(report: ProjectReport, name: str) -> ObjectReport:
    """The report of the one object of this name."""
    (found,) = [its for its in report.objects if its.ref.name == name]
    return found


@pytest.fixture(scope="session")
def audit(control_plane: ControlPlane) -> AuditLog:
    return AuditLog(control_plane)


@pytest.fixture
def make_installation(
    api: Api, audit: AuditLog, control_plane: ControlPlane, repo: Repository, tmp_path: Path
) -> Callable[..., Installation]:
    """Make an installation in a namespace, with another kubeconfig or repository where given."""

    def make(
        namespace: str, *, kubeconfig: Path = control_plane.kubeconfig, repository: Repository = repo
    ) -> Installation:
        return Installation(
            api, audit, namespace=namespace, kubeconfig=kubeconfig, repo=repository, directory=tmp_path
        )

    return make


@pytest.fixture
def installation(make_installation: Callable[..., Installation], namespace: str) -> Installation:
    """An installation in a fresh namespace, whose project `shop` follows the repository `repo`."""
    return make_installation(namespace)
