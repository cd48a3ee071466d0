"""
Where the credentials that a project names come from: mounted files, or a Secret of our namespace.

Files are read each time (a rotated one is used at once); a Secret is kept until somebody
says that it did not work, so that an unchanged repository costs no API request.
"""

import asyncio
import base64
from pathlib import Path
from typing import Protocol

from reconciler.cluster.client import Cluster
from reconciler.cluster.errors import ClusterError, NotFound
from reconciler.cluster.resource import SECRETS
from reconciler.git.credentials import Credentials, from_directory, from_secret
from reconciler.git.errors import CredentialsInvalid


class CredentialSource(Protocol):
    """Anything that can give credentials by name."""

    async def get(self, name: str) -> Credentials:
        """Raises CredentialsInvalid."""
        ...

    def forget(self, name: str) -> None:
        """They did not work: look again next time."""
        ...


class FileCredentials:
    """Directories of mounted files below `directory`."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    async def get(self, name: str) -> Credentials:
        """Raises CredentialsInvalid where there is no such directory."""
        if self._directory is None:
            raise CredentialsInvalid(
                what="is named by the configuration, but --credentials-dir is not given",
                where=f"credentials {name}",
                mend="start the service with --credentials-dir",
            )
        return await asyncio.to_thread(from_directory, self._directory / name)

    def forget(self, name: str) -> None:
        """Nothing is kept."""


class ClusterCredentials:
    """Secrets in `namespace`; directories below `directory` come first where they exist."""

    def __init__(self, cluster: Cluster, *, namespace: str, directory: Path | None) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._directory = directory
        self._files = FileCredentials(directory)
        self._kept: dict[str, Credentials] = {}

    async def get(self, name: str) -> Credentials:
        """Raises CredentialsInvalid, whatever the reason: the source cannot be used now."""
        if self._directory is not None and await asyncio.to_thread((self._directory / name).is_dir):
            return await self._files.get(name)
        if name not in self._kept:
            self._kept[name] = await self._read(name)
        return self._kept[name]

    async def _read(self, name: str) -> Credentials:
        where = f"Secret {self._namespace}/{name}"
        try:
            secret = await self._cluster.get(SECRETS, self._namespace, name)
        except NotFound as error:
            raise CredentialsInvalid(
                what="does not exist", where=where, mend="create it, or correct `credentials`"
            ) from error
        except ClusterError as error:
            raise CredentialsInvalid(what=error.what, where=where, mend=error.mend) from error
        metadata = secret["metadata"]
        try:
            data = {
                key: base64.b64decode(value, validate=True)
                for key, value in (secret.get("data") or {}).items()
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

    def forget(self, name: str) -> None:
        """The next `get` reads the Secret again."""
        self._kept.pop(name, None)
