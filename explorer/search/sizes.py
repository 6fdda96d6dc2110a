"""What recipes cost in memory: bytes of weights and scales as packed, effective bits of a weight. (Effect: packs.)"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from explorer.graph import ModelGraph
from explorer.recipe import Recipe
from explorer.run import KernelCache, Plan, Planner, Step
from explorer.run.memory import peak_activations


class Sizes:
    """Bytes of packed weights of ops in precisions. Equal kernels on equal shapes are packed once; no other state."""

    def __init__(self, planner: Planner, kernels: KernelCache, example: Plan) -> None:
        self._planner, self._kernels, self._example = planner, kernels, example
        self._known: dict[tuple[str, ...], int] = {}

    def bytes_of(self, op: str, precision: str) -> int:
        """Return the bytes that weights and scales of ``op`` take in ``precision``; emulated, what its format would."""
        step = self._example.step_of[op]
        selection = self._planner.select(op, precision)
        assert selection.kernel is not None, "a choice of the search has a kernel"
        shapes = ";".join(f"{tuple(each.shape)}" for each in step.site.constants.values())
        key = (step.op.kind, selection.kernel.device, selection.kernel.precision, selection.kernel.name, shapes)
        if key not in self._known:
            packed = self._kernels.get(Step(step.op, step.site, selection, {}, selection.kernel.gives))
            self._known[key] = packed.weight_bytes + packed.scale_bytes
        return self._known[key]

    def memory_bytes(self, plan: Plan) -> int:
        """Return what a plan takes: weights, scales, and activations at their peak."""
        return self._weights(plan.recipe) + peak_activations(plan)

    def bits(self, recipe: Recipe) -> float:
        """Return the effective bits of a weight of the products, scales included; NaN for a model without any."""
        total = sum(8 * self.bytes_of(op, recipe[op]) for op in self.elements)
        return total / self.weights if self.weights else float("nan")

    @cached_property
    def elements(self) -> Mapping[str, int]:
        """Product with a constant weight -> how many numbers its weight and bias have."""
        graph = self._planner.graph
        return {op.id: count for op in graph.rows if op.role == "compute" and (count := _count(graph, op.id))}

    @cached_property
    def weights(self) -> int:
        return sum(self.elements.values())

    def _weights(self, recipe: Recipe) -> int:
        return sum(self.bytes_of(op, name) for op, name in recipe.precisions.items())


def _count(graph: ModelGraph, op: str) -> int:
    return sum(graph.constants[name].numel() for name in graph.weights_of(graph.by_id[op]))
