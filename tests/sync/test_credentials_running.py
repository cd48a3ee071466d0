"""Credentials of a running service: mended, rotated, taken back, and not read while nothing is due."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.git.errors import CredentialsInvalid
from reconciler.service import running as service
from reconciler.service.assembly import assembled
from reconciler.sync import credentials as kept
from reconciler.sync import keeper
from reconciler.sync.outcome import State
from tests.fix_git import Authority, HttpServer
from tests.fix_sync import Installation
from tests.objects import config_map
from tests.sync.inprocess import polls, running

LABEL = {"reconciler.dev/credentials": "git"}
PASSWORD = "canary-0815-password"


class GitSecret:
    """The Secret `git` beside the records, which fits `server` until it is changed."""

    def __init__(self, installation: Installation, server: HttpServer, authority: Authority) -> None:
        self._installation = installation
        self._path = installation.path("secrets", "git")
        self.prefix = server.url
        self.ca = authority.pem
        installation.api.post(installation.path("secrets"), self._body())

    def _body(self, *, password: str = PASSWORD, ca: bytes | None = None, **metadata: Any) -> dict[str, Any]:
        data = {"username": b"me", "password": password.encode()}
        if ca is None or ca:
            data["ca.crt"] = ca or self.ca
        annotations = {"reconciler.dev/url-prefix": self.prefix}
        return {
            "metadata": {"name": "git", "labels": LABEL, "annotations": annotations, **metadata},
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }

    def set(self, **changes: Any) -> None:
        self._installation.api.put(self._path, self._body(**changes))

    def delete(self) -> None:
        self._installation.api.delete(self._path)


ELSEWHERE = {"annotations": {"reconciler.dev/url-prefix": "https://example.com"}}


@pytest.fixture
def secret(installation: Installation, https_server: HttpServer, authority: Authority) -> GitSecret:
    """A project that is asked for every second, behind a login that the Secret `git` opens."""
    https_server.login = ("me", PASSWORD)
    installation.commit({"a.yaml": config_map("a")})
    installation.configure(url=f"{https_server.url}/repo.git", credentials="git", interval="1s")
    return GitSecret(installation, https_server, authority)


@pytest.mark.parametrize(
    ("wrong", "refusal", "follow", "said"),
    [
        pytest.param({"password": "old"}, 404, "branch", "no such repository", id="repository is hidden"),
        pytest.param(ELSEWHERE, 401, "branch", "https://example.com", id="prefix of another server"),
        pytest.param({"ca": b""}, 401, "branch", "certificate", id="CA is missing"),
        pytest.param(
            {"password": "old"}, 401, "commit", "did not accept", id="commit is named, no refs read"
        ),
    ],
)
async def test_mended_secret_is_read_again(
    installation: Installation,
    https_server: HttpServer,
    secret: GitSecret,
    wrong: dict[str, Any],
    refusal: int,
    follow: str,
    said: str,
) -> None:
    commit = installation.commit({"b.yaml": config_map("b")})
    installation.configure(ref={follow: commit if follow == "commit" else "main"})
    https_server.refusal = refusal
    secret.set(**wrong)
    async with running(installation) as (_, seen):
        await seen.until(lambda its: any(said in report.reason for report in its.values()))
        secret.set()
        await seen.all_are(State.SYNCED)


async def test_rotated_password_is_read_again(
    installation: Installation, https_server: HttpServer, secret: GitSecret
) -> None:
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        https_server.login = ("me", "new")
        await seen.until(lambda its: all("cannot be read" in report.reason for report in its.values()))
        secret.set(password="new")
        await seen.until(lambda its: not any(report.reason for report in its.values()))


@pytest.mark.parametrize(
    ("take_back", "said"),
    [
        pytest.param(GitSecret.delete, "does not exist", id="deleted"),
        pytest.param(lambda its: its.set(labels={}), "not meant for git", id="no label any more"),
        pytest.param(lambda its: its.set(**ELSEWHERE), "https://example.com", id="narrowed prefix"),
    ],
)
async def test_secret_that_was_taken_back_is_used_no_longer_than_to_the_next_comparison(
    installation: Installation,
    secret: GitSecret,
    monkeypatch: pytest.MonkeyPatch,
    take_back: Callable[[GitSecret], None],
    said: str,
) -> None:
    monkeypatch.setattr(keeper, "COMPARE", 0.5)
    monkeypatch.setattr(kept, "SHARED", 0.0)
    async with running(installation) as (_, seen):
        await seen.all_are(State.SYNCED)
        take_back(secret)
        await seen.until(lambda its: all(said in report.reason for report in its.values()))
        assert all(report.state is State.SYNCED for report in seen.reports.values()), "nothing is undone"


@pytest.mark.usefixtures("secret")
async def test_secret_is_not_read_between_two_comparisons(
    installation: Installation, https_server: HttpServer
) -> None:
    async with running(installation) as (parts, seen):
        await seen.all_are(State.SYNCED)
        await polls(https_server, 1)  # after it the last status is written
        before = parts.cluster.requests.by_verb["get"]
        await polls(https_server, 2)
        assert parts.cluster.requests.by_verb["get"] == before


async def test_secret_has_an_end_also_where_nothing_is_compared(
    installation: Installation, secret: GitSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with assembled(installation.options) as parts:
        credentials = parts.repositories.credentials
        await credentials.get("git")
        secret.delete()
        assert (await credentials.get("git")).password == PASSWORD
        monkeypatch.setattr(kept, "LIFETIME", 0.0)
        with pytest.raises(CredentialsInvalid, match="does not exist"):
            await credentials.get("git")


async def test_configuration_repository_is_read_with_a_rotated_secret(
    installation: Installation,
    https_server: HttpServer,
    secret: GitSecret,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `--config-ref`: the default branch holds another configuration, which is not taken."""
    monkeypatch.setattr(service, "CONFIG_INTERVAL", 0.5)

    def configure(name: str, *, branch: str = "live") -> None:
        project = {
            "id": name,
            "url": f"{https_server.url}/repo.git",
            "default_namespace": installation.namespace,
            "interval": "1s",
        }
        config = json.dumps({"gitops": {"manifest_projects": [project]}})
        installation.repo.commit({".gitlab/agents/prod/config.yaml": config}, branch=branch)

    installation.repo.branch("live", installation.repo.ref("refs/heads/main"))
    configure("one")
    configure("not-this", branch="main")
    repository = {
        "config": None,
        "config_repo": f"{https_server.url}/repo.git",
        "config_ref": "live",
        "config_credentials": "git",
        "agent_name": "prod",
    }
    async with running(installation, **repository) as (_, seen):
        await seen.until(lambda its: its.keys() == {"one"} and its["one"].state is State.SYNCED)
        https_server.login = ("me", "new")
        refused = https_server.counts["unauthorized"] + 2
        await seen.until(lambda _: https_server.counts["unauthorized"] >= refused)
        secret.set(password="new")
        configure("two")
        await seen.until(lambda its: "two" in its and bool(its["two"].commit))
