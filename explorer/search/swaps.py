"""Improving a choice by swaps, one or two at a time, under the price that knows interactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from explorer.search.prices import Prices, Swap
from explorer.search.problem import Choice, Problem, meets

Floats = NDArray[np.float64]
MOST_STEPS = 200
PAIRED = 48
"""Of so many swaps that lower the price most, and of as many that free most for what they cost, pairs are tried."""
MOST_TRIED = 16
"""So many pairs are looked at with what they share before giving up."""
WORTH = 1e-9
"""A step must lower the price by this fraction of it, or rounding could go round in circles."""


def improve(problem: Problem, prices: Prices, choice: Choice, budget: float) -> dict[str, str]:
    """Return ``choice`` after every single swap and pair of swaps that lowers the price and stays within ``budget``.

    Always the best single swap first; pairs (one that lowers the price, one that pays for it) when no single one is
    left. Ops take options of ``problem`` only, which may be fewer than ``prices`` know. A choice beyond the budget is
    returned as it is.
    """
    chosen = dict(choice)
    spent = problem.spent_by(chosen)
    spending = _Spending(problem)
    if not meets(spent, budget):
        return chosen
    for _ in range(MOST_STEPS):
        swaps, changes, steps = _among(problem, *prices.swaps(chosen))
        price = prices.cost(chosen)
        offer = _Offer(swaps, changes, spending.of(chosen, swaps), steps, -WORTH * price)
        for found in chain(offer.single(budget - spent), offer.pairs(budget - spent)):
            taken = _take(problem, chosen, found)
            after = problem.spent_by(taken)
            if meets(after, budget) and prices.cost(taken) < price:
                break
        else:
            break
        spending.forget([op for swap in found for op in problem.groups[swap.group]])
        chosen, spent = taken, after
    return chosen


def _among(problem: Problem, swaps: list[Swap], changes: Floats, steps: Floats) -> tuple[list[Swap], Floats, Floats]:
    """Of swaps, those to options of a problem."""
    kept = [place for place, swap in enumerate(swaps) if swap.name in problem.options(swap.group)]
    if len(kept) == len(swaps):
        return swaps, changes, steps
    return [swaps[place] for place in kept], changes[kept], steps[kept]


class _Spending:
    """What each swap would use up more, kept until an op nearby changes."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._known: dict[tuple[int, str], float] = {}

    def of(self, choice: Choice, swaps: list[Swap]) -> Floats:
        problem, known = self._problem, self._known
        for swap in swaps:
            if (swap.group, swap.name) not in known:
                more = problem.spent_more(choice, problem.groups[swap.group], swap.name)
                known[swap.group, swap.name] = more
        return np.array([known[swap.group, swap.name] for swap in swaps])

    def forget(self, ops: list[str]) -> None:
        near = {self._problem.group_of[op] for op in self._problem.around(ops)}
        self._known = {key: more for key, more in self._known.items() if key[0] not in near}


@dataclass(frozen=True, eq=False)
class _Offer:
    """All single swaps: how each changes the price, what it uses up ``more``, and what it adds to the sum of products.

    A swap, or two, must change the price by less than ``floor``, which is negative.
    """

    swaps: list[Swap]
    changes: Floats
    more: Floats
    steps: Floats
    floor: float

    def single(self, left: float) -> list[list[Swap]]:
        """The swap that lowers the price most."""
        if not self.swaps:
            return []
        able = np.where(self.more <= max(left, 0.0), self.changes, np.inf)
        best = int(able.argmin())
        return [[self.swaps[best]]] if able[best] < self.floor else []

    def pairs(self, left: float) -> Iterator[list[Swap]]:
        """Two swaps of different ops that lower the price together, the best pairs first.

        What both share (a cast, a fused call) is not in their sum: whoever takes a pair looks at what it really uses.
        """
        changes, more = self.changes, self.more
        lowering = np.flatnonzero(changes < self.floor)
        lowering = lowering[np.argsort(changes[lowering])][:PAIRED]
        freeing = np.flatnonzero(more < 0)
        freeing = freeing[np.argsort(changes[freeing] / -more[freeing])][:PAIRED]
        if not len(lowering) or not len(freeing):
            return
        together = changes[lowering][:, None] + changes[freeing][None, :]
        together += 2 * self.steps[lowering] @ self.steps[freeing].T
        groups = np.array([swap.group for swap in self.swaps])
        able = more[lowering][:, None] + more[freeing][None, :] <= left
        able &= (groups[lowering][:, None] != groups[freeing][None, :]) & (together < self.floor)
        order = np.argsort(np.where(able, together, np.inf), axis=None)[: min(MOST_TRIED, int(able.sum()))]
        for first, second in zip(*np.unravel_index(order, able.shape), strict=True):
            yield [self.swaps[lowering[first]], self.swaps[freeing[second]]]


def _take(problem: Problem, choice: Choice, swaps: list[Swap]) -> dict[str, str]:
    return {**choice, **{op: swap.name for swap in swaps for op in problem.groups[swap.group]}}
