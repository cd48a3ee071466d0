"""
Builds all parts of one process and takes them down again in the right order.

The only place that knows every layer. Two ways to use the parts: onepass.py (`reconciler
sync`) and running.py (the service); there is no second way to apply anything.
"""

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reconciler.cluster.client import Cluster, connect
from reconciler.cluster.permit import Permit
from reconciler.config.models import ConfigProject
from reconciler.config.source import ConfigSource, Reading
from reconciler.config.state import State as ConfigState
from reconciler.config.state import advance
from reconciler.git.refs import RefSpec
from reconciler.manifests.cache import DecodeCache
from reconciler.service.options import Options, OptionsInvalid, check_source, records_namespace
from reconciler.service.turn import Hear, Say, Turn, nothing_heard, nothing_said, turn
from reconciler.sync.claims import Claims
from reconciler.sync.credentials import ClusterCredentials
from reconciler.sync.identities import Identities
from reconciler.sync.neighbours import Neighbours
from reconciler.sync.outcome import ObjectReport
from reconciler.sync.passing import NoTimings, Timings
from reconciler.sync.pausing import Pause
from reconciler.sync.records import Records
from reconciler.sync.repositories import Repositories
from reconciler.sync.request import Parts, Progress
from reconciler.sync.runner import Runner
from reconciler.tasks import task_group


class Unconfigured:
    """Where no configuration is wanted; nobody reads it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def read(self) -> Reading:
        """There is none."""
        raise RuntimeError("a configuration is read where none is wanted")

    async def changed(self) -> None:
        """Never."""
        await asyncio.Event().wait()

    def poke(self) -> None:
        """Nothing new can be known."""


def config_source(options: Options, repositories: Repositories) -> tuple[ConfigSource, ConfigProject | None]:
    """The one place that the configuration comes from; `options` have passed check_source."""
    if options.config is not None:
        from reconciler.config.filesource import FileSource  # noqa: PLC0415 - imports only what is used

        return FileSource(options.config), None
    from reconciler.config.gitsource import GitSource  # noqa: PLC0415
    from reconciler.config.urls import config_project  # noqa: PLC0415

    ref = RefSpec("branch", options.config_ref) if options.config_ref else RefSpec()
    name = options.config_credentials
    url, agent = options.config_repo or "", options.agent_name or ""
    mirror = repositories.mirror(url)
    if name is None:
        source = GitSource(mirror, agent=agent, ref=ref)
    else:
        named = name
        source = GitSource(
            mirror,
            agent=agent,
            ref=ref,
            credentials=lambda: repositories.credentials.get(named),
            forget=lambda: repositories.credentials.forget(named),
        )
    return source, config_project(url, credentials=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """All parts of one process."""

    options: Options
    cluster: Cluster
    permit: Permit
    repositories: Repositories
    records: Records
    identities: Identities
    runner: Runner
    pause: Pause
    source: ConfigSource
    config_project: ConfigProject | None
    tasks: asyncio.TaskGroup

    def advance(self, before: ConfigState, reading: Reading) -> ConfigState:
        """The configuration in force after one more reading."""
        return advance(
            before, reading, config_project=self.config_project, allow_local=self.options.allow_local
        )

    def turn(
        self, *, stop: asyncio.Event, insist: bool, say: Say = nothing_said, heard: Hear = nothing_heard
    ) -> AbstractAsyncContextManager[Turn]:
        """A turn to write, for what is no service; see turn.py."""
        return turn(
            self.cluster,
            self.permit,
            self.options,
            self.records,
            stop=stop,
            insist=insist,
            say=say,
            heard=heard,
        )

    def unfenced_records(self) -> Records:
        """For what a person may put beside the records while another process leads."""
        namespace = records_namespace(self.options)
        return Records(self.cluster.unfenced(), namespace=namespace, instance=self.options.instance_name)


def quiet(_project: str, _report: ObjectReport) -> None:
    """Nobody watches."""


def _make_directory(path: Path) -> None:
    """Make it, and see that files can be made in it: /sys and a read-only disk only show then."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return  # a run that has nothing to fetch needs no room, and another one says so itself
        taken = error.errno in (errno.EEXIST, errno.ENOTDIR)
        raise OptionsInvalid(
            what="is not a directory" if taken else f"cannot be used: {error.strerror}",
            where=f"data directory {path}",
            mend="name a directory that may be written with --data-dir",
        ) from error


@asynccontextmanager
async def assembled(
    options: Options,
    *,
    progress: Progress = quiet,
    timings: Timings | None = None,
    configured: bool = True,
) -> AsyncIterator[Assembled]:
    """Build the parts, without a `configured` source if told so; nothing is sent to any server yet."""
    if configured:
        check_source(options)
    namespace = records_namespace(options)
    permit = Permit()
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            connect(kubeconfig=options.kubeconfig, context=options.context, permit=permit)
        )
        _make_directory(options.data_dir)
        cache = stack.enter_context(closing(DecodeCache(options.data_dir / "decoded.sqlite3")))
        repositories = Repositories(
            root=options.data_dir / "mirrors",
            cache=cache,
            credentials=ClusterCredentials(cluster, namespace=namespace, directory=options.credentials_dir),
            allow_local=options.allow_local,
        )
        source, config_project = (
            config_source(options, repositories) if configured else (Unconfigured(), None)
        )
        tasks = await stack.enter_async_context(task_group())
        # With --namespaces nothing is asked about the whole cluster, and a watch of Namespaces is.
        pause = Pause(cluster, namespace=namespace, watch=not options.namespaces)
        # Whatever writes objects or records stops here while all is paused.
        cluster = cluster.confined(pause.check)
        records = Records(cluster, namespace=namespace, instance=options.instance_name)
        # Records and credentials lie where they lie; all else is only seen within --namespaces.
        seen = cluster.within(options.namespaces)
        identities = Identities(
            seen, instance=options.instance_name, records_namespace=namespace, tasks=tasks
        )
        stack.callback(identities.close)
        claims = Claims()
        parts = Parts(
            cluster=seen,
            instance=options.instance_name,
            records=records,
            records_namespace=namespace,
            identities=identities,
            claims=claims,
            neighbours=Neighbours(repositories, claims),
            progress=progress,
            timings=timings or NoTimings(),
        )
        yield Assembled(
            options=options,
            cluster=cluster,
            permit=permit,
            repositories=repositories,
            records=records,
            identities=identities,
            runner=Runner(parts),
            pause=pause,
            source=source,
            config_project=config_project,
            tasks=tasks,
        )
