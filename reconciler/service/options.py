"""
What the commands were given, as plain values, and the defaults that depend on where we run.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.errors import ReconcilerError

_LABEL: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")  # it becomes a label's value
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DEFAULT_RECORDS_NAMESPACE: Final = "reconciler-system"


def default_data_dir() -> Path:
    """Mirrors and decoded files are a cache: losing them costs time, nothing else."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the commands were given, as plain values."""

    config: Path | None = None
    config_repo: str | None = None
    agent_name: str | None = None
    config_ref: str | None = None
    config_credentials: str | None = None
    instance: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    records_namespace: str | None = None
    namespaces: tuple[str, ...] = ()
    """All that is seen of the cluster; empty: everything."""
    credentials_dir: Path | None = None
    data_dir: Path = field(default_factory=default_data_dir)
    allow_local: bool = False
    listen: str = "127.0.0.1:8080"

    @property
    def instance_name(self) -> str:
        """The name of this installation: given, else the agent's, else `default`."""
        return self.instance or self.agent_name or "default"


class OptionsInvalid(ReconcilerError):
    """The command line does not say where the configuration is, or says it twice."""


class ConfigUnusable(ReconcilerError):
    """There is no usable configuration; `problems` has a line for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(what=" / ".join(problems), where="configuration", mend="")
        self.problems = problems


def own_namespace() -> str | None:
    """The namespace of the pod that we run in, if we do."""
    try:
        text = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text(encoding="utf-8")
    except OSError:
        return None
    return text.strip() or None


def records_namespace(options: Options) -> str:
    """Where the records live: given, else the pod's own, else `reconciler-system`."""
    return options.records_namespace or own_namespace() or DEFAULT_RECORDS_NAMESPACE


def make_options(given: Mapping[str, object]) -> Options:
    """Options from what the command line gave; raises OptionsInvalid for a name that cannot be used."""
    named = given.get("namespaces")
    if isinstance(named, str):
        given = {**given, "namespaces": tuple(dict.fromkeys(named.split(",")))}
    options = Options(**given)  # type: ignore[arg-type]  # typer has checked the types
    for option, name in (("--instance", options.instance), ("--agent-name", options.agent_name)):
        if name is not None and not _LABEL.fullmatch(name):
            raise OptionsInvalid(
                what=f"{name!r} cannot be the name of an {'agent' if 'agent' in option else 'installation'}",
                where=option,
                mend="use at most 63 letters, digits and '-_.', a letter or digit at both ends",
            )
    _check_configuration_source(options)
    if options.records_namespace is not None:
        check_namespace("--records-namespace", options.records_namespace)
    for name in options.namespaces:
        check_namespace("--namespaces", name)
    return options


def check_source(options: Options) -> None:
    """Raises OptionsInvalid where it is not told where the configuration is, or told twice."""
    if (options.config is None) == (options.config_repo is None):
        raise OptionsInvalid(
            what="give either --config PATH or --config-repo URL with --agent-name NAME",
            where="configuration",
            mend="see `reconciler sync --help`",
        )
    if options.config_repo is not None and options.agent_name is None:
        raise OptionsInvalid(
            what="--config-repo needs --agent-name",
            where="configuration",
            mend="the file that is read is .gitlab/agents/NAME/config.yaml",
        )


def check_namespace(option: str, name: str) -> None:
    """Raises OptionsInvalid for what cannot be the name of a namespace."""
    if not _NAMESPACE.fullmatch(name):
        raise OptionsInvalid(
            what=f"{name!r} cannot be the name of a namespace",
            where=option,
            mend="use at most 63 small letters, digits and '-', a letter or digit at both ends",
        )


def _check_configuration_source(options: Options) -> None:
    if options.config_ref is not None:
        from reconciler.git.errors import RefInvalid  # noqa: PLC0415 - few commands name any
        from reconciler.git.refs import RefSpec  # noqa: PLC0415

        try:
            RefSpec("branch", options.config_ref)
        except RefInvalid as invalid:
            raise OptionsInvalid(what=invalid.what, where="--config-ref", mend=invalid.mend) from None
    if options.config_credentials is not None:
        from reconciler.git.credentials import is_name  # noqa: PLC0415

        if not is_name(options.config_credentials):
            raise OptionsInvalid(
                what="this is not a name of credentials",
                where="--config-credentials",
                mend="write the name of a Secret or of a directory below --credentials-dir, no path",
            )
