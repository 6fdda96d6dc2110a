"""The band: what it is before any trial, how trials move and widen it, and how often it holds what is measured."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from explorer.predict.band import COVERAGE, DEFAULT_WEIGHT, REACH, Band, default_half_width


def spread(predicted: float, bias: float, scatter: float, n: int, seed: int = 0) -> list[tuple[float, float]]:
    """Trials at one predicted cost whose log ratios are normal."""
    drawn = np.random.default_rng(seed).normal(bias, scatter, n)
    return [(predicted, predicted * math.exp(ratio)) for ratio in drawn]


def widths(band: Band, predicted: float) -> tuple[float, float]:
    low, high = band.around(predicted)
    return math.log(low / predicted), math.log(high / predicted)


def test_without_trials_the_band_is_the_default_and_widens_with_the_cost() -> None:
    for predicted in (1e-6, 1e-3, 0.1, 1.0):
        half = default_half_width(predicted)
        assert widths(Band.of(), predicted) == pytest.approx((-half, half))
    assert default_half_width(1e-6) < default_half_width(1e-2) < default_half_width(1.0)
    assert Band.of().count == 0


def test_a_bias_that_all_trials_share_moves_both_edges() -> None:
    low, high = widths(Band.of(spread(1e-3, 1.0, 0.05, 60)), 1e-3)
    assert 0.8 < low < 1.0 < high < 1.2


def test_trials_narrow_the_band_where_they_agree_and_widen_it_where_they_do_not() -> None:
    half = default_half_width(1e-3)
    narrow, wide = (widths(Band.of(spread(1e-3, 0.0, scatter, 60)), 1e-3) for scatter in (half / 10, half * 3))
    assert -half < narrow[0] < 0 < narrow[1] < half
    assert wide[0] < -half and wide[1] > half


def test_one_wild_trial_among_many_moves_no_edge_far() -> None:
    calm = spread(1e-3, 0.0, 0.1, 40)
    assert widths(Band.of([*calm, (1e-3, 1.0)]), 1e-3) == pytest.approx(widths(Band.of(calm), 1e-3), abs=0.1)


def test_far_from_every_trial_the_default_remains() -> None:
    half = default_half_width(1e-6)
    # e**(6 * REACH) away, a trial weighs e**-18 of what it weighs where it is.
    far = 1e-6 * math.exp(6 * REACH)
    assert widths(Band.of(spread(far, 1.0, 0.0, 50)), 1e-6) == pytest.approx((-half, half), rel=0.05)


def test_a_few_trials_count_beside_the_default_by_its_weight() -> None:
    """Half the weight is on one ratio: the band reaches as far as four fifths of the default."""
    trials = [(1e-3, 1e-3)] * int(DEFAULT_WEIGHT)
    low, high = widths(Band.of(trials), 1e-3)
    four_fifths = NormalDist().inv_cdf(0.9) / NormalDist().inv_cdf(0.95) * default_half_width(1e-3)
    # The default takes part as 40 values.
    assert (-low, high) == pytest.approx((four_fifths, four_fifths), rel=0.05)


def test_it_holds_about_as_many_measured_costs_as_it_says() -> None:
    """Trials and judged recipes from one distribution, at costs over three decades."""
    drawn = np.random.default_rng(1)
    costs = 10 ** drawn.uniform(-4, -1, 400)
    pairs = [(p, p * math.exp(drawn.normal(0.2, 0.15 + p))) for p in costs]
    band = Band.of(pairs[:100])
    held = [low <= measured <= high for p, measured in pairs[100:] for low, high in [band.around(p)]]
    # Three standard deviations of a share of 300.
    assert np.mean(held) == pytest.approx(COVERAGE, abs=3 * math.sqrt(COVERAGE * (1 - COVERAGE) / 300))


def test_the_standard_error_of_a_prediction_widens_its_band() -> None:
    plain, rough = Band.of().around(1e-3), Band.of().around(1e-3, error=5e-4)
    assert rough[0] < plain[0] < plain[1] < rough[1]
    assert Band.of().around(1e-3, error=math.nan) == plain


def test_what_has_no_ratio_calibrates_nothing_and_zero_stays_zero() -> None:
    assert Band.of([(0.0, 1e-3), (1e-3, -1e-9), (math.inf, 1.0), (1.0, math.nan)]).count == 0
    assert Band.of().around(0.0) == (0.0, 0.0)
    assert all(math.isnan(edge) for edge in Band.of().around(math.nan))
    assert Band.of().around(math.inf) == (math.inf, math.inf)
