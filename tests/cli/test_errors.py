"""What goes wrong before anything can be done: one line, what, where and how to mend it, exit code 2."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Done, run, sync
from tests.fix_git import LoopThread
from tests.fix_sync import Installation
from tests.objects import config_map


def kubeconfig(path: Path, server: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "secret-token-4711"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Done]:
    """Sync with a good configuration and whatever cluster the arguments name."""
    config = {"gitops": {"manifest_projects": [{"id": "shop", "url": str(tmp_path / "shop.git")}]}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))

    def run_sync(*arguments: object) -> Done:
        given = [f"--config={tmp_path / 'config.yaml'}", "--allow-local-repositories"]
        return run(tmp_path, "sync", *given, *arguments)

    return run_sync


@pytest.mark.parametrize("command", ["sync", "run", "status"])
def test_no_kubeconfig_anywhere(tmp_path: Path, command: str) -> None:
    config = {"sync": ["--config=config.yaml"], "run": ["--config=config.yaml"], "status": []}
    done = run(tmp_path, command, *config[command])
    assert done.code == 2
    assert "--kubeconfig" in done.error


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("{", id="not YAML"),
        pytest.param("[]", id="not a mapping"),
        pytest.param('{"current-context": "x"}', id="names nothing"),
    ],
)
def test_unusable_kubeconfig(attempt: Callable[..., Done], tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "kube.yaml"
    if text is not None:
        path.write_text(text)
    done = attempt(f"--kubeconfig={path}")
    assert done.code == 2
    assert str(path) in done.error


def test_unknown_context(attempt: Callable[..., Done], tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "kube.json", "https://127.0.0.1:1")
    done = attempt(f"--kubeconfig={path}", "--context=nowhere")
    assert done.code == 2
    assert "nowhere" in done.error


def test_refused_connection(attempt: Callable[..., Done], tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "kube.json", "https://127.0.0.1:1")
    done = run(tmp_path, "status", f"--kubeconfig={path}")
    assert done.code == 2
    assert "127.0.0.1:1" in done.error


@pytest.fixture
def babbler(server_thread: LoopThread) -> Iterator[Callable[[bytes], int]]:
    """Start a server that answers whatever comes with some words and hangs up; returns its port."""
    servers: list[asyncio.Server] = []

    async def start(words: bytes) -> int:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(words)
            writer.close()

        servers.append(await asyncio.start_server(answer, "localhost", 0))
        return int(servers[-1].sockets[0].getsockname()[1])

    async def stop() -> None:
        for server in servers:
            server.close()
            await server.wait_closed()

    yield lambda words: int(server_thread.call(start(words)))
    server_thread.call(stop())


@pytest.mark.parametrize(
    "words", [b"", b"SSH-2.0-nothing\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>", b"\xff" * 99]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_server_that_is_no_api_server(
    tmp_path: Path, babbler: Callable[[bytes], int], scheme: str, words: bytes
) -> None:
    path = kubeconfig(tmp_path / "kube.json", f"{scheme}://localhost:{babbler(words)}")
    done = run(tmp_path, "status", f"--kubeconfig={path}")
    assert done.code == 2
    assert "secret-token-4711" not in done.error


def test_wrong_token_is_said_in_one_line(installation: Installation, tmp_path: Path) -> None:
    config = json.loads((installation.options.kubeconfig or tmp_path).read_text())
    config["users"][0]["user"] = {"token": "wrong-token-4711"}
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(config))
    done = run(tmp_path, "status", f"--kubeconfig={path}")
    assert (done.code, "401" in done.error) == (2, True)
    assert "4711" not in done.error


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param({"gitopps": {}}, "gitops", id="a near miss is suggested"),
        pytest.param({"gitops": {"manifest_projects": [{"id": 7}]}}, "id", id="wrong type"),
        pytest.param({"gitops": {"manifest_projects": {}}}, "manifest_projects", id="wrong shape"),
    ],
)
def test_bad_configuration(installation: Installation, config: dict[str, Any], said: str) -> None:
    installation.config_file.write_text(json.dumps(config))
    with installation.recorded() as requests:
        done = sync(installation)
    assert done.code == 2
    assert all(line.startswith("error: ") for line in done.err.splitlines())
    assert said in done.err
    assert requests.all == []


def test_every_error_of_a_configuration_is_told(installation: Installation) -> None:
    projects = [{"id": "a", "url": "https://x.example.com/a.git", "prunne": True}, {"reff": {}}]
    installation.config_file.write_text(json.dumps({"gitops": {"manifest_projects": projects}}))
    done = sync(installation)
    assert (done.code, "prunne" in done.err, "reff" in done.err) == (2, True, True)


def test_missing_configuration(installation: Installation) -> None:
    installation.config_file.unlink()
    done = sync(installation)
    assert done.code == 2
    assert str(installation.config_file) in done.error


@pytest.mark.parametrize("command", ["sync", "plan", "run"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "give either --config PATH or --config-repo URL", id="none"),
        pytest.param(["--config-repo=https://x.example.com/y"], "needs --agent-name", id="no agent"),
        pytest.param(["--config=x", "--config-repo=https://x.example.com/y"], "give either", id="two"),
    ],
)
def test_where_the_configuration_is_comes_before_the_kubeconfig(
    tmp_path: Path, command: str, arguments: list[str], said: str
) -> None:
    done = run(tmp_path, command, *arguments)
    assert done.code == 2
    assert done.error.startswith("error: configuration: ")
    assert said in done.error


@pytest.mark.parametrize("name", ["two words", "-x", "x" * 64, "a/b", ""])
def test_instance_name_that_cannot_be_a_label(attempt: Callable[..., Done], name: str) -> None:
    done = attempt(f"--instance={name}")
    assert done.code == 2
    assert "--instance" in done.error


def test_data_directory_that_cannot_be_used(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    installation.commit({"a.yaml": config_map("a")})
    done = sync(installation)
    assert done.code == 2
    assert f"data directory {tmp_path / 'data'}: is not a directory; " in done.error
    assert "--data-dir" in done.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["sinc"], "reconciler: No such command 'sinc'", id="command"),
        pytest.param(["sync", "--dry"], "reconciler sync: No such option: --dry", id="option"),
        pytest.param(["sync", "--config"], "'--config' requires an argument", id="no value"),
        pytest.param(["sync", "--timeout=soon"], "Invalid value for '--timeout'", id="no number"),
        pytest.param(["sync", "--timeout=0"], "'--timeout'", id="out of range"),
        pytest.param(["sync", "-o", "yaml"], "'yaml' is not one of", id="output"),
        pytest.param(["sync", "--log-level=loud"], "'loud' is not one of 'debug', 'info'", id="log level"),
        pytest.param(["approve"], "Missing argument 'PROJECT'", id="argument"),
        pytest.param(["validate", "a", "b\nc\x1b[31m"], "unexpected extra argument", id="extra argument"),
        pytest.param(["sync", "--config="], "'--config': it is empty", id="empty --config"),
        pytest.param(["status", "--kubeconfig="], "'--kubeconfig': it is empty", id="empty --kubeconfig"),
        pytest.param(["sync", "--data-dir="], "'--data-dir': it is empty", id="empty --data-dir"),
        pytest.param(["doctor", "--credentials-dir="], "'--credentials-dir': it is empty", id="credentials"),
        pytest.param(["plan", "--path="], "'--path': it is empty", id="empty --path"),
        pytest.param(["backup", ""], "'FILE': it is empty", id="empty file"),
        pytest.param(["restore", ""], "'FILE': it is empty", id="empty file to restore"),
        pytest.param(["validate", ""], "'PATH': it is empty", id="empty path"),
        pytest.param(["approve", "", ""], "'PROJECT': it is empty", id="empty project"),
        pytest.param(["delete-project", ""], "'PROJECT': it is empty", id="empty project to delete"),
    ],
)
def test_mistake_on_the_command_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(tmp_path, *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.error
    assert "--help`" in done.error
    assert "\x1b" not in done.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["approve", "shop", ""], "no hash is given", id="empty hash"),
        pytest.param(["approve", "shop", "3f2c"], "3f2c is no hash", id="half a hash"),
        pytest.param(
            ["delete-project", "shop", "--without-configuration", "--approve=3f2c"],
            "3f2c is no hash",
            id="half a hash to delete with",
        ),
        *(
            pytest.param(
                ["delete-project", "shop", "--without-configuration", f"--service-account={name}"],
                "--service-account: this is not a ServiceAccount; write NAMESPACE/NAME",
                id=f"service account {name}",
            )
            for name in ("foo", "", "a/", "/b", "A/b", "a/b/c")
        ),
        pytest.param(["explain", "cm/a", "-n", "Bad_NS"], "--namespace: 'Bad_NS' cannot be", id="namespace"),
        pytest.param(["explain", "cm/a", "-n", ""], "--namespace: '' cannot be", id="empty namespace"),
    ],
)
def test_what_can_be_seen_to_be_wrong_asks_no_cluster(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    path = kubeconfig(tmp_path / "kube.json", "https://127.0.0.1:1")
    done = run(tmp_path, *arguments, f"--kubeconfig={path}")
    assert (done.code, done.out) == (2, "")
    assert said in done.error


def test_without_a_command_is_help_and_2(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.code, "Usage: reconciler" in done.out, done.err) == (2, True, "")


@pytest.mark.parametrize("name", ["two words", "../x", "", "Shop", "x" * 64, "-x"])
def test_records_namespace_that_cannot_be_one(attempt: Callable[..., Done], name: str) -> None:
    done = attempt(f"--records-namespace={name}")
    assert done.code == 2
    assert done.error.startswith("error: --records-namespace: ")


@pytest.mark.parametrize("arguments", [["--help"], ["sync", "--help"], ["--version"], ["validate", "."]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_for_the_output(tmp_path: Path, arguments: list[str], unbuffered: str) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = run(tmp_path, *arguments, stdout=full, PYTHONUNBUFFERED=unbuffered)
    assert done.code == 2
    assert done.error.startswith("error: standard output: cannot be written: No space left on device; ")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_has_seen_enough_is_no_error(tmp_path: Path, unbuffered: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as nobody:
        done = run(tmp_path, "--version", stdout=nobody, PYTHONUNBUFFERED=unbuffered)
    assert (done.code, done.err) == (1, "")


# -- validate ------------------------------------------------------------------------------


def test_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("gitops:\n  manifest_projects:\n  - {id: a, url: https://git.example.com/a.git}\n")
    done = run(tmp_path, "validate", path)
    assert (done.code, done.out, done.err) == (0, f"{path}: valid, 1 manifest project\n", "")


def test_each_mistake_is_a_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("gitops:\n  manifest_projects:\n  - {id: a, prun: true, interval: 5m}\n")
    done = run(tmp_path, "validate", path)
    assert done.code == 1
    assert all(line.startswith(f"{path}:3:") for line in done.out.splitlines())
    assert "prun" in done.out
    assert "interval" in done.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_terminal_cannot_show_is_escaped(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "größe….yaml"
    path.write_text("gitops:\n  manifest_projects:\n  - {id: a, url: https://git.example.com/a.git}\n")
    done = run(tmp_path, "validate", path, encoding=encoding)
    shown = str(path).encode(encoding, "backslashreplace").decode(encoding)
    assert (done.code, done.out) == (0, f"{shown}: valid, 1 manifest project\n")


def test_missing_file_is_1(tmp_path: Path) -> None:
    done = run(tmp_path, "validate", tmp_path / "nowhere.yaml")
    assert (done.code, "nowhere.yaml" in done.out + done.err) == (1, True)
