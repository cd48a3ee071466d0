"""
The floor: the same objects applied by a loop that does nothing else.

Knows no git, no YAML, no records and no waiting: bodies are decoded already (one JSON object a
line), 8 requests are in flight, and metadata alone comes back. Whatever a reconciler written in
Python costs on top of this is what it does for its users. Run as a process of its own:

    python bench/floor.py KUBECONFIG NAMESPACE BODIES [MANAGER]
"""

import asyncio
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

IN_FLIGHT = 8
PLURALS = {"Deployment": "deployments", "Service": "services", "ConfigMap": "configmaps"}
HEADERS = {
    "Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "Content-Type": "application/apply-patch+yaml",
}


async def apply_all(
    server: str, ca: str, namespace: str, token: str, bodies: Iterator[bytes], *, manager: str
) -> None:
    """Apply every body; any answer but 200 and 201 ends it."""
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca), limit=IN_FLIGHT)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(IN_FLIGHT):
            tasks.create_task(_work(http, server, namespace, bodies, manager))


async def _work(
    http: aiohttp.ClientSession, server: str, namespace: str, bodies: Iterator[bytes], manager: str
) -> None:
    for body in bodies:
        url = f"{server}{_path(orjson.loads(body), namespace)}?fieldManager={manager}&force=true"
        async with http.patch(url, data=body) as reply:
            answer = await reply.read()
            if reply.status not in (200, 201):
                raise RuntimeError(f"{url}: {reply.status} {answer[:500]!r}")
            orjson.loads(answer)


def _path(body: dict[str, Any], namespace: str) -> str:
    api = body["apiVersion"]
    base = "/api/v1" if api == "v1" else f"/apis/{api}"
    return f"{base}/namespaces/{namespace}/{PLURALS[body['kind']]}/{body['metadata']['name']}"


def main(kubeconfig: Path, namespace: str, bodies: Path, manager: str = "loop") -> None:
    """Apply what `bodies` holds; the kubeconfig is one of the local cluster's, which is JSON."""
    access = orjson.loads(kubeconfig.read_bytes())
    cluster, user = access["clusters"][0]["cluster"], access["users"][0]["user"]
    lines = iter(bodies.read_bytes().splitlines())
    ca = cluster["certificate-authority"]
    asyncio.run(apply_all(cluster["server"], ca, namespace, user["token"], lines, manager=manager))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
