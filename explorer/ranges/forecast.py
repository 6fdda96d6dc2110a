"""What a format or a scheme does to a tensor, told from its histogram, and from a few runs where neighbours matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import BlockSpec, Scheme, Spec, find_format
from explorer.formats.elements import ElementSpec
from explorer.ranges.bins import Floats
from explorer.ranges.calibrators import scale_from_histogram
from explorer.ranges.cells import Cells, find_cells, shares_within
from explorer.ranges.grids import Grid, make_grid, mean_squared_error
from explorer.ranges.histogram import Histogram
from explorer.ranges.runs import Runs, relative_variance, squared_errors
from explorer.ranges.sharing import block_scales, elements_in, expect_blocks
from explorer.ranges.tensor_range import TensorRange

_BLOCK_POINTS = 4  # possible values of a bin listed one by one, where many scales are weighed


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a tensor in a format.

    saturated: share of the elements that rounding would take beyond the largest value; Inf is one of them.
    flushed: share that is not zero and becomes zero. subnormal: share that becomes a subnormal.
    sqnr_db: 20 log10(||x|| / ||x - y||) of the finite elements; inf when equal, -inf when a plain cast overflows. FP32
    rounding inside a scheme is not counted: beyond 130 dB, equal but for that.
    margin: each share is right to so much: the elements in bins that a threshold divides. Where many scales are found
    from the data (token, channel, group, block), the shares are expectations on top of that.
    spread_db: one standard deviation of sqnr_db over tensors of this histogram: large where few elements dominate.
    """

    saturated: float
    flushed: float
    subnormal: float
    sqnr_db: float
    margin: float
    spread_db: float


def forecast(
    seen: Histogram | TensorRange,
    format: str | Spec | Scheme,
    scale: Tensor | float | None = None,
    zero_point: Tensor | float | None = None,
    elements_per_scale: int | None = None,
) -> Forecast:
    """What to expect of ``round_to(x, format)``, or of ``fake_quantize(x, scheme)``, for an x of this range.

    scale, zero_point: numbers, for a format or a scheme per tensor; a scheme without them finds its own, dynamic from
    the extremes, static by its calibrator. elements_per_scale: for schemes per token and per channel, which need it.

    Within a bin, elements count as spread evenly (see ``find_cells``); the squared error of rounding is then integrated
    exactly, step by step: step**2 / 12 within the range, more beyond it, nothing for points that are values already.
    Where a block, group, square, token or channel finds its own scale, its elements count as drawn at random from the
    whole tensor, so that the distribution of its extremes follows from the histogram. Tensors whose large elements keep
    together, and rows that do not fill a block, do better than that. Where a range has kept runs of neighbours, the
    error of blocks and groups along the last dimension is multiplied by what it is in these runs, over what it would
    be were their elements drawn at random. A tensor so small that the runs are all of it is forecast from its values.

    Raises ``PrecisionError`` for E8M0, which holds scales only, and for scales where none can be given.
    """
    histogram, runs = _open(seen)
    kind = _resolve(format)
    if scale is not None and isinstance(kind, Scheme) and not (kind.scaled and kind.granularity == "tensor"):
        found = f"{kind} has no single scale" if kind.scaled else "a plain cast takes no scale"
        raise PrecisionError(f"forecast {kind} with a scale", found, "leave scale out")
    if isinstance(kind, Scheme) and kind.granularity != "tensor":
        size = elements_in(kind, elements_per_scale)
        expected = _expect_many(histogram, kind, size, histogram.absmax)
        return _conclude(histogram, _as_neighbours(expected, seen, kind, size))
    return _forecast_cells(histogram, _cells_of(histogram, runs), kind, scale, zero_point)


def forecast_each(seen: Histogram | TensorRange, formats: Iterable[str | Spec | Scheme]) -> tuple[Forecast, ...]:
    """What ``forecast`` gives for each format or scheme, in half of the time for several; errors as there."""
    histogram, runs = _open(seen)
    cells = _cells_of(histogram, runs)
    return tuple(
        forecast(seen, kind)
        if isinstance(kind, Scheme) and kind.granularity != "tensor"
        else _forecast_cells(histogram, cells, kind)
        for kind in map(_resolve, formats)
    )


def _open(seen: Histogram | TensorRange) -> tuple[Histogram, Runs | None]:
    """The histogram, and the runs of neighbours where there are any."""
    return (seen, None) if isinstance(seen, Histogram) else (seen.histogram, seen.runs)


def _cells_of(histogram: Histogram, runs: Runs | None) -> Cells:
    """The cells of the finite elements: each element at its value where all are known."""
    if runs is None or not runs.are_all_of(histogram):
        return find_cells(histogram)
    at = np.sort(runs.elements.double().numpy())
    return Cells(at, at, np.ones(len(at)), at, at)


def _forecast_cells(
    histogram: Histogram,
    cells: Cells,
    kind: Scheme | ElementSpec,
    scale: Tensor | float | None = None,
    zero_point: Tensor | float | None = None,
) -> Forecast:
    """The forecast of one scale for all elements, which are those of ``cells``."""
    if isinstance(kind, Scheme) and kind.scaled and scale is None:
        scale, zero_point = scale_from_histogram(histogram, kind)
    grid = make_grid(kind, 1.0 if scale is None else float(scale), 0.0 if zero_point is None else float(zero_point))
    return _conclude(histogram, _expect(cells, grid), overflows=isinstance(kind, Scheme) and not kind.scaled)


@dataclass(frozen=True, eq=False)
class _Expected:
    """Means over finite elements, all of one shape: the squared error, its variance as far as the histogram leaves it
    open, the three shares, and how far those may be off."""

    error: Floats
    variance: Floats
    saturated: Floats
    flushed: Floats
    subnormal: Floats
    margin: Floats

    def mix(self, other: _Expected, share: float) -> _Expected:
        """These elements and a share of others."""
        return self._combine(lambda name: (1 - share) * getattr(self, name) + share * getattr(other, name))

    def average(self, weights: Floats) -> _Expected:
        """The mean over the last dimension."""
        return self._combine(lambda name: np.asarray((getattr(self, name) * weights).sum(axis=-1)))

    def _combine(self, value: Callable[[str], Floats]) -> _Expected:
        return _Expected(*(value(field.name) for field in fields(self)))


def _resolve(format: str | Spec | Scheme) -> Scheme | ElementSpec:
    """The scheme or format of elements to forecast: a block format is a scheme."""
    spec = format if isinstance(format, Scheme) else find_format(format)
    return Scheme(spec.name) if isinstance(spec, BlockSpec) else spec


def _expect(cells: Cells, grid: Grid) -> _Expected:
    """The mean of each quantity over cells [..., n]."""
    low, high = cells.low, cells.high
    (first, last), (zero_low, zero_high), normal = grid.range, grid.zero_range, grid.normal_from
    inside = shares_within(low, high, first, last, grid.keeps_ties)
    becomes_zero = shares_within(low, high, zero_low, zero_high)
    below_normal = shares_within(low, high, -normal, normal, (False, False))
    is_zero = (low == 0) & (high == 0)
    error = mean_squared_error(grid, low, high)
    return _Expected(
        cells.mean(error),
        cells.mean(np.where(cells.known, 0.0, error**2)),
        cells.mean(1.0 - inside),
        cells.mean(np.where(is_zero, 0.0, becomes_zero)),
        cells.mean(np.maximum(below_normal - becomes_zero, 0.0)),
        np.maximum(cells.cut_by(first, last), cells.cut_by(zero_low, zero_high, -normal, normal)),
    )


def _expect_many(histogram: Histogram, scheme: Scheme, size: int, absmax: float) -> _Expected:
    """As ``_expect``, where every ``size`` elements have a scale of their own; absmax: the whole tensor's."""
    cells = find_cells(histogram, _BLOCK_POINTS, parts=2)
    blocks = expect_blocks(cells, size, scheme.symmetric)
    grid = make_grid(scheme, *block_scales(blocks, scheme, absmax))
    ends = np.stack([blocks.low, blocks.high], axis=1)
    ends_weight = np.broadcast_to([0.0, 1.0] if scheme.symmetric else [1.0, 1.0], ends.shape)
    each = _expect(cells.clip(ends[:, :1], ends[:, 1:]), grid)
    if size < histogram.finite:
        outer = _expect(Cells(ends, ends, ends_weight, ends, ends), grid)
        each = each.mix(outer, float(ends_weight[0].sum()) / size)
    mean = each.average(blocks.share)
    between = float((blocks.share * (each.error - mean.error) ** 2).sum())
    return replace(mean, variance=mean.variance + size * between)


def _as_neighbours(expected: _Expected, seen: Histogram | TensorRange, scheme: Scheme, size: int) -> _Expected:
    """What is expected of elements drawn at random, corrected by the runs that were kept, where they can tell."""
    histogram, runs = _open(seen)
    if runs is None or not runs.hold_whole(scheme) or not len(runs.elements):
        return expected
    found = squared_errors(runs, scheme, histogram.absmax)
    at_random = float(_expect_many(Histogram.of(runs.elements), scheme, size, histogram.absmax).error)
    if at_random == 0:
        return expected
    factor = float(found.sum()) / len(runs.elements) / at_random
    error, unsure = factor * expected.error, 0.0
    if not runs.are_all_of(histogram):
        unsure = factor**2 * float(expected.variance) + histogram.finite * float(error) ** 2 * relative_variance(found)
    return replace(expected, error=error, variance=np.asarray(unsure))


def _conclude(histogram: Histogram, expected: _Expected, overflows: bool = False) -> Forecast:
    """The forecast of all elements; overflows: whether what saturates becomes Inf."""
    finite = histogram.finite / histogram.count if histogram.count else 0.0
    infinite = histogram.inf / histogram.count if histogram.count else 0.0
    signal = histogram.sum_of_squares / max(histogram.finite, 1)
    saturated = float(expected.saturated)
    error, spread = float(expected.error), math.sqrt(float(expected.variance) / max(histogram.finite, 1))
    sqnr_db = 10 * math.log10(signal / error) if error > 0 else math.inf
    spread_db = 10 / math.log(10) * spread / error if error > 0 else 0.0
    if overflows and saturated > 0:
        sqnr_db, spread_db = -math.inf, 0.0
    flushed, subnormal, margin = (
        finite * float(share) for share in (expected.flushed, expected.subnormal, expected.margin)
    )
    return Forecast(finite * saturated + infinite, flushed, subnormal, sqnr_db, margin, spread_db)
