"""What follows from a recipe, as it was planned on the device that recorded it: kernels, refusals, formats, casts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from explorer.graph import ModelGraph, Op
from explorer.kernels import StaticScale
from explorer.recipe import Recipe
from explorer.run import Plan
from explorer.tables import CAST_COLUMNS

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class RecordedKernel:
    """A kernel by its name; it cannot be run."""

    name: str
    emulated: bool


@dataclass(frozen=True)
class RecordedSite:
    """Of a site, the values that its op multiplies."""

    operands: tuple[str, ...]


@dataclass(frozen=True)
class RecordedStep:
    """One op of a recorded plan, as :class:`explorer.run.Step` has it."""

    op: Op
    site: RecordedSite
    kernel: RecordedKernel
    takes: Mapping[str, str]
    gives: str
    refusal: str

    @property
    def emulated(self) -> bool:
        return self.kernel.emulated


@dataclass(frozen=True, eq=False)
class RecordedPlan:
    """The steps of a recorded plan that have a kernel, with its shapes, static scales and casts."""

    graph: ModelGraph
    recipe: Recipe
    steps: tuple[RecordedStep, ...]
    shapes: Shapes
    scales: Mapping[str, StaticScale]
    casts: pd.DataFrame
    predicted_ms: float | None

    @cached_property
    def step_of(self) -> Mapping[str, RecordedStep]:
        return {step.op.id: step for step in self.steps}

    @property
    def formats_out(self) -> dict[str, str]:
        """Op id -> the format that flows out of it."""
        return {step.op.id: step.gives for step in self.steps if step.op.has_precision}

    @property
    def emulated(self) -> tuple[str, ...]:
        """Ids of the emulated ops."""
        return tuple(step.op.id for step in self.steps if step.emulated)


def plan_entry(plan: Plan, casts: pd.DataFrame, predicted_ms: float | None) -> dict[str, Any]:
    """A plan as plain values; what all plans of the graph share (shapes, operands) is recorded once, elsewhere."""
    steps = [
        [step.op.id, step.kernel.name, step.emulated, step.selection.reason if step.selection else "",
         dict(step.takes), step.gives]
        for step in plan.steps if step.kernel is not None
    ]  # fmt: skip
    return {
        "steps": steps,
        "scales": {name: [fixed.scale, fixed.zero_point] for name, fixed in plan.scales.items()},
        "casts": [[list(each) if isinstance(each, tuple) else each for each in row] for row in _rows(casts)],
        "predicted_ms": predicted_ms,
    }


def _rows(casts: pd.DataFrame) -> list[list[Any]]:
    return [list(row.values()) for row in casts[CAST_COLUMNS].to_dict("records")]


def plan_from(
    entry: Mapping[str, Any], recipe: Recipe, graph: ModelGraph, shapes: Shapes, operands: Mapping[str, list[str]]
) -> RecordedPlan:
    """The plan of an entry."""
    steps = tuple(
        RecordedStep(
            graph.by_id[op],
            RecordedSite(tuple(operands.get(op, ()))),
            RecordedKernel(kernel, bool(emulated)),
            takes,
            gives,
            refusal,
        )
        for op, kernel, emulated, refusal, takes, gives in entry["steps"]
    )
    scales = {name: StaticScale(float(scale), int(zero)) for name, (scale, zero) in entry["scales"].items()}
    casts = pd.DataFrame(entry["casts"], columns=CAST_COLUMNS)
    casts["consumers"] = [tuple(each) for each in casts["consumers"]]
    return RecordedPlan(graph, recipe, steps, shapes, scales, casts, entry["predicted_ms"])
