"""
A small synchronous client of the API server, for the harness itself and for tests.

It decides nothing and keeps nothing: one connection a request, TLS verified against the
cluster's CA, a bearer token, JSON in and out. It never goes through a proxy, since the server
is on loopback. The service itself uses `reconciler.cluster`, not this.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcluster.errors import ApiError, LocalClusterError

REQUEST_LIMIT = 10.0  # s for one request; the server is on this machine
POLL = 0.05  # s between two looks at an object

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML


class Api:
    """
    Requests of one identity. Paths are the API's own ("/api/v1/namespaces/x/pods?limit=1").

    Without `ca_file` the system's CAs are trusted, so our own servers are not. `limit` is in
    seconds, for one request. Every method returns the decoded JSON body and raises ApiError
    (with `.status`) for an error status, OSError when the server cannot be reached or its
    certificate is not trusted.
    """

    def __init__(
        self, url: str, *, ca_file: Path | None, token: str | None, limit: float = REQUEST_LIMIT
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 443
        self._context = ssl.create_default_context(cafile=ca_file)
        self._token = token
        self._limit = limit

    def get(self, path: str, *, accept: str = JSON) -> Any:
        return json.loads(self._request("GET", path, accept=accept))

    def post(self, path: str, body: Any) -> Any:
        return self._json("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self._json("PUT", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> Any:
        return self._json("PATCH", path, body, content_type)

    def apply(self, path: str, body: Any, *, field_manager: str = "tests") -> Any:
        """Send one forced server-side apply."""
        query = f"fieldManager={field_manager}&force=true"
        return self._json("PATCH", f"{path}{'&' if '?' in path else '?'}{query}", body, APPLY_PATCH)

    def delete(self, path: str, body: Any = None) -> Any:
        """Send DELETE; `body` are DeleteOptions."""
        return self._json("DELETE", path, body)

    def text(self, path: str) -> str:
        """Return the body of a GET as it is, e.g. of /metrics or /readyz."""
        return self._request("GET", path, accept="*/*").decode()

    def exists(self, path: str) -> bool:
        """Say whether a GET finds something; only a 404 is a no, any other error is raised."""
        try:
            self.get(path)
        except ApiError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def until(self, path: str, holds: Callable[[Any], bool], *, seconds: float = 15.0) -> Any:
        """
        Read `path` until `holds(body)`, and return that body.

        A 404 is read as None. Raises LocalClusterError with the last body after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                body = self.get(path)
            except ApiError as error:
                if error.status != http.HTTPStatus.NOT_FOUND:
                    raise
                body = None
            if holds(body):
                return body
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    what=f"the wanted condition did not hold within {seconds:g} s",
                    where=f"GET {path}",
                    mend=f"last body: {json.dumps(body)}",
                )
            time.sleep(POLL)

    def _json(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Any:
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._request(method, path, data=data, content_type=content_type))

    def _request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        headers = {"Accept": accept}
        if data is not None:
            headers["Content-Type"] = content_type
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPSConnection(
            self._host, self._port, context=self._context, timeout=self._limit
        )
        try:
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        if reply.status >= http.HTTPStatus.BAD_REQUEST:
            raise _error(method, path, reply.status, answer)
        return answer


def _error(method: str, path: str, status: int, answer: bytes) -> ApiError:
    try:
        body = json.loads(answer)
        message = str(body["message"])
    except (ValueError, KeyError, TypeError):
        body = message = answer.decode(errors="replace")[:500]
    return ApiError(what=f"{status}: {message}", where=f"{method} {path}", mend="", status=status, body=body)
