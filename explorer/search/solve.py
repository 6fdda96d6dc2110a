"""The best choice under a budget, exactly: a multiple-choice knapsack as an integer programme, casts in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.search.prices import Linear
from explorer.search.problem import ROUNDING, Choice, Condition, Joint, Problem, Shared, meets
from explorer.search.silence import silence
from explorer.search.swaps import improve

Floats = NDArray[np.float64]
GAP = 1e-4
"""A solution is taken once no choice can be better by more than this fraction of its cost."""
SECONDS = 0.3
"""Branch and bound also stops after so long, which problems of hundreds of ops may take: what swaps made of the rounded
relaxation is then taken where it is better, and the gap says what was proven (1e-3 is typical)."""
INFEASIBLE = 2
"""What scipy's solver returns where nothing is within the limits."""
SCALE = 1e3
"""What the largest part of the objective is scaled to, so that the solver's absolute gap of 1e-6 is far below ours."""
BISECTIONS, LEAST_PRICE, MOST_PRICE = 12, 1e-18, 1e6
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
    start = _start(problem, budget)
    kept = _prune(problem, math.inf if start is None else problem.quality_of(start))
    return _solve(kept, _Goal(budget=budget))


def least(problem: Problem, most: float = math.inf) -> Solution | None:
    """Return the choice that uses up least at a quality cost of at most ``most``; None where each costs more."""
    return _solve(_prune(problem, most), _Goal(most=most))


# The integer programme


@dataclass
class _Programme:
    """Columns and rows as they are written: ``quality`` and ``spent`` of each column, rows as sparse entries.

    The first ``binary`` columns are the choices; those after them follow from these and need not be integers.
    """

    column: dict[tuple[int, str], int] = field(default_factory=dict)
    quality: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    binary: int = 0
    continuous: set[int] = field(default_factory=set)

    def add_column(self, quality: float, spent: float) -> int:
        self.quality.append(quality)
        self.spent.append(spent)
        return len(self.quality) - 1

    def add_row(self, entries: Iterable[tuple[int, float]], lower: float, upper: float) -> None:
        row = len(self.lower)
        self.entries.extend((row, column, value) for column, value in entries)
        self.lower.append(lower)
        self.upper.append(upper)


def _write(problem: Problem) -> _Programme:
    programme = _Programme()
    for index, group in enumerate(problem.groups):
        for name in problem.options(index):
            quality = sum(problem.quality[op][name] for op in group)
            programme.column[index, name] = programme.add_column(quality, sum(problem.spent[op][name] for op in group))
    programme.binary = len(programme.quality)
    for index in range(len(problem.groups)):
        programme.add_row([(programme.column[index, name], 1.0) for name in problem.options(index)], 1.0, 1.0)
    for shared in problem.shared:
        _write_shared(programme, problem, shared)
    for joint in problem.joint:
        _write_joint(programme, problem, joint)
    _write_peaks(programme, problem)
    return programme


def _columns(programme: _Programme, problem: Problem, condition: Condition) -> list[int]:
    """The columns of which one is chosen exactly when a condition holds."""
    op, names = condition
    group = problem.group_of[op]
    return [programme.column[group, name] for name in problem.options(group) if name in names]


def _write_shared(programme: _Programme, problem: Problem, shared: Shared) -> None:
    if shared.cost > 0:
        _add_shared(programme, problem, shared, shared.cost)


def _add_shared(programme: _Programme, problem: Problem, shared: Shared, spent: float) -> int | None:
    """Add a column y >= (reader wants it) - (maker gives it) for every reader; what it costs keeps it no larger.

    Returns the column, None where nothing ever wants it.
    """
    given = [] if shared.maker is None else _columns(programme, problem, shared.maker)
    readers = [[] if reader is None else _columns(programme, problem, reader) for reader in shared.readers]
    always = None in shared.readers
    wanted = [columns for columns in readers if columns]
    if not (always or wanted):
        return None
    paid = programme.add_column(0.0, spent)
    for columns in [[]] if always else wanted:
        # Tied ops may stand on both sides of the row, where they cancel.
        weights: dict[int, float] = {paid: 1.0}
        for column in columns:
            weights[column] = weights.get(column, 0.0) - 1.0
        for column in given:
            weights[column] = weights.get(column, 0.0) + 1.0
        programme.add_row(weights.items(), 1.0 if always else 0.0, math.inf)
    return paid


def _write_peaks(programme: _Programme, problem: Problem) -> None:
    """One column, the largest of the peaks as a share of the most that can be held, and a row for each of them."""
    most = max((peak.bounds()[1] for peak in problem.peaks), default=0.0)
    if not most:
        return
    largest = programme.add_column(0.0, most)
    programme.continuous.add(largest)
    casts: dict[Shared, int | None] = {}
    for peak in problem.peaks:
        weights: dict[int, float] = {largest: 1.0}
        for op, sizes in peak.alone.items():
            group = problem.group_of[op]
            for name in problem.options(group):
                column = programme.column[group, name]
                weights[column] = weights.get(column, 0.0) - sizes[name] / most
        for shared in peak.shared:
            if shared not in casts:
                casts[shared] = _add_shared(programme, problem, shared, 0.0)
            if (held := casts[shared]) is not None:
                weights[held] = weights.get(held, 0.0) - shared.cost / most
        programme.add_row(weights.items(), peak.fixed / most, math.inf)


def _write_joint(programme: _Programme, problem: Problem, joint: Joint) -> None:
    """One column: at most what each condition allows where it saves, at least what all force where it costs."""
    conditions = [_columns(programme, problem, condition) for condition in joint.conditions]
    if joint.cost == 0 or not all(conditions):
        return
    both = programme.add_column(0.0, joint.cost)
    if joint.cost < 0:
        for columns in conditions:
            programme.add_row([(both, 1.0), *((column, -1.0) for column in columns)], -math.inf, 0.0)
        return
    weights: dict[int, float] = {both: 1.0}
    for column in (column for columns in conditions for column in columns):
        weights[column] = weights.get(column, 0.0) - 1.0
    programme.add_row(weights.items(), 1.0 - len(conditions), math.inf)


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


def _solve(kept: Problem, goal: _Goal) -> Solution | None:
    """Solve the relaxation, round it, and solve exactly what could still be better: by reduced costs, very little."""
    if any(not kept.options(group) for group in range(len(kept.groups))):
        return None
    programme, objective = _pose(kept, goal)
    relaxed = _relax(programme, objective)
    if relaxed is None:
        return None
    found = _round(kept, programme, relaxed, goal)
    if found is not None and goal.of_quality:
        found = improve(kept, Linear(kept), found, goal.budget)
    best = math.inf if found is None else goal.value(kept, found)
    if found is not None and best - relaxed.bound <= GAP * abs(best):
        return _solution(kept, goal, found, relaxed.bound)
    narrow = _narrow(kept, programme, relaxed, best - relaxed.bound + GAP * abs(best))
    posed, objective = _pose(narrow, goal)
    values, bound = _integers(posed, objective)
    if values is not None:
        solved = _read(narrow, posed, values)
        found = solved if goal.value(kept, solved) <= best else found
    return None if found is None else _solution(kept, goal, found, max(bound, relaxed.bound))


def _pose(problem: Problem, goal: _Goal) -> tuple[_Programme, Floats]:
    """The programme with its limit, and the objective of its columns."""
    programme = _write(problem)
    quality, spent = np.array(programme.quality), np.array(programme.spent)
    if goal.of_quality:
        _limit(programme, spent, goal.budget - problem.fixed)
    elif math.isfinite(goal.most):
        _limit(programme, quality, goal.most)
    return programme, quality if goal.of_quality else spent


def _solution(problem: Problem, goal: _Goal, choice: Choice, bound: float) -> Solution:
    """The solution with its gap. No choice that could be better is below ``bound``: above the best, there is none."""
    best = goal.value(problem, choice)
    gap = 1 - min(bound, best) / best if best else 0.0
    return Solution(choice, problem.quality_of(choice), problem.spent_by(choice), max(gap, 0.0))


def _read(problem: Problem, programme: _Programme, values: Floats) -> dict[str, str]:
    """The choice whose columns have the largest values."""
    return {
        op: max(problem.options(index), key=lambda name: values[programme.column[index, name]])
        for index, group in enumerate(problem.groups)
        for op in group
    }


def _limit(programme: _Programme, weights: Floats, most: float) -> None:
    scale = 1.0 / max(float(np.abs(weights).max(initial=0.0)), abs(most), 1e-300)
    programme.add_row(
        [(at, float(value) * scale) for at, value in enumerate(weights) if value], -math.inf, most * scale
    )


def _matrix(programme: _Programme) -> Any:
    from scipy.sparse import csr_array

    rows, columns, values = zip(*programme.entries, strict=True)
    return csr_array((values, (rows, columns)), shape=(len(programme.lower), len(programme.quality)))


def _scale(objective: Floats) -> float:
    largest = float(np.abs(objective).max(initial=0.0))
    return SCALE / largest if largest else 1.0


@dataclass(frozen=True, eq=False)
class _Relaxed:
    """The best without integers: values of the columns, the bound on every choice, and what each column adds to it."""

    values: Floats
    bound: float
    reduced: Floats


def _relax(programme: _Programme, objective: Floats) -> _Relaxed | None:
    """Return the relaxation, or None where nothing is within the limits."""
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    matrix, lower, upper = _matrix(programme), np.array(programme.lower), np.array(programme.upper)
    equal = lower == upper
    below, above = ~equal & np.isfinite(upper), ~equal & np.isfinite(lower)
    scale = _scale(objective)
    found: Any = linprog(
        objective * scale,
        A_ub=vstack([matrix[below], -matrix[above]]).tocsr() if (below | above).any() else None,
        b_ub=np.concatenate([upper[below], -lower[above]]) if (below | above).any() else None,
        A_eq=matrix[equal],
        b_eq=upper[equal],
        bounds=(0, 1),
        method="highs-ds",
    )
    if found.x is None:
        return None
    return _Relaxed(found.x, float(found.fun) / scale, found.lower.marginals / scale)


def _integers(programme: _Programme, objective: Floats) -> tuple[Floats | None, float]:
    """Return the values of all columns (None where none were found) and a bound on what any choice costs.

    The bound is infinite where no choice is within the limits. Columns that follow from the choices are declared whole
    numbers too, as they are whenever the choices are: the solver then has nothing to repair after it rounds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    scale = _scale(objective)
    integral = [column not in programme.continuous for column in range(len(programme.quality))]
    with silence():
        found: Any = milp(
            objective * scale,
            integrality=np.array(integral, dtype=int),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(_matrix(programme), programme.lower, programme.upper),
            options={"mip_rel_gap": GAP, "time_limit": SECONDS},
        )
    if found.status == INFEASIBLE:
        return None, math.inf
    bound = -math.inf if found.mip_dual_bound is None else float(found.mip_dual_bound) / scale
    return found.x, bound


# What makes it small


def _round(problem: Problem, programme: _Programme, relaxed: _Relaxed, goal: _Goal) -> dict[str, str] | None:
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


def _narrow(problem: Problem, programme: _Programme, relaxed: _Relaxed, room: float) -> Problem:
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


def _start(problem: Problem, budget: float) -> dict[str, str] | None:
    """A choice within the budget, found quickly: the best op by op at one price per unit spent."""
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


def _prune(problem: Problem, most: float) -> Problem:
    """``problem`` without choices that cost more than ``most`` by themselves, and without those that another one beats.

    One choice beats another of its op where it costs no more quality, uses up no more, and looks the same to all that
    is paid together.
    """
    seen = _roles(problem)
    held = {
        (op, name): size for peak in problem.peaks for op, sizes in peak.alone.items() for name, size in sizes.items()
    }
    kept: dict[str, tuple[str, ...]] = {}
    for index, group in enumerate(problem.groups):
        rows = [
            (_sum(problem.quality, group, name), _sum(problem.spent, group, name), name)
            for name in problem.options(index)
        ]
        fronts: dict[tuple[float, ...], float] = {}
        names = []
        for quality, spent, name in sorted(rows):
            terms = sorted(term for op in group for term in seen.get((op, name), ()))
            role = (*terms, *(held.get((op, name), 0.0) for op in group))
            if quality > most * (1 + ROUNDING) or spent >= fronts.get(role, math.inf):
                continue
            fronts[role] = spent
            names.append(name)
        kept |= dict.fromkeys(group, tuple(names))
    return replace(problem, quality={op: {name: problem.quality[op][name] for name in kept[op]} for op in problem.ops})


def _roles(problem: Problem) -> Mapping[tuple[str, str], list[int]]:
    """(Op, precision) -> numbers of the conditions that it meets."""
    found: dict[tuple[str, str], list[int]] = {}
    conditions: list[Condition] = []
    for shared in (*problem.shared, *(term for peak in problem.peaks for term in peak.shared)):
        conditions += [each for each in (*shared.readers, shared.maker) if each is not None]
    for joint in problem.joint:
        conditions += joint.conditions
    numbers = {condition: number for number, condition in enumerate(dict.fromkeys(conditions))}
    for (op, names), number in numbers.items():
        for name in names:
            found.setdefault((op, name), []).append(number)
    return found
