"""Only URLs that are understood completely are opened."""

import pytest

from reconciler.git.errors import SourceRefused
from reconciler.git.urls import is_below, parse_url


@pytest.mark.parametrize(
    ("text", "scheme", "user", "host", "port", "path"),
    [
        (
            "https://gitlab.example.com/group/repo.git",
            "https",
            "",
            "gitlab.example.com",
            443,
            "/group/repo.git",
        ),
        ("https://Host:8443/a", "https", "", "host", 8443, "/a"),
        ("http://127.0.0.1:8080/r", "http", "", "127.0.0.1", 8080, "/r"),
        ("ssh://git@host/a/b.git", "ssh", "git", "host", 22, "/a/b.git"),
        ("ssh://git@host:2222/a", "ssh", "git", "host", 2222, "/a"),
        ("git@host.example.com:group/repo.git", "ssh", "git", "host.example.com", 22, "/group/repo.git"),
        ("https://[::1]:8443/a", "https", "", "[::1]", 8443, "/a"),
        ("https://host/a%20b", "https", "", "host", 443, "/a b"),
    ],
)
def test_parts(text: str, scheme: str, user: str, host: str, port: int, path: str) -> None:
    url = parse_url(text)
    assert (url.scheme, url.user, url.host, url.port, url.path) == (scheme, user, host, port, path)
    assert url.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ext::sh -c touch% /tmp/x",
        "file:///srv/repo",
        "/srv/repo",
        "./repo",
        "repo",
        "git://host/repo",
        "ftp://host/repo",
        "fd::3",
        "--upload-pack=touch x",
        "-oProxyCommand=x@host:repo",
        "ssh://-oProxyCommand=x/repo",
        "ssh://host/-x",
        "git@-host:repo",
        "https://host/a?b",
        "https://host/a#b",
        "https://host/a b",
        "https://host/a\nb",
        "https://host\\@evil/a",
        "https://host/../a",
        "https://host/a/%2e%2e/b",
        "https://host/a%2fb",
        "https://host/a%252fb",
        "https://host//a",
        "https://host:0/a",
        "https://host:99999/a",
        "https://höst/a",
        "HTTPS://host/a",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SourceRefused):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:canary@host/a",
        "https://canary@host/a",
        "https://user:ca/canary@host/a",
        "https://user:p#canary@host/a",
        "ssh://git:canary@host/a",
        "http://canary:x@host",
        "https://user:canary%40@host/a",
    ],
)
def test_url_with_a_secret_is_refused_without_printing_it(text: str) -> None:
    with pytest.raises(SourceRefused) as error:
        parse_url(text, allow_local=True)
    assert "canary" not in repr(error.value)
    assert "must not hold a user or password" in str(error.value)


@pytest.mark.parametrize("text", ["/srv/repo", "file:///srv/repo"])
def test_local_paths_open_only_when_allowed(text: str) -> None:
    assert parse_url(text, allow_local=True).path == "/srv/repo"


@pytest.mark.parametrize("text", ["ext::sh -c x", "repo", "./repo", "git://host/a"])
def test_allowing_local_paths_opens_nothing_else(text: str) -> None:
    with pytest.raises(SourceRefused):
        parse_url(text, allow_local=True)


@pytest.mark.parametrize(
    ("url", "prefix", "want"),
    [
        ("https://host/group/a", "https://host/group", True),
        ("https://host/group/a", "https://host/group/", True),
        ("https://host/group", "https://host/group/", True),
        ("https://HOST:443/group/a", "https://host/group", True),
        ("https://host/anything", "https://host", True),
        ("https://host/group2/a", "https://host/group", False),
        ("https://host/Group/a", "https://host/group", False),
        ("http://host/group/a", "https://host/group", False),
        ("https://host:444/group/a", "https://host/group", False),
        ("https://host.evil.com/group/a", "https://host/group", False),
        ("https://evil.com/host/group/a", "https://host/group", False),
        ("git@host:group/a", "ssh://git@host/group", True),
        ("git@host:group/a", "ssh://host/group", True),
        ("ssh://root@host/group/a", "ssh://git@host/group", False),
        ("ssh://git@host:2222/group/a", "ssh://git@host/group", False),
        ("https://host/%67roup/a", "https://host/group", True),
    ],
)
def test_below_counts_whole_components(url: str, prefix: str, want: bool) -> None:
    assert is_below(parse_url(url), parse_url(prefix)) is want
