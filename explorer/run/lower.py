"""Lowering: a plan as one plain Python function, with nothing per op but the calls themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.kernels import CARRIERS, Post
from explorer.run.execute import KernelCache
from explorer.run.fuse import FusedAdd, find_adds, find_overwrites
from explorer.run.plan import Plan, Step


@dataclass(frozen=True, eq=False)
class Lowered:
    """A callable ``(*inputs) -> output`` in FP32, and the Python ``source`` that it was compiled from."""

    function: Callable[..., Tensor]
    source: str

    @torch.no_grad()
    def __call__(self, *inputs: Any) -> Tensor:
        return self.function(*inputs)


def lower(plan: Plan, kernels: KernelCache) -> Lowered:
    """Return ``plan`` as a plain callable: weights packed, each cast done once, each value freed after its last use.

    Adds go into the products before them, and results over inputs that die, where that changes no bit
    (:mod:`explorer.run.fuse`).
    """
    writer = _Writer(plan)
    fused, over = find_adds(plan, kernels), find_overwrites(plan)
    added = {fusion.position for fusion in fused.values()}
    for position, step in enumerate(plan.steps):
        if position in fused:
            writer.call(position, step, kernels.extended(step, Post(addend=True)), fused[position])
        elif position not in added:
            writer.call(position, step, over.get(position) or kernels.call(step))
        writer.free(plan.dying[position])
    names, source = writer.finish()
    exec(compile(source, f"<lowered {plan.recipe.hash}>", "exec"), names)  # noqa: S102  our own text
    return Lowered(names["forward"], source)


class _Writer:
    """Writes the function line by line. ``held`` maps a value to its variable, ``casts`` holds those of its casts."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names: dict[str, Any] = {}
        self.lines: list[str] = []
        self.held = {name: f"v_{name}" for name in plan.graph.inputs}
        self.casts: dict[str, dict[str, str]] = {}

    def call(self, position: int, step: Step, function: Any, fusion: FusedAdd | None = None) -> None:
        """Writes the call of one op, with the add that it takes in, if any."""
        arguments = [self.read(name, step.takes.get(name)) for name in step.site.inputs]
        op = step.op
        if fusion is not None:
            arguments.append(self.read(fusion.addend, "fp32"))
            op = self.plan.steps[fusion.position].op
        self.names[f"k{position}"] = function
        self.held[op.name] = f"v_{op.name}"
        said = step.op.id if fusion is None else f"{step.op.id} + {op.id}"
        self.lines.append(f"v_{op.name} = k{position}({', '.join(arguments)})  # {said}")

    def read(self, value: str, carrier: str | None) -> str:
        """The variable that holds a value in a carrier, converted where that was not done yet."""
        if carrier is None or self.plan.format_of[value] == carrier:
            return self.held[value]
        casts = self.casts.setdefault(value, {})
        if carrier not in casts:
            suffix = carrier.replace(":", "_")
            self.names[f"to_{suffix}"] = CARRIERS[carrier].convert
            casts[carrier] = f"{self.held[value]}_{suffix}"
            self.lines.append(f"{casts[carrier]} = to_{suffix}({self.held[value]})")
        return casts[carrier]

    def free(self, values: Iterable[str]) -> None:
        """Writes the end of values and of their casts."""
        dead = [
            v for name in values if name in self.held for v in (self.held[name], *self.casts.pop(name, {}).values())
        ]
        if dead:
            self.lines.append(f"del {', '.join(dead)}")

    def finish(self) -> tuple[dict[str, Any], str]:
        """The names that the function uses, and its source."""
        result = self.read(self.plan.graph.output.name, "fp32")
        parameters = ", ".join(self.held[name] for name in self.plan.graph.inputs)
        return self.names, "\n    ".join([f"def forward({parameters}):", *self.lines, f"return {result}"])
