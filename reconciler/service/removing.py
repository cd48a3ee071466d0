"""
Prune what a project left behind that is no longer in the configuration: `reconciler delete-project`.

A sync of a project that declares nothing: the same plan, the same guard (all of it is held until a
person approves exactly these objects) and the same deletes. Its records go last, once its
inventory is empty.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.config.fields import SERVICE_ACCOUNT_MEND, is_service_account
from reconciler.config.models import Configuration, ManifestProject
from reconciler.git.mirror import Revision
from reconciler.service.assembly import Assembled, assembled, quiet
from reconciler.service.onepass import read_configuration
from reconciler.service.options import Options, OptionsInvalid
from reconciler.service.reading import check_approval, check_hash, no_records
from reconciler.service.signals import stopping
from reconciler.service.turn import Say, no_turn, nothing_said
from reconciler.sync.outcome import Held, ProjectReport
from reconciler.sync.records import ProjectRecords
from reconciler.sync.request import Progress, Request
from reconciler.sync.statuswriter import StatusWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What was done; `removed`: nothing of the project is left, nor any record of it."""

    report: ProjectReport
    removed: bool
    requests: Mapping[str, Any]


async def delete_project(
    options: Options,
    project: str,
    *,
    unconfigured: bool = False,
    approve: str | None = None,
    service_account: str | None = None,
    timeout: float | None = None,
    progress: Progress = quiet,
    say: Say = nothing_said,
) -> Removal:
    """
    Prune the project's inventory, as far as its guard lets it, and then delete its records.

    `unconfigured` goes on without a configuration that could still have it, `approve` is the hash
    under which it was held, whole or its first digits. Raises OptionsInvalid where the project is
    still configured or has no records, NotApproved for another hash.
    """
    _check(options, unconfigured=unconfigured)
    if approve is not None:
        check_hash(project, approve)
    if service_account is not None and not is_service_account(service_account):
        raise OptionsInvalid(
            what="this is not a ServiceAccount", where="--service-account", mend=SERVICE_ACCOUNT_MEND
        )
    async with assembled(options, progress=progress, configured=not unconfigured) as parts:
        configuration = await _configuration(parts, project, unconfigured=unconfigured)
        await _check_records(parts, project)
        parts.pause.configure(paused=configuration.paused)
        await parts.pause.know()  # whoever has paused it is heard here as well: the first write refuses
        stop = asyncio.Event()
        with stopping(stop, timeout=timeout):
            wanted = ManifestProject(id=project, url="", inventory_id="", service_account=service_account)
            removing = _Removing(parts, wanted, configuration, stop)
            async with parts.turn(stop=stop, insist=True, say=say) as its:
                if not its.ours:
                    raise no_turn("delete-project")
                return await removing.carry_out(approve)


class _Removing:
    def __init__(
        self, parts: Assembled, project: ManifestProject, configuration: Configuration, stop: asyncio.Event
    ) -> None:
        self._parts = parts
        self._project = project
        self._limits = configuration.limits
        self._stop = stop

    async def carry_out(self, approve: str | None) -> Removal:
        records = await self._records()
        report = await self._run(records)
        if approve is not None and report.held is not None:
            await self._approve(report.held, approve)
            report = await self._run(await self._records())
        records = await self._records()
        removed = False
        if not (self._stop.is_set() or report.held):
            removed = await self._parts.records.remove(records)
        if not removed:
            statuses = StatusWriter(self._parts.records, self._parts.pause)
            statuses.note(report)
            await statuses.flush()
        return Removal(report=report, removed=removed, requests=self._parts.cluster.requests.as_json())

    async def _records(self) -> ProjectRecords:
        return await self._parts.records.of(self._project.id)

    async def _run(self, records: ProjectRecords) -> ProjectReport:
        head = records.head
        request = Request(
            project=self._project,
            # Whoever looks at the status still sees which commit was applied last.
            revision=Revision(head.commit if head else "", "", head.ref if head else ""),
            source=self._parts.repositories.nothing(self._limits),
            limits=self._limits,
            departed=True,
            stop=self._stop,
        )
        report = await self._parts.runner.run(request)
        left = "has left the configuration"
        return replace(report, reason="; ".join(part for part in (left, report.reason) if part))

    async def _approve(self, held: Held, plan_hash: str) -> None:
        check_approval(self._project.id, plan_hash, held.plan_hash)
        await self._parts.records.approve(await self._records(), held.plan_hash)


def _check(options: Options, *, unconfigured: bool) -> None:
    given = options.config is not None or options.config_repo is not None
    if given and unconfigured:
        raise OptionsInvalid(
            what="a configuration is given, and --without-configuration as well",
            where="delete-project",
            mend="leave one of them out",
        )
    if not given and not unconfigured:
        raise OptionsInvalid(
            what="whether the project has left the configuration cannot be checked",
            where="delete-project",
            mend="name the configuration with --config or --config-repo, or say --without-configuration",
        )


async def _configuration(parts: Assembled, project: str, *, unconfigured: bool) -> Configuration:
    if unconfigured:
        return Configuration()
    configuration = await read_configuration(parts)
    if project in {its.id for its in configuration.projects}:
        raise OptionsInvalid(
            what=f"project {project} is in the configuration, and would be applied again",
            where="PROJECT",
            mend="remove it there first",
        )
    if configuration.paused:
        raise OptionsInvalid(
            what="paused is set in the configuration", where="delete-project", mend="set it to false first"
        )
    parts.runner.know(configuration)
    return configuration


async def _check_records(parts: Assembled, project: str) -> None:
    known: Sequence[str] = sorted(its.project for its in await parts.records.all())
    records = await parts.records.of(project)
    if not records.versions:
        raise no_records(project, [name for name in known if name])
