"""Proposals give way to what was measured better and uses no more, and to nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from explorer.measure import Quality
from explorer.predict import Band
from explorer.predict.price import Price
from explorer.recipe import Recipe
from explorer.search.proposal import Proposal
from explorer.search.rivals import EQUAL, Rivals, better_than, give_way

OPS = ("a", "b", "c", "d")


def proposal(narrow: int, cost: float | None = None, predicted: float = 1e-3, **more: Any) -> Proposal:
    """The first ``narrow`` ops in INT8: as many bits less; measured to cost ``cost``."""
    recipe = Recipe.baseline("model", "f", OPS).with_precision(OPS[:narrow], "int8", "search: cheap")
    low, high = Band.of().around(predicted)
    price = Price(predicted, low, high, predicted, 0.0, 0.0, 0, True, "")
    words = more.pop("words", f"{narrow} narrow")
    found = Proposal(recipe, price, 10.0 - narrow, 100, 32.0 - narrow, more.pop("kind", "search"), words)
    return found if cost is None else replace(found, quality=quality(cost), **more)


def quality(cost: float, n: int = 100) -> Quality:
    near = (0.9 * cost, 1.1 * cost)
    return Quality(0.9, 0.9, 0.0, (0.0, 0.0), cost, 1.0, 40.0, n, 100, "Accuracy", False, cost_interval=near)


def latency(ms: float, fp32_ms: float = 10.0) -> Any:
    return SimpleNamespace(candidate_ms=ms, fp32_ms=fp32_ms)


def hashes(found: tuple[Proposal, ...]) -> list[str]:
    return [each.recipe.hash for each in found]


def test_what_was_measured_better_and_uses_less_takes_the_place() -> None:
    ours, rival = proposal(2, 2e-4), proposal(3, 1e-4, kind="uniform", words="int8")
    (found,) = give_way([ours], [ours, rival], "bits")
    assert found.recipe.hash == rival.recipe.hash and found.kind == "search" and found.quality == rival.quality
    assert found.words == "int8, measured 0.0001, what was solved for measured 0.0002"
    assert all(found.recipe.reason(op).startswith("search: measured 0.0001") for op in OPS)


@pytest.mark.parametrize(
    "rival",
    [proposal(3, 3e-4), proposal(1, 1e-4), proposal(3)],
    ids=["costs more", "uses more", "was not measured"],
)
def test_nothing_else_does(rival: Proposal) -> None:
    ours = proposal(2, 2e-4)
    measured = [each for each in (ours, rival) if each.quality is not None]
    assert give_way([ours], measured, "bits") == (ours,)
    assert give_way([proposal(2)], measured, "bits")[0].quality is None


def test_a_proposal_that_another_one_beats_is_left_out() -> None:
    low, middle, high = proposal(3, 1e-4), proposal(2, 2e-4), proposal(1, 5e-5)
    assert hashes(give_way([low, middle, high], [low, middle, high], "bits")) == hashes((low, high))


def test_of_other_samples_an_interval_must_be_below() -> None:
    ours = proposal(2, 2e-4)
    near, far = (replace(proposal(3, cost), quality=quality(cost, 50)) for cost in (1.9e-4, 1e-4))
    assert give_way([ours], [ours, near], "bits") == (ours,)
    assert hashes(give_way([ours], [ours, far], "bits")) == hashes((far,))


def test_latencies_are_compared_as_shares_of_what_ran_beside_them() -> None:
    ours = proposal(3, 2e-4, latency=latency(6.0))
    slower = proposal(2, 1e-4, latency=latency(6.0 * EQUAL * 1.001))
    busier = proposal(1, 1e-4, latency=latency(12.0, 20.0))
    assert give_way([ours], [ours, slower], "latency") == (ours,)
    assert hashes(give_way([ours], [ours, busier], "latency")) == hashes((busier,))


def test_nothing_measured_beats_what_is_proposed_in_the_end() -> None:
    """Each rival is equal to the one before it, and the last is not equal to the first."""
    chain = [proposal(4 - step, 1e-4 / (step + 1), latency=latency(6.0 * 1.009**step)) for step in range(4)]
    found = better_than(chain[0], chain, "latency", 6.0)
    assert found.measured_cost == pytest.approx(2.5e-5)


def test_a_budget_gets_what_was_measured_below_the_band_of_what_was_not() -> None:
    solved, low = proposal(2, predicted=1e-3), Band.of().around(1e-3)[0]
    below, inside = (proposal(3, cost) for cost in (low / 1.2, low / 1.05))
    assert better_than(solved, [inside], "bits", 30.0) is solved
    found = better_than(solved, [inside, below], "bits", 30.0)
    assert found.recipe.hash == below.recipe.hash and "was predicted 0.001" in found.words
    assert better_than(solved, [proposal(1, low / 2)], "bits", 30.5) is solved
    known = better_than(proposal(2, predicted=1e-3), [proposal(2, 1e-3)], "bits", 30.0)
    assert known.measured_cost == 1e-3


def test_rivals_keep_to_the_constraints_and_carry_the_newest_price() -> None:
    kept, other = proposal(1, 1e-4), proposal(2, 1e-4)
    broken = proposal(3, math.nan)
    price = replace(kept.price, low=9e-4)
    rivals = Rivals(
        lambda recipe: recipe["b"] == "fp32" or recipe["c"] == "int8", lambda: [kept, broken], lambda _: price
    )
    assert rivals.among([other, proposal(1)]) == (kept,)
    assert rivals.priced(other).price is price
    unknown = replace(rivals, price=lambda _: None)
    assert unknown.priced(other) is other
