"""Where to clip: the ends of a static scale's range by percentile or by least squared error, from a spectrum."""

from __future__ import annotations

import numpy as np

from explorer.formats import Scheme
from explorer.ranges.bins import Counts, Floats
from explorer.ranges.grids import make_grid, mean_squared_error
from explorer.ranges.spectrum import Spectrum

PERCENTILE = 99.99
_CELLS_AT_ONCE = 1 << 19  # bounds the memory of weighing many thresholds for many rows
_WIDE = 2.0 ** (-np.arange(49) / 4)  # from the extreme down to 2**-12 of it, four to the octave
_NEAR = 2.0 ** (np.arange(-8, 9) / 32)
_NEAREST = 2.0 ** (np.arange(-8, 9) / 256)
_OCTAVE = 2.0 ** (np.arange(-32, 33) / 32)
_STILL = np.ones(1)
_COARSE_BINS = 8  # to the octave: enough to compare the wide candidates by, and far below the threshold

Ends = tuple[Floats, Floats]
"""The low and high ends [R] of a range, in the tensor's units."""


def percentile_range(spectrum: Spectrum, scheme: Scheme, percentile: float = PERCENTILE) -> Ends:
    """The range that leaves out 100 - ``percentile`` per cent of the elements.

    Symmetric: from -t to t, with t that percentile of the magnitudes, zeros included; asymmetric: half of what is left
    out lies beyond either end. As ``torch.quantile`` (linear), with each order statistic known to its bin.
    """
    edges, zeros = spectrum.edges, spectrum.zeros[:, None]
    if scheme.symmetric:
        counts = np.concatenate([zeros, spectrum.counts.sum(axis=1)], axis=1)
        most = _quantile(np.append(0.0, edges[:-1]), np.append(0.0, edges[1:]), counts, percentile / 100)
        most = np.minimum(most, spectrum.absmax) * spectrum.unit
        return -most, most
    low = np.concatenate([-edges[:0:-1], [0.0], edges[:-1]])
    high = np.concatenate([-edges[-2::-1], [0.0], edges[1:]])
    counts = np.concatenate([spectrum.counts[:, 1, ::-1], zeros, spectrum.counts[:, 0]], axis=1)
    left_out = (1 - percentile / 100) / 2
    ends = (_quantile(low, high, counts, share) * spectrum.unit for share in (left_out, 1 - left_out))
    bottom, top = (np.clip(end, spectrum.low, spectrum.high) for end in ends)
    return bottom, top


def _quantile(low: Floats, high: Floats, counts: Counts, share: float) -> Floats:
    """[R] the value below which a share of the elements lies; cells [K] in ascending order, counts [R, K]."""
    reached = counts.cumsum(axis=1)
    position = share * np.maximum(reached[:, -1] - 1, 0)
    cell = np.minimum((reached <= position[:, None]).sum(axis=1), counts.shape[1] - 1)
    rows = np.arange(len(counts))
    inside = counts[rows, cell]
    part = (position - (reached[rows, cell] - inside) + 1) / np.maximum(inside, 1)  # the last element is at the top
    return np.asarray(low[cell] + np.clip(part, 0.0, 1.0) * (high[cell] - low[cell]))


def least_error_range(spectrum: Spectrum, scheme: Scheme) -> Ends:
    """The range whose scale has the smallest expected squared error of rounding and clipping together.

    Weighs thresholds from the extremes down to 2**-12 of them, four to the octave, then 2**(1/256) apart around the
    best (FP8: all of its octave). Asymmetric: both ends together, then each in turn. The error is that of
    ``mean_squared_error``, elements being spread evenly within their bins: thresholds that suit the grid of data of a
    few values better than their neighbours do, such as whole numbers, are found by chance only.
    """
    cells = spectrum.counts.shape[2] * (1 if scheme.symmetric else 2)
    rows = max(1, _CELLS_AT_ONCE // (cells * len(_NEAR)))
    starts = range(0, len(spectrum.low), rows)
    parts = [_search(spectrum.rows(slice(start, start + rows)), scheme) for start in starts]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    return low, high


def _search(spectrum: Spectrum, scheme: Scheme) -> Ends:
    coarse = _Weigher(spectrum.coarsen(_COARSE_BINS), scheme)
    full = coarse.widest
    ends = coarse.best(full, _WIDE, _WIDE)
    if not scheme.symmetric:
        ends = coarse.best((full[0], ends[1]), _WIDE, _STILL)
        ends = coarse.best((ends[0], full[1]), _STILL, _WIDE)
    if scheme.spec.is_float:  # their steps follow the values, so that the error goes up and down within each octave
        fine = _Weigher(spectrum, scheme)
        ends = fine.best(ends, _OCTAVE, _OCTAVE)
        return fine.best(ends, _NEAREST, _NEAREST)
    size = np.maximum(-ends[0], ends[1]) / spectrum.unit
    fine = _Weigher(spectrum.coarsen(_COARSE_BINS, (size.min() / 4, size.max() * 2)), scheme)
    if scheme.symmetric:
        for factors in (_NEAR, _NEAREST):
            ends = fine.best(ends, factors, factors)
        return ends
    for factors in (_NEAR, _NEAREST):
        ends = fine.best(ends, factors, _STILL)
        ends = fine.best(ends, _STILL, factors)
    return ends


class _Weigher:
    """Compares ranges for one spectrum by their expected squared error."""

    def __init__(self, spectrum: Spectrum, scheme: Scheme) -> None:
        self.scheme = scheme
        most = np.maximum(spectrum.high, -spectrum.low)
        self.widest = (
            (-most, most) if scheme.symmetric else (np.minimum(spectrum.low, 0.0), np.maximum(spectrum.high, 0.0))
        )
        unit = spectrum.unit[:, None]
        edges = spectrum.edges * unit
        if scheme.symmetric:
            low, high, weight = _side(edges, spectrum.counts.sum(axis=1), most)
        else:
            below = _side(edges, spectrum.counts[:, 1], -spectrum.low)
            above = _side(edges, spectrum.counts[:, 0], spectrum.high)
            sides = (-below[1], -below[0], below[2]), above
            low, high, weight = (np.concatenate(parts, axis=1) for parts in zip(*sides, strict=True))
        points = np.tile(spectrum.points, weight.shape[1] // len(spectrum.points))
        inner = np.where(np.abs(low) < np.abs(high), low, high)
        low, high = np.where(points, inner, low), np.where(points, inner, high)
        used = weight.any(axis=0)
        self.low, self.high, self.weight = (part[:, None, used] for part in (low, high, weight))

    def best(self, ends: Ends, low_factors: Floats, high_factors: Floats) -> Ends:
        """Of the ranges from low * factor to high * factor, no wider than the widest, the one of the least error."""
        low = np.maximum(ends[0][:, None] * low_factors, self.widest[0][:, None])
        high = np.minimum(ends[1][:, None] * high_factors, self.widest[1][:, None])
        low, high = np.broadcast_arrays(low, high)
        grid = make_grid(self.scheme, *(part[:, :, None] for part in _find_scale(low, high, self.scheme)))
        error = (mean_squared_error(grid, self.low, self.high) * self.weight).sum(axis=2)
        chosen = np.arange(len(low)), error.argmin(axis=1)
        return low[chosen], high[chosen]


def _side(edges: Floats, counts: Counts, most: Floats) -> tuple[Floats, Floats, Floats]:
    """Low, high and weight [R, K] of the cells of one sign, which end at its extreme [R]."""
    low = edges[:, :-1]
    return low, np.maximum(np.minimum(edges[:, 1:], most[:, None]), low), counts.astype(np.float64)


def _find_scale(low: Floats, high: Floats, scheme: Scheme) -> tuple[Floats, Floats]:
    """The scale and zero point of a range as ``find_scale`` finds them, for zero points that are codes."""
    if scheme.symmetric:
        scale = np.maximum(high, -low) / scheme.largest_code
        return np.where(scale > 0, scale, 1.0), np.zeros_like(scale)
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    scale = (high - low) / scheme.largest_code
    scale = np.where(scale > 0, scale, 1.0)
    return scale, np.clip(np.rint(-low / scale), 0.0, scheme.largest_code)
