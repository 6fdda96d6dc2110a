"""What a sweep found: the exact cost of single cells, with how sure it is and what ran."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from explorer.compare.runs import OutputError
from explorer.errors import ExplorerError

Cell = tuple[str, str]
"""An op's id and the precision that it alone is given."""
Change = tuple[Cell, ...]
"""The ops that are changed together, all others in FP32: one for a cell, two for a pair."""


@dataclass(frozen=True)
class Outcome:
    """What a change does at the model's output, over the samples so far: on which kernels, or why it failed."""

    found: OutputError
    kernel: str
    emulated: bool
    failure: str = ""


@dataclass(frozen=True)
class ExactCost:
    """The measured cost of a change: nats, or squared error, per position (sample or token).

    ``error`` is the standard error over the ``n`` samples (NaN for one). The cost is infinite where outputs became NaN
    or Inf, and NaN where a kernel failed; ``failure`` says how.
    """

    cost: float
    error: float
    n: int
    emulated: bool
    kernel: str
    failure: str = ""

    @classmethod
    def of(cls, outcome: Outcome) -> ExactCost:
        found = outcome.found
        cost = math.nan if outcome.failure else found.cost
        return cls(cost, found.costs.error, found.costs.n, outcome.emulated, outcome.kernel, outcome.failure)


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The exact costs of cells: of each op in a precision alone, all others in FP32, seen at the model's output.

    ``ops`` and ``precisions`` are what the table shows: those of the cells asked for, in the order of execution and as
    given, or what :meth:`over` was given; ``cells`` holds those measured so far. ``unit``: ``"nats"`` or ``"squared
    error"``, per position (sample or token).
    """

    ops: tuple[str, ...]
    precisions: tuple[str, ...]
    unit: str
    cells: Mapping[Cell, ExactCost]

    def table(self) -> pd.DataFrame:
        """Return the costs, op x precision: 0 in FP32, NaN where a cell was not asked for or could not be measured."""
        return self._table("cost", 0.0)

    def errors(self) -> pd.DataFrame:
        """Return the standard errors of the costs over the samples, op x precision."""
        return self._table("error", 0.0)

    def records(self) -> pd.DataFrame:
        """Return one row per measured cell: op, precision, cost, error, n, emulated, kernel, failure."""
        rows = [(*cell, *vars(measured).values()) for cell, measured in self.cells.items()]
        return pd.DataFrame(rows, columns=["op", "precision", *ExactCost.__dataclass_fields__])

    def over(self, ops: Iterable[str], precisions: Iterable[str]) -> SweepResult:
        """Return the same cells laid out over these ops and precisions, in this order, whether they can run or not."""
        return replace(self, ops=tuple(ops), precisions=tuple(precisions))

    def merge(self, other: SweepResult) -> SweepResult:
        """Return the cells of both; where both have one, this one's if it saw at least as many samples."""
        better = {
            cell: found for cell, found in other.cells.items() if cell not in self.cells or self.cells[cell].n < found.n
        }
        ops = tuple(dict.fromkeys((*self.ops, *other.ops)))
        return SweepResult(ops, _joined(self.precisions, other.precisions), self.unit, {**self.cells, **better})

    def _table(self, field: str, in_fp32: float) -> pd.DataFrame:
        def value(op: str, precision: str) -> float:
            if precision == "fp32":
                return in_fp32
            found = self.cells.get((op, precision))
            return math.nan if found is None else float(getattr(found, field))

        data = {precision: [value(op, precision) for op in self.ops] for precision in self.precisions}
        return pd.DataFrame(data, index=pd.Index(list(self.ops), name="op", dtype="object"), dtype=float)


class SweepLost(ExplorerError):
    """The workers are gone; ``result`` holds the cells that were measured before."""

    def __init__(self, found: str, try_: str, result: SweepResult) -> None:
        done = (
            f"{len(result.cells)} cells were measured and are in error.result"
            if result.cells
            else "nothing was measured"
        )
        super().__init__("sweep the cells on workers", f"{found}; {done}", try_)
        self.result = result


def _joined(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
