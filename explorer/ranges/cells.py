"""A histogram as cells of values: where in a bin its elements may lie, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.ranges.bins import Flags, Floats
from explorer.ranges.histogram import Histogram


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells [n] of ``weight`` elements spread evenly over [low, high], or all at one point where those are equal.

    known: whether all of a cell's elements are certain to be at its point. The cells of a histogram are in ascending
    order of ``low``.
    """

    low: Floats
    high: Floats
    weight: Floats
    known: Flags

    def clip(self, low: Floats, high: Floats) -> Cells:
        """The elements from ``low`` to ``high``, ends included; for ends [..., 1] cells [..., n], some of no weight."""
        inside = shares_within(self.low, self.high, low, high)
        shape = inside.shape
        low, high = (np.broadcast_to(np.clip(end, low, high), shape) for end in (self.low, self.high))
        return Cells(low, high, inside * self.weight, self.known)

    def mean(self, per_cell: Floats | Flags) -> Floats:
        """The mean over the elements, the last dimension, of a quantity known per cell; 0 of nothing."""
        total = self.weight.sum(axis=-1)
        return np.asarray((per_cell * self.weight).sum(axis=-1) / np.where(total > 0, total, 1.0))


def shares_within(
    low: Floats, high: Floats, first: Floats, last: Floats, keeps: tuple[Flags | bool, Flags | bool] = (True, True)
) -> Floats:
    """The share of each cell [low, high] that lies from ``first`` to ``last``; keeps: whether points at an end do."""
    width = high - low
    within = np.clip(high, first, last) - np.clip(low, first, last)
    above = (low > first) | (np.asarray(keeps[0]) & (low == first))
    below = (low < last) | (np.asarray(keeps[1]) & (low == last))
    return np.where(width > 0, within / np.where(width > 0, width, 1.0), above & below)


def find_cells(histogram: Histogram, most_points: int = 128) -> Cells:
    """The cells of the finite elements.

    most_points: how many values of a bin may be listed one by one; 128 does so for FP16 data in bins of 3 bits.

    A bin counts as filled evenly, which is right within the density's change over it, but for what is known better. One
    element is the largest, one the smallest, and none lies nearer to zero than the least magnitude. And where
    the elements of an octave use few mantissa bits (BF16 or FP16 data, integers, a constant), only the values of so few
    bits are possible: those points of a bin share its elements evenly.
    """
    negative, positive = (_find_side(histogram, sign, most_points) for sign in (1, 0))
    sides = negative, _point(0.0, histogram.zeros), positive
    return Cells(*(np.concatenate(parts) for parts in zip(*sides, strict=True)))


_Side = tuple[Floats, Floats, Floats, Flags]


def _find_side(histogram: Histogram, sign: int, most_points: int) -> _Side:
    """The fields of the cells of one sign, ascending in value."""
    bins = np.flatnonzero(histogram.counts[sign])
    if not len(bins):
        return _point(0.0, 0)
    most = -histogram.min if sign else histogram.max
    weight = histogram.counts[sign, bins].astype(np.float64)
    weight[-1] -= 1  # the extreme itself
    low, high = histogram.edges[bins], histogram.edges[bins + 1]
    used = histogram.used_bits[sign, bins >> histogram.mantissa_bits]
    points = 1 << np.maximum(used - histogram.mantissa_bits, 0)
    points[points > most_points] = 0
    sides = [_point(most, 1)]
    for n in np.unique(points):
        chosen = points == n
        edges = low[chosen], high[chosen], weight[chosen]
        sides.append(_list_points(*edges, n, histogram.least, most) if n else _cut(*edges, histogram.least, most))
    low, high, weight, known = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    order = np.lexsort((high, low))
    if sign:
        low, high, order = -high, -low, order[::-1]
    return low[order], high[order], weight[order], known[order]


def _cut(low: Floats, high: Floats, weight: Floats, least: float, most: float) -> _Side:
    low, high = np.maximum(low, least), np.minimum(high, most)
    return low, high, weight, low == high


def _point(value: float, weight: int) -> _Side:
    """One cell at a point, none without elements."""
    n = int(weight > 0)
    return np.full(n, value), np.full(n, value), np.full(n, float(weight)), np.ones(n, np.bool_)


def _list_points(low: Floats, high: Floats, weight: Floats, points: int, least: float, most: float) -> _Side:
    """Each bin as equally heavy points from its lower edge on, of those within [least, most]."""
    at = low[:, None] + (high - low)[:, None] * np.arange(points) / points
    possible = (at >= least) & (at <= most)
    weights = (weight / possible.sum(axis=1))[:, None] * possible
    return at[possible], at[possible], weights[possible], np.full(int(possible.sum()), points == 1)
