import pytest

from reconciler.cluster.proxy import proxy_for

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "no_proxy", "want"),
    [
        pytest.param("https://api.example.org:6443", "", PROXY, id="no exception"),
        pytest.param("https://127.0.0.1:6443", "", None, id="loopback never"),
        pytest.param("https://localhost:6443", "", None, id="localhost never"),
        pytest.param("https://[::1]:6443", "", None, id="IPv6 loopback never"),
        pytest.param("https://10.0.0.1", "10.0.0.0/8", None, id="network"),
        pytest.param("https://11.0.0.1", "10.0.0.0/8", PROXY, id="outside the network"),
        pytest.param("https://10.0.0.1", "a, 10.0.0.1", None, id="address"),
        pytest.param("https://10.0.0.1:6443", "10.0.0.1:6443", None, id="address and port"),
        pytest.param("https://10.0.0.1:6443", "10.0.0.1:443", PROXY, id="address and another port"),
        pytest.param("https://[fd00::1]", "fd00::/8", None, id="IPv6 network"),
        pytest.param("https://api.example.org", "example.org", None, id="below a name"),
        pytest.param("https://example.org", "example.org", None, id="the name itself"),
        pytest.param("https://example.org", ".example.org", PROXY, id="a leading dot: only below"),
        pytest.param("https://api.example.org", ".example.org", None, id="below a leading dot"),
        pytest.param("https://api.example.org", "*.example.org", None, id="star"),
        pytest.param("https://badexample.org", "example.org", PROXY, id="not at a dot"),
        pytest.param("https://api.example.org", "*", None, id="everything"),
        pytest.param("https://api.example.org:6443", "example.org:6443", None, id="name and port"),
        pytest.param("https://api.example.org:6443", "example.org:443", PROXY, id="name and another port"),
        pytest.param("https://api.example.org", "10.0.0.0/99", PROXY, id="a bad entry is passed over"),
    ],
)
def test_proxy_of_the_environment(url: str, no_proxy: str, want: str | None) -> None:
    assert proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == want


def test_without_a_setting_there_is_no_proxy() -> None:
    assert proxy_for("https://api.example.org", {"HTTP_PROXY": PROXY}) is None
    assert proxy_for("https://api.example.org", {"https_proxy": "proxy:3128"}) == PROXY
