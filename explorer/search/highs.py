"""Programmes handed to HiGHS, the solver in scipy: without integers for a bound, with them for the best choice."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.search.programme import Programme
from explorer.search.silence import silence

Floats = NDArray[np.float64]
INFEASIBLE = 2
"""What scipy's solver returns where nothing is within the limits."""
SCALE = 1e3
"""What the largest part of the objective is scaled to, so that the solver's absolute gap of 1e-6 is far below ours."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The best without integers: values of the columns, the bound on every choice, and what each column adds to it."""

    values: Floats
    bound: float
    reduced: Floats


def relax(programme: Programme, objective: Floats) -> Relaxed | None:
    """Return the relaxation, or None where nothing is within the limits."""
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    matrix, lower, upper = programme.matrix, np.array(programme.lower), np.array(programme.upper)
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
    return Relaxed(found.x, float(found.fun) / scale, found.lower.marginals / scale)


@dataclass(frozen=True)
class Effort:
    """How near to the best a solution must be (a fraction of its cost), and after how many seconds to stop."""

    gap: float
    seconds: float


def solve_integers(programme: Programme, objective: Floats, effort: Effort) -> tuple[Floats | None, float]:
    """Return the values of all columns (None where none were found) and a bound on what any choice costs.

    The bound is infinite where no choice is within the limits. Columns that follow from the choices are declared whole
    numbers too, as they are whenever the choices are: the solver then has nothing to repair after it rounds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    scale = _scale(objective)
    limit = {"time_limit": effort.seconds} if math.isfinite(effort.seconds) else {}
    integral = [column not in programme.continuous for column in range(len(programme.quality))]
    with silence() if programme.continuous else nullcontext():
        found: Any = milp(
            objective * scale,
            integrality=np.array(integral, dtype=int),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(programme.matrix, programme.lower, programme.upper),
            options={"mip_rel_gap": effort.gap} | limit,
        )
    if found.status == INFEASIBLE:
        return None, math.inf
    bound = -math.inf if found.mip_dual_bound is None else float(found.mip_dual_bound) / scale
    return found.x, bound


def _scale(objective: Floats) -> float:
    largest = float(np.abs(objective).max(initial=0.0))
    return SCALE / largest if largest else 1.0
