"""Why a search chose what it chose, op by op, in a few words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from explorer.recipe import BASELINE, Recipe
from explorer.search.problem import Choice, Problem

SHOWN = 1e-3
"""Amounts below this fraction of the whole are not worth a word."""


def explain(recipe: Recipe, problem: Problem, choice: Choice, amount: Callable[[float], str], unit: str) -> Recipe:
    """Return ``recipe`` (which makes ``choice``) with the reason of each op that there was a choice for.

    amount: words for an amount of the budget. unit: of quality costs.
    """
    whole = abs(problem.spent_by(choice)) or 1.0
    reasons: dict[tuple[str, str], list[str]] = {}
    for group, ops in enumerate(problem.groups):
        if len(problem.options(group)) < 2:
            continue
        for op in ops:
            words = _reason(problem, choice, op, whole, amount, unit)
            reasons.setdefault((choice[op], words), []).append(op)
    for (name, words), alike in reasons.items():
        recipe = recipe.with_precision(alike, name, f"search: {words}")
    return recipe


def _reason(problem: Problem, choice: Choice, op: str, whole: float, amount: Callable[[float], str], unit: str) -> str:
    name, costs = choice[op], problem.quality[op]
    saves = {other: -problem.spent_more(choice, (op,), other) for other in costs if other != name}
    if name == BASELINE or costs[name] == 0:
        return _kept(name, costs, saves, whole, amount, unit)
    words = f"{name} costs {costs[name]:.1g} {unit}"
    saved = -saves.get(BASELINE, math.nan)
    if saved > SHOWN * whole:
        words += f" and saves {amount(saved)}"
    elif not math.isnan(saved):
        words += " and spares its neighbours casts" if saved > 0 else " and keeps its neighbours' format"
    next_ = min(
        (other for other, more in saves.items() if more > SHOWN * whole), key=lambda other: costs[other], default=""
    )
    return f"{words}; {next_} would cost {_times(costs[next_], costs[name])}" if next_ else words


def _kept(
    name: str,
    costs: Mapping[str, float],
    saves: Mapping[str, float],
    whole: float,
    amount: Callable[[float], str],
    unit: str,
) -> str:
    """Why an op stays in FP32 (or in what costs nothing)."""
    able = {other: more for other, more in saves.items() if more > SHOWN * whole}
    if not able:
        return f"{name}, as nothing else saves anything here"
    best = min(able, key=lambda other: costs[other] / able[other])
    return f"{name}, as {best} would cost {costs[best]:.1g} {unit} to save {amount(able[best])}"


def _times(other: float, mine: float) -> str:
    ratio = other / mine if mine else math.inf
    return f"{ratio:.2g} times that" if ratio < 1e6 else "far more"
