"""Prices that count on errors of ops that cancel each other: how far up the band reaches, and what is said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from explorer.predict.band import Band, default_half_width
from explorer.predict.price import CANCELLED, Price, price
from explorer.predict.record import PredictedMap
from tests.predict.test_price import make_map, recipe

A, B = ("a", "int8"), ("b", "int8")


def cancelling(share: float) -> PredictedMap:
    """Op b undoes a share of op a's error."""
    drawn = make_map(scale=0.02)
    undone = (-share * drawn.products[A]).astype(np.float32)
    return replace(drawn, products={**drawn.products, B: undone})


def price_of(share: float) -> Price:
    return price(cancelling(share), recipe(dict([A, B])))


def test_the_upper_edge_reaches_towards_what_the_ops_cost_apart() -> None:
    half = default_half_width(1e-5)
    low, high = Band.of().around(1e-5, apart=9e-5)
    assert math.log(low / 1e-5) == pytest.approx(-half), "the lower edge stays"
    assert math.log(high / 1e-5) == pytest.approx(math.hypot(half, math.log(9)))
    assert high > 9e-5
    for apart in (0.0, 5e-6, 1e-5, math.nan, math.inf):
        assert Band.of().around(1e-5, apart=apart) == Band.of().around(1e-5), "errors add up, or nothing is known"
    assert Band.of().around(0.0, apart=1e-5) == (0.0, 0.0)


def test_a_price_holds_the_sum_of_its_ops_where_their_errors_are_to_cancel() -> None:
    found = price_of(0.9)
    assert found.additive > CANCELLED * found.cost and found.low < found.cost < found.additive < found.high
    alone = price(cancelling(0.9), recipe(dict([A])))
    assert alone.high / alone.cost < found.high / found.cost
    assert alone.low / alone.cost == pytest.approx(found.low / found.cost, rel=0.1)


def test_words_say_that_it_counts_on_errors_that_cancel() -> None:
    found = price_of(0.9)
    assert found.valid and f"counts on errors that cancel, and is {found.additive:.2g} where they do not" in found.words
    assert "cancel" not in price_of(-0.9).words, "these errors add up"
    some = price_of(0.2)
    assert some.cost < some.additive < CANCELLED * some.cost and "cancel" not in some.words
