"""What a lowered plan does in fewer passes over memory: kernels take in what follows, results go over dying inputs.

Neither changes a bit of the result; a test compares every lowered plan with its execution, op by op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from explorer.graph import Op, Ref
from explorer.kernels import ACTIVATION_KERNELS, CARRIERS, NATIVE_DTYPES, Kernel, Post, activation_of, bind
from explorer.run.choosing import find_joining, is_plain_sum, writes
from explorer.run.nearby import by_place
from explorer.run.plan import Cast, Plan, Step

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
class Fusion:
    """What the kernel of a product, norm or attention takes in: the steps at ``positions``, whose last makes ``value``.

    ``addend`` names the term that is added, in the carrier in which its sum reads it. With ``post.codes`` or
    ``post.tokens`` the kernel writes ``value`` in the carrier ``codes`` alone.
    """

    positions: tuple[int, ...]
    value: str
    post: Post
    addend: str = ""
    addend_carrier: str = ""
    codes: str = ""


def find_fusions(plan: Plan) -> Mapping[int, Fusion]:
    """Return what each product, norm or attention takes in, by its position: a sum, then an activation, then codes.

    Each of them only where the kernel's epilogue has it (``Kernel.fuses``), where nothing else reads what the kernel
    would have written, and in FP32. The other term of a sum exists before the product runs; a sum of two terms rounds
    the same in either order.
    """

    def find(position: int) -> Fusion | None:
        kernel = plan.steps[position].kernel
        return _fuse(plan, position, kernel) if kernel and kernel.fuses and kernel.gives == "fp32" else None

    return by_place(plan, "fusions", find)


def find_inner_casts(plan: Plan) -> Mapping[int, Cast]:
    """Return the casts that products do themselves in their own calls, by the position of the product.

    Each where the kernel says that it does so at its site (``Kernel.casts``), of a value in FP32 that nothing else
    reads: of one that several read the codes are shared. What the op before wrote as codes is no cast any more.
    """
    fusions, graph = find_fusions(plan), plan.graph
    written = {(fusion.value, fusion.codes) for fusion in fusions.values() if fusion.codes}

    def find(position: int) -> Cast | None:
        step, fusion = plan.steps[position], fusions.get(position)
        kernel = step.kernel
        if kernel is None or (fusion is not None and fusion.post.tokens) or not kernel.casts(step.site):
            return None
        alone = (n for n in step.takes if len(graph.users[n]) == 1 and graph.output.name != n)
        slots = [(name, kernel.takes) for name in alone if plan.format_of[name] == "fp32"]
        found = [plan.cast_of[slot] for slot in slots if slot in plan.cast_of and slot not in written]
        return found[-1] if found else None

    return by_place(plan, "inner casts", find)


def _fuse(plan: Plan, product: int, kernel: Kernel) -> Fusion | None:
    fusion = _join_heads(plan, product, kernel)
    if fusion is None:
        return None
    for position, step in _readers_alone(plan, fusion.value):
        grown = _take_in(plan, product, kernel, fusion, position, step)
        if grown is None:
            break
        fusion = grown
    fusion = _write_codes(plan, kernel, fusion)
    return None if fusion.post == Post() else fusion


def _join_heads(plan: Plan, product: int, kernel: Kernel) -> Fusion | None:
    """What to begin with: the kernel alone; of one that joins heads, with the views that do so, or None without."""
    op = plan.steps[product].op
    if "heads" not in kernel.fuses:
        return Fusion((), op.name, Post())
    views = find_joining(plan.graph, op, plan.shapes)
    return Fusion(tuple(plan.position_of[view.id] for view in views), views[-1].name, Post()) if views else None


def _readers_alone(plan: Plan, value: str) -> Iterator[tuple[int, Step]]:
    """The step that alone reads a value, then the one that alone reads what that makes, and so on."""
    position_of = plan.position_of
    while len(users := plan.graph.users.get(value, ())) == 1 and plan.graph.output.name != value:
        yield position_of[users[0].id], plan.step_of[users[0].id]
        value = users[0].name


def _take_in(plan: Plan, product: int, kernel: Kernel, fusion: Fusion, position: int, step: Step) -> Fusion | None:
    """``fusion`` grown by one step, or None where that cannot be."""
    positions, post = (*fusion.positions, position), fusion.post
    if step.op.folded_into:
        return replace(fusion, positions=positions, value=step.op.name)
    if step.kernel is None or step.gives != "fp32" or step.takes.get(fusion.value) != "fp32":
        return None
    activation = activation_of(step.op)
    if activation and not post.activation and activation in kernel.fuses and _same_function(step, activation):
        return replace(fusion, positions=positions, value=step.op.name, post=replace(post, activation=activation))
    other = next((other for term, other in terms(step.op, plan) if term == fusion.value), "")
    before = not fusion.addend and not post.activation and "addend" in kernel.fuses
    if other and before and plan.born(other) < product and _readable(step.takes[other], kernel):
        return Fusion(positions, step.op.name, Post(addend=True), other, step.takes[other])
    return None


def _same_function(step: Step, activation: str) -> bool:
    """Whether the step computes the activation as an epilogue does; of a ReLU there is but one way."""
    return activation == "relu" or any(
        step.kernel is kernel for (_, name), kernel in ACTIVATION_KERNELS.items() if name == activation
    )


def _readable(carrier: str, kernel: Kernel) -> bool:
    return carrier == "fp32" or (CARRIERS[carrier].static and "codes" in kernel.fuses)


def _write_codes(plan: Plan, kernel: Kernel, fusion: Fusion) -> Fusion:
    """``fusion`` that writes codes, where these are all that is read of its value."""
    carriers = {plan.step_of[op.id].takes.get(fusion.value, "") for op in plan.graph.users.get(fusion.value, ())}
    carrier = carriers.pop() if len(carriers) == 1 else ""
    if plan.graph.output.name == fusion.value or not writes(kernel, carrier):
        return fusion
    fixed = plan.scales[fusion.value] if CARRIERS[carrier].static else None
    return replace(fusion, post=replace(fusion.post, codes=fixed, tokens=fixed is None), codes=carrier)


def terms(op: Op, plan: Plan) -> tuple[tuple[str, str], ...]:
    """The two terms of a plain add of equal shapes, in both orders; nothing for any other op."""
    if not is_plain_sum(op, plan.shapes):
        return ()
    left, right = op.refs
    return (left, right), (right, left)


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
    return (replace(over, args=(op.args[1], op.args[0])), over) if terms(op, plan) else ()


def _is_fresh(name: str, plan: Plan) -> bool:
    """Whether a kernel made this value anew, and only one op reads it. Looks through folded norms, which pass it on."""
    maker = plan.graph.producer.get(name)
    if maker is None or len(plan.graph.users[name]) != 1 or plan.graph.output.name == name:
        return False
    if maker.folded_into and isinstance(maker.args[0], Ref):
        return _is_fresh(maker.args[0].name, plan)
    return maker.has_precision and plan.step_of[maker.id].kernel is not None
