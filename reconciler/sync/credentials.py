"""
Where the credentials that a project names come from: mounted files, or a Secret of our namespace.

Files are read each time. A Secret is kept, so that an unchanged repository costs no API
request, until it did not work (`forget`), or until a comparison with the cluster reads all of
them again (`renew`): what its owner took back is not used much longer than that.
"""

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, NotFound
from reconciler.cluster.resource import SECRETS
from reconciler.git.credentials import Credentials, from_directory, from_secret
from reconciler.git.errors import CredentialsInvalid

log = logging.getLogger(__name__)

SHARED: Final = 60.0
"""s; projects that are compared at about the same time share one reading of a Secret."""
LIFETIME: Final = 900.0
"""s that a Secret is used without a renewal; where projects are compared, one comes every 5 to 10 minutes."""


@dataclass(frozen=True, slots=True)
class _Kept:
    credentials: Credentials
    read: float  # on the loop's clock


class ClusterCredentials:
    """Secrets in `namespace`; directories below `directory` come first where they exist."""

    def __init__(self, cluster: Cluster, *, namespace: str, directory: Path | None) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._directory = directory
        self._kept: dict[str, _Kept] = {}
        self._renewing = asyncio.Lock()

    async def get(self, name: str) -> Credentials:
        """Raises CredentialsInvalid, whatever the reason: the source cannot be used now."""
        if self._directory is not None and await asyncio.to_thread((self._directory / name).is_dir):
            return await asyncio.to_thread(from_directory, self._directory / name)
        kept = self._kept.get(name)
        if kept is not None and self._age(kept) < LIFETIME:
            return kept.credentials
        return await self._read(name)

    def forget(self, name: str) -> None:
        """They did not work: the next `get` reads the Secret again."""
        self._kept.pop(name, None)

    async def renew(self) -> None:
        """Read again what is kept; what cannot be read now is kept no longer, and `get` says why."""
        async with self._renewing:
            for name in [name for name, kept in self._kept.items() if self._age(kept) >= SHARED]:
                try:
                    await self._read(name)
                except CredentialsInvalid as error:
                    log.debug("the next poll meets this again, and reports it: %s", error)

    def _age(self, kept: _Kept) -> float:
        return asyncio.get_running_loop().time() - kept.read

    async def _read(self, name: str) -> Credentials:
        self.forget(name)
        asked = asyncio.get_running_loop().time()
        where = f"Secret {self._namespace}/{name}"
        try:
            secret = await self._cluster.get(SECRETS, self._namespace, name)
        except NotFound as error:
            raise CredentialsInvalid(
                what="does not exist", where=where, mend="create it, or correct `credentials`"
            ) from error
        except ClusterError as error:
            raise CredentialsInvalid(what=error.what, where=where, mend=error.mend) from error
        credentials = _decoded(name, secret, where)
        self._kept[name] = _Kept(credentials, asked)
        return credentials


def _decoded(name: str, secret: Mapping[str, Any], where: str) -> Credentials:
    metadata = secret["metadata"]
    try:
        data = {
            key: base64.b64decode(value, validate=True) for key, value in (secret.get("data") or {}).items()
        }
    except ValueError:
        raise CredentialsInvalid(
            what="holds data that is not base64", where=where, mend="create it anew"
        ) from None
    return from_secret(
        name,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        data=data,
    )
