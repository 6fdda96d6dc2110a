"""The range of a tensor or of many: a histogram over the bits of its elements, with exact sums and extremes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.ranges.bins import (
    FINITE_EXPONENTS,
    FP32_MANTISSA,
    RANGE_BITS,
    Counts,
    Floats,
    bin_edges,
    bins_per_sign,
    check_mantissa_bits,
)
from explorer.ranges.tally import tally

_UNIT = 149  # FP32's smallest subnormal is 2**-149


def _no_mantissas() -> Counts:
    return np.zeros((2, FINITE_EXPONENTS), np.int64)


@dataclass(frozen=True, eq=False)
class Histogram:
    """How the elements of a tensor, or of a stream of tensors, are spread: exact to merge, and of one small size.

    Every field is an integer or an extreme, so any split of the data, in any order, on any device, merges to an equal
    record. FP64 data are read as FP32, cut towards zero: 1e-50 is then a zero, 1e300 FP32's largest value.

    mantissa_bits: leading mantissa bits that bins tell apart: 2**mantissa_bits bins to the octave.
    counts: [2, bins] non-zero finite elements, positive then negative; bin k holds edges[k] <= \\|x\\| < edges[k + 1].
    zeros, nan, inf: how many elements are +-0, NaN, +-Inf.
    min, max: of the finite elements; inf and -inf when there are none.
    least: the smallest magnitude of the non-zero finite elements; inf when there are none.
    mantissas: [2, 255] the FP32 mantissa bits that the elements of each sign and octave use, or-ed: BF16 data never use
    the last 16.
    total, square: the finite elements' sum in units of 2**-149, and the sum of their squares in units of 2**-298.
    """

    mantissa_bits: int
    counts: Counts
    zeros: int = 0
    nan: int = 0
    inf: int = 0
    min: float = math.inf
    max: float = -math.inf
    least: float = math.inf
    mantissas: Counts = field(default_factory=_no_mantissas)
    total: int = 0
    square: int = 0

    def __post_init__(self) -> None:
        self.counts.flags.writeable = self.mantissas.flags.writeable = False

    @classmethod
    def empty(cls, mantissa_bits: int = RANGE_BITS) -> Histogram:
        """The histogram of no elements; merging it changes nothing. Raises ``PrecisionError`` outside 0 to 11 bits."""
        check_mantissa_bits(mantissa_bits)
        return cls(mantissa_bits, np.zeros((2, bins_per_sign(mantissa_bits)), np.int64))

    @classmethod
    def of(cls, x: Tensor, mantissa_bits: int = RANGE_BITS) -> Histogram:
        """The histogram of x: any shape, strides and device, FP32, BF16, FP16 or FP64; never modified.

        Raises ``PrecisionError`` for other dtypes, and for mantissa bits outside 0 to 11.
        """
        return cls(mantissa_bits, *tally(x, mantissa_bits))

    def add(self, x: Tensor) -> Histogram:
        """The histogram of everything in this one and of x; arguments and errors as for ``of``."""
        return self.merge(Histogram.of(x, self.mantissa_bits))

    def merge(self, other: Histogram) -> Histogram:
        """The histogram of the elements of both; raises ``PrecisionError`` where their bins differ."""
        if self.mantissa_bits != other.mantissa_bits:
            found = f"their bins tell {self.mantissa_bits} and {other.mantissa_bits} mantissa bits apart"
            raise PrecisionError("merge two histograms", found, "equal mantissa_bits, or .coarsen() the finer one")
        return Histogram(
            self.mantissa_bits,
            self.counts + other.counts,
            self.zeros + other.zeros,
            self.nan + other.nan,
            self.inf + other.inf,
            min(self.min, other.min),
            max(self.max, other.max),
            min(self.least, other.least),
            self.mantissas | other.mantissas,
            self.total + other.total,
            self.square + other.square,
        )

    def coarsen(self, mantissa_bits: int) -> Histogram:
        """The same elements in wider bins, exact; raises ``PrecisionError`` for bins narrower than these."""
        check_mantissa_bits(mantissa_bits)
        if mantissa_bits > self.mantissa_bits:
            found = f"its bins tell only {self.mantissa_bits} apart"
            raise PrecisionError(f"a histogram of {mantissa_bits} mantissa bits", found, "Histogram.of(x, ...) anew")
        counts = self.counts.reshape(2, -1, 1 << (self.mantissa_bits - mantissa_bits)).sum(axis=2)
        return replace(self, mantissa_bits=mantissa_bits, counts=counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return all(np.array_equal(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def finite(self) -> int:
        """How many elements are finite."""
        return int(self.counts.sum()) + self.zeros

    @property
    def count(self) -> int:
        """How many elements there are, NaN and Inf included."""
        return self.finite + self.nan + self.inf

    @property
    def edges(self) -> Floats:
        """[bins + 1] the magnitudes between bins."""
        return bin_edges(self.mantissa_bits)

    @property
    def absmax(self) -> float:
        """The largest magnitude of the finite elements; 0 when there are none."""
        return max(self.max, -self.min, 0.0)

    @property
    def sum(self) -> float:
        """Of the finite elements, correctly rounded to FP64."""
        return self.total / (1 << _UNIT)

    @property
    def sum_of_squares(self) -> float:
        """Of the finite elements, correctly rounded to FP64."""
        return self.square / (1 << 2 * _UNIT)

    @property
    def mean(self) -> float:
        """Of the finite elements; NaN when there are none."""
        return self.total / (self.finite << _UNIT) if self.finite else math.nan

    @property
    def std(self) -> float:
        """The standard deviation of the finite elements (divided by their number); NaN when there are none."""
        n = self.finite
        return math.sqrt((n * self.square - self.total**2) / (n * n << 2 * _UNIT)) if n else math.nan

    @property
    def used_bits(self) -> Counts:
        """[2, 255] how many leading mantissa bits the elements of each sign and octave need; 0 to 23."""
        _, exponent = np.frexp(self.mantissas & -self.mantissas)  # the lowest bit set
        return np.where(self.mantissas > 0, FP32_MANTISSA + 1 - exponent, 0).astype(np.int64)

    def quantile(self, q: float) -> float:
        """The value that a share q (0 to 1) of the finite elements do not exceed; NaN when there are none.

        As ``torch.quantile`` (linear), but the order statistics are known to a bin only: right to one bin's width. The
        ends are exact. Raises ``PrecisionError`` for q outside 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise PrecisionError(f"quantile {q!r}", "it is no share of the elements", "a number from 0 to 1")
        if not self.finite:
            return math.nan
        low = np.concatenate([-self.edges[:0:-1], [0.0], self.edges[:-1]])
        high = np.concatenate([-self.edges[-2::-1], [0.0], self.edges[1:]])
        counts = np.concatenate([self.counts[1, ::-1], [self.zeros], self.counts[0]])
        reached = np.cumsum(counts)
        position = q * (self.finite - 1)
        cell = int(np.searchsorted(reached, position, side="right"))
        if position >= self.finite - 1:
            return self.max
        inside = (position - (reached[cell] - counts[cell])) / counts[cell]
        value = low[cell] + inside * (high[cell] - low[cell])
        return self.min if position == 0 else float(min(max(value, self.min), self.max))
