"""A histogram as cells of values: where in a bin its elements may lie, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from explorer.ranges.bins import Counts, Flags, Floats
from explorer.ranges.histogram import Histogram


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells [n] of ``weight`` elements spread evenly over [low, high], or all at one point where those are equal.

    bin_low, bin_high: [n] where in truth the elements may lie; equal where a cell is certain, being a known value. The
    cells of a histogram are in ascending order of ``low``.
    """

    low: Floats
    high: Floats
    weight: Floats
    bin_low: Floats
    bin_high: Floats

    @property
    def known(self) -> Flags:
        """Whether a cell's elements are certain to be at its point."""
        return np.asarray(self.bin_low == self.bin_high)

    def clip(self, low: Floats, high: Floats) -> Cells:
        """The elements from ``low`` to ``high``, ends included; for ends [..., 1] cells [..., n], some of no weight."""
        inside = shares_within(self.low, self.high, low, high)
        shape = inside.shape
        low, high = (np.broadcast_to(np.clip(end, low, high), shape) for end in (self.low, self.high))
        return Cells(low, high, inside * self.weight, self.bin_low, self.bin_high)

    def mirror(self) -> Cells:
        """The same elements with the other sign."""
        return Cells(-self.high[::-1], -self.low[::-1], self.weight[::-1], -self.bin_high[::-1], -self.bin_low[::-1])

    def cut_by(self, *thresholds: Floats) -> Floats:
        """The share of the elements in bins that a threshold divides."""
        divided = np.zeros((), np.bool_)
        for at in thresholds:
            # A threshold at the lower edge of a bin divides points, of which some may be just there, but no interval.
            lower = (self.bin_low < at) | ((self.bin_low == at) & (self.low == self.high))
            divided = divided | (lower & (at < self.bin_high))
        return self.mean(divided)

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


def find_cells(histogram: Histogram, most_points: int = 128, parts: int = 4) -> Cells:
    """The cells of the finite elements.

    most_points: how many values of a bin may be listed one by one; 128 does so for FP16 data in bins of 3 bits.
    parts: how many cells a bin becomes otherwise.

    The density within a bin is taken as linear, its slope from the neighbouring bins (the monotonized central limiter
    of van Leer, 1977). More is known: one element is the largest, one the smallest, and none lies nearer to zero than
    the least magnitude. And where the elements of an octave use few mantissa bits (BF16 or FP16 data, integers, a
    constant), only values of so few bits are possible: those points share the bin's elements.
    """
    negative, positive = (_find_side(histogram, sign, most_points, parts) for sign in (1, 0))
    joined = (negative.mirror(), _point(0.0, histogram.zeros), positive)
    return Cells(*(np.concatenate([getattr(side, each.name) for side in joined]) for each in fields(Cells)))


def _find_side(histogram: Histogram, sign: int, most_points: int, parts: int) -> Cells:
    """The cells of one sign, as magnitudes."""
    bins = np.flatnonzero(histogram.counts[sign])
    if not len(bins):
        return _point(0.0, 0)
    most = -histogram.min if sign else histogram.max
    weight = histogram.counts[sign, bins].astype(np.float64)
    weight[-1] -= 1  # the extreme itself
    low, high = histogram.edges[bins], histogram.edges[bins + 1]
    tilt = _find_tilts(np.maximum(low, histogram.least), np.minimum(high, most), weight)
    points = _count_points(histogram, sign, bins)
    sides = [_point(most, 1)]
    for n in np.unique(points):
        chosen = points == n
        cells = Cells(low[chosen], high[chosen], weight[chosen], low[chosen], high[chosen])
        if n <= most_points:
            sides.append(_list_points(cells, tilt[chosen], int(n), histogram.least, most))
        else:
            sides.append(_divide(cells, tilt[chosen], parts, histogram.least, most))
    joined = [np.concatenate([getattr(side, each.name) for side in sides]) for each in fields(Cells)]
    order = np.lexsort((joined[1], joined[0]))
    return Cells(*(part[order] for part in joined))


def _count_points(histogram: Histogram, sign: int, bins: NDArray[np.intp]) -> Counts:
    """How many values of the mantissa bits in use each bin holds."""
    used = histogram.used_bits[sign, bins >> histogram.mantissa_bits]
    return np.asarray(1 << np.maximum(used - histogram.mantissa_bits, 0))


def _find_tilts(low: Floats, high: Floats, weight: Floats) -> Floats:
    """The slope of the density in each bin, as the difference across the bin over the bin's mean: -2 to 2."""
    width, centre = high - low, low + 0.5 * (high - low)
    if not width.all():
        return np.zeros(len(width))  # a bin that its extremes narrow to a point: few bins, nothing to compare
    density = weight / width
    slope = np.diff(density) / np.diff(centre)
    meets = low[1:] == high[:-1]
    before = np.append(density[0] / width[0], np.where(meets, slope, density[1:] / width[1:]))
    after = np.append(np.where(meets, slope, -density[:-1] / width[:-1]), -density[-1] / width[-1])
    steepest = np.minimum(2 * np.minimum(np.abs(before), np.abs(after)), np.abs(before + after) / 2)
    limited = np.where(before * after > 0, np.sign(before) * steepest, 0.0)
    return np.clip(limited * width / np.where(density > 0, density, 1.0), -2.0, 2.0)


def _point(value: float, weight: int) -> Cells:
    """One cell at a known value, none without elements."""
    at = np.full(int(weight > 0), value)
    return Cells(at, at, np.full(len(at), float(weight)), at, at)


def _divide(bins: Cells, tilt: Floats, parts: int, least: float, most: float) -> Cells:
    """Each bin, within [least, most], as cells of equal width that follow its tilt."""
    low, high = np.maximum(bins.low, least)[:, None], np.minimum(bins.high, most)[:, None]
    edges = low + (high - low) * np.arange(parts + 1) / parts
    shares = 1 + tilt[:, None] * ((np.arange(parts) + 0.5) / parts - 0.5)
    weights = bins.weight[:, None] * shares / shares.sum(axis=1, keepdims=True)
    hulls = (np.repeat(end, parts) for end in (low, high))
    return Cells(edges[:, :-1].ravel(), edges[:, 1:].ravel(), weights.ravel(), *hulls)


def _list_points(bins: Cells, tilt: Floats, points: int, least: float, most: float) -> Cells:
    """Each bin as points from its lower edge on, of those within [least, most], that follow its tilt."""
    place = np.arange(points) / points
    at = bins.low[:, None] + (bins.high - bins.low)[:, None] * place
    possible = (at >= least) & (at <= most)
    shares = (1 + tilt[:, None] * (place + 0.5 / points - 0.5)) * possible
    weights = bins.weight[:, None] * shares / np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    top = bins.high if points > 1 else bins.low
    hulls = (np.broadcast_to(end[:, None], at.shape)[possible] for end in (bins.low, top))
    return Cells(at[possible], at[possible], weights[possible], *hulls)
