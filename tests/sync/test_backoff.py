"""Delays between tries: growing, bounded, never in step."""

import pytest

from reconciler.sync.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "random", "want"),
    [
        pytest.param(0, 0.0, 10.0, id="nothing failed yet"),
        pytest.param(1, 0.0, 10.0, id="first failure"),
        pytest.param(2, 0.0, 20.0, id="second"),
        pytest.param(3, 0.0, 40.0, id="third"),
        pytest.param(5, 0.0, 160.0, id="fifth"),
        pytest.param(6, 0.0, 300.0, id="cap"),
        pytest.param(10_000, 0.0, 300.0, id="broken for weeks"),
        pytest.param(1, 0.5, 12.5, id="half of the jitter"),
        pytest.param(6, 0.999, 449.85, id="jitter comes on top of the cap"),
    ],
)
def test_delay(failures, random, want):
    assert Backoff(10.0, 300.0, failures).delay(random) == pytest.approx(want)


def test_failures_count_up_and_a_success_starts_over():
    twice = Backoff(1.0, 300.0).failed().failed()
    assert twice.failures == 2
    assert twice.succeeded() == Backoff(1.0, 300.0)


def test_delays_never_shrink_while_failures_go_on():
    backoff = Backoff(0.7, 300.0)
    delays = []
    for _ in range(50):
        backoff = backoff.failed()
        delays.append(backoff.delay(0.0))
    assert delays == sorted(delays)
    assert delays[-1] == 300.0
