"""The predicted map: what each op costs in each precision, and any recipe at once, from signed products."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.errors import DataError, PrecisionError
from explorer.recipe import BASELINE, Recipe

Cell = tuple[str, str]
"""An op's id and the name of a precision."""
Products = NDArray[np.float32]
"""[samples, probes]"""
Key = TypeVar("Key")
Unit = Literal["nats", "squared error"]


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error (NaN of fewer than two samples)."""

    value: float
    error: float


@dataclass(frozen=True)
class Seam:
    """A value that ``maker`` may give, and ``reader`` take, in one native format ``carrier``, with views between them.

    Where both do, the value is rounded to the format once; both their products hold that rounding.
    """

    maker: str
    reader: str
    carrier: str


@dataclass(frozen=True)
class Flow:
    """In which carrier an op takes the values that flow into it, and gives its own."""

    takes: str
    gives: str


@dataclass(frozen=True, eq=False)
class PredictedMap:
    """Predicted quality costs of all cells, from which the cost of any recipe follows.

    products: cell -> u^T J D of each sample and probe: how far the error D that the cell makes at its op's output moves
    the model's output along the probe u, signed, summed over all positions of the sample. Absent where no kernel runs
    the cell (``refusals`` says why) and for FP32, which is 0.
    seams: the same of the bare rounding of a value that two cells may both count; ``flows`` says which cells do.
    positions: tokens (or other places of logits) per sample. total: samples there are. probes: per sample.
    fingerprint: of model, data and batches; maps of one fingerprint can be merged. scales: the fingerprint of the
    static scales that static cells ran under; empty where there are none. emulated: cells that no real kernel runs
    here.

    Costs are in ``unit`` per position. They are 1/2 the mean of squared sums of products: exact to second order in the
    errors, as a mean over samples and probes, interactions of all pairs included. An op whose result becomes NaN or Inf
    costs infinitely much.
    """

    ops: tuple[str, ...]
    precisions: tuple[str, ...]
    products: Mapping[Cell, Products]
    seams: Mapping[Seam, Products]
    flows: Mapping[Cell, Flow]
    refusals: Mapping[Cell, str]
    emulated: frozenset[Cell]
    positions: int
    unit: Unit
    total: int
    probes: int
    fingerprint: str
    scales: str = ""

    @cached_property
    def samples(self) -> int:
        """How many samples every cell has been computed from."""
        return min((len(products) for products in self.products.values()), default=0)

    @property
    def complete(self) -> bool:
        """Whether every sample there is was used."""
        return self.samples == self.total

    def cost(self, op: str, precision: str) -> Estimate:
        """Return what ``op`` alone costs in ``precision``; :class:`PrecisionError` where that is not possible."""
        return self.cost_of_cells([(op, precision)])

    def cost_of(self, recipe: Recipe) -> Estimate:
        """Return what a whole recipe costs; :class:`PrecisionError` where the map lacks one of its precisions."""
        return self.cost_of_cells(recipe.precisions.items())

    def cost_of_cells(self, cells: Iterable[Cell]) -> Estimate:
        """Return what some cells cost together, all other ops in FP32."""
        return self._estimate(self.total_of(cells))

    def interaction(self, first: Cell, second: Cell) -> Estimate:
        """Return what two cells cost together beyond the sum of what each costs alone."""
        one, two, both = (self._per_sample(self.total_of(cells)) for cells in ([first], [second], [first, second]))
        return _mean(both - one - two)

    def additive(self, cells: Iterable[Cell]) -> float:
        """Return the sum of what some cells cost alone."""
        return math.fsum(self.cost(*cell).value for cell in cells)

    def total_of(self, cells: Iterable[Cell]) -> NDArray[np.float64]:
        """Return the summed products of some cells [samples, probes], each rounding counted once."""
        chosen = {op: precision for op, precision in cells if precision != BASELINE}
        terms = [self._known(cell) for cell in chosen.items()]
        shared = [self.seams[seam] for seam in self.shared_by(chosen)]
        n = min((len(each) for each in (*terms, *shared)), default=self.samples)
        total = np.zeros((n, self.probes))
        with np.errstate(invalid="ignore"):
            for term in terms:
                total += term[:n]
            for term in shared:
                total -= term[:n]
        return total

    def table(self) -> pd.DataFrame:
        """Return the costs, op x precision: 0 in FP32, NaN where the precision is not possible."""
        return self._frame({cell: self.cost(*cell).value for cell in self.products})

    def errors(self) -> pd.DataFrame:
        """Return the standard errors of :meth:`table`."""
        return self._frame({cell: self.cost(*cell).error for cell in self.products})

    def merge(self, other: PredictedMap) -> PredictedMap:
        """Return the cells of both, where both have one that of more samples. Raises :class:`DataError` where they are
        of different models, data or probes."""
        if (self.fingerprint, self.probes) != (other.fingerprint, other.probes):
            raise DataError("merge two maps", "they are of different models, data or probes", "maps of one session")
        return replace(
            self,
            precisions=tuple(dict.fromkeys((*self.precisions, *other.precisions))),
            products=_longer(self.products, other.products),
            seams=_longer(self.seams, other.seams),
            flows={**self.flows, **other.flows},
            refusals={**self.refusals, **other.refusals},
            emulated=self.emulated | other.emulated,
            scales=other.scales or self.scales,
        )

    def only(self, precisions: Iterable[str], samples: int | None = None, probes: int | None = None) -> PredictedMap:
        """Return the part in some precisions, of the first samples and probes."""
        names = tuple(precisions)
        cut = (slice(samples), slice(probes))
        return replace(
            self,
            precisions=names,
            products={cell: found[cut] for cell, found in self.products.items() if cell[1] in names},
            seams={seam: found[cut] for seam, found in self.seams.items()},
            flows={cell: flow for cell, flow in self.flows.items() if cell[1] in names},
            refusals={cell: reason for cell, reason in self.refusals.items() if cell[1] in names},
            emulated=frozenset(cell for cell in self.emulated if cell[1] in names),
            probes=self.probes if probes is None else min(probes, self.probes),
        )

    def shared_by(self, chosen: Mapping[str, str]) -> Iterator[Seam]:
        """Yield the seams whose rounding is held by the products of both their ops, in the precisions ``chosen``."""
        for op, precision in chosen.items():
            for seam in self._seams_of.get(op, ()):
                reader = (seam.reader, chosen.get(seam.reader, BASELINE))
                gives = self.flows[op, precision].gives
                if reader in self.flows and gives == self.flows[reader].takes == seam.carrier:
                    yield seam

    @cached_property
    def _seams_of(self) -> Mapping[str, tuple[Seam, ...]]:
        """Maker -> its seams."""
        found: dict[str, list[Seam]] = {}
        for seam in self.seams:
            found.setdefault(seam.maker, []).append(seam)
        return {maker: tuple(seams) for maker, seams in found.items()}

    def _known(self, cell: Cell) -> Products:
        if cell in self.products:
            return self.products[cell]
        found = self.refusals.get(cell, "it is not in this map")
        raise PrecisionError(f"the cost of {cell[0]!r} in {cell[1]!r}", found, "a map with this op and precision")

    def _per_sample(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """The cost of each sample [samples] under summed products."""
        with np.errstate(over="ignore", invalid="ignore"):
            found: NDArray[np.float64] = np.square(total).mean(axis=1) / 2 / self.positions
        return found

    def _estimate(self, total: NDArray[np.float64]) -> Estimate:
        return _mean(self._per_sample(total))

    def _frame(self, numbers: Mapping[Cell, float]) -> pd.DataFrame:
        rows = [
            [0.0 if name == BASELINE else numbers.get((op, name), math.nan) for name in self.precisions]
            for op in self.ops
        ]
        index = pd.Index(list(self.ops), name="op", dtype="object")
        return pd.DataFrame(rows, index=index, columns=list(self.precisions), dtype=float)


def _longer(ours: Mapping[Key, Products], theirs: Mapping[Key, Products]) -> dict[Key, Products]:
    """The entries of both; of two the longer one."""
    return {**ours, **{key: found for key, found in theirs.items() if len(found) >= len(ours.get(key, ()))}}


def _mean(per_sample: NDArray[np.float64]) -> Estimate:
    """The mean over samples; infinite, as its error, where a sample's number is not finite."""
    if not np.isfinite(per_sample).all():
        return Estimate(math.inf, math.inf)
    n = len(per_sample)
    error = float(per_sample.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(per_sample.mean()) if n else math.nan, error)
