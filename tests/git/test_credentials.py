"""Credentials say themselves where they may go, and show themselves nowhere."""

import os
from pathlib import Path

import pytest

from reconciler.git.credentials import Credentials, check_url, from_directory, from_secret
from reconciler.git.errors import CredentialsInvalid, GitError, SourceRefused

LABELS = {"reconciler.dev/credentials": "git"}
ANNOTATIONS = {"reconciler.dev/url-prefix": "https://host/group"}
SSH = {"ssh-privatekey": b"canary-key", "known_hosts": b"host ssh-ed25519 AAAA"}


def secret(data: dict[str, bytes], prefix: str = "https://host/group") -> Credentials:
    return from_secret(
        "team-git", labels=LABELS, annotations={"reconciler.dev/url-prefix": prefix}, data=data
    )


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param({"username": b"me", "password": b"pw"}, ("me", "pw"), id="user and password"),
        pytest.param(
            {"username": b"me\n", "password": b"pw\r\n"}, ("me", "pw"), id="a last newline is dropped"
        ),
        pytest.param({"token": b"tk"}, ("oauth2", "tk"), id="token alone"),
        pytest.param({"username": b"deploy", "token": b"tk"}, ("deploy", "tk"), id="token with a user"),
        pytest.param({"bearerToken": b"tk"}, ("oauth2", "tk"), id="Flux's name for a token"),
        pytest.param({"caFile": b"pem"}, ("", ""), id="a CA alone, for a public repository"),
    ],
)
def test_values(data: dict[str, bytes], want: tuple[str, str]) -> None:
    credentials = secret(data)
    assert (credentials.username, credentials.password) == want


def test_key_of_ssh_gets_the_line_ends_that_ssh_wants() -> None:
    credentials = secret({"identity": b"a\r\nb", "known_hosts": b"h"}, "ssh://git@host/group")
    assert credentials.identity == b"a\nb\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "none of the keys"),
        ({"password": b"canary"}, "password is given without username"),
        ({"username": b"canary"}, "username is given without password"),
        ({"username": b"u", "password": b"canary", "token": b"canary"}, "both given"),
        ({"token": b"canary", "bearerToken": b"canary"}, "two names for one value"),
        ({"ssh-privatekey": b"canary"}, "without known_hosts"),
        ({"token": b"canary\nusername=admin"}, "line breaks"),
        ({"token": b"canary\xff"}, "line breaks"),
    ],
)
def test_unusable_values_are_refused_without_showing_them(data: dict[str, bytes], words: str) -> None:
    with pytest.raises(CredentialsInvalid, match=words) as error:
        secret(data)
    assert "canary" not in repr(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("labels", "annotations", "words"),
    [
        ({}, ANNOTATIONS, "not meant for git"),
        ({"reconciler.dev/credentials": "aws"}, ANNOTATIONS, "not meant for git"),
        (LABELS, {}, "reconciler.dev/url-prefix is missing"),
        (LABELS, {"reconciler.dev/url-prefix": "host/group"}, "not a usable URL prefix"),
        (LABELS, {"reconciler.dev/url-prefix": "https://me:canary@host"}, "not a usable URL prefix"),
    ],
)
def test_secret_has_to_say_what_it_is_for(
    labels: dict[str, str], annotations: dict[str, str], words: str
) -> None:
    with pytest.raises(CredentialsInvalid, match=words) as error:
        from_secret("team-git", labels=labels, annotations=annotations, data={"token": b"canary"})
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "prefix", "url", "words"),
    [
        ({"token": b"t"}, "https://host/group", "https://host/group/a.git", ""),
        ({"token": b"t"}, "https://host/group", "https://host/other/a.git", "are for https://host/group"),
        ({"token": b"t"}, "https://host/group", "https://host/group/../other", "ambiguous"),
        ({"token": b"t"}, "http://host/", "http://host/a", "unencrypted"),
        ({"token": b"t"}, "http://localhost:80/", "http://localhost/a", ""),
        ({"token": b"t"}, "ssh://git@host/", "ssh://git@host/a", "no ssh identity"),
        (SSH, "ssh://git@host/", "git@host:a", ""),
    ],
)
def test_credentials_go_nowhere_else(data: dict[str, bytes], prefix: str, url: str, words: str) -> None:
    credentials = secret(data, prefix)
    if not words:
        check_url(credentials, url)
        return
    with pytest.raises(SourceRefused, match=words):
        check_url(credentials, url)


def test_directory_of_mounted_files(tmp_path: Path) -> None:
    for name, value in {
        "url-prefix": "https://host/\n",
        "username": "me\n",
        "password": "pw\n",
        "x": "y",
    }.items():
        (tmp_path / name).write_text(value)
    credentials = from_directory(tmp_path)
    assert (credentials.url_prefix, credentials.username, credentials.password) == (
        "https://host/",
        "me",
        "pw",
    )


def test_directory_without_url_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary")
    with pytest.raises(CredentialsInvalid, match="the file url-prefix is missing"):
        from_directory(tmp_path)


def test_pipe_among_mounted_files_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "url-prefix").write_text("https://host/")
    os.mkfifo(tmp_path / "token")
    with pytest.raises(CredentialsInvalid, match="none of the keys"):
        from_directory(tmp_path)


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="credentials directory nowhere: cannot be read"):
        from_directory(tmp_path / "nowhere")


def test_repr_shows_no_secret() -> None:
    everything = Credentials("n", "https://host", "canary", "canary", b"canary", b"canary", b"canary")
    assert "canary" not in repr(everything)
