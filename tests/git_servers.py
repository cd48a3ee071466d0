"""
Real git servers with faults that a test switches on, for fix_git.py.

`HttpServer` is `git http-backend` behind aiohttp (TLS and basic auth as wanted), `SshServer`
an asyncssh server that runs `git upload-pack`. They live in a thread with a loop of their
own, so that a blocked test cannot stop them, and count what they are asked for.
"""

import asyncio
import base64
import contextlib
import os
import ssl
import threading
import zlib
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from aiohttp import web

from tests.git_repository import GIT_ENVIRONMENT

STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Fault:
    """
    What a server does instead of its work.

    kind: `stall`, `cut`, `drip` (1 byte/s), each after `after` bytes of the answer (over http:
    of its body, None: before its headers); `garbage`, over ssh after `after` bytes, too; `empty`;
    over http also `endless` (a pack without end), `status` (`code`), `redirect` (`to`). `on` names
    the requests whose answers are hit: `refs` (the greeting), `ls-refs`, `fetch`.
    """

    kind: str
    on: tuple[str, ...] = ("refs", "ls-refs", "fetch")
    after: int | None = None
    code: int = 500
    to: str = ""


NOISE = b"\x00\xffthis is not git\n" * 50


class LoopThread:
    """An event loop in a thread, for servers that must run while a test blocks."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(STOP_SECONDS * 2)

    def stop(self) -> None:
        self.call(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_SECONDS)
        self.loop.close()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class HttpServer:
    """`git http-backend` for all repositories below `root`."""

    def __init__(
        self,
        thread: LoopThread,
        root: Path,
        *,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.fault: Fault | None = None
        self.login = login
        self.refusal = 401  # for a wrong login; some servers hide what it does not open behind a 404
        self._root = root
        self._thread = thread
        self.port = thread.call(self._start(tls))
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def stop(self) -> None:
        self._thread.call(self._runner.cleanup())

    async def _start(self, tls: ssl.SSLContext | None) -> int:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", 0, ssl_context=tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        kind = _kind(request, body)
        self.counts[kind] += 1
        if self.login and not _may_enter(request, self.login):
            self.counts["unauthorized"] += 1
            if "Authorization" in request.headers and self.refusal != 401:
                return web.Response(status=self.refusal)
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        fault = self.fault if self.fault and kind in self.fault.on else None
        match fault:
            case Fault("status"):
                return web.Response(status=fault.code, text="remote says: no")
            case Fault("redirect"):
                return web.Response(status=301, headers={"Location": fault.to + request.path_qs})
            case Fault("empty"):
                return web.Response(status=200)
            case Fault("garbage"):
                return web.Response(body=NOISE, content_type=_content_type(kind))
            case Fault("endless"):
                return await self._endless(request, body)
        return await self._backend(request, body, fault)

    async def _backend(self, request: web.Request, body: bytes, fault: Fault | None) -> web.StreamResponse:
        if fault and fault.after is None:
            await self._hold(request, fault)
        child = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=GIT_ENVIRONMENT | _cgi(request, self._root, len(body)),
        )
        try:
            output, _ = await child.communicate(body)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        head, _, content = output.partition(b"\r\n\r\n")
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
        reply = web.StreamResponse(status=int(headers.pop("Status", "200 ")[:3]), headers=headers)
        await reply.prepare(request)
        if fault and fault.after is not None:
            await reply.write(content[: fault.after])
            await self._hold(request, fault, reply, content[fault.after :])
        else:
            await reply.write(content)
        await reply.write_eof()
        return reply

    async def _hold(
        self, request: web.Request, fault: Fault, reply: web.StreamResponse | None = None, rest: bytes = b""
    ) -> None:
        if fault.kind == "cut" and request.transport:
            request.transport.abort()
        elif fault.kind == "drip" and reply:
            for byte in rest:
                await reply.write(bytes([byte]))
                await asyncio.sleep(1)
        else:
            await asyncio.Event().wait()  # until the client goes, or the server is stopped

    async def _endless(self, request: web.Request, body: bytes) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": _content_type("fetch")})
        await reply.prepare(request)
        ready = b"" if b"0009done\n" in body else b"0014acknowledgments\n000aready\n0001"
        await reply.write(ready + b"000dpackfile\n")
        with contextlib.suppress(ConnectionError):
            for piece in endless_pack():
                await reply.write(b"%04x\x01" % (len(piece) + 5) + piece)
        return reply


def endless_pack() -> Iterator[bytes]:
    """A pack that begins well and holds one blob of a terabyte, in pieces that fit into a pkt-line."""
    header = [(3 << 4) | 0x80]  # a blob; seven bits of its size follow in each byte
    size = 2**40 >> 4
    while size:
        header.append((size & 0x7F) | (0x80 if size >> 7 else 0))
        size >>= 7
    stream = zlib.compressobj(level=0)
    yield b"PACK" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(header)
    noise = os.urandom(32 * 1024)
    while True:
        piece = stream.compress(noise)
        for start in range(0, len(piece), 60_000):
            yield piece[start : start + 60_000]


def _kind(request: web.Request, body: bytes) -> str:
    if request.method == "GET":
        return "refs"
    return "ls-refs" if b"command=ls-refs" in body[:200] else "fetch"


def _content_type(kind: str) -> str:
    return f"application/x-git-upload-pack-{'advertisement' if kind == 'refs' else 'result'}"


def _may_enter(request: web.Request, login: tuple[str, str]) -> bool:
    expected = base64.b64encode(":".join(login).encode()).decode()
    return request.headers.get("Authorization") == f"Basic {expected}"


def _cgi(request: web.Request, root: Path, length: int) -> dict[str, str]:
    return {
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(length),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }


class SshServer:
    """An ssh server that knows one key and one command, `git-upload-pack` below `root`."""

    def __init__(self, thread: LoopThread, root: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.fault: Fault | None = None
        self._root = root
        self._thread = thread
        self._never = asyncio.Event()  # held here, or a task that waits for it would be collected
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        client = asyncssh.generate_private_key("ssh-ed25519")
        self.identity: bytes = client.export_private_key()
        self._authorized = asyncssh.import_authorized_keys(client.export_public_key().decode())
        self.port = thread.call(self._start())
        self.url = f"ssh://git@localhost:{self.port}"
        public = self._host_key.export_public_key().decode().strip()
        self.known_hosts = f"[localhost]:{self.port} {public}\n".encode()

    def stop(self) -> None:
        self._thread.call(self._stop())

    async def _start(self) -> int:
        self._server = await asyncssh.listen(
            "localhost",
            0,
            server_host_keys=[self._host_key],
            authorized_client_keys=self._authorized,
            process_factory=self._serve,
            encoding=None,
        )
        return int(self._server.get_port())

    async def _stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        path = (process.command or "").partition(" ")[2].strip("'")
        child = await asyncio.create_subprocess_exec(
            "git",
            "upload-pack",
            str(self._root / path.lstrip("/")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=GIT_ENVIRONMENT | {"GIT_PROTOCOL": process.env.get("GIT_PROTOCOL", "")},
        )
        assert child.stdin
        assert child.stdout
        answer = _Answer(process, self.fault, self.counts, never=self._never)
        asking = asyncio.ensure_future(answer.hear(child.stdin))
        try:
            while chunk := await child.stdout.read(65536):
                await answer.say(chunk)
            process.exit(await child.wait())
        except _Over:
            pass
        finally:
            asking.cancel()
            if child.returncode is None:
                child.kill()
                await child.wait()


class _Over(Exception):
    """A fault has ended the session."""


class _Answer:
    """One session of ssh: which request is being answered, how far, and where a fault strikes."""

    def __init__(
        self,
        process: "asyncssh.SSHServerProcess[bytes]",
        fault: Fault | None,
        counts: Counter[str],
        *,
        never: asyncio.Event,
    ) -> None:
        self._process = process
        self._fault = fault
        self._never = never
        self._counts = counts
        self._turn_to("refs")

    def _turn_to(self, kind: str) -> None:
        self._counts[kind] += 1
        hit = self._fault is not None and kind in self._fault.on
        self._left = (self._fault.after or 0) if self._fault and hit else None

    async def hear(self, server: asyncio.StreamWriter) -> None:
        """Pass on what the client asks."""
        with contextlib.suppress(ConnectionError, asyncssh.Error):
            while asked := await self._process.stdin.read(65536):
                for kind in ("ls-refs", "fetch"):  # a client sends each of them in one piece
                    if b"command=" + kind.encode() in asked:
                        self._turn_to(kind)
                server.write(asked)
                await server.drain()
            server.close()

    async def say(self, chunk: bytes) -> None:
        """Pass on what the server answers, up to where the fault strikes."""
        if self._left is None or len(chunk) < self._left:
            self._process.stdout.write(chunk)
            self._left = None if self._left is None else self._left - len(chunk)
        else:
            self._process.stdout.write(chunk[: self._left])
            await self._strike(chunk[self._left :])

    async def _strike(self, rest: bytes) -> None:
        match self._fault:
            case Fault("cut"):
                self._process.channel.get_connection().abort()
            case Fault("drip"):
                for byte in rest:
                    self._process.stdout.write(bytes([byte]))
                    await asyncio.sleep(1)
            case Fault("garbage"):
                # In place of all that was to come, so that it is met where content is expected, too.
                self._process.stdout.write(NOISE * (1 + len(rest) // len(NOISE)))
                self._process.exit(0)
            case Fault("empty"):
                self._process.exit(0)
            case _:
                await self._never.wait()  # until the loop is stopped
        raise _Over


class SilentServer:
    """Accepts connections, then says `words` and nothing more, not even a TLS greeting."""

    def __init__(self, thread: LoopThread, words: bytes = b"") -> None:
        self._thread = thread
        self._words = words
        self.port = thread.call(self._start())

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "localhost", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self._words)
            await reader.read(-1)
        finally:
            writer.close()

    def stop(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._server.close)
