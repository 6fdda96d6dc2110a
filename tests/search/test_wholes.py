"""What whole runs take beside sums of calls: between the runs that were timed, and on a small model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.search import Goal
from explorer.search.search import make_searcher
from explorer.search.wholes import Wholes, time_wholes
from tests.search.conftest import Case


def test_ratios_hold_between_the_runs_that_were_timed_and_the_last_ones_beyond() -> None:
    wholes = Wholes((10.0, 20.0), (1.2, 1.0))
    assert wholes.whole_ms(10.0) == pytest.approx(12.0)
    assert wholes.whole_ms(15.0) == pytest.approx(15.0 * 1.1)
    assert wholes.whole_ms(5.0) == pytest.approx(6.0)
    assert wholes.whole_ms(40.0) == pytest.approx(40.0)
    assert Wholes().whole_ms(7.0) == 7.0


def test_a_search_for_latency_holds_its_sums_against_whole_runs(vit: Case) -> None:
    """On a model this small FP32 may be the fastest, and then nothing else was found to be timed."""
    searcher = make_searcher(vit.subject, vit.known, Goal("latency"))
    assert searcher.times is not None
    reference = searcher.times.predict_us(vit.subject.baseline) / 1e3
    assert searcher.amounts(vit.subject.baseline.recipe)[0] == pytest.approx(reference)
    plan = vit.subject.planner.plan(vit.recipe({"kind:linear": "int8"}))
    wholes = time_wholes(searcher.times, {"int8": plan})
    assert list(wholes.sums_ms) == sorted(wholes.sums_ms)
    assert len(wholes.sums_ms) == 2
    assert dict(zip(wholes.sums_ms, wholes.ratios, strict=True))[reference] == pytest.approx(1.0)
    assert all(ratio > 0 for ratio in wholes.ratios)


def test_the_sum_behind_a_run_is_found_again() -> None:
    wholes = Wholes((10.0, 20.0), (1.2, 1.0))
    assert wholes.sum_ms(12.0) == pytest.approx(10.0)
    assert wholes.sum_ms(20.0) == pytest.approx(20.0)
    assert Wholes().sum_ms(7.0) == 7.0


def test_budgets_are_kept_by_whole_runs(vit: Case) -> None:
    """Where whole runs take half as long again as their sums, so do amounts and limits."""
    searcher = make_searcher(vit.subject, vit.known, Goal("latency"))
    slower = replace(searcher, wholes=Wholes((1.0,), (1.5,)), measuring=False, _lowest=None, _lowest_of=None)
    sums = replace(slower, wholes=Wholes(), _lowest=None, _lowest_of=None)
    (low, high), (low_sum, high_sum) = slower.limits, sums.limits
    assert (low, high) == pytest.approx((1.5 * low_sum, 1.5 * high_sum))
    budget = (low + high) / 2
    proposal = slower.at(budget)
    assert proposal.latency_ms <= budget * (1 + 1e-6)
    assert proposal.latency_ms == pytest.approx(1.5 * sums.amounts(proposal.recipe)[0])
