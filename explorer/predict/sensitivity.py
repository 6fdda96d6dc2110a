"""One batch of a predicted map: a way forth, a walk back per probe, each op once more per precision.

(Effect: runs the model and its kernels.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.compare.items import Batch
from explorer.errors import Cancelled
from explorer.formats import Quantized
from explorer.graph import Op
from explorer.kernels import as_float
from explorer.predict.gradients import Edge, Gradients, Segment, Tape, cut_segments, find_carrying, floats_of
from explorer.predict.probes import Probes
from explorer.predict.products import Contract, Pull
from explorer.predict.record import Cell, Products, Seam
from explorer.predict.seams import is_static, rounded
from explorer.run import Alone, Casts, Executor, KernelError, Step
from explorer.subject import Subject

Key = Cell | Seam
"""What products are found for."""


@dataclass(frozen=True)
class Rounding:
    """A value in another carrier, its name as the op reads it: nothing else changes."""

    value: str
    carrier: str


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be done at each op, by its id: its ``cells``, and ``roundings`` of values that it reads."""

    cells: Mapping[str, Mapping[Cell, Step]]
    roundings: Mapping[str, Mapping[Key, Rounding]]

    @property
    def keys(self) -> Iterator[Key]:
        for cells in self.cells.values():
            yield from cells
        for roundings in self.roundings.values():
            yield from roundings

    def only(self, keys: frozenset[Key]) -> Work:
        """The part that is not done yet."""
        cells = {op: {cell: step for cell, step in found.items() if cell in keys} for op, found in self.cells.items()}
        rest = {op: {key: each for key, each in found.items() if key in keys} for op, found in self.roundings.items()}
        return Work(cells, rest)


@dataclass(frozen=True)
class Manner:
    """How products are found: under so many probes, by which contraction, holding at most so many bytes at a time.

    A model that needs more is walked in segments, at the price of one more way forth.
    """

    probes: int
    contract: Contract
    budget_bytes: float


class Sensitivity:
    """Finds the products of one batch after another. Keeps the segments and the kernels of the cells."""

    def __init__(self, subject: Subject, manner: Manner) -> None:
        self._subject, self._manner = subject, manner
        self._plan, self._graph = subject.baseline, subject.graph
        self._executor = Executor(self._plan, subject.kernels)
        self._carrying = find_carrying(self._graph)
        # Held at a time: results, what is recorded for derivatives, an op's gradients in order, and all gradients.
        self._segments = cut_segments(self._graph, self._plan.shapes, manner.budget_bytes / (manner.probes + 3))
        self._alone: dict[Cell, Alone] = {}
        self.failures: dict[Cell, str] = {}

    def run(
        self, inputs: Mapping[str, Tensor], batch: Batch, seed: int, work: Work, cancel: Any = None
    ) -> dict[Key, Products]:
        """Return the products [count, probes] of all there is to do on a batch. Cells whose kernel fails are left out,
        and :attr:`failures` says why."""
        found: dict[Key, Tensor] = {}
        entering = self._go_forth(inputs, cancel)
        arriving: Gradients = {}
        for segment in reversed(self._segments):
            tape = Tape(self._plan, self._subject.kernels, segment, entering.pop(), self._carrying)
            values = tape.values
            if segment is self._segments[-1]:
                arriving = self._probe(values[self._graph.output.name], batch, seed)
            gradients = dict(tape.walk_back(self._wanted(segment, work), arriving, self._manner.probes))
            arriving = {name: gradients[name] for name in segment.enters if name in self._carrying}
            del tape
            self._evaluate(segment, values, gradients, _Doing(batch, work, cancel, found))
        return {key: products.cpu().numpy().astype(np.float32, copy=False) for key, products in found.items()}

    def _go_forth(self, inputs: Mapping[str, Tensor], cancel: Any) -> list[dict[str, Any]]:
        """The values that enter each segment."""
        values: dict[str, Any] = dict(inputs)
        entering = [dict(values)]
        for segment in self._segments[:-1]:
            self._executor.advance(values, segment.start, segment.stop, cancel)
            entering.append(dict(values))
        return entering

    def _probe(self, output: Tensor, batch: Batch, seed: int) -> Gradients:
        probes = Probes(self._manner.probes, self._subject.task.logits, seed)
        return {self._graph.output.name: [list(probes.draw(output.float(), batch.count))]}

    def _wanted(self, segment: Segment, work: Work) -> list[str | Edge]:
        ops = self._graph.ops[segment.start : segment.stop]
        rows = [op.name for op in ops if work.cells.get(op.id)]
        edges = dict.fromkeys((op.id, each.value) for op in ops for each in work.roundings.get(op.id, {}).values())
        return [*(name for name in segment.enters if name in self._carrying), *rows, *edges]

    def _evaluate(
        self, segment: Segment, values: dict[str, Any], gradients: dict[str | Edge, Any], doing: _Doing
    ) -> None:
        """Go through the ops of a segment once more, in each precision; what no later op needs is let go."""
        casts: Casts = {}
        for position in range(segment.start, segment.stop):
            if doing.cancel is not None and doing.cancel.is_set():
                raise Cancelled("predict quality costs")
            op = self._graph.ops[position]
            self._do_roundings(op, values, gradients, casts, doing)
            self._do_cells(op, values, gradients, casts, doing)
            gone = [name for name in (*op.refs, op.name) if self._graph.last_use.get(name, -1) <= position]
            for name in gone:
                values.pop(name, None)
            for key in [key for key in casts if key[0] in gone]:
                del casts[key]

    def _do_cells(
        self, op: Op, values: dict[str, Any], gradients: dict[str | Edge, Any], casts: Casts, doing: _Doing
    ) -> None:
        cells = doing.work.cells.get(op.id, {})
        if not cells:
            return
        inputs = tuple(values[name] for name in self._plan.step_of[op.id].site.inputs)
        pulls = [
            Pull.of(x, pull, op, doing.batch)
            for x, pull in zip(floats_of(values[op.name]), gradients.pop(op.name), strict=True)
        ]
        for cell, step in cells.items():
            try:
                given = self._call(cell, step)(inputs, casts)
            except KernelError as error:
                self.failures[cell] = error.found
                continue
            doing.found[cell] = _sum_products(pulls, _floats_in(given), self._manner, doing.batch)

    def _do_roundings(
        self, op: Op, values: dict[str, Any], gradients: dict[str | Edge, Any], casts: Casts, doing: _Doing
    ) -> None:
        pulls: dict[str, list[Pull | None]] = {}
        for key, rounding in doing.work.roundings.get(op.id, {}).items():
            name = rounding.value
            if name not in pulls:
                maker = self._graph.producer[name]
                parts = zip(floats_of(values[name]), gradients.pop((op.id, name)), strict=True)
                pulls[name] = [Pull.of(x, pull, maker, doing.batch) for x, pull in parts]
            given = rounded(rounding.carrier, values[name], name, casts)
            doing.found[key] = _sum_products(pulls[name], _floats_in(given), self._manner, doing.batch)

    def _call(self, cell: Cell, step: Step) -> Alone:
        if cell not in self._alone:
            scales = self._subject.calibration().scales if is_static(step) else {}
            self._alone[cell] = Alone(step, scales, self._subject.kernels)
        return self._alone[cell]


@dataclass(frozen=True, eq=False)
class _Doing:
    """A batch on its way: what is to be done on it, and what was found."""

    batch: Batch
    work: Work
    cancel: Any
    found: dict[Key, Tensor] = field(default_factory=dict)


def _sum_products(pulls: Sequence[Pull | None], given: Sequence[Tensor], manner: Manner, batch: Batch) -> Tensor:
    """The products [count, probes] of all tensors of a result; 0 where no output depends on it."""
    parts = [pull.products(x, manner.contract) for pull, x in zip(pulls, given, strict=True) if pull is not None]
    if not parts:
        return torch.zeros(batch.count, manner.probes)
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def _floats_in(value: Any) -> list[Tensor]:
    """The floating tensors of a result, in the format that it has; those in codes in FP32."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return floats_of([as_float(part) if isinstance(part, Quantized) else part for part in parts])
