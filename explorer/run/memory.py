"""Memory of a plan by tensor class: weights and scales as packed, activations at their peak."""

from __future__ import annotations

from collections.abc import Mapping

from explorer.formats import find_format
from explorer.kernels import CARRIERS
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan


def weigh(plan: Plan, kernels: KernelCache) -> dict[str, int]:
    """Return bytes of ``weights`` and ``scales`` (counted on the packed tensors; an emulated op counts what its format
    would take) and of ``activations``: the largest sum of tensors alive at once, from shapes and formats."""
    packed = [kernels.get(step) for step in plan.steps if step.kernel]
    return {
        "weights": sum(p.weight_bytes for p in packed),
        "scales": sum(p.scale_bytes for p in packed),
        "activations": peak_activations(plan),
    }


def peak_activations(plan: Plan) -> int:
    """Return the peak bytes of flowing tensors and their converted copies; views share their source's storage."""
    graph, formats, shapes = plan.graph, plan.format_of, plan.shapes
    sizes: dict[str, int] = {}
    for name, format_ in formats.items():
        producer = graph.producer.get(name)
        is_view = producer is not None and producer.role == "view"
        sizes[name] = 0 if is_view else _bytes(shapes.get(name, ()), format_)
    lives = lives_of(plan)
    events: dict[int, int] = {}
    for name, (born, dies) in lives.items():
        events[born] = events.get(born, 0) + sizes.get(name, 0)
        events[dies + 1] = events.get(dies + 1, 0) - sizes.get(name, 0)
    position = {step.op.id: index for index, step in enumerate(plan.steps)} | {"output": len(plan.steps)}
    for cast in plan.casts:
        at = [position[op] for op in cast.consumers]
        size = _bytes(shapes[cast.value], CARRIERS[cast.carrier].format)
        events[min(at)] = events.get(min(at), 0) + size
        events[max(at) + 1] = events.get(max(at) + 1, 0) - size
    peak = alive = 0
    for when in sorted(events):
        alive += events[when]
        peak = max(peak, alive)
    return peak


def lives_of(plan: Plan) -> Mapping[str, tuple[int, int]]:
    """Return value -> first and last position it is needed at; a value lives as long as any view of it."""
    graph = plan.graph
    last = {name: graph.last_use.get(name, -1) for name in (*graph.inputs, *graph.producer)}
    for op in reversed(graph.ops):
        if op.role == "view":
            for name in op.refs:
                if name in last:
                    last[name] = max(last[name], last[op.name])
    born = dict.fromkeys(graph.inputs, 0) | {op.name: index for index, op in enumerate(graph.ops)}
    return {name: (born[name], last[name]) for name in born}


def _bytes(shape: tuple[int, ...], format_: str) -> int:
    elements = 1
    for dim in shape:
        elements *= dim
    return elements * find_format(format_).storage_bits // 8
