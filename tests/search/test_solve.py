"""The knapsack is solved exactly: every choice of small problems is tried."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import pytest

from explorer.search.problem import Problem, meets
from explorer.search.solve import GAP, cheapest, least
from tests.search.conftest import NAMES, random_problem


def enumerate_choices(problem: Problem) -> list[tuple[float, float]]:
    """Quality and what is spent of every choice."""
    found = []
    for names in product(*(problem.options(group) for group in range(len(problem.groups)))):
        choice = {op: name for ops, name in zip(problem.groups, names, strict=True) for op in ops}
        found.append((problem.quality_of(choice), problem.spent_by(choice)))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_no_choice_within_the_budget_costs_less(seed: int) -> None:
    problem = random_problem(seed)
    every = enumerate_choices(problem)
    low, high = min(spent for _, spent in every), max(spent for _, spent in every)
    for share in (0.02, 0.2, 0.4, 0.7):
        budget = low + share * (high - low)
        best = min(quality for quality, spent in every if spent <= budget)
        found = cheapest(problem, budget)
        assert found is not None and meets(found.spent, budget)
        # The solver may stop within GAP of the optimum, and says how far it was.
        assert best <= found.quality + 1e-12 <= best * (1 + GAP) + 1e-9 and found.gap <= GAP + 1e-9
        assert (found.quality, found.spent) == (problem.quality_of(found.choice), problem.spent_by(found.choice))


@pytest.mark.parametrize("seed", range(4))
def test_no_choice_within_a_cost_uses_less(seed: int) -> None:
    problem = random_problem(seed)
    every = enumerate_choices(problem)
    for most in (0.0, 1.0, 3.0, math.inf):
        best = min(spent for quality, spent in every if quality <= most)
        found = least(problem, most)
        assert found is not None and found.quality <= most * (1 + 1e-6) + 1e-9
        assert found.spent == pytest.approx(best, rel=2 * GAP)


def test_tied_ops_take_one_precision() -> None:
    problem = random_problem(1)
    assert len(problem.groups) == len(problem.ops) - 1
    found = cheapest(problem, least(problem).spent * 1.2)  # type: ignore[union-attr]
    assert found is not None and found.choice["op0"] == found.choice["op3"]


def test_nothing_is_found_below_the_least() -> None:
    problem = random_problem(0)
    lowest = min(spent for _, spent in enumerate_choices(problem))
    assert cheapest(problem, lowest * 0.99) is None
    assert cheapest(problem, lowest) is not None


def test_a_larger_budget_never_costs_more() -> None:
    problem = random_problem(2)
    low = least(problem).spent  # type: ignore[union-attr]
    costs = [cheapest(problem, low + 0.7 * step).quality for step in range(12)]  # type: ignore[union-attr]
    assert all(after <= before * (1 + GAP) + 1e-12 for before, after in pairwise(costs))
    assert costs[0] > costs[-1]


def test_a_cast_is_paid_once_for_all_its_readers() -> None:
    problem = random_problem(0)
    ops = problem.ops
    both = dict.fromkeys(ops, "fp32") | {ops[1]: "int8", ops[2]: "int8"}
    one = dict.fromkeys(ops, "fp32") | {ops[1]: "int8"}
    cast = next(term for term in problem.shared if term.maker == (ops[0], frozenset(("int8",))))
    assert cast.paid(both) == cast.paid(one) == cast.cost > 0
    assert cast.paid(both | {ops[0]: "int8"}) == 0


def test_what_a_change_uses_more_is_the_difference() -> None:
    problem = random_problem(3)
    choice = dict.fromkeys(problem.ops, "fp32")
    for group in problem.groups:
        for name in ("int8", "bf16"):
            after = choice | dict.fromkeys(group, name)
            more = problem.spent_more(choice, group, name)
            assert more == pytest.approx(problem.spent_by(after) - problem.spent_by(choice), abs=1e-12)


def test_what_a_choice_uses_is_the_sum_of_its_terms() -> None:
    problem = random_problem(3)
    for names in product(NAMES, repeat=len(problem.ops)):
        choice = dict(zip(problem.ops, names, strict=True))
        terms = sum(term.paid(choice) for term in (*problem.shared, *problem.joint))
        alone = sum(problem.spent[op][name] for op, name in choice.items())
        assert problem.spent_by(choice) == pytest.approx(problem.fixed + alone + terms, rel=1e-12)


def test_terms_without_an_effect_change_nothing() -> None:
    problem = random_problem(4)
    budget = least(problem).spent * 1.1  # type: ignore[union-attr]
    empty = replace(problem.shared[0], readers=((problem.ops[1], frozenset()),))
    wider = replace(problem, shared=(*problem.shared, empty, replace(empty, cost=0.0)))
    assert cheapest(wider, budget).quality == pytest.approx(cheapest(problem, budget).quality)  # type: ignore[union-attr]
