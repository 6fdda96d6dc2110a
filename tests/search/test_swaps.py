"""Prices with interactions, what swaps change of them, and choices that swaps improve."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from explorer.search.baselines import greedy, greedy_path, randomly
from explorer.search.prices import Linear, Overlap, Prices, Quadratic
from explorer.search.problem import Problem, meets
from explorer.search.solve import least
from explorer.search.swaps import improve
from tests.search.conftest import NAMES, random_problem


def quadratic(problem: Problem, seed: int = 0) -> Quadratic:
    draw = np.random.default_rng(seed)
    products = {(op, name): draw.standard_normal(6) for op in problem.ops for name in NAMES if name != "fp32"}
    ends = (problem.ops[0], frozenset(("bf16",))), (problem.ops[1], frozenset(("bf16",)))
    return Quadratic.of(problem, products, [Overlap(*ends, draw.standard_normal(6))])


@pytest.mark.parametrize("tied", [0, 1])
@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_swaps_change_the_price_as_they_say(kind: str, tied: int) -> None:
    problem = random_problem(tied)
    prices: Prices = Linear(problem) if kind == "linear" else quadratic(problem)
    for names in (("fp32",) * 5, ("bf16", "bf16", "int8", "bf16", "fp32")):
        choice = dict(zip(problem.ops, names, strict=True))
        swaps, changes, _ = prices.swaps(choice)
        assert len(swaps) == 2 * len(problem.groups)
        for swap, change in zip(swaps, changes, strict=True):
            after = choice | dict.fromkeys(problem.groups[swap.group], swap.name)
            assert change == pytest.approx(prices.cost(after) - prices.cost(choice), abs=1e-9)


def test_fp32_everywhere_costs_nothing() -> None:
    problem = random_problem(0)
    assert quadratic(problem).cost(dict.fromkeys(problem.ops, "fp32")) == 0


def test_less_is_sure_only_beyond_the_error_of_the_difference() -> None:
    problem = random_problem(0)
    first, second = ({**dict.fromkeys(problem.ops, "fp32"), problem.ops[0]: name} for name in ("int8", "bf16"))
    draw = np.random.default_rng(0)
    noise = draw.standard_normal((2, 400))
    prices = Quadratic.of(problem, {(problem.ops[0], "int8"): noise[0], (problem.ops[0], "bf16"): noise[1]})
    assert not prices.surely_less(first, second) and not prices.surely_less(second, first)
    prices = Quadratic.of(problem, {(problem.ops[0], "int8"): noise[0], (problem.ops[0], "bf16"): 2 * noise[1]})
    assert prices.surely_less(first, second) and not prices.surely_less(second, first)


def test_improving_ends_where_no_swap_and_no_pair_helps() -> None:
    problem = random_problem(0)
    prices = quadratic(problem)
    start = least(problem)
    assert start is not None
    budget = start.spent * 1.3
    found = improve(problem, prices, start.choice, budget)
    assert prices.cost(found) < prices.cost(start.choice) and meets(problem.spent_by(found), budget)
    for group, name in product(range(len(problem.groups)), NAMES):
        after = found | dict.fromkeys(problem.groups[group], name)
        assert prices.cost(after) >= prices.cost(found) * (1 - 1e-6) or problem.spent_by(after) > budget


def test_a_choice_beyond_the_budget_stays_as_it_is() -> None:
    problem = random_problem(0)
    choice = dict.fromkeys(problem.ops, "fp32")
    assert improve(problem, quadratic(problem), choice, 0.1) == choice


def test_greedy_takes_the_best_ratio_first_and_stays_within_the_budget() -> None:
    problem = random_problem(2)
    start = dict.fromkeys(problem.ops, "fp32")
    path = greedy_path(problem, start)
    spent = [each for each, _ in path]
    assert spent == sorted(spent, reverse=True) and path[0][1] == start
    assert [problem.spent_by(choice) for _, choice in path] == pytest.approx(spent)
    ratios = {
        (group, name): sum(problem.quality[op][name] for op in ops) / -problem.spent_more(start, ops, name)
        for group, ops in enumerate(problem.groups)
        for name in ("int8", "bf16")
        if problem.spent_more(start, ops, name) < 0
    }
    group, name = min(ratios, key=lambda key: ratios[key])
    assert path[1][1] == start | dict.fromkeys(problem.groups[group], name)
    assert problem.spent_by(greedy(path, spent[1]) or {}) == pytest.approx(spent[1])
    assert greedy(path, spent[-1] * 0.9) is None


def test_a_random_choice_is_within_the_budget_and_repeats() -> None:
    problem = random_problem(2)
    start = dict.fromkeys(problem.ops, "fp32")
    budget = problem.spent_by(start) * 0.9
    found = randomly(problem, start, budget, seed=3)
    assert found is not None and meets(problem.spent_by(found), budget)
    assert found == randomly(problem, start, budget, seed=3)
    assert randomly(problem, start, 0.0, seed=3) is None
