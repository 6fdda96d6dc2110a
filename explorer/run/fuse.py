"""What a lowered plan does in fewer passes over memory: adds in a product's epilogue, and results over dying inputs.

Neither changes a bit of the result; a test compares every lowered plan with its execution, op by op.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from explorer.graph import Op, Ref
from explorer.kernels import NATIVE_DTYPES, Post, bind
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan, Step

aten = torch.ops.aten
OVER_INPUT: Mapping[Any, Any] = {
    aten.add.Tensor: aten.add_.Tensor,
    aten.gelu.default: aten.gelu_.default,
    aten.relu.default: aten.relu_.default,
    aten.silu.default: aten.silu_.default,
    aten.sigmoid.default: aten.sigmoid_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.hardswish.default: aten.hardswish_.default,
}
"""ATen operations and their forms that write the result over their first argument."""


@dataclass(frozen=True)
class FusedAdd:
    """The add at ``position`` goes into the product that makes one of its terms; ``addend`` names the other term."""

    position: int
    addend: str


def find_adds(plan: Plan, kernels: KernelCache) -> Mapping[int, FusedAdd]:
    """Return the adds that can be fused, by the position of the product that takes each.

    An add qualifies in FP32, of two tensors of one shape, one of which is read by nothing else and comes from a kernel
    that extends to one, the other of which exists before that kernel runs. A sum of two terms rounds the same in either
    order, so that the result is the same bit for bit.
    """
    position_of = {step.op.name: position for position, step in enumerate(plan.steps)}
    found: dict[int, FusedAdd] = {}
    for position, step in enumerate(plan.steps):
        if step.kernel is None or step.kernel.takes != "fp32":
            continue
        for term, other in _terms(step, plan):
            product = position_of.get(term, -1)
            if product > position_of.get(other, -1) and _takes_addend(plan, plan.steps[product], kernels):
                found[product] = FusedAdd(position, other)
                break
    return found


def _terms(step: Step, plan: Plan) -> tuple[tuple[str, str], ...]:
    """The two terms of a plain add of equal shapes, in both orders; nothing for any other op."""
    op = step.op
    if op.target is not aten.add.Tensor or op.kwargs:
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
    return kernels.extended(product, Post(addend=True)) is not None


def find_overwrites(plan: Plan) -> Mapping[int, Callable[..., Any]]:
    """Return calls that write an op's result over an input of it, by the op's position: no fresh memory to fault in.

    An op qualifies in a native float format when :data:`OVER_INPUT` has its form, its input is read by nothing else,
    and a kernel made that input anew. Of an add of equal shapes either term will do: the sum is the same.
    """
    found: dict[int, Callable[..., Any]] = {}
    for position, step in enumerate(plan.steps):
        op, kernel = step.op, step.kernel
        if op.target not in OVER_INPUT or kernel is None or kernel.emulated or kernel.takes not in NATIVE_DTYPES:
            continue
        for changed in _forms_over_input(step, plan):
            first = changed.args[0].name
            if plan.format_of.get(first) == kernel.takes == kernel.gives and _is_fresh(first, plan):
                found[position] = bind(replace(step.site, op=changed), NATIVE_DTYPES[kernel.takes])
                break
    return found


def _forms_over_input(step: Step, plan: Plan) -> tuple[Op, ...]:
    """The op in its form that overwrites its first argument; for an add of equal shapes with either term first."""
    op = step.op
    over = replace(op, target=OVER_INPUT[op.target])
    if op.target is not aten.add.Tensor:
        return (over,) if isinstance(op.args[0], Ref) else ()
    return (replace(over, args=(op.args[1], op.args[0])), over) if _terms(step, plan) else ()


def _is_fresh(name: str, plan: Plan) -> bool:
    """Whether a kernel made this value anew, and only one op reads it. Looks through folded norms, which pass it on."""
    maker = plan.graph.producer.get(name)
    if maker is None or len(plan.graph.users[name]) != 1 or plan.graph.output.name == name:
        return False
    if maker.folded_into and isinstance(maker.args[0], Ref):
        return _is_fresh(maker.args[0].name, plan)
    return maker.has_precision and plan.step_of[maker.id].kernel is not None
