"""Lowering: a plan as one Python function without a loop or a lookup, every tensor freed after its last use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.run.execute import KernelCache
from explorer.run.plan import Plan
from explorer.run.schedule import Schedule, Slot, make_schedule


@dataclass(frozen=True, eq=False)
class Lowered:
    """A callable ``(*inputs) -> output`` in FP32, and the Python ``source`` that it was compiled from."""

    function: Callable[..., Tensor]
    source: str
    schedule: Schedule

    @torch.no_grad()
    def __call__(self, *inputs: Any) -> Tensor:
        return self.function(*inputs)


def lower(plan: Plan, kernels: KernelCache) -> Lowered:
    """Return ``plan`` as a plain callable that makes the calls of its schedule (:mod:`explorer.run.schedule`)."""
    schedule = make_schedule(plan, kernels)
    names: dict[str, Any] = {}
    lines: list[str] = []
    for index, call in enumerate(schedule.calls):
        names[f"k{index}"] = call.function
        arguments = ", ".join(_variable(slot, plan) for slot in call.reads)
        lines.append(f"{_variable(call.makes, plan)} = k{index}({arguments})  # {' + '.join((call.id, *call.inside))}")
        if call.frees:
            lines.append(f"del {', '.join(_variable(slot, plan) for slot in call.frees)}")
    parameters = ", ".join(f"v_{name}" for name in plan.graph.inputs)
    result = f"return {_variable(schedule.output, plan)}"
    source = "\n    ".join([f"def forward({parameters}):", *lines, result])
    exec(compile(source, f"<lowered {plan.recipe.hash}>", "exec"), names)  # noqa: S102  our own text
    return Lowered(names["forward"], source, schedule)


def _variable(slot: Slot, plan: Plan) -> str:
    """The variable that holds a slot: named after the value, and after the carrier where it was converted."""
    name, carrier = slot
    return f"v_{name}" if plan.format_of.get(name, "") == carrier else f"v_{name}_{carrier.replace(':', '_')}"
