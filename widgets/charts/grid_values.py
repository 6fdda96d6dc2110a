"""Which magnitudes a format holds under a scale, as far as they can be drawn. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.formats import BlockSpec, FloatSpec, Scheme, Spec
from explorer.ranges.grids import FloatGrid, Grid, make_grid

Floats = NDArray[np.float64]
MOST = 600
"""So many values of one sign can be told apart; of more, the powers of two stand for all."""


@dataclass(frozen=True, eq=False)
class Reach:
    """What a format holds of one sign: from ``low``, below which magnitudes become zero, to ``high``; in log2.

    -inf and inf where there is no such end; ``high`` is -inf for a sign that the format does not have.
    largest: its largest magnitude, 0 for a sign that it does not have; ``high`` is half a step above.
    values: the magnitudes that it holds between, rising. thinned: only its powers of two, for there are too many.
    """

    low: float
    high: float
    largest: float
    values: Floats
    thinned: bool


def grid_of(kind: Scheme | Spec, scale: float, zero_point: float) -> Grid:
    """The values of a scheme under a scale, or of a plain cast."""
    if not isinstance(kind, Scheme):
        return make_grid(kind)  # type: ignore[arg-type]  # a plain cast is never to a block format
    if not kind.scaled:
        return make_grid(kind.element)
    return make_grid(kind.element if isinstance(kind.spec, BlockSpec) else kind, scale, zero_point)


def reach_of(grid: Grid, sign: int, low: float, high: float) -> Reach:
    """What a grid holds of the positive (1) or the negative (-1) numbers; values from 2**low to 2**high are listed."""
    below, above = (float(end) for end in grid.range)
    zero_below, zero_above = (float(end) for end in grid.zero_range)
    most, flushed = (above, zero_above) if sign > 0 else (-below, -zero_below)
    values, thinned = _float_values(grid, low, high) if isinstance(grid, FloatGrid) else (_codes(grid, sign), False)
    inside = values[(values >= 2.0**low) & (values <= 2.0**high)]
    return Reach(_log2(flushed), _log2(most), _largest(grid, sign), inside, thinned)


def _largest(grid: Grid, sign: int) -> float:
    if isinstance(grid, FloatGrid):
        return float(grid.spec.largest * grid.scale)
    code = (grid.highest if sign > 0 else grid.lowest) - float(grid.zero_point)
    return max(sign * code * float(grid.scale), 0.0)


def _codes(grid: Grid, sign: int) -> Floats:
    codes = np.arange(grid.lowest, grid.highest + 1) - float(grid.zero_point)  # type: ignore[union-attr]
    values = np.sort(sign * codes * float(grid.scale))
    return np.asarray(values[values > 0])


def _float_values(grid: FloatGrid, low: float, high: float) -> tuple[Floats, bool]:
    spec: FloatSpec = grid.spec
    scale = float(grid.scale)
    first = max(spec.min_exponent, math.floor(low - math.log2(scale)))
    last = min(math.floor(math.log2(spec.largest)), math.ceil(high - math.log2(scale)))
    steps = 2**spec.mantissa_bits
    thinned = (last - first + 1) * steps > MOST
    if thinned:
        values = 2.0 ** np.arange(first - spec.mantissa_bits, last + 1)
        return np.asarray(values[values >= spec.smallest_subnormal] * scale), True
    normal = 2.0 ** np.arange(first, last + 1)[:, None] * (1 + np.arange(steps) / steps)
    values = np.concatenate([spec.smallest_normal * np.arange(1, steps) / steps, normal.ravel()])
    return np.asarray(values[values <= spec.largest] * scale), False


def _log2(x: float) -> float:
    return float(np.log2(x)) if 0 < x < np.inf else (-np.inf if x <= 0 else np.inf)
