"""From measured values to a verdict."""

import pytest

from bench.applying import Applied, Applies, Counted, first_row, large_rows, request_rows, second_rows
from bench.child import Used
from bench.lab import Asked
from bench.verdict import Row, Spread, seconds


def runs(*times, peak=50):
    return [Used(its, its, peak * 10**6) for its in times]


def asked(times):
    return [Asked("someone", "get", "configmaps", "", 0.0, 0.0)] * times


def applies(size, **by):
    return Applies(
        size, {name: Applied(first=list(its), again=list(its), waiting=list(its)) for name, its in by.items()}
    )


def verdicts(rows) -> list[bool | None]:
    return [row.passed for row in rows]


def test_ratios_are_made_pair_by_pair():
    row = first_row(applies(1000, reconciler=runs(1, 2, 9), kubectl=runs(2, 5, 10)))
    assert (row.measured, row.passed) == ("0.50 × (0.40–0.90)", True)


def test_without_kubectl_there_is_no_verdict():
    row = first_row(applies(1000, reconciler=runs(1), loop=runs(1)))
    assert (row.passed, row.kubectl, row.loop) == (None, "–", "1.00 s")


@pytest.mark.parametrize(
    ("time", "want"),
    [pytest.param(0.2, True, id="exactly at the limit"), pytest.param(0.21, False, id="too slow")],
)
def test_second_run_has_a_fifth_of_the_time(time, want):
    assert verdicts(second_rows(applies(1000, reconciler=runs(time), kubectl=runs(1.0)))) == [want, want]


@pytest.mark.parametrize(
    ("again", "waiting", "want"),
    [
        pytest.param(15, 15, [True, True], id="exactly at the limits"),
        pytest.param(16, 15, [False, True], id="too many"),
        pytest.param(15, 16, [True, False], id="too many with waiting"),
    ],
)
def test_second_run_has_five_requests_a_kind(again, waiting, want):
    assert verdicts(request_rows(Counted({"reconciler": asked(again)}, asked(waiting)))) == want


@pytest.mark.parametrize(
    ("time", "peak", "want"),
    [
        pytest.param(11.0, 180, [True, True], id="exactly at the limits"),
        pytest.param(11.1, 180, [False, True], id="grows faster than the load"),
        pytest.param(11.0, 181, [True, False], id="too large"),
    ],
)
def test_large_load(time, peak, want):
    small, large = applies(1000, reconciler=runs(1)), applies(10_000, reconciler=runs(time, peak=peak))
    assert verdicts(large_rows(small, large)) == want


def test_one_value_has_no_spread():
    assert Spread.of([12.0]).text(seconds) == "12.0 s"


def test_a_row_without_comparison_shows_dashes():
    row = Row(4, "what", "0", "0", True)
    assert (row.reconciler, row.kubectl, row.loop) == ("–", "–", "–")
