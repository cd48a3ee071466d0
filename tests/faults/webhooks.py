"""
A webhook that the API server calls on a loopback address: admission and conversion.

What it answers is the test's: it lets pass, denies with a message, breaks, or does not answer.
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from localcluster import Api
from tests.fix_git import Authority, LoopThread

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Webhook:
    """`deny`: the message to deny everything with; `broken`: 500 is all it says; `silent`: not even that."""

    def __init__(self, thread: LoopThread, api: Api, authority: Authority) -> None:
        self.deny: str | None = None
        self.broken = False
        self.silent = False
        self.called = 0
        self._thread = thread
        self._api = api
        self._ca = base64.b64encode(authority.pem).decode()
        self._hooks: list[str] = []
        self._transports: set[asyncio.Transport] = set()
        self.port = thread.call(self._start(authority.server))

    def client(self, path: str) -> Mapping[str, Any]:
        """How an API object names this webhook."""
        return {"url": f"https://127.0.0.1:{self.port}/{path}", "caBundle": self._ca}

    def guard(self, namespace: str, resource: str, *, timeout: int = 5) -> str:
        """Have every create and update of this resource in the namespace admitted by it; returns its name."""
        name = f"guard.{namespace}.example.com"
        rule = {
            "apiGroups": ["*"],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": [resource],
        }
        hook = {
            "name": name,
            "rules": [rule],
            "clientConfig": self.client("admit"),
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": timeout,
            "admissionReviewVersions": ["v1"],
        }
        self._api.post(HOOKS, {"metadata": {"name": namespace}, "webhooks": [hook]})
        self._hooks.append(namespace)
        self._wait_until_asked(f"/api/v1/namespaces/{namespace}/{resource}")
        return name

    def _wait_until_asked(self, path: str) -> None:
        """The API server takes a moment to hear of a new configuration."""
        for number in range(300):
            probe = {"metadata": {"name": f"probe-{number}"}, "spec": {"ports": [{"port": 80}]}}
            self._api.post(path, probe)
            self._api.delete(f"{path}/probe-{number}")
            if self.called:
                return
        raise AssertionError("the API server does not ask the webhook")

    def stop(self) -> None:
        for name in self._hooks:
            self._api.delete(f"{HOOKS}/{name}")
        self._thread.call(self._stop())

    async def _stop(self) -> None:
        # The API server keeps its connections, and would not answer to a polite end of TLS.
        for transport in self._transports:
            transport.abort()
        await self._runner.cleanup()

    async def _start(self, context: ssl.SSLContext) -> int:
        app = web.Application()
        app.router.add_post("/admit", self._admit)
        app.router.add_post("/convert", self._convert)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(self._runner.addresses[0][1])

    async def _meddle(self, request: web.Request) -> web.Response | None:
        self.called += 1
        if request.transport:
            self._transports.add(request.transport)
        if self.silent:
            await asyncio.Event().wait()
        return web.Response(status=500, text="out of order") if self.broken else None

    async def _admit(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        if broken := await self._meddle(request):
            return broken
        answer: dict[str, Any] = {"uid": asked["uid"], "allowed": self.deny is None}
        if self.deny is not None:
            answer["status"] = {"message": self.deny}
        return web.json_response(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        )

    async def _convert(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        if broken := await self._meddle(request):
            return broken
        converted = [{**its, "apiVersion": asked["desiredAPIVersion"]} for its in asked["objects"]]
        answer = {"uid": asked["uid"], "convertedObjects": converted, "result": {"status": "Success"}}
        return web.json_response(
            {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": answer}
        )
