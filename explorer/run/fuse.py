"""Adds that a product can take into its epilogue: what a lowered plan does in one pass instead of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from explorer.graph import Ref
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan, Step


@dataclass(frozen=True)
class FusedAdd:
    """The add at ``position`` goes into the product that makes one of its terms; ``addend`` names the other term."""

    position: int
    addend: str


def find_adds(plan: Plan, kernels: KernelCache) -> Mapping[int, FusedAdd]:
    """Return the adds that can be fused, by the position of the product that takes each.

    An add qualifies in FP32, of two tensors of one shape, one of which is read by nothing else and comes from a kernel
    with ``run_added``, the other of which exists before that kernel runs. A sum of two terms rounds the same in either
    order, so that the result is the same bit for bit.
    """
    position_of = {step.op.name: position for position, step in enumerate(plan.steps)}
    found: dict[int, FusedAdd] = {}
    for position, step in enumerate(plan.steps):
        for term, other in _terms(step, plan):
            product = position_of.get(term, -1)
            if product > position_of.get(other, -1) and _takes_addend(plan, plan.steps[product], kernels):
                found[product] = FusedAdd(position, other)
                break
    return found


def _terms(step: Step, plan: Plan) -> tuple[tuple[str, str], ...]:
    """The two terms of a plain FP32 add of equal shapes, in both orders; nothing for any other op."""
    op = step.op
    if op.target is not torch.ops.aten.add.Tensor or op.kwargs or step.kernel is None or step.kernel.takes != "fp32":
        return ()
    names = [arg.name for arg in op.args if isinstance(arg, Ref)]
    shapes = [plan.shapes.get(name) for name in names]
    if len(names) != 2 or names[0] == names[1] or None in shapes or shapes[0] != shapes[1]:
        return ()
    return (names[0], names[1]), (names[1], names[0])


def _takes_addend(plan: Plan, product: Step, kernels: KernelCache) -> bool:
    alone = len(plan.graph.users[product.op.name]) == 1 and plan.graph.output.name != product.op.name
    if not alone or product.kernel is None or product.gives != "fp32":
        return False
    return kernels.get(product).run_added is not None
