"""Gradients of probes at the values of a graph in FP32: some ops are recorded, then walked back once per probe.

Only values are differentiated: weights need no gradient, and where nothing before an op does, its result is cut loose
and made a leaf. So a walk back costs about as much as the way forth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from explorer.errors import ExplorerError
from explorer.graph import ModelGraph
from explorer.run import KernelCache, Plan

FP32_BYTES = 4
Edge = tuple[str, str]
"""The id of an op that reads a value, and the value's name."""
Gradients = Mapping[str | Edge, list[list[Tensor | None]]]
"""Value -> for each tensor of it (one, mostly), for each probe, its gradient; None where nothing depends on it."""


class NoDerivative(ExplorerError):
    """An op between a value and the output has no derivative."""


@dataclass(frozen=True)
class Segment:
    """The ops from position ``start`` up to ``stop``, and the names of the floating values that enter and leave."""

    start: int
    stop: int
    enters: tuple[str, ...]
    leaves: tuple[str, ...]


def cut_segments(graph: ModelGraph, shapes: Mapping[str, tuple[int, ...]], bytes_: float) -> tuple[Segment, ...]:
    """Cut the ops into runs whose results take at most so many bytes in FP32 (or that are one op)."""
    cuts, held, sizes = [0], 0, sizes_of(graph, shapes)
    for position, op in enumerate(graph.ops):
        size = sizes.get(op.name, 0)
        if held and held + size > bytes_:
            cuts.append(position)
            held = 0
        held += size
    bounds = zip(cuts, [*cuts[1:], len(graph.ops)], strict=True)
    return tuple(Segment(start, stop, *_crossing(graph, start, stop)) for start, stop in bounds)


def sizes_of(graph: ModelGraph, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, int]:
    """Return the bytes of each floating value, in FP32."""
    names = (*graph.inputs, *(op.name for op in graph.ops))
    return {name: prod(shapes.get(name, ())) * FP32_BYTES for name in names if graph.is_floating(name)}


def _crossing(graph: ModelGraph, start: int, stop: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    made = {op.name: position for position, op in enumerate(graph.ops)} | dict.fromkeys(graph.inputs, -1)
    alive = [name for name in made if graph.is_floating(name)]
    enters = [name for name in alive if made[name] < start <= graph.last_use.get(name, -1)]
    leaves = [name for name in alive if made[name] < stop <= graph.last_use.get(name, -1)]
    return tuple(enters), tuple(leaves)


def find_carrying(graph: ModelGraph) -> frozenset[str]:
    """Return the floating values that an op with a precision makes, or that are made of such ones."""
    found: set[str] = set()
    for op in graph.ops:
        if graph.is_floating(op.name) and op.output is not None and (op.has_precision or not found.isdisjoint(op.refs)):
            found.add(op.name)
    return frozenset(found)


def find_reaching(graph: ModelGraph, ends: Iterable[str]) -> frozenset[str]:
    """Return the values that ``ends`` are computed from, and these."""
    found, left = set[str](), list(ends)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph.producer[name].refs if name in graph.producer else ()
    return frozenset(found)


def find_blocked(graph: ModelGraph, cut: Collection[str]) -> Mapping[str, str]:
    """Return the ids of the ops whose results, and so their errors, pass an op of ``cut``, each with one of these."""
    behind = {op: find_reaching(graph, graph.by_id[op].refs) for op in sorted(cut)}
    return {graph.producer[name].id: op for op, names in behind.items() for name in names if name in graph.producer}


class Tape:
    """The ops of one segment, run in FP32 and recorded.

    values: those that enter, and the inputs and integers that the ops read. carrying: see :func:`find_carrying`. cut:
    ids of ops without a derivative; what they read gets no gradient through them. ``stuck`` are those that were found
    to have none while they ran.
    """

    def __init__(
        self,
        plan: Plan,
        kernels: KernelCache,
        segment: Segment,
        values: Mapping[str, Any],
        carrying: frozenset[str],
        cut: Collection[str] = (),
    ) -> None:
        self.segment, self._plan = segment, plan
        self.stuck: set[str] = set()
        self._tracked: dict[str, Any] = dict(values)
        self._read: dict[Edge, Any] = {}
        for name in segment.enters:
            if name in carrying:
                self._tracked[name] = _map_floats(values[name], lambda x: x.detach().requires_grad_())
        with torch.enable_grad():
            for step in plan.steps[segment.start : segment.stop]:
                inputs = [self._input(name, step.takes.get(name)) for name in step.site.inputs]
                if step.op.has_precision:
                    inputs = [
                        self._mark((step.op.id, name), x) for name, x in zip(step.site.inputs, inputs, strict=True)
                    ]
                output = kernels.call(step)(*inputs)
                if step.op.id in cut:
                    output = _map_floats(output, Tensor.detach)
                elif (
                    step.op.role != "integer" and _needs_grad(inputs) and floats_of(output) and not _needs_grad(output)
                ):
                    self.stuck.add(step.op.id)
                self._tracked[step.op.name] = _cut_loose(output) if step.op.has_precision else output

    def _input(self, name: str, carrier: str | None) -> Any:
        value = self._tracked[name]
        if carrier is None or self._plan.format_of[name] == carrier:
            return value
        return self._plan.converter(name, carrier)(value)

    def _mark(self, edge: Edge, value: Any) -> Any:
        """A value as one op alone reads it, so that its gradient through this op can be told from others'."""
        self._read[edge] = _map_floats(value, lambda x: x.view_as(x) if x.requires_grad else x)
        return self._read[edge]

    @property
    def values(self) -> dict[str, Any]:
        """All values by name, cut loose from the record."""
        return {name: _map_floats(value, Tensor.detach) for name, value in self._tracked.items()}

    def walk_back(self, wanted: Iterable[str | Edge], arriving: Gradients, probes: int) -> Gradients:
        """Return the gradients of values, or of values through one op that reads them, given those of the values that
        leave; the record is used up.

        Raises :class:`NoDerivative` where an op has none.
        """
        marked = [(name, x) for name in wanted for x in floats_of(self._find(name))]
        inputs = [x for _, x in marked if x.requires_grad]
        rows = []
        for probe in range(probes):
            ends, seeds = self._ends(arriving, probe)
            rows.append(_differentiate(ends, inputs, seeds, keep=probe < probes - 1))
        found: dict[str | Edge, list[list[Tensor | None]]] = {}
        columns = iter(zip(*rows, strict=True))
        for name, x in marked:
            found.setdefault(name, []).append(list(next(columns)) if x.requires_grad else [None] * probes)
        return found

    def _find(self, name: str | Edge) -> Any:
        return self._tracked[name] if isinstance(name, str) else self._read[name]

    def _ends(self, arriving: Gradients, probe: int) -> tuple[list[Tensor], list[Tensor]]:
        """The tensors at which gradients of a probe arrive, and these."""
        pairs = [
            (x, gradients[probe])
            for name, parts in arriving.items()
            for x, gradients in zip(floats_of(self._find(name)), parts, strict=True)
        ]
        kept = [(x, gradient) for x, gradient in pairs if x.requires_grad and gradient is not None]
        return [x for x, _ in kept], [gradient for _, gradient in kept]


def _differentiate(
    ends: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor], keep: bool
) -> tuple[Tensor | None, ...]:
    if not ends or not inputs:
        return (None,) * len(inputs)
    try:
        return torch.autograd.grad(ends, inputs, seeds, retain_graph=keep, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        found = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise NoDerivative("predict quality costs", f"a gradient is missing: {found}", "an exact sweep") from error


def find_underivable(plan: Plan, kernels: KernelCache, segment: Segment, values: Mapping[str, Any]) -> set[str]:
    """Return the ids of the ops of a segment that cannot be walked back through, each tried alone."""
    found = set()
    for step in plan.steps[segment.start : segment.stop]:
        inputs = [_map_floats(values[name], lambda x: x.detach().requires_grad_()) for name in step.site.inputs]
        leaves = [x for value in inputs for x in floats_of(value)]
        with torch.enable_grad():
            outputs = [x for x in floats_of(kernels.call(step)(*inputs)) if x.requires_grad]
        try:
            _differentiate(outputs, leaves, [torch.zeros_like(x) for x in outputs], keep=False)
        except NoDerivative:
            found.add(step.op.id)
    return found


def _needs_grad(values: Any) -> bool:
    """Whether a tensor among values, or in a tuple among them, depends on what is differentiated."""
    parts = values if isinstance(values, (tuple, list)) else (values,)
    return any(x.requires_grad for part in parts for x in floats_of(part))


def floats_of(value: Any) -> list[Tensor]:
    """The floating tensors of a value: itself, or those of a tuple."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return [x for x in parts if isinstance(x, Tensor) and x.is_floating_point()]


def _map_floats(value: Any, change: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_map_floats(part, change) for part in value)
    return change(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def _cut_loose(output: Any) -> Any:
    """Make leaves of the floating tensors that depend on nothing that is differentiated."""
    return _map_floats(output, lambda x: x if x.requires_grad else x.detach().requires_grad_())
