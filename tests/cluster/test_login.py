"""Credentials that rotate; the plugin is a real child process, run by the kubernetes library."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.cluster import errors, login
from reconciler.cluster.kubeconfig import Access, User
from reconciler.cluster.login import FileLogin, PluginLogin, login_for

CANARY = "c4n4ry"
V1 = "client.authentication.k8s.io/v1"


def access(**user: Any) -> Access:
    return Access(server="https://api", user=User(**user), where="config (context main)")


@pytest.mark.parametrize(
    ("user", "want"),
    [
        pytest.param({}, None, id="a client certificate needs no header"),
        pytest.param({"token": "t"}, "Bearer t", id="token"),
        pytest.param({"username": "u", "password": "p"}, "Basic dTpw", id="password"),
    ],
)
async def test_header_of_plain_users(user: dict[str, Any], want: str | None) -> None:
    assert await login_for(access(**user)).header() == want


@pytest.mark.parametrize("token", ["a\nX-Evil: 1", "tök", "two words"])
def test_a_token_that_would_break_the_header_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(errors.KubeconfigInvalid) as caught:
        login_for(access(token=token))
    assert token not in str(caught.value)


async def test_a_rotated_token_file_is_read_again(tmp_path: Path) -> None:
    # The kubelet swaps a symlink; the time of the new file may equal that of the old one.
    old, new, token = tmp_path / "old", tmp_path / "new", tmp_path / "token"
    old.write_text("one\n")
    new.write_text("two\n")
    os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
    token.symlink_to(old)
    source = FileLogin(token)
    assert await source.header() == "Bearer one"
    token.unlink()
    token.symlink_to(new)
    assert await source.header() == "Bearer two"


async def test_renew_says_whether_the_file_has_another_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    source = FileLogin(token)
    await source.header()
    assert not source.renew()
    token.write_text("two")
    assert source.renew()


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
async def test_an_unusable_token_file_is_an_error_of_ours(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(errors.KubeconfigInvalid):
        await FileLogin(tmp_path / "token").header()


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], PluginLogin]:
    """A credential plugin made of a line of Python; it notes each run in the file `runs`."""

    def make(line: str) -> PluginLogin:
        script = tmp_path / "plugin"
        runs = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
        script.write_text(f"#!{sys.executable}\nimport json, sys\n{runs}\n{line}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        user = {"exec": {"apiVersion": V1, "command": str(script)}}
        return PluginLogin(user, where="config (context main)")

    return make


def credential(status: object) -> str:
    return f"print(json.dumps({{'apiVersion': {V1!r}, 'kind': 'ExecCredential', 'status': {status}}}))"


async def test_a_plugin_is_run_once_until_it_is_asked_to_renew(
    plugin: Callable[[str], PluginLogin], tmp_path: Path
) -> None:
    source = plugin(credential({"token": "t", "expirationTimestamp": "2999-01-01T00:00:00Z"}))
    assert [await source.header(), await source.header()] == ["Bearer t", "Bearer t"]
    assert (tmp_path / "runs").read_text() == "x"
    assert source.renew()
    await source.header()
    assert (tmp_path / "runs").read_text() == "xx"


async def test_an_expiring_token_of_a_plugin_is_renewed(
    plugin: Callable[[str], PluginLogin], tmp_path: Path
) -> None:
    source = plugin(credential({"token": "t", "expirationTimestamp": "2001-01-01T00:00:00Z"}))
    await source.header()
    await source.header()
    assert (tmp_path / "runs").read_text() == "xx"


async def test_a_plugin_may_give_a_certificate(plugin: Callable[[str], PluginLogin]) -> None:
    source = plugin(credential({"clientCertificateData": "cert", "clientKeyData": "key"}))
    assert await source.header() is None
    assert (source.certificate, source.key) == (b"cert", b"key")


NO_CREDENTIAL = f"printed no ExecCredential of {V1}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(
            f"print({CANARY!r}, file=sys.stderr); sys.exit(3)", "ended with exit code 3", id="fails"
        ),
        pytest.param("import os; os.kill(os.getpid(), 9)", "ended with exit code -9", id="is killed"),
        pytest.param(f"print({CANARY!r})", NO_CREDENTIAL, id="prints no JSON"),
        pytest.param(
            f"print(json.dumps({{'token': {CANARY!r}}}))", NO_CREDENTIAL, id="prints another document"
        ),
        pytest.param("print('[]')", NO_CREDENTIAL, id="prints a list"),
        pytest.param("print('1')", NO_CREDENTIAL, id="prints a number"),
        pytest.param(
            credential({}).replace("v1", "v1beta1"), NO_CREDENTIAL, id="prints one of another version"
        ),
        pytest.param(credential([CANARY]), NO_CREDENTIAL, id="has a list as status"),
        pytest.param(credential({"other": CANARY}), "gave neither a token", id="gives nothing to use"),
        pytest.param(
            credential({"clientCertificateData": CANARY}), "gave neither a token", id="gives half a pair"
        ),
    ],
)
async def test_why_a_plugin_failed_is_said_without_what_it_printed(
    plugin: Callable[[str], PluginLogin], line: str, said: str
) -> None:
    with pytest.raises(errors.Unauthorized, match="run it by hand") as caught:
        await plugin(line).header()
    assert f"/plugin {said}" in caught.value.what
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        pytest.param({"exec": None}, "exec has no command", id="nothing"),
        pytest.param({"exec": "aws"}, "exec has no command", id="text"),
        pytest.param({"exec": {"command": "true"}}, "exec has no apiVersion", id="no version"),
        pytest.param(
            {"exec": {"command": "true", "apiVersion": V1, "env": [{"name": CANARY}]}},
            "exec has no apiVersion, or its args or env are wrong",
            id="a variable without a value",
        ),
        pytest.param(
            {"auth-provider": {"name": "azure"}},
            "auth-provider azure is not supported; use exec or a token",
            id="an auth-provider of old",
        ),
        pytest.param(
            {"auth-provider": None}, "auth-provider without a name is not supported", id="no auth-provider"
        ),
    ],
)
async def test_a_plugin_that_cannot_be_asked_is_a_mistake_of_the_kubeconfig(
    user: dict[str, Any], said: str
) -> None:
    with pytest.raises(errors.KubeconfigInvalid) as caught:
        await PluginLogin(user, where="config").header()
    assert str(caught.value).startswith(f"config: {said}")
    assert CANARY not in str(caught.value)


async def test_a_plugin_that_is_not_installed_is_named() -> None:
    user = {"exec": {"apiVersion": V1, "command": "/nonexistent/login"}}
    with pytest.raises(errors.Unauthorized, match="/nonexistent/login cannot be started"):
        await PluginLogin(user, where="config").header()


async def test_a_plugin_that_hangs_meets_its_deadline(
    plugin: Callable[[str], PluginLogin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "PLUGIN_DEADLINE", 0.5)
    with pytest.raises(errors.Unauthorized, match="no answer within"):
        await plugin("import signal; signal.pause()").header()


async def test_an_auth_provider_is_left_to_the_library() -> None:
    # An id token that does not expire needs no request to the issuer.
    user = {"auth-provider": {"name": "oidc", "config": {"id-token": "e30.e30.x"}}}
    assert await PluginLogin(user, where="config").header() == "Bearer e30.e30.x"


async def test_an_auth_provider_that_gives_nothing_is_named() -> None:
    user = {"auth-provider": {"name": "oidc", "config": {"id-token": CANARY}}}
    with pytest.raises(errors.Unauthorized) as caught:
        await PluginLogin(user, where="config").header()
    assert (
        str(caught.value) == "config: auth-provider oidc gave no token; log in again, or use exec or a token"
    )
