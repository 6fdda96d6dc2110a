"""What is asked of a search: what must be small, within which limit, from which precisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal

from explorer.errors import RecipeError
from explorer.graph import ModelGraph
from explorer.precision import find_precision
from explorer.predict.price import Pricer
from explorer.recipe import BASELINE
from explorer.run import Planner
from explorer.search.constraints import Constraints, Options, restrict

Objective = Literal["latency", "memory", "bits"]
UNITS: Mapping[str, str] = {"latency": "ms", "memory": "bytes", "bits": "bits per weight"}


@dataclass(frozen=True)
class Goal:
    """What to search for.

    objective: what is scarce: ``"latency"`` (milliseconds of a batch), ``"memory"`` (bytes of weights, scales and
    activations at their peak) or ``"bits"`` (effective bits of a weight, scales included). budget: how much of it a
    proposal may use, at the least quality cost; or max_cost: what quality may cost (nats per sample or token, or
    squared error), using as little as possible. With neither, the whole front. precisions: those to choose from besides
    FP32 (default all of the map).
    """

    objective: Objective = "latency"
    budget: float | None = None
    max_cost: float | None = None
    precisions: tuple[str, ...] | None = None
    constraints: Constraints = field(default_factory=Constraints)

    def __post_init__(self) -> None:
        if self.objective not in UNITS:
            raise RecipeError(
                f"search for the least {self.objective!r}", "no such objective", f"one of {', '.join(UNITS)}"
            )
        if self.budget is not None and self.max_cost is not None:
            raise RecipeError(
                "search with a budget and a max_cost", "either one leaves the other to be found", "one of both"
            )
        for name, limit in (("budget", self.budget), ("max_cost", self.max_cost)):
            if limit is not None and not (isinstance(limit, Real) and 0 <= limit < math.inf):
                raise RecipeError(
                    f"search with {name}={limit!r}", "it is no finite number from 0 on", "a positive number"
                )
        if not isinstance(self.constraints, Constraints):
            found = f"they are a {type(self.constraints).__name__}"
            raise RecipeError("search under constraints", found, "Constraints(locked={...}, ...) of explorer.search")

    @property
    def unit(self) -> str:
        return UNITS[self.objective]

    def words(self, amount: float) -> str:
        """``amount`` of the objective with its unit."""
        if self.objective == "memory":
            return f"{amount / 2**20:.4g} MiB"
        return f"{amount:.4g} {self.unit}"


def options_of(graph: ModelGraph, planner: Planner, pricer: Pricer, goal: Goal) -> Options:
    """Return for every row of the graph the precisions to choose from, within the constraints; FP32 alone elsewhere.

    A choice needs a finite predicted cost and a kernel; where time is scarce a real one: the time of an emulation says
    nothing about its precision. Raises as :func:`explorer.search.constraints.restrict` does.
    """
    asked = pricer.map.precisions if goal.precisions is None else goal.precisions
    names = tuple(dict.fromkeys((BASELINE, *(find_precision(name).name for name in asked))))

    def able(op: str, name: str) -> bool:
        if name == BASELINE:
            return True
        option = planner.option(op, name)
        real = goal.objective != "latency" or not option.emulated
        return option.possible and real and math.isfinite(pricer.costs.get((op, name), math.nan))

    options = {op.id: tuple(name for name in names if able(op.id, name)) for op in graph.rows}
    return restrict(graph, options, goal.constraints)
