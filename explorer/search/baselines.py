"""What a search is compared with: one op at a time by the best ratio, and choices at random."""

from __future__ import annotations

import math
import random

from explorer.search.problem import Choice, Problem, meets

TRIES = 400


Path = list[tuple[float, dict[str, str]]]
"""What is used, and by which choice, step after step."""


def greedy_path(problem: Problem, start: Choice) -> Path:
    """Return the steps of a greedy search: the op with the least quality lost per unit freed goes next, and stays.

    From ``start`` (FP32 everywhere), one op (or tied group) at a time, until no change frees anything.
    """
    chosen, spent = dict(start), problem.spent_by(start)
    ratios: dict[tuple[int, str], float] = {}
    stale: set[int] = set(range(len(problem.groups)))
    path = [(spent, chosen)]
    while True:
        for group in stale:
            ratios = {key: ratio for key, ratio in ratios.items() if key[0] != group} | _ratios(problem, chosen, group)
        if not ratios:
            return path
        group, name = min(ratios, key=lambda key: ratios[key])
        ops = problem.groups[group]
        spent += problem.spent_more(chosen, ops, name)
        chosen = {**chosen, **dict.fromkeys(ops, name)}
        path.append((spent, chosen))
        stale = {problem.group_of[op] for op in problem.around(ops)}


def greedy(path: Path, budget: float) -> dict[str, str] | None:
    """Return the first choice on a greedy path that is within ``budget``, None where none is."""
    return next((choice for spent, choice in path if meets(spent, budget)), None)


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
        chosen = {**chosen, **dict.fromkeys(problem.groups[group], generator.choice(problem.options(group)))}
    return None
