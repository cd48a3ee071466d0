"""
The commands and their options. What they print is render.py's business.

Heavy modules are imported inside the commands: `reconciler --help` and a sync that has
nothing to do should be over before anybody notices.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler import __version__

if TYPE_CHECKING:
    from reconciler.service.options import Options

app = typer.Typer(
    name="reconciler",
    help="Makes a Kubernetes cluster equal to what git declares.",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]
"""What every mistake on the command line is; typer names it only by its children."""


def command(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Raises CommandLineError, and what the command raises."""
    code = app(arguments or ["--help"], prog_name="reconciler", standalone_mode=False)
    return int(code or 0) if arguments else 2


def explain(error: Any) -> str:
    """One line for a CommandLineError: its own text fills a box."""
    context = getattr(error, "ctx", None)
    name = context.command_path if context else "reconciler"
    said = " ".join(str(error.format_message()).split()).removesuffix(".").replace(": Value error, ", ": ")
    return f"{name}: {said}; see `{name} --help`"


class LogLevel(StrEnum):
    """What is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="Configuration file, or a mounted ConfigMap's.")
]
ConfigRepo = Annotated[
    str | None,
    typer.Option(
        help="Repository that holds .gitlab/agents/NAME/config.yaml; needs --agent-name.", metavar="URL"
    ),
]
AgentName = Annotated[str | None, typer.Option(help="NAME in .gitlab/agents/NAME/config.yaml.")]
ConfigRef = Annotated[
    str | None,
    typer.Option(help="Branch of --config-repo; its default branch if not given.", metavar="BRANCH"),
]
ConfigCredentials = Annotated[str | None, typer.Option(help="Name of the credentials for --config-repo.")]
Instance = Annotated[
    str | None, typer.Option(help="Name of this installation. Default: the agent's name, else `default`.")
]
Kubeconfig = Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, the pod's own, ~/.kube/config.")]
Context = Annotated[str | None, typer.Option(help="Context in the kubeconfig; default: its current one.")]
RecordsNamespace = Annotated[
    str | None,
    typer.Option(help="Namespace of inventory and status. Default: the pod's own, else reconciler-system."),
]
CredentialsDir = Annotated[
    Path | None, typer.Option(help="Directory with a directory of mounted files for each set of credentials.")
]
DataDir = Annotated[
    Path | None, typer.Option(help="Mirrors and decoded files, a cache. Default: ~/.cache/reconciler.")
]
AllowLocal = Annotated[
    bool,
    typer.Option("--allow-local-repositories", help="Open local paths as repositories (demo and tests)."),
]
OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="table or json.")]
Log = Annotated[LogLevel, typer.Option("--log-level", help="debug, info, warning or error.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _options(**given: object) -> "Options":
    from reconciler.service.options import make_options  # noqa: PLC0415

    return make_options({name: value for name, value in given.items() if value is not None})


def _collect_garbage() -> None:
    """All is imported, and stays for good: from here on collect garbage, but not among that."""
    gc.freeze()
    gc.enable()


def _set_up_log(level: str) -> None:
    from reconciler import log  # noqa: PLC0415

    log.set_up(level=level, as_json=not sys.stderr.isatty() and "KUBERNETES_SERVICE_HOST" in os.environ)


@app.command()
def run(
    *,
    config: ConfigPath = None,
    config_repo: ConfigRepo = None,
    agent_name: AgentName = None,
    config_ref: ConfigRef = None,
    config_credentials: ConfigCredentials = None,
    instance: Instance = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    records_namespace: RecordsNamespace = None,
    credentials_dir: CredentialsDir = None,
    data_dir: DataDir = None,
    allow_local: AllowLocal = False,
    listen: Annotated[
        str, typer.Option(help="Address of /healthz, /readyz and /metrics.")
    ] = "127.0.0.1:8080",
    log_level: Log = LogLevel.INFO,
) -> None:
    """
    Run the service: follow the configuration and keep the cluster equal to git.

    Example: reconciler run --config-repo https://gitlab.example.com/ops/agents.git --agent-name prod
    """
    from reconciler.service.running import serve  # noqa: PLC0415

    _collect_garbage()
    _set_up_log(log_level)
    options = _options(
        config=config,
        config_repo=config_repo,
        agent_name=agent_name,
        config_ref=config_ref,
        config_credentials=config_credentials,
        instance=instance,
        kubeconfig=kubeconfig,
        context=context,
        records_namespace=records_namespace,
        credentials_dir=credentials_dir,
        data_dir=data_dir,
        allow_local=allow_local,
        listen=listen,
    )
    asyncio.run(serve(options))


@app.command()
def sync(
    projects: Annotated[list[str] | None, typer.Argument(metavar="[PROJECT]...", show_default=False)] = None,
    *,
    config: ConfigPath = None,
    config_repo: ConfigRepo = None,
    agent_name: AgentName = None,
    config_ref: ConfigRef = None,
    config_credentials: ConfigCredentials = None,
    instance: Instance = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    records_namespace: RecordsNamespace = None,
    credentials_dir: CredentialsDir = None,
    data_dir: DataDir = None,
    allow_local: AllowLocal = False,
    wait: Annotated[
        bool, typer.Option(help="Wait until everything is ready, or only until it is applied.")
    ] = True,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at the most.", min=0.1)] = None,
    output: OutputFormat = Output.TABLE,
    log_level: Log = LogLevel.ERROR,
) -> None:
    """
    Make one pass over all projects, or over those named, and show what it did.

    Exit code: 0 all in sync, 1 something failed, was blocked, skipped or is held, 2 the
    configuration or a source cannot be used.

    Example: reconciler sync --config config.yaml --timeout 300 my-group/apps
    """
    from reconciler.cli import render  # noqa: PLC0415
    from reconciler.service.onepass import one_pass  # noqa: PLC0415

    _collect_garbage()
    _set_up_log(log_level)
    options = _options(
        config=config,
        config_repo=config_repo,
        agent_name=agent_name,
        config_ref=config_ref,
        config_credentials=config_credentials,
        instance=instance,
        kubeconfig=kubeconfig,
        context=context,
        records_namespace=records_namespace,
        credentials_dir=credentials_dir,
        data_dir=data_dir,
        allow_local=allow_local,
    )
    with render.progress(enabled=sys.stderr.isatty(), only=tuple(projects or ())) as watcher:
        result = asyncio.run(
            one_pass(
                options,
                only=tuple(projects or ()),
                wait=wait,
                timeout=timeout,
                progress=watcher.object_changed,
                started=watcher.started,
                finished=watcher.finished,
            )
        )
    if output is Output.JSON:
        render.print_json(render.pass_document(result))
    else:
        render.print_pass(result)
    raise typer.Exit(render.exit_code(result))


@app.command()
def status(
    projects: Annotated[list[str] | None, typer.Argument(metavar="[PROJECT]...", show_default=False)] = None,
    *,
    instance: Instance = None,
    agent_name: AgentName = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    records_namespace: RecordsNamespace = None,
    output: OutputFormat = Output.TABLE,
) -> None:
    """
    Show what was last recorded of every project; reads the cluster, not the service.

    Example: reconciler status --instance prod -o json
    """
    from reconciler.cli import render  # noqa: PLC0415
    from reconciler.service.reading import stored_statuses  # noqa: PLC0415

    _collect_garbage()
    options = _options(
        instance=instance,
        agent_name=agent_name,
        kubeconfig=kubeconfig,
        context=context,
        records_namespace=records_namespace,
    )
    stored = asyncio.run(stored_statuses(options, only=tuple(projects or ())))
    if output is Output.JSON:
        render.print_json(render.status_document(stored))
    else:
        render.print_status(stored.projects)


@app.command()
def approve(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The project that is held.")],
    plan_hash: Annotated[
        str,
        typer.Argument(
            metavar="HASH", help="The hash that sync or status shows, or its first 12 digits or more."
        ),
    ],
    *,
    instance: Instance = None,
    agent_name: AgentName = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    records_namespace: RecordsNamespace = None,
) -> None:
    """
    Let exactly the prune go ahead that is held under this hash.

    A prune of other objects, or of other uids, has another hash and is held again.

    Example: reconciler approve my-group/apps 3f2c9ab04d1e
    """
    from reconciler.cli.text import number_of, plain  # noqa: PLC0415
    from reconciler.service.reading import approve as approve_plan  # noqa: PLC0415

    _collect_garbage()
    options = _options(
        instance=instance,
        agent_name=agent_name,
        kubeconfig=kubeconfig,
        context=context,
        records_namespace=records_namespace,
    )
    approved = asyncio.run(approve_plan(options, project, plan_hash))
    objects = number_of(approved.objects, "object")
    verb = "is" if approved.objects == 1 else "are"
    typer.echo(
        f"approved {approved.plan_hash}: {objects} of {plain(project)} {verb} pruned with the next run"
    )


@app.command()
def validate(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A configuration file, or a directory that holds some.")
    ],
    *,
    allow_local: AllowLocal = False,
) -> None:
    """
    Check configuration files offline; nothing is contacted. Exit code 0 or 1.

    Example: reconciler validate .gitlab/agents/prod/config.yaml
    """
    from reconciler.cli import render  # noqa: PLC0415
    from reconciler.config.validate import validate as check  # noqa: PLC0415

    _collect_garbage()
    raise typer.Exit(render.print_validation(check(path, allow_local=allow_local)))
