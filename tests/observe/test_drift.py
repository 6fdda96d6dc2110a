"""Drift: the index on distributions whose index is known, what ranks first, and data that do not fit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.errors import DataError
from explorer.graph import ModelGraph, capture
from explorer.kernels import StaticScale
from explorer.observe import RangeSet, drift, observe, observe_drift, shift_between
from explorer.observe.drift import SMOOTHING, saturated_share
from explorer.ranges import Histogram, TensorRange
from explorer.samples import Samples
from explorer.subject import Subject


def draw(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)) * scale + shift


def histogram_of(*values: float) -> Histogram:
    return Histogram.of(torch.tensor(values))


def test_the_index_of_two_bins_is_what_its_formula_says() -> None:
    before, now = histogram_of(*[1.0] * 30, *[-1.0] * 10), histogram_of(*[1.0] * 10, *[-1.0] * 30)
    p, q = (np.array(counts) + SMOOTHING for counts in ((30, 10), (10, 30)))
    p, q = p / p.sum(), q / q.sum()
    found = shift_between(before, now)
    assert found.psi == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=1e-12)
    assert found.kl == pytest.approx(float((q * np.log(q / p)).sum()), rel=1e-12)


def test_the_index_is_symmetric_and_nothing_has_moved_from_itself() -> None:
    first, second = Histogram.of(draw(5000, 1)), Histogram.of(draw(3000, 2, 1.5, 0.3))
    assert shift_between(first, second).psi == pytest.approx(shift_between(second, first).psi, rel=1e-12)
    assert shift_between(first, first).psi == shift_between(first, first).kl == 0.0


def test_halves_of_one_distribution_are_as_far_apart_as_chance_puts_them() -> None:
    """(k - 1)(1/n + 1/m) on average, and thrice that is beyond chance; seven octaves a side hold a hundredth each."""
    n, bins = 2000, 15
    for seed in range(5):
        found = shift_between(Histogram.of(draw(n, 2 * seed)), Histogram.of(draw(n, 2 * seed + 1)))
        assert 0.0 <= found.psi < 3 * (bins - 1) * 2 / n


@pytest.mark.parametrize(("scale", "shift"), [(2.0, 0.0), (0.25, 0.0), (1.0, 1.0), (1000.0, 0.0)])
def test_what_is_scaled_or_shifted_is_far(scale: float, shift: float) -> None:
    found = shift_between(Histogram.of(draw(4000, 1)), Histogram.of(draw(4000, 2, scale, shift)))
    assert found.psi > 0.25 and found.kl > 0.1 and math.isfinite(found.psi)


def test_few_far_elements_do_not_move_the_index_but_many_lost_ones_do() -> None:
    before = Histogram.of(draw(10_000, 1))
    assert shift_between(before, before.add(torch.tensor([1e6] * 5))).psi < 0.01
    assert shift_between(before, before.add(torch.full((5000,), torch.nan))).psi > 1.0


@pytest.mark.parametrize("other", [Histogram.empty(), histogram_of(1.0)])
def test_nothing_to_compare_has_no_index(other: Histogram) -> None:
    found = shift_between(Histogram.empty(), other)
    assert math.isnan(found.psi) and math.isnan(found.kl)


def test_values_of_zeros_and_of_one_number_only_are_compared_too() -> None:
    zeros, ones = histogram_of(*[0.0] * 50), histogram_of(*[1.0] * 50)
    assert shift_between(zeros, zeros).psi == 0.0
    assert shift_between(zeros, ones).psi > 5


def test_saturation_is_the_share_that_the_codes_cannot_reach() -> None:
    fixed = StaticScale(0.1, 100)  # -10.0 to 15.5, and half a step around either end
    reached = histogram_of(-10.0, -9.0, 0.0, 15.5)
    assert saturated_share(reached, fixed) == 0.0
    assert saturated_share(histogram_of(-12.0, 0.0, 3.0, 17.0), fixed) == pytest.approx(0.5)
    assert saturated_share(Histogram.empty(), fixed) == 0.0


class Tiny(nn.Module):
    """[n, 6] -> [n, 4]; what the norm gives does not follow a change of scale."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.fc(self.norm(x)))


X = draw(400 * 6, 3).reshape(400, 6)


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return capture(Tiny().eval(), (X[:2],))


def subject_of(graph: ModelGraph, x: Tensor) -> Subject:
    """A subject as far as ranges need one."""
    nothing = cast(Any, None)
    samples = Samples((x,), None, 64)
    return Subject(graph, samples, nothing, nothing, nothing, nothing, nothing, nothing, nothing)


@pytest.fixture(scope="module")
def ranges(graph: ModelGraph) -> RangeSet:
    return observe(subject_of(graph, X[:200]))


def test_the_other_half_of_the_data_has_not_drifted(graph: ModelGraph, ranges: RangeSet) -> None:
    table = observe_drift(subject_of(graph, X), X[200:], ranges)
    assert set(table.op) == {"x", "norm/layer_norm", "fc/linear", "relu"}
    assert set(table.drift) == {"none"} and (table.psi < 0.1).all()
    assert table.saturated_now.isna().all(), "there are no static scales"


def test_the_input_that_was_scaled_ranks_first(graph: ModelGraph, ranges: RangeSet) -> None:
    low, high = float(X[:200].min()), float(X[:200].max())
    scale = (high - low) / 255
    scales = {"x": StaticScale(scale, round(-low / scale))}
    table = observe_drift(subject_of(graph, X), X[200:] * 3, ranges, scales)
    first = table.iloc[0]
    assert (first.op, first.port, first.drift) == ("x", "input", "much")
    assert first.absmax_now == pytest.approx(3 * float(X[200:].abs().max()))
    outside = ((X[200:] * 3 < low) | (X[200:] * 3 > high)).float().mean()
    assert first.saturated_before == pytest.approx(0.0, abs=1e-3)
    assert first.new_saturated == pytest.approx(float(outside), abs=0.02), "the forecast is right to a bin"
    assert dict(zip(table.op, table.drift, strict=True))["norm/layer_norm"] == "none"


def test_new_nan_comes_first_where_it_is_born(graph: ModelGraph, ranges: RangeSet) -> None:
    new = X[200:].clone()
    new[7, 2] = torch.nan
    table = observe_drift(subject_of(graph, X), new, ranges)
    assert table.op.tolist() == ["x", "norm/layer_norm", "fc/linear", "relu"]
    assert table.drift.tolist() == ["not finite"] * 4
    assert table.nan_now.tolist() == [1, 6, 4, 4] and not table.nan_before.any()


def test_without_ranges_the_subject_s_own_data_are_what_new_data_are_held_against(graph: ModelGraph) -> None:
    table = observe_drift(subject_of(graph, X[:200]), (X[:200], torch.zeros(200)))
    assert (table.psi == 0).all()


def test_names_of_the_same_elements_are_one_row_and_fixed_values_none(graph: ModelGraph, ranges: RangeSet) -> None:
    table = drift(graph, replace(ranges, fixed=frozenset(["relu"])), ranges)
    assert "relu" not in set(table.op) and len(table) == 3
    one = TensorRange(histogram_of(1.0, 2.0))
    shared = replace(ranges, values=dict.fromkeys(ranges.values, one))
    assert drift(graph, shared, shared).op.tolist() == ["x"]


def test_a_scale_is_found_under_any_name_of_the_elements(graph: ModelGraph, ranges: RangeSet) -> None:
    one = TensorRange(histogram_of(1.0, 2.0))
    shared = replace(ranges, values=dict.fromkeys(ranges.values, one))
    table = drift(graph, shared, shared, {graph.ops[-1].name: StaticScale(0.001, 0)})
    assert table.saturated_now.tolist() == [1.0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.zeros(3, 5), "samples are"),
        (torch.zeros(3, 6, dtype=torch.float64), "float64"),
        ((torch.zeros(3, 6), torch.zeros(2)), "lengths differ"),
        (torch.zeros(0, 6), "no samples"),
        (7, "it is int"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(graph: ModelGraph, data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        observe_drift(subject_of(graph, X), data)


@pytest.mark.parametrize("new", [torch.zeros(4, 6, dtype=torch.int64), torch.full((4, 5), 9)])
def test_data_on_which_the_model_does_not_run_are_refused(new: Tensor) -> None:
    class Embedded(nn.Module):
        """[n, 5] tokens below 9 -> [n, 5, 4]"""

        def __init__(self) -> None:
            super().__init__()
            self.table, self.places = nn.Embedding(9, 4), nn.Parameter(torch.zeros(5, 4))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.table(x) + self.places
            return out

    tokens = torch.zeros(4, 5, dtype=torch.int64)
    subject = subject_of(capture(Embedded().eval(), (tokens[:2],)), tokens)
    with pytest.raises(DataError, match="the model does not run on them"):
        observe_drift(subject, new)


def test_ranges_of_another_model_are_refused(graph: ModelGraph, ranges: RangeSet) -> None:
    with pytest.raises(DataError, match="of this very model"):
        drift(graph, ranges, replace(ranges, fingerprint="other:0000000000000000"))
