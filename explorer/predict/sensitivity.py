"""One batch of a predicted map: a way forth, a walk back per probe, each op once more per precision.

(Effect: runs the model and its kernels.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.compare.items import Batch
from explorer.compare.owners import Owners, find_picked
from explorer.errors import Cancelled
from explorer.formats import Quantized
from explorer.graph import Op
from explorer.kernels import as_float
from explorer.predict.checkpoints import walk_segments
from explorer.predict.gradients import (
    Edge,
    Gradients,
    NoDerivative,
    Segment,
    Tape,
    cut_segments,
    find_blocked,
    find_carrying,
    find_reaching,
    find_underivable,
    floats_of,
    sizes_of,
)
from explorer.predict.probes import Probes
from explorer.predict.products import Contract, Pull
from explorer.predict.record import Cell, Products, Seam
from explorer.predict.seams import is_static, rounded
from explorer.run import Alone, Casts, Executor, KernelError, Step
from explorer.subject import Subject

Key = Cell | Seam
"""What products are found for."""
_UNDERIVED = "its result reaches the output only through ops without a derivative"


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
    """How products are found: under so many probes, by which contraction, holding at most so many bytes at a time, or
    what one op needs.

    A model that needs more is walked in segments, at the price of one more way forth; under a small budget the values
    that they begin with are computed anew, at the price of a few (:func:`explorer.predict.checkpoints.walk_segments`).
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
        # Held of one: results, what is recorded for derivatives, an op's gradients in order, and all gradients. The
        # other half of the budget is for the values that the segments begin with.
        self._segments = cut_segments(self._graph, self._plan.shapes, manner.budget_bytes / 2 / (manner.probes + 3))
        self._sizes = sizes_of(self._graph, self._plan.shapes)
        self._alone: dict[Cell, Alone] = {}
        self._cut: set[str] = set()
        self._reaching = find_reaching(self._graph, [self._graph.output.name])
        self._sorts = any(find_picked(op) is not None for op in self._graph.ops)
        self.failures: dict[Cell, str] = {}

    def run(
        self, inputs: Mapping[str, Tensor], batch: Batch, seed: int, work: Work, cancel: Any = None
    ) -> dict[Key, Products]:
        """Return the products [count, probes] of all there is to do on a batch.

        Cells whose kernel fails are left out, and those whose error only reaches the output through an op without a
        derivative; :attr:`failures` says why.
        """
        doing = _Doing(batch, work, cancel, Owners(self._graph, batch.size))
        limit = self._manner.budget_bytes / 4
        forth = partial(self._go_forth, doing=doing)
        arriving: Gradients = {}
        for segment, entering in walk_segments(self._segments, inputs, forth, self._sizes, limit):
            tape = Tape(self._plan, self._subject.kernels, segment, entering, self._carrying, self._cut)
            values = tape.values
            if segment is self._segments[-1]:
                arriving = self._probe(values[self._graph.output.name], batch, seed)
                self._follow(segment, values, doing)
            try:
                gradients = dict(tape.walk_back(self._wanted(segment, work), arriving, self._manner.probes))
            except NoDerivative:
                if not (found := find_underivable(self._plan, self._subject.kernels, segment, values) - self._cut):
                    raise
                self._cut |= found
                return self.run(inputs, batch, seed, work, cancel)
            self._cut |= tape.stuck
            arriving = {name: gradients[name] for name in segment.enters if name in self._carrying}
            del tape
            self._evaluate(segment, values, gradients, doing)
        return {key: products.cpu().numpy().astype(np.float32, copy=False) for key, products in doing.found.items()}

    def _go_forth(self, segment: Segment, values: dict[str, Any], doing: _Doing) -> None:
        """Run a segment on ``values``, in place."""
        stops = range(segment.start, segment.stop) if self._sorts else (segment.start,)
        for start, stop in zip(stops, (*stops[1:], segment.stop), strict=True):
            doing.owners.follow(self._graph.ops[start], values)
            self._executor.advance(values, start, stop, doing.cancel)

    def _follow(self, segment: Segment, values: Mapping[str, Any], doing: _Doing) -> None:
        if self._sorts:
            for op in self._graph.ops[segment.start : segment.stop]:
                doing.owners.follow(op, values)

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
        blocked = find_blocked(self._graph, self._cut)
        for position in range(segment.start, segment.stop):
            if doing.cancel is not None and doing.cancel.is_set():
                raise Cancelled("predict quality costs")
            op = self._graph.ops[position]
            if op.id in blocked:
                keys = (*doing.work.cells.get(op.id, ()), *doing.work.roundings.get(op.id, ()))
                self._refuse(keys, f"its error passes {blocked[op.id]!r}, which has no derivative", doing)
            else:
                self._do_roundings(op, values, gradients, casts, doing)
                self._do_cells(op, values, gradients, casts, doing)
            gone = [name for name in (*op.refs, op.name) if self._graph.last_use.get(name, -1) <= position]
            for name in gone:
                values.pop(name, None)
            for key in [key for key in casts if key[0] in gone]:
                del casts[key]

    def _refuse(self, keys: Iterable[Key], reason: str, doing: _Doing) -> None:
        """Give a reason in place of the products of cells; seams that no price needs are 0."""
        keys = tuple(keys)
        self.failures |= {key: reason for key in keys if not isinstance(key, Seam)}
        self._note([], {key: [] for key in keys if isinstance(key, Seam)}, doing)

    def _do_cells(
        self, op: Op, values: dict[str, Any], gradients: dict[str | Edge, Any], casts: Casts, doing: _Doing
    ) -> None:
        cells = doing.work.cells.get(op.id, {})
        if not cells:
            return
        pulls = self._pull(op, op.name, values, gradients.pop(op.name), doing)
        if not any(pulls) and op.name in self._reaching:
            self._refuse(cells, _UNDERIVED, doing)
            return
        inputs = tuple(values[name] for name in self._plan.step_of[op.id].site.inputs)
        given: dict[Key, list[Tensor]] = {}
        for cell, step in cells.items():
            try:
                given[cell] = _floats_in(self._call(cell, step)(inputs, casts))
            except KernelError as error:
                self.failures[cell] = error.found
        self._note(pulls, given, doing)

    def _do_roundings(
        self, op: Op, values: dict[str, Any], gradients: dict[str | Edge, Any], casts: Casts, doing: _Doing
    ) -> None:
        given: dict[str, dict[Key, list[Tensor]]] = {}
        for key, rounding in doing.work.roundings.get(op.id, {}).items():
            name = rounding.value
            given.setdefault(name, {})[key] = _floats_in(rounded(rounding.carrier, values[name], name, casts))
        for name, results in given.items():
            pulls = self._pull(self._graph.producer[name], name, values, gradients.pop((op.id, name)), doing)
            if any(pulls):
                self._note(pulls, results, doing)
            else:
                self._refuse(results, _UNDERIVED, doing)

    def _pull(
        self, maker: Op, name: str, values: Mapping[str, Any], gradients: Sequence[Any], doing: _Doing
    ) -> list[Pull | None]:
        """What an error of each tensor of a value meets."""
        order = doing.owners.order(name)
        parts = zip(floats_of(values[name]), gradients, strict=True)
        return [Pull.of(x, each, maker, doing.batch, order) for x, each in parts]

    def _note(self, pulls: Sequence[Pull | None], given: Mapping[Key, list[Tensor]], doing: _Doing) -> None:
        """Find the products [count, probes] of results for a value; 0 where no output depends on it."""
        parts = zip(pulls, zip(*given.values(), strict=True), strict=True) if given else ()
        found = [pull.products(results, self._manner.contract) for pull, results in parts if pull is not None]
        none = torch.zeros(len(given), doing.batch.count, self._manner.probes)
        doing.found.update(zip(given, sum(found[1:], found[0]) if found else none, strict=True))

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
    owners: Owners
    found: dict[Key, Tensor] = field(default_factory=dict)


def _floats_in(value: Any) -> list[Tensor]:
    """The floating tensors of a result, in the format that it has; those in codes in FP32."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return floats_of([as_float(part) if isinstance(part, Quantized) else part for part in parts])
