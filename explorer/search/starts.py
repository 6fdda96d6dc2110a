"""A first choice within a budget, found quickly: op by op the best at one price per unit spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from explorer.search.problem import Problem, meets

BISECTIONS, LEAST_PRICE, MOST_PRICE = 12, 1e-18, 1e6


def start_within(problem: Problem, budget: float) -> dict[str, str] | None:
    """Return a choice that uses up at most ``budget``; None where none is found. What is shared does not guide it."""
    choose = _by_price(problem)
    low, high = LEAST_PRICE, MOST_PRICE
    if not meets(problem.spent_by(choose(high)), budget):
        return None
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        if meets(problem.spent_by(choose(middle)), budget):
            high = middle
        else:
            low = middle
    return choose(high)


def _by_price(problem: Problem) -> Callable[[float], dict[str, str]]:
    """A function: price per unit spent -> the choice that is best op by op at that price, what is shared left out."""
    quality, spent = problem.quality, problem.spent
    tables = [
        [(name, _sum(quality, group, name), _sum(spent, group, name)) for name in problem.options(index)]
        for index, group in enumerate(problem.groups)
    ]

    def choose(price: float) -> dict[str, str]:
        best = [min(rows, key=lambda row: row[1] + price * row[2])[0] for rows in tables]
        return {op: name for group, name in zip(problem.groups, best, strict=True) for op in group}

    return choose


def _sum(table: Mapping[str, Mapping[str, float]], group: tuple[str, ...], name: str) -> float:
    return sum(table[op][name] for op in group)
