"""
A configuration in a git repository, where the old agent kept it.

Edge: asks a mirror (git/mirror.py) for the newest commit and reads one file of it. A poll
that finds no new commit reads nothing. Which ref, which server and whose credentials is
the caller's choice; nothing here is written.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self

from reconciler.config.errors import ConfigError
from reconciler.config.models import HEAD
from reconciler.config.parse import MAX_SIZE
from reconciler.config.source import Content, Missing, Reading, Unreadable
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.git.credentials import Credentials
    from reconciler.git.mirror import Mirror
    from reconciler.git.refs import RefSpec, Resolved

_AGENT_NAME = re.compile(
    r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
)  # the old agent's rule, and no path can hide in it
AGENTS = ".gitlab/agents"
CONFIG_FILE = "config.yaml"
AGENT_NAME_RULE = "use at most 63 lower-case letters, digits and hyphens"


def is_agent_name(name: str) -> bool:
    """Can `--agent-name` name it?"""
    return _AGENT_NAME.fullmatch(name) is not None


def agent_file(agent: str) -> str:
    """The path of an agent's configuration in its repository; `config.yml` is never looked at."""
    return f"{AGENTS}/{agent}/{CONFIG_FILE}"


async def no_credentials() -> "Credentials | None":
    """For repositories that anybody may read."""
    return None


def nothing_kept() -> None:
    """For credentials that are read at every look."""


class GitSource:
    """
    `.gitlab/agents/<agent>/config.yaml` of the repository behind `mirror`, at the newest commit of `ref`.

    `credentials` is called for every look, because a Secret may have changed; what it raises
    makes the reading `Unreadable`. `forget` is called after every look that failed: the
    credentials may be why. See `ConfigSource` for the methods.
    """

    def __init__(
        self,
        mirror: "Mirror",
        *,
        agent: str,
        ref: "RefSpec" = HEAD,
        credentials: "Callable[[], Awaitable[Credentials | None]]" = no_credentials,
        forget: Callable[[], None] = nothing_kept,
    ) -> None:
        if not is_agent_name(agent):
            raise ConfigError(
                what="this is not the name of an agent",
                where="--agent-name",
                mend=AGENT_NAME_RULE,
            )
        self._mirror = mirror
        self._path = agent_file(agent)
        self._ref = ref
        self._credentials = credentials
        self._forget = forget
        self._event = asyncio.Event()
        self._seen: tuple[Resolved, Reading] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    def poke(self) -> None:
        self._event.set()

    async def changed(self) -> None:
        await self._event.wait()

    async def read(self) -> Reading:
        self._event.clear()
        try:
            return await self._read()
        except ReconcilerError as error:
            self._forget()
            return Unreadable(where=error.where or self._mirror.url, what=error.what, mend=error.mend)

    async def _read(self) -> Reading:
        credentials = await self._credentials()
        resolved = await self._mirror.resolve(self._ref, credentials)
        if self._seen is not None and self._seen[0] == resolved:
            return self._seen[1]
        await self._mirror.fetch(resolved, credentials)
        reading = await asyncio.to_thread(self._file, resolved)
        self._seen = resolved, reading
        return reading

    def _file(self, resolved: "Resolved") -> Reading:
        revision = self._mirror.revision(resolved)
        found = self._mirror.file(revision, self._path)
        if found is None:
            other = self._path.removesuffix(".yaml") + ".yml"
            wrong_name = self._mirror.file(revision, other) is not None
            mend = f"rename {other}" if wrong_name else "add it, or correct --agent-name or --config-ref"
            where = f"{self._path} in {self._mirror.url} at {resolved.commit[:12]}"
            return Missing(where=where, mend=mend)
        if found.size > MAX_SIZE:
            what = f"the file has {found.size} bytes, more than {MAX_SIZE}"
            return Unreadable(where=self._path, what=what, mend="split it between several agents")
        data = self._mirror.read(found.blob, limit=MAX_SIZE)
        return Content(where=self._path, revision=resolved.commit, data=data)
