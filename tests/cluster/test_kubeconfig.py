import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from reconciler.cluster import errors
from reconciler.cluster.kubeconfig import User, find_access, read


def cluster(text: str) -> str:
    """A kubeconfig with context `a` and a cluster of this text."""
    return f"contexts: [{{name: a, context: {{cluster: c}}}}]\nclusters: [{{name: c, cluster: {{{text}}}}}]"


def kubeconfig(
    path: Path,
    *,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    context: str = "main",
    current: str = "main",
) -> Path:
    content = {
        "current-context": current,
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(content))
    return path


def test_paths_count_from_the_file_and_inline_data_wins(tmp_path: Path) -> None:
    path = kubeconfig(
        tmp_path / "deep" / "config",
        cluster={"certificate-authority": "ca.pem"},
        user={
            "client-certificate": "missing.pem",
            "client-certificate-data": base64.b64encode(b"cert").decode(),
            "client-key": "key.pem",
        },
    )
    (tmp_path / "deep" / "ca.pem").write_text("ca")
    (tmp_path / "deep" / "key.pem").write_text("key")
    got = read([path], None)
    assert (got.server, got.namespace, got.ca) == ("https://api:6443", "shop", b"ca")
    assert (got.user.client_certificate, got.user.client_key) == (b"cert", b"key")


def test_the_first_file_to_name_a_thing_wins(tmp_path: Path) -> None:
    one = kubeconfig(tmp_path / "one", user={"token": "first"})
    two = kubeconfig(tmp_path / "two", user={"token": "second"}, context="other", current="other")
    assert read([one, two], None).user.token == "first"
    assert read([tmp_path / "missing", one, two], "other").user.token == "first"


def test_token_file_wins_over_token_and_impersonation_is_sent(tmp_path: Path) -> None:
    user = {"token": "inline", "tokenFile": "t", "as": "jane", "as-groups": ["dev", "ops"]}
    got = read([kubeconfig(tmp_path / "config", user=user)], None).user
    assert (got.token, got.token_file) == ("", tmp_path / "t")
    assert got.headers == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
    )


@pytest.mark.parametrize(
    ("text", "context", "words"),
    [
        pytest.param("{a: [", None, "not YAML", id="broken YAML"),
        pytest.param("", None, "empty", id="empty"),
        pytest.param("a: !!python/object:os.system x", None, "not YAML", id="YAML that would run something"),
        pytest.param(
            "contexts: [{name: a}, {name: b}]",
            "c",
            "the file has: a, b",
            id="unknown context lists the others",
        ),
        pytest.param("contexts: [{name: a}]", None, "current-context is not set", id="no current context"),
        pytest.param(
            "contexts: [{name: a, context: {cluster: x}}]", "a", "names cluster 'x'", id="no such cluster"
        ),
        pytest.param(
            "contexts: [{name: a, context: {cluster: c, user: x}}]\nclusters: [{name: c}]",
            "a",
            "names user 'x'",
            id="no such user",
        ),
        pytest.param(cluster("server: api"), "a", "not an http or https URL", id="no URL"),
        *(
            pytest.param(
                cluster(f"server: '{url}'"), "a", f"server '{url}' is not an http or https URL", id=url
            )
            for url in ("https://[bad", "https://api:99999", "https://api:abc", "https://..", "https://:443")
        ),
        pytest.param(
            cluster("server: 'https://me:c4n4ry@api'"), "a", "holds a user name", id="credentials in the URL"
        ),
        pytest.param(
            cluster("server: 'https://me:c4n4ry@[api'"), "a", "holds a user name", id="credentials in no URL"
        ),
        *(
            pytest.param(
                cluster(f"server: 'https://api', proxy-url: {url}"),
                "a",
                "proxy-url is not an http or https URL; correct clusters[].cluster.proxy-url",
                id=f"proxy {url}",
            )
            for url in ("foo", "'http://[x'", "5", "'http://me:c4n4ry@[x'", "'socks5://proxy:1080'")
        ),
        pytest.param(
            cluster("server: 'https://api', certificate-authority: gone.pem"),
            "a",
            "cannot read certificate-authority: No such file",
            id="CA file missing",
        ),
        pytest.param(
            cluster("server: 'https://api', certificate-authority-data: '%'"),
            "a",
            "not base64",
            id="CA not base64",
        ),
        pytest.param("contexts: [1]", "a", "not a list of named entries", id="odd entry"),
        pytest.param("contexts: 1", "a", "not a list of named entries", id="odd section"),
        pytest.param("token: c4n4ry\n  x: [", None, "not YAML", id="the broken line is not quoted"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    tmp_path: Path, text: str, context: str | None, words: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(errors.KubeconfigInvalid) as caught:
        read([path], context)
    assert words in str(caught.value)
    assert str(path.parent) in str(caught.value)
    assert "c4n4ry" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.KubeconfigInvalid, match="no such kubeconfig file"):
        find_access(kubeconfig=tmp_path / "none", context=None)


def test_order_of_places(tmp_path: Path) -> None:
    pod = tmp_path / "pod"
    pod.mkdir()
    for name, text in (("token", "t"), ("ca.crt", "pem"), ("namespace", "mine\n")):
        (pod / name).write_text(text)
    home = kubeconfig(tmp_path / "home" / ".kube" / "config", cluster={"server": "https://home"})
    named = kubeconfig(tmp_path / "named", cluster={"server": "https://named"})
    cluster = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    environ = {"HOME": str(tmp_path / "home")}

    def server(kubeconfig: Path | None, context: str | None, **more: str) -> str:
        return find_access(
            kubeconfig=kubeconfig, context=context, environ={**environ, **more}, service_account=pod
        ).server

    assert server(named, None, KUBECONFIG=str(home), **cluster) == "https://named"
    assert server(None, None, KUBECONFIG=str(named), **cluster) == "https://named"
    assert server(None, None, **cluster) == "https://[fd00::1]:443"
    assert server(None, "main", **cluster) == "https://home"
    assert server(None, None) == "https://home"
    inside = find_access(kubeconfig=None, context=None, environ=cluster, service_account=pod)
    assert (inside.namespace, inside.ca, inside.user) == ("mine", b"pem", User(token_file=pod / "token"))


def test_nothing_secret_has_a_repr() -> None:
    user = User(token="c4n4ry", password="c4n4ry", client_key=b"c4n4ry", plugin={"exec": {"env": "c4n4ry"}})
    assert "c4n4ry" not in repr(user)
