"""What a call must do: the bytes it touches and the operations it does, and so the least time that they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from explorer.graph import Ref
from explorer.kernels import CARRIERS
from explorer.measure import Rates
from explorer.precision import find_precision
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan, Step
from explorer.run.schedule import Call, Schedule, Slot

FLOATS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Cost:
    """``bytes``: inputs and weights read once and results written once, each as it is stored. ``operations``: those of
    products, by the formats that may do them (any of a tuple); everything else is bound by its bytes."""

    bytes: int
    operations: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def floor_us(self, rates: Rates) -> float | None:
        """Return the least microseconds on a device of these rates: the larger of what the bytes and what the
        operations take. None where the bandwidth was not measured; a format without a rate bounds nothing."""
        bandwidth = rates.bytes_per_second(self.bytes)
        if not bandwidth:
            return None
        busy = 0.0
        for formats, count in self.operations.items():
            fastest = max((rates.arithmetic.get(name, 0.0) for name in formats), default=0.0)
            busy += count / fastest if fastest else 0.0
        return 1e6 * max(self.bytes / bandwidth, busy)


def costs_of(schedule: Schedule, kernels: KernelCache) -> Mapping[str, Cost]:
    """Return the cost of every call of a kernel or cast by its id. Views cost nothing that they must, emulated ops and
    casts nothing that says anything: neither is in it."""
    plan = schedule.plan
    emulated = {cast.id for cast in plan.casts if cast.emulated}
    costs = {}
    for call in schedule.calls:
        step = plan.step_of.get(call.id)
        if call.id in emulated or (step is not None and (step.kernel is None or step.emulated)):
            continue
        costs[call.id] = _cost(call, step, plan, kernels)
    return costs


def _cost(call: Call, step: Step | None, plan: Plan, kernels: KernelCache) -> Cost:
    made = _slot_bytes(call.makes, plan)
    read = sum(_slot_bytes(slot, plan) for slot in dict.fromkeys(call.reads))
    if step is None:
        return Cost(read + made)
    packed = kernels.get(step)
    weights = packed.weight_bytes + packed.scale_bytes
    if step.op.kind == "embedding":
        weights = min(weights, made)
    return Cost(read + made + weights, _operations(step, plan))


def _slot_bytes(slot: Slot, plan: Plan) -> int:
    """Bytes of a tensor in its carrier; of one that was expanded, those of the tensor behind it."""
    name, carrier = slot
    elements = prod(plan.shapes.get(name, ()))
    producer = plan.graph.producer.get(name)
    while producer is not None and producer.role == "view" and producer.args and isinstance(producer.args[0], Ref):
        name = producer.args[0].name
        elements = min(elements, prod(plan.shapes.get(name, (elements,))))
        producer = plan.graph.producer.get(name)
    return elements * (CARRIERS[carrier].bits if carrier else 8 * _item_bytes(slot[0], plan)) // 8


def _item_bytes(name: str, plan: Plan) -> int:
    """Bytes of one integer, mask or element of a tuple's tensors."""
    graph = plan.graph
    maker = graph.producer.get(name)
    types = dict(zip(graph.inputs, graph.input_types, strict=True))
    type_ = types.get(name) if maker is None else maker.output
    return 1 if type_ is None else type_.dtype.itemsize


def _operations(step: Step, plan: Plan) -> Mapping[tuple[str, ...], int]:
    """Operations of a product by the formats in which this step's precision multiplies."""
    assert step.selection is not None
    site, op = step.site, step.op
    if site.product is None and op.kind not in ("attention", "matmul"):
        return {}
    count = count_flops(step, plan.shapes.get(op.name, ()))
    if op.kind == "attention" and (op.kwargs.get("is_causal") or True in op.args[5:6]):
        count //= 2
    return {multiplied_in(step.selection.precision): count}


def multiplied_in(precision: str) -> tuple[str, ...]:
    """Return the formats in which kernels of a precision may multiply: one, or for weights that are only stored in few
    bits, whichever float format the kernel likes."""
    found = find_precision(precision)
    if found.activation is None:
        return (found.compute,) if found.weight is None else FLOATS
    name = found.activation.format
    return ("int8",) if name in ("int8", "uint8") else ("fp8",) if name.startswith("fp8") else (name,)


def count_flops(step: Step, output: tuple[int, ...]) -> int:
    """Return multiply-adds counted as two for products; one per output element for everything else."""
    site, op = step.site, step.op
    elements = prod(output)
    if site.product is not None:
        return 2 * elements * prod(site.product.weight.shape[1:])
    if op.kind == "attention":
        queries, keys = site.shapes[site.operands[0]], site.shapes[site.operands[1]]
        return 4 * prod(queries) * keys[-2]
    if op.kind == "matmul" and site.operands:
        return 2 * elements * site.shapes[site.operands[0]][-1]
    return elements
