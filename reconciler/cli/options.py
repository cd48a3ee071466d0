"""
The options that commands share, and what every command does with them first.

Each option has one name, one help text and one meaning in all commands.
"""

import functools
import gc
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

if TYPE_CHECKING:
    from reconciler.service.options import Options


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


def some_text(text: str) -> str:
    """A value that is not empty, as that of an unset variable in a script would be."""
    if not text:
        raise ValueError("it is empty")
    return text


def some_path(text: str) -> Path:
    """What every path is read by: an empty one would be the current directory."""
    return Path(some_text(text))


Projects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROJECT",
        show_default=False,
        help="Ids of manifest projects; all of them if none is named.",
        parser=some_text,
    ),
]
ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file, or a mounted ConfigMap's.", parser=some_path),
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
Kubeconfig = Annotated[
    Path | None,
    typer.Option(help="Default: $KUBECONFIG, the pod's own, ~/.kube/config.", parser=some_path),
]
Context = Annotated[str | None, typer.Option(help="Context in the kubeconfig; default: its current one.")]
RecordsNamespace = Annotated[
    str | None,
    typer.Option(help="Namespace of inventory and status. Default: the pod's own, else reconciler-system."),
]
Namespaces = Annotated[
    str | None,
    typer.Option(
        help="All that is seen of the cluster, separated by commas. Default: everything.", metavar="A,B"
    ),
]
CredentialsDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory with a directory of mounted files for each set of credentials.", parser=some_path
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Mirrors and decoded files, a cache. Default: ~/.cache/reconciler.", parser=some_path),
]
AllowLocal = Annotated[
    bool,
    typer.Option("--allow-local-repositories", help="Open local paths as repositories (demo and tests)."),
]
Listen = Annotated[str, typer.Option(help="Address of /healthz, /readyz and /metrics.")]
OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="table or json.")]
Log = Annotated[LogLevel, typer.Option("--log-level", help="debug, info, warning or error.")]


class Option(NamedTuple):
    """An option that several commands have."""

    type: Any
    default: Any = None


CLUSTER: Final[Mapping[str, Option]] = {
    "instance": Option(Instance),
    "agent_name": Option(AgentName),
    "kubeconfig": Option(Kubeconfig),
    "context": Option(Context),
    "records_namespace": Option(RecordsNamespace),
}
"""Which cluster, and which installation in it."""
SOURCES: Final[Mapping[str, Option]] = {
    "config": Option(ConfigPath),
    "config_repo": Option(ConfigRepo),
    "agent_name": Option(AgentName),
    "config_ref": Option(ConfigRef),
    "config_credentials": Option(ConfigCredentials),
    "credentials_dir": Option(CredentialsDir),
    "data_dir": Option(DataDir),
    "allow_local": Option(AllowLocal, default=False),
}
"""Where configuration and manifests come from."""
REACH: Final[Mapping[str, Option]] = {"namespaces": Option(Namespaces)}
"""How far the installation goes."""
LISTENING: Final[Mapping[str, Option]] = {"listen": Option(Listen, default="127.0.0.1:8080")}


def taking(*groups: Mapping[str, Option]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these groups; it gets what was given, checked, as `options`."""
    shared = {name: option for group in groups for name, option in group.items()}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function).parameters.values() if p.name != "options"]
        places = [p for p in own if p.kind is not p.KEYWORD_ONLY]
        added = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type
            )
            for name, option in shared.items()
        ]
        parameters = [*places, *added, *(p for p in own if p.kind is p.KEYWORD_ONLY)]

        @functools.wraps(function)
        def command(**given: Any) -> None:
            values = {name: given.pop(name) for name in shared}
            function(**given, options=_options(values))

        # What typer reads to know the options.
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _options(given: Mapping[str, object]) -> "Options":
    from reconciler.service.options import make_options  # noqa: PLC0415

    return make_options({name: value for name, value in given.items() if value is not None})


def collect_garbage() -> None:
    """All is imported, and stays for good: from here on collect garbage, but not among that."""
    gc.freeze()
    gc.enable()


def set_up_log(level: str) -> None:
    """Log to stderr: for a person on a terminal, as JSON in a cluster."""
    from reconciler import log  # noqa: PLC0415

    log.set_up(level=level, as_json=not sys.stderr.isatty() and "KUBERNETES_SERVICE_HOST" in os.environ)
