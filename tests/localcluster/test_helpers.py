"""The small parts: counted requests, free ports, the client of tests."""

import pytest

from localcluster import Api, LocalClusterError, metrics, ports

EXPOSITION = """\
# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="APPLY",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="APPLY",version="v1"} 4
apiserver_request_total{code="200",component="apiserver",dry_run="All",group="",resource="pods",scope="namespace",subresource="",verb="APPLY",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="status",verb="PATCH",version="v1"} 1.2e+03
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="",scope="",subresource="/readyz",verb="GET",version=""} 7
apiserver_request_duration_seconds_count{verb="APPLY"} 9
"""  # noqa: E501 - a server's page as it is


def test_requests_are_summed_by_what_a_test_asks_for() -> None:
    assert metrics.requests(EXPOSITION) == {
        ("APPLY", "pods", "200", ""): 7,
        ("APPLY", "pods", "200", "All"): 1,
        ("PATCH", "pods/status", "200", ""): 1200,
        ("GET", "/readyz", "200", ""): 7,
    }


def test_ports_are_different_and_never_those_of_outgoing_connections() -> None:
    drawn = ports.draw(50, host="127.0.0.1")
    assert len(set(drawn)) == 50
    assert max(drawn) < int(ports.EPHEMERAL_RANGE.read_text().split()[0])


def test_a_condition_that_does_not_hold_shows_the_last_body(api: Api) -> None:
    with pytest.raises(LocalClusterError, match=r"did not hold within 0\.1 s.*last body.*kube-system"):
        api.until("/api/v1/namespaces/kube-system", lambda body: body is None, seconds=0.1)
