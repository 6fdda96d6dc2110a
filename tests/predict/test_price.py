"""Prices from signed products: pairs, seams, what was measured, what is missing, and the sentence."""

from __future__ import annotations

import math
import timeit
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from explorer.predict.band import Band
from explorer.predict.price import VALID_TO, Measured, Pricer, price
from explorer.predict.record import Flow, PredictedMap, Seam
from explorer.recipe import Recipe

SAMPLES, PROBES, POSITIONS = 24, 3, 5
OPS = ("a", "b", "c")
A, B, C = (("a", "int8"), ("b", "int8"), ("c", "bf16"))


def make_map(
    ops: tuple[str, ...] = OPS, scale: float = 0.1, precisions: tuple[str, ...] = ("int8", "bf16")
) -> PredictedMap:
    """Normally drawn products, of which two ops share half."""
    drawn = np.random.default_rng(0)
    shared = drawn.normal(size=(SAMPLES, PROBES))
    products = {
        (op, name): (scale * (drawn.normal(size=(SAMPLES, PROBES)) + shared * (op in ("a", "b")))).astype(np.float32)
        for op in ops
        for name in precisions
    }
    flows = {cell: Flow("bf16", "bf16") if cell[1] == "bf16" else Flow("int8", "fp32") for cell in products}
    return PredictedMap(
        ops, ("fp32", *precisions), products, {}, flows, {}, frozenset(), POSITIONS, "nats", 100, PROBES, "made"
    )  # fmt: skip


@pytest.fixture(scope="module")
def map_() -> PredictedMap:
    return make_map()


def recipe(chosen: Mapping[str, str], ops: tuple[str, ...] = OPS) -> Recipe:
    found = Recipe.baseline("m", "f", ops)
    for op, name in chosen.items():
        found = found.with_precision([op], name, "test")
    return found


def test_the_cost_is_the_mean_square_of_the_sum_and_interaction_what_it_has_beyond_single_ops(
    map_: PredictedMap,
) -> None:
    found = price(map_, recipe(dict([A, B, C])))
    summed = sum(map_.products[cell].astype(np.float64) for cell in (A, B, C))
    per_sample = np.square(summed).mean(axis=1) / 2 / POSITIONS
    # FP32 sums of three numbers.
    assert found.cost == pytest.approx(per_sample.mean(), rel=1e-6)
    assert found.error == pytest.approx(per_sample.std(ddof=1) / math.sqrt(SAMPLES), rel=1e-6)
    assert found.additive == pytest.approx(sum(map_.cost(*cell).value for cell in (A, B, C)), rel=1e-6)
    pairs = [map_.interaction(*pair).value for pair in ((A, B), (A, C), (B, C))]
    assert found.interaction == pytest.approx(sum(pairs), rel=1e-5)
    assert found.low < found.cost < found.high


def test_it_is_the_cost_that_the_map_tells_seams_included(map_: PredictedMap) -> None:
    rounding = np.full((SAMPLES, PROBES), 0.05, np.float32)
    seamed = replace(map_, seams={Seam("a", "c", "bf16"): rounding})
    for chosen in ({"a": "bf16", "c": "bf16"}, {"a": "int8", "c": "bf16"}, {"a": "bf16"}):
        found = price(seamed, recipe(chosen))
        assert found.cost == pytest.approx(seamed.cost_of(recipe(chosen)).value, rel=1e-5)
    both = recipe({"a": "bf16", "c": "bf16"})
    assert price(seamed, both).cost != pytest.approx(price(map_, both).cost, rel=1e-3)


def test_cells_of_fewer_samples_are_priced_on_those_that_all_have(map_: PredictedMap) -> None:
    short = replace(map_, products={**map_.products, B: map_.products[B][:10]})
    for chosen in ({"a": "int8"}, {"b": "int8"}, {"a": "int8", "b": "int8"}):
        found = price(short, recipe(chosen))
        assert found.cost == pytest.approx(short.cost_of(recipe(chosen)).value, rel=1e-5)
    both = Pricer(short, Measured(pairs={(A, B): 0.5})).price(recipe({"a": "int8", "b": "int8"}))
    alone = sum(np.square(map_.products[cell][:10]).mean() / 2 / POSITIONS for cell in (A, B))
    assert both.cost == pytest.approx(alone + 0.5, rel=1e-5)


def test_fp32_everywhere_costs_nothing(map_: PredictedMap) -> None:
    found = price(map_, recipe({}))
    assert (found.cost, found.low, found.high, found.additive, found.error) == (0, 0, 0, 0, 0)
    assert found.valid


def test_a_measured_cell_replaces_its_term_and_scales_its_pairs(map_: PredictedMap) -> None:
    predicted = map_.cost(*A).value
    pricer = Pricer(map_, Measured({A: 4 * predicted, ("unknown", "int8"): 1.0}))
    assert pricer.price(recipe(dict([A]))).cost == pytest.approx(4 * predicted, rel=1e-6)
    both = pricer.price(recipe(dict([A, B])))
    assert both.additive == pytest.approx(4 * predicted + map_.cost(*B).value, rel=1e-6)
    assert both.interaction == pytest.approx(2 * map_.interaction(A, B).value, rel=1e-5)


def test_a_measured_pair_replaces_the_term_of_that_pair_only(map_: PredictedMap) -> None:
    pricer = Pricer(map_, Measured(pairs={(B, A): 0.5}))
    alone = map_.cost(*A).value + map_.cost(*B).value
    assert pricer.price(recipe(dict([A, B]))).cost == pytest.approx(alone + 0.5, rel=1e-6)
    assert pricer.price(recipe(dict([A, C]))).cost == pytest.approx(price(map_, recipe(dict([A, C]))).cost)
    assert Pricer(map_, Measured(pairs={(A, B): -9.0})).price(recipe(dict([A, B]))).cost == 0


def test_an_op_without_prediction_is_named_and_gives_no_number(map_: PredictedMap) -> None:
    found = price(map_, recipe({"a": "int8", "b": "w4"}))
    assert math.isnan(found.cost) and math.isnan(found.high) and not found.valid
    assert "b" in found.words and "not in the map" in found.words


def test_nan_and_inf_cost_infinitely_much(map_: PredictedMap) -> None:
    broken = map_.products[A].copy()
    broken[3, 0] = np.nan
    pricer = Pricer(replace(map_, products={**map_.products, A: broken}))
    found = pricer.price(recipe(dict([A, B])))
    assert found.cost == math.inf and not found.valid and "NaN or Inf" in found.words
    assert pricer.costs[A] == math.inf
    assert Pricer(map_, Measured({B: math.inf})).price(recipe(dict([A, B]))).cost == math.inf
    assert Pricer(map_, Measured({B: math.nan})).price(recipe(dict([B]))) == price(map_, recipe(dict([B])))
    assert math.isfinite(pricer.price(recipe(dict([B]))).cost)


def test_words_say_the_unit_the_band_its_trials_and_where_it_stops_being_valid(map_: PredictedMap) -> None:
    calm = price(map_, recipe(dict([A])), Band.of([(1e-3, 1e-3)]))
    assert calm.valid and calm.trials == 1
    assert "nats per token" in calm.words and "calibrated by 1 measured recipe)" in calm.words
    rough = price(make_map(scale=2.0), recipe(dict([A, B])))
    assert rough.cost > VALID_TO and not rough.valid
    assert "no longer small" in rough.words and "before any trial" in rough.words
    squares = replace(make_map(scale=2.0), unit="squared error", positions=1)
    assert price(squares, recipe(dict([A]))).valid


def test_500_ops_are_priced_at_once() -> None:
    """At 512 samples and 4 probes; within twice the millisecond of the benchmark, for others use the cores too."""
    ops = tuple(f"op{i}" for i in range(500))
    small = make_map(ops)
    tiled = {cell: np.tile(found, (22, 2))[:512, :4].copy() for cell, found in small.products.items()}
    pricer = Pricer(replace(small, products=tiled, probes=4))
    whole = recipe({}, ops).with_precision(ops, "int8", "test")
    pricer.price(whole)
    assert min(timeit.repeat(lambda: pricer.price(whole), number=1, repeat=30)) < 2e-3
