"""Lowering: a plan as one plain Python function, with nothing per op but the calls themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.kernels import CARRIERS
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan


@dataclass(frozen=True, eq=False)
class Lowered:
    """A callable ``(*inputs) -> output`` in FP32, and the Python ``source`` that it was compiled from."""

    function: Callable[..., Tensor]
    source: str

    @torch.no_grad()
    def __call__(self, *inputs: Any) -> Tensor:
        return self.function(*inputs)


def lower(plan: Plan, kernels: KernelCache) -> Lowered:
    """Return ``plan`` as a plain callable: weights packed, each cast done once, each value freed after its last use."""
    graph, formats = plan.graph, plan.format_of
    names: dict[str, Any] = {}
    lines: list[str] = []
    held: dict[str, str] = {name: f"v_{name}" for name in graph.inputs}

    def read(value: str, carrier: str | None) -> str:
        if carrier is None or formats[value] == carrier:
            return held[value]
        variable = f"{held[value]}_{carrier.replace(':', '_')}"
        if variable not in alive:
            convert = f"to_{carrier.replace(':', '_')}"
            names[convert] = CARRIERS[carrier].convert
            lines.append(f"{variable} = {convert}({held[value]})")
            alive.add(variable)
        return variable

    alive: set[str] = set()
    for position, step in enumerate(plan.steps):
        call = f"k{position}"
        names[call] = kernels.call(step)
        arguments = ", ".join(read(name, step.takes.get(name)) for name in step.site.inputs)
        held[step.op.name] = f"v_{step.op.name}"
        lines.append(f"{held[step.op.name]} = {call}({arguments})  # {step.op.id}")
        dead = [held[name] for name in plan.dying[position] if name in held]
        dead += [v for v in sorted(alive) if any(v.startswith(f"{d}_") and v[len(d) + 1 :] in _SUFFIXES for d in dead)]
        alive.difference_update(dead)
        if dead:
            lines.append(f"del {', '.join(dead)}")
    result = read(graph.output.name, "fp32")
    parameters = ", ".join(held[name] for name in graph.inputs)
    source = "\n    ".join([f"def forward({parameters}):", *lines, f"return {result}"])
    exec(compile(source, f"<lowered {plan.recipe.hash}>", "exec"), names)  # noqa: S102  our own text
    return Lowered(names["forward"], source)


_SUFFIXES = {name.replace(":", "_") for name in CARRIERS}
