"""
A git repository served over HTTP on loopback, which remembers what it was asked for.

`git http-backend` behind the standard library's server, in a thread of this process. What a
client transfers is told apart by the request itself: `refs` (the protocol's greeting), `ls-refs`
(an `ls-remote`, or the first half of a fetch) and `fetch` (objects are transferred).
"""

import http.server
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

AUTHOR = "Bench <bench@example.com> 1700000000 +0000"
BRANCH = "main"

Kind = Literal["refs", "ls-refs", "fetch"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answered request; `at` is the wall clock in seconds when its answer had been written."""

    kind: Kind
    at: float
    repository: str
    answer: bytes
    """Of `ls-refs` the whole answer, else empty."""


def git_environment() -> dict[str, str]:
    """What git needs and nothing of the user's own configuration."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }


class Repository:
    """A bare repository `<name>.git` below `root`, with one branch."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self._path = root / f"{name}.git"
        init = ["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self._path)]
        subprocess.run(init, env=git_environment(), check=True)

    def commit(self, files: Mapping[str, str]) -> str:
        """Commit files on top of the branch, return the commit's id."""
        ref = f"refs/heads/{BRANCH}"
        lines = [f"commit {ref}\ncommitter {AUTHOR}\n".encode(), _data("change")]
        if self._git("for-each-ref", ref):
            lines.append(f"from {ref}^0\n".encode())
        lines += [f"M 100644 inline {path}\n".encode() + _data(text) for path, text in files.items()]
        self._git("fast-import", "--quiet", stdin=b"".join(lines))
        return self._git("rev-parse", ref)

    def _git(self, *arguments: str, stdin: bytes = b"") -> str:
        command = ["git", f"--git-dir={self._path}", *arguments]
        done = subprocess.run(command, env=git_environment(), input=stdin, capture_output=True, check=True)
        return done.stdout.decode().strip()


def _data(text: str) -> bytes:
    raw = text.encode()
    return b"data %d\n%s\n" % (len(raw), raw)


class GitServer:
    """All repositories below `root`, open to everybody on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.exchanges: list[Exchange] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, repository: Repository) -> str:
        """Where a client finds a repository."""
        return f"http://127.0.0.1:{self._server.server_port}/{repository.name}.git"

    def asked(self, *, since: float, until: float) -> list[Exchange]:
        """What was answered in a span of the wall clock."""
        return [exchange for exchange in self.exchanges if since <= exchange.at < until]

    def stop(self) -> None:
        """Answer nothing more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(root: Path) -> Iterator[GitServer]:
    """A server for the length of a block."""
    server = GitServer(root)
    try:
        yield server
    finally:
        server.stop()


def _handler(server: GitServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("refs", b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer("ls-refs" if b"command=ls-refs" in body[:200] else "fetch", body)

        def _answer(self, kind: Kind, body: bytes) -> None:
            output = subprocess.run(
                ["git", "http-backend"],
                env=git_environment() | self._cgi(len(body)),
                input=body,
                capture_output=True,
                check=False,
            ).stdout
            head, _, content = output.partition(b"\r\n\r\n")
            headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
            self.send_response(int(headers.pop("Status", "200")[:3]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            repository = self.path.split(".git/")[0].lstrip("/")
            server.exchanges.append(
                Exchange(kind, time.time(), repository, content if kind == "ls-refs" else b"")
            )

        def _cgi(self, length: int) -> dict[str, str]:
            path, _, query = self.path.partition("?")
            return {
                "GIT_PROJECT_ROOT": str(server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Standard error belongs to the bench's own progress."""

    return Handler
