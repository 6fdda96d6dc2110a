"""What a search is compared with: one op at a time by the best ratio, and choices at random."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from explorer.search.problem import Choice, Problem, meets

TRIES = 400


def greedy(problem: Problem, start: Choice, budgets: Sequence[float]) -> dict[float, dict[str, str]]:
    """Return for each budget what a greedy search finds: the op with the least quality lost per unit freed goes next.

    It starts from ``start`` (FP32 everywhere), changes one op (or tied group) at a time and never goes back, so one
    run passes by all budgets; those that it does not reach are left out.
    """
    chosen, spent = dict(start), problem.spent_by(start)
    ratios: dict[tuple[int, str], float] = {}
    stale: set[int] = set(range(len(problem.groups)))
    found: dict[float, dict[str, str]] = {}
    left = sorted(budgets, reverse=True)
    while left:
        while left and meets(spent, left[0]):
            found[left.pop(0)] = dict(chosen)
        for group in stale:
            ratios = {key: ratio for key, ratio in ratios.items() if key[0] != group} | _ratios(problem, chosen, group)
        if not left or not ratios:
            break
        group, name = min(ratios, key=lambda key: ratios[key])
        ops = problem.groups[group]
        chosen |= dict.fromkeys(ops, name)
        spent = problem.spent_by(chosen)
        stale = {problem.group_of[op] for op in problem.around(ops)}
    return found


def _ratios(problem: Problem, choice: Choice, group: int) -> dict[tuple[int, str], float]:
    """Quality lost per unit freed of each change of a group that frees anything."""
    ops = problem.groups[group]
    found = {}
    for name in problem.options(group):
        freed = -problem.spent_more(choice, ops, name) if name != choice[ops[0]] else 0.0
        if freed > 0:
            lost = sum(problem.quality[op][name] - problem.quality[op][choice[op]] for op in ops)
            found[group, name] = lost / freed if lost > 0 else -math.inf
    return found


def randomly(problem: Problem, start: Choice, budget: float, seed: int) -> dict[str, str] | None:
    """Return a choice within ``budget`` at random, or None where :data:`TRIES` changes of random ops reach none.

    From ``start``, ops in random order take a random precision until the budget is met.
    """
    generator = random.Random(seed)  # noqa: S311  a baseline, no secret
    chosen = dict(start)
    for _ in range(TRIES):
        if meets(problem.spent_by(chosen), budget):
            return chosen
        group = generator.randrange(len(problem.groups))
        chosen |= dict.fromkeys(problem.groups[group], generator.choice(problem.options(group)))
    return None
