"""Credentials that a project names: a Secret in our namespace, for the URLs that it says itself."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.service.onepass import PassResult
from reconciler.sync.outcome import State
from tests.fix_git import Authority, HttpServer
from tests.fix_sync import Installation
from tests.objects import config_map

CANARY = "c4n4ry-of-the-git-secret"


def secret(installation: Installation, *, prefix: str, ca: bytes, **changes: Any) -> None:
    metadata: dict[str, Any] = {
        "name": "git-read",
        "labels": {"reconciler.dev/credentials": "git"},
        "annotations": {"reconciler.dev/url-prefix": prefix},
    }
    metadata.update(changes)
    data = {"username": b"me", "password": CANARY.encode(), "ca.crt": ca}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    installation.api.post(installation.path("secrets"), {"metadata": metadata, "data": encoded})


@pytest.fixture
def locked(
    installation: Installation, https_server: HttpServer, authority: Authority
) -> Callable[..., PassResult]:
    """One pass on a repository behind a login, with a Secret that is changed as asked."""
    https_server.login = ("me", CANARY)
    installation.commit({"a.yaml": config_map("a")})
    installation.configure(url=f"{https_server.url}/repo.git", credentials="git-read")

    def run(*, prefix: str = https_server.url, make: bool = True, **changes: Any) -> PassResult:
        if make:
            secret(installation, prefix=prefix, ca=authority.pem, **changes)
        return installation.run()

    return run


def test_secret_for_this_url_opens_the_repository(locked: Callable[..., PassResult]) -> None:
    (report,) = locked().reports
    assert report.state is State.SYNCED, report.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"make": False}, "does not exist", id="there is no such Secret"),
        pytest.param({"labels": {}}, "not meant for git", id="not labelled for git"),
        pytest.param({"annotations": {}}, "annotation", id="does not say for which URLs"),
        pytest.param({"prefix": "https://example.com"}, "https://example.com", id="is for another server"),
    ],
)
def test_secret_that_is_not_for_this_is_never_sent(
    locked: Callable[..., PassResult], https_server: HttpServer, changes: dict[str, Any], said: str
) -> None:
    result = locked(**changes)
    (report,) = result.reports
    assert (report.state, result.unusable) == (State.UNKNOWN, True)
    assert said in report.reason
    assert CANARY not in report.reason
    assert https_server.counts == {}, "something was sent to the server"


def test_refused_password_is_told_without_showing_it(
    locked: Callable[..., PassResult], https_server: HttpServer
) -> None:
    https_server.login = ("me", "changed meanwhile")
    (report,) = locked().reports
    assert report.state is State.UNKNOWN
    assert CANARY not in report.reason
    assert "git-read" in report.reason or "credentials" in report.reason
