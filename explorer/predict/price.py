"""The price of a recipe: its quality cost, at once, from the signed products of the predicted map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from explorer.predict.band import Band
from explorer.predict.record import Cell, PredictedMap, Seam
from explorer.recipe import BASELINE, Recipe

Vector = NDArray[np.float32]
VALID_TO = 0.03
"""Nats per position: beyond, what the second order leaves out is no longer small. Of the random recipes that
`benchmarks/agreement.py` judges, 9 of 10 below a third of this are within 25 % of their prediction, 4 of 5 from there
up to it; beyond, sure models cost more than predicted and unsure ones less."""
CANCELLED = 2.0
"""Where what the ops cost alone is so many times the price in sum, the price says that it counts on errors that cancel:
of the 500 random recipes that `benchmarks/agreement.py` judges none goes so far, and proposals of a search may."""
SHOWN = 3
"""How many ops a sentence names."""


@dataclass(frozen=True)
class Price:
    """What a recipe is predicted to cost in quality, in the unit of its map per position (sample or token).

    cost: with all interactions of pairs of ops; NaN where an op has no prediction. low, high: the band that holds 9 of
    10 measured costs, further up where the cost counts on errors that cancel. additive: the sum of what each op costs
    alone. interaction: cost - additive. error: standard error of the cost, from the samples and probes. trials: how
    many measured recipes calibrated the band. valid: whether the cost is within the region where errors are small.
    words: one sentence.
    """

    cost: float
    low: float
    high: float
    additive: float
    interaction: float
    error: float
    trials: int
    valid: bool
    words: str


@dataclass(frozen=True)
class Measured:
    """What was measured of single ops and pairs, in the map's unit: it takes the place of what is predicted of them.

    cells: (op, precision) -> cost of only that op in that precision. pairs: two cells -> what both cost together beyond
    the sum of what each costs alone.
    """

    cells: Mapping[Cell, float] = field(default_factory=dict)
    pairs: Mapping[tuple[Cell, Cell], float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pricer:
    """Prices recipes of one map, each by one sum of vectors.

    The cost is 1/2 the mean over samples and probes of (sum over ops of the signed products)^2 per position. Squaring
    the sum gives every op's own term and, since all ops share the probes, that of every pair. A measured cell scales
    its op's products so that its own term becomes the measured one, and with it its pairs; a measured pair replaces the
    term of that pair.
    """

    map: PredictedMap
    measured: Measured = field(default_factory=Measured)
    band: Band = field(default_factory=Band.of)

    def price(self, recipe: Recipe, band: Band | None = None) -> Price:
        """Return the price of ``recipe``, with another band where one is given; ops in FP32 cost nothing."""
        band = band or self.band
        chosen = {op: name for op, name in recipe.precisions.items() if name != BASELINE}
        missing = [op for op, name in chosen.items() if (op, name) not in self._rows]
        if missing:
            return self._unknown(missing, band)
        if not chosen:
            return self._finite(0.0, 0.0, 0.0, band)
        additive = math.fsum(self.costs[cell] for cell in chosen.items())
        per_sample = self._per_sample(chosen)
        if not math.isfinite(additive) or not np.isfinite(per_sample).all():
            return self._infinite(band)
        pairs = math.fsum(more for both, more in self._corrections.items() if both <= chosen.items())
        cost = max(0.0, float(per_sample.mean()) + pairs)
        return self._finite(cost, additive, _standard_error(per_sample), band)

    @cached_property
    def costs(self) -> Mapping[Cell, float]:
        """Cell -> what it costs alone: measured where it was, else predicted; infinite where it makes NaN or Inf."""
        known = {cell: cost for cell, cost in self.measured.cells.items() if cell in self._predicted}
        return {**self._predicted, **{cell: cost for cell, cost in known.items() if not math.isnan(cost)}}

    @cached_property
    def _predicted(self) -> Mapping[Cell, float]:
        found = ((cell, self._pair_term(products, products)) for cell, products in self.map.products.items())
        return {cell: cost if math.isfinite(cost) else math.inf for cell, cost in found}

    @cached_property
    def _rows(self) -> Mapping[Cell, int]:
        """Cell -> its row of :attr:`_vectors`."""
        return {cell: row for row, cell in enumerate(self.map.products)}

    @cached_property
    def _vectors(self) -> Vector:
        """The products of all cells [cells, most samples * probes], scaled where a cell was measured; 0 after the last
        sample of a cell that has fewer."""
        found = np.zeros((len(self._rows), int(self._lengths.max(initial=0))), np.float32)
        for cell, row in self._rows.items():
            products = self.map.products[cell].reshape(-1)
            found[row, : len(products)] = products * np.float32(self._scale(cell))
        return found

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        """How many products each row has."""
        return np.array([products.size for products in self.map.products.values()], np.int64)

    @cached_property
    def _seams(self) -> Mapping[Seam, Vector]:
        return {seam: products.reshape(-1) for seam, products in self.map.seams.items()}

    @cached_property
    def _corrections(self) -> Mapping[frozenset[Cell], float]:
        """Pair -> what its measured term adds to its predicted one."""
        return {
            frozenset((a, b)): found - 2 * self._pair_term(self._vector(a), self._vector(b))
            for (a, b), found in self.measured.pairs.items()
            if a in self._rows and b in self._rows and math.isfinite(found)
        }

    def _vector(self, cell: Cell) -> Vector:
        row = self._rows[cell]
        return self._vectors[row, : self._lengths[row]]

    def _scale(self, cell: Cell) -> float:
        """What makes the products of a cell give its measured cost; 1 where none is known, or none can be reached."""
        measured, predicted = self.measured.cells.get(cell, math.nan), self._predicted[cell]
        return math.sqrt(measured / predicted) if 0 <= measured < math.inf and 0 < predicted < math.inf else 1.0

    def _pair_term(self, a: Vector, b: Vector) -> float:
        """1/2 the mean of a * b per position, over what both have."""
        size = min(a.size, b.size)
        a, b = a.reshape(-1)[:size], b.reshape(-1)[:size]
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.vdot(a, b)) / (2 * size * self.map.positions)

    def _per_sample(self, chosen: Mapping[str, str]) -> NDArray[np.float64]:
        """The predicted cost of each sample that all chosen cells have."""
        rows = [self._rows[cell] for cell in chosen.items()]
        shared = [self._seams[seam] for seam in self.map.shared_by(chosen)]
        size = min((int(self._lengths[rows].min()), *map(len, shared)))
        with np.errstate(over="ignore", invalid="ignore"):
            # One gather and one sum: a loop over the rows takes twice as long.
            total = self._vectors[rows, :size].sum(axis=0)
            for each in shared:
                total -= each[:size]
            squares = np.square(total, dtype=np.float64).reshape(-1, self.map.probes)
            found: NDArray[np.float64] = squares.mean(axis=1) / (2 * self.map.positions)
        return found

    def _finite(self, cost: float, additive: float, error: float, band: Band) -> Price:
        low, high = band.around(cost, error, additive)
        valid = self.map.unit != "nats" or cost <= VALID_TO
        found = Price(cost, low, high, additive, cost - additive, error, band.count, valid, words="")
        return replace(found, words=describe(self.map, found))

    def _unknown(self, missing: list[str], band: Band) -> Price:
        named = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
        words = f"No prediction for {named}: the precision is not in the map, or not possible there."
        return _without_number(math.nan, words, band)

    def _infinite(self, band: Band) -> Price:
        return _without_number(
            math.inf, "Predicted infinite: an op's result becomes NaN or Inf in its precision.", band
        )


def _without_number(value: float, words: str, band: Band) -> Price:
    return Price(value, value, value, value, math.nan, value, band.count, False, words)


def price(map: PredictedMap, recipe: Recipe, band: Band | None = None, measured: Measured | None = None) -> Price:
    """Return the price of one recipe; for many of one map, keep a :class:`Pricer`."""
    return Pricer(map, measured or Measured(), band or Band.of()).price(recipe)


def describe(map: PredictedMap, price: Price) -> str:
    """Return what a price says, in a sentence: the number, its band, and why it may be further off than others."""
    each, trials = "per token" if map.positions > 1 else "per sample", price.trials
    calibrated = f"calibrated by {trials} measured recipe{'s' * (trials != 1)}" if trials else "before any trial"
    text = f"Predicted {price.cost:.2g} {map.unit} {each}, band {price.low:.2g} to {price.high:.2g} ({calibrated})"
    if not price.valid:
        text += f"; beyond {VALID_TO:g} {map.unit} errors are no longer small and the prediction is rough: measure it"
    elif 0 < CANCELLED * price.cost <= price.additive:
        text += f"; it counts on errors that cancel, and is {price.additive:.2g} where they do not: measure it"
    return f"{text}."


def _standard_error(per_sample: NDArray[np.float64]) -> float:
    """Of the mean of samples; NaN of fewer than two."""
    n = len(per_sample)
    return float(per_sample.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
