"""The best choice under a budget, exactly: a multiple-choice knapsack as an integer programme, casts in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from explorer.search.dominance import undominated, without_beaten
from explorer.search.highs import Effort, Relaxed, relax, solve_integers
from explorer.search.prices import Linear
from explorer.search.problem import Choice, Problem, meets
from explorer.search.programme import Programme, write
from explorer.search.starts import start_within
from explorer.search.swaps import improve

Floats = NDArray[np.float64]
GAP = 1e-4
"""A solution is taken once no choice can be better by more than this fraction of its cost."""
SECONDS, SMALL = 0.2, 300
"""Branch and bound stops after so long where there are more than so many columns, which problems of hundreds of ops may
take: what swaps made of the rounded relaxation is then taken where it is better, and the gap says what was proven (1e-3
is typical). Smaller ones are done in milliseconds, and to the end however busy the machine is."""
SHARE, MOST_ROUNDED = 1e-6, 64
"""Of a relaxation, what counts as a share of a choice; and how many ways to round it are tried."""


@dataclass(frozen=True)
class Solution:
    """The best choice: ``quality`` is its cost op by op, ``spent`` what it uses up.

    No choice within the limit is better by more than ``gap``, a fraction of what is minimised.
    """

    choice: Choice
    quality: float
    spent: float
    gap: float


def cheapest(problem: Problem, budget: float) -> Solution | None:
    """Return the choice of least quality cost that uses up at most ``budget``; None where no choice does."""
    start = start_within(problem, budget)
    if start is None:
        return _solve(undominated(problem), _Goal(budget=budget))
    kept = undominated(problem, problem.quality_of(start))
    return _solve(kept, _Goal(budget=budget), without_beaten(problem, kept, start))


def least(problem: Problem, most: float = math.inf) -> Solution | None:
    """Return the choice that uses up least at a quality cost of at most ``most``; None where each costs more."""
    return _solve(undominated(problem, most), _Goal(most=most))


@dataclass(frozen=True)
class _Goal:
    """What is minimised: quality where there is a budget, else what is spent, under a limit of quality or none."""

    budget: float = math.inf
    most: float = math.inf

    @property
    def of_quality(self) -> bool:
        return math.isfinite(self.budget)

    def value(self, problem: Problem, choice: Choice) -> float:
        return problem.quality_of(choice) if self.of_quality else problem.spent_by(choice) - problem.fixed

    def allows(self, problem: Problem, choice: Choice) -> bool:
        if self.of_quality:
            return meets(problem.spent_by(choice), self.budget)
        return math.isinf(self.most) or meets(problem.quality_of(choice), self.most)


def _solve(kept: Problem, goal: _Goal, first: dict[str, str] | None = None) -> Solution | None:
    """Solve the relaxation, round it, and solve exactly what could still be better: by reduced costs, very little.

    first: an allowed choice, from which swaps set out where rounding finds none.
    """
    if any(not kept.options(group) for group in range(len(kept.groups))):
        return None
    programme, objective = _pose(kept, goal)
    relaxed = relax(programme, objective)
    if relaxed is None:
        return None
    found = _round(kept, programme, relaxed, goal) or first
    if found is not None and goal.of_quality:
        found = improve(kept, Linear(kept), found, goal.budget)
    best = math.inf if found is None else goal.value(kept, found)
    if found is not None and best - relaxed.bound <= GAP * abs(best):
        return _solution(kept, goal, found, relaxed.bound)
    narrow = _narrow(kept, programme, relaxed, best - relaxed.bound + GAP * abs(best))
    posed, objective = _pose(narrow, goal)
    effort = Effort(GAP, SECONDS if len(objective) > SMALL else math.inf)
    values, bound = solve_integers(posed, objective, effort)
    if values is not None:
        solved = _read(narrow, posed, values)
        found = solved if goal.value(kept, solved) <= best else found
    return None if found is None else _solution(kept, goal, found, max(bound, relaxed.bound))


def _pose(problem: Problem, goal: _Goal) -> tuple[Programme, Floats]:
    """The programme with its limit, and the objective of its columns."""
    programme = write(problem)
    quality, spent = np.array(programme.quality), np.array(programme.spent)
    if goal.of_quality:
        programme.limit(spent, goal.budget - problem.fixed)
    elif math.isfinite(goal.most):
        programme.limit(quality, goal.most)
    return programme, quality if goal.of_quality else spent


def _solution(problem: Problem, goal: _Goal, choice: Choice, bound: float) -> Solution:
    """The solution with its gap. No choice that could be better is below ``bound``: above the best, there is none."""
    best = goal.value(problem, choice)
    gap = 1 - min(bound, best) / best if best else 0.0
    return Solution(choice, problem.quality_of(choice), problem.spent_by(choice), max(gap, 0.0))


def _read(problem: Problem, programme: Programme, values: Floats) -> dict[str, str]:
    """The choice whose columns have the largest values."""
    return {
        op: max(problem.options(index), key=lambda name: values[programme.column[index, name]])
        for index, group in enumerate(problem.groups)
        for op in group
    }


def _round(problem: Problem, programme: Programme, relaxed: Relaxed, goal: _Goal) -> dict[str, str] | None:
    """The best allowed choice among those that the relaxation takes a share of; None without any."""
    base = _read(problem, programme, relaxed.values)
    shares = [
        [(group, name) for name in problem.options(index) if relaxed.values[programme.column[index, name]] > SHARE]
        for index, group in enumerate(problem.groups)
    ]
    open_ = [options for options in shares if len(options) > 1]
    found: list[dict[str, str]] = []
    for picked in islice(product(*open_), MOST_ROUNDED):
        choice = base | {op: name for group, name in picked for op in group}
        if goal.allows(problem, choice):
            found.append(choice)
    return min(found, key=lambda choice: goal.value(problem, choice), default=None)


def _narrow(problem: Problem, programme: Programme, relaxed: Relaxed, room: float) -> Problem:
    """``problem`` without the choices that would take the bound more than ``room`` further."""
    if math.isinf(room):
        return problem
    kept = {
        op: {
            name: problem.quality[op][name]
            for name in problem.options(index)
            if relaxed.reduced[programme.column[index, name]] <= room
        }
        for index, group in enumerate(problem.groups)
        for op in group
    }
    return replace(problem, quality=kept)
