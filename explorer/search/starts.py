"""A first choice within a budget, found quickly: op by op the best at one price per unit spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.search.problem import Problem, Table, meets

Floats = NDArray[np.float64]

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
    names = [problem.options(index) for index in range(len(problem.groups))]
    quality, spent = (_table(problem, names, of) for of in (problem.quality, problem.spent))

    def choose(price: float) -> dict[str, str]:
        best = (quality + price * spent).argmin(axis=1)
        return {
            op: options[place] for ops, options, place in zip(problem.groups, names, best, strict=True) for op in ops
        }

    return choose


def _table(problem: Problem, names: Sequence[tuple[str, ...]], of: Table) -> Floats:
    """What each option of each group costs by itself, [groups, most options]; infinite where there are fewer."""
    found = np.full((len(names), max(map(len, names), default=0)), np.inf)
    for row, ops, options in zip(found, problem.groups, names, strict=True):
        row[: len(options)] = [sum(of[op][name] for op in ops) for name in options]
    return found
