"""How far one tensor is from another: sums and extremes of a pair, exact to merge up to the rounding of FP64 sums."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
import torch
from torch import Tensor

from explorer.formats import FloatSpec, find_format
from explorer.formats.ordinals import Grid, find_grid
from explorer.measure.quality import sqnr_db

_BLOCK = 1 << 16
"""Elements compared at a time: few enough that their FP64 copies stay in the second cache."""


@dataclass(frozen=True)
class PairError:
    """How far ``y`` is from its reference ``x``, over any number of pairs of tensors.

    The sums and maxima are over the elements that are finite in both; where ``x`` is NaN or Inf itself nothing can be
    said of the error. ``new_nan`` and ``new_inf`` count the elements of ``y`` that are so where ``x`` was finite.

    elements: all that were compared. signal, other, dot, noise: the sums of x**2, y**2, x * y and (y - x)**2, in FP64.
    max_abs: the largest \\|y - x\\|. max_ulps: the largest distance in steps of FP32's grid, counted over zero where
    the signs differ. output_ulps: the same in steps of the format that y is stored in, as a fraction; NaN where it is
    stored as integer codes, whose steps are their scale's.
    """

    elements: int = 0
    signal: float = 0.0
    other: float = 0.0
    dot: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0
    max_ulps: float = 0.0
    output_ulps: float = 0.0
    new_nan: int = 0
    new_inf: int = 0

    @classmethod
    def of(cls, x: Tensor, y: Tensor, format: str = "fp32") -> PairError:
        """The error of one pair of equal shapes, FP32 or narrower; ``format`` is what y is stored in.

        Neither is modified. Pairs without elements are no error.
        """
        x, y = x.float().reshape(-1), y.float().reshape(-1)
        blocks = zip(x.split(_BLOCK), y.split(_BLOCK), strict=True)
        return merge_all(_compare_block(a, b, format) for a, b in blocks if len(a))

    def merge(self, other: PairError) -> PairError:
        """The error over the pairs of both."""
        return PairError(
            self.elements + other.elements,
            self.signal + other.signal,
            self.other + other.other,
            self.dot + other.dot,
            self.noise + other.noise,
            _larger(self.max_abs, other.max_abs),
            _larger(self.max_ulps, other.max_ulps),
            _larger(self.output_ulps, other.output_ulps),
            self.new_nan + other.new_nan,
            self.new_inf + other.new_inf,
        )

    @property
    def nonfinite(self) -> int:
        """How many elements became NaN or Inf."""
        return self.new_nan + self.new_inf

    @property
    def sqnr_db(self) -> float:
        """10 log10 of signal over noise: infinite without noise; minus infinite where an element became NaN or Inf,
        which is noise without bound; NaN where nothing was compared."""
        if not self.elements:
            return math.nan
        return -math.inf if self.nonfinite else sqnr_db(self.signal, self.noise)

    @property
    def cosine(self) -> float:
        """Cosine of the angle between x and y: 1 without noise, NaN where one of them is zero or became NaN or Inf."""
        if self.nonfinite or not self.elements:
            return math.nan
        if self.noise == 0:
            return 1.0
        length = math.sqrt(self.signal) * math.sqrt(self.other)
        return max(-1.0, min(1.0, self.dot / length)) if length else math.nan

    @property
    def relative(self) -> float:
        """\\|\\|y - x\\|\\| / \\|\\|x\\|\\|: 0 without noise; infinite where x is zero, or an element became
        NaN or Inf; NaN where nothing was compared."""
        if not self.elements:
            return math.nan
        if self.nonfinite or (self.noise and not self.signal):
            return math.inf
        return math.sqrt(self.noise / self.signal) if self.noise else 0.0


def merge_all(errors: Iterable[PairError]) -> PairError:
    """The error over the pairs of all."""
    return reduce(PairError.merge, errors, PairError())


def count_ulps(x: Tensor, y: Tensor, format: str = "fp32") -> Tensor:
    """The distance of each y from x in steps of a float format's grid, FP64 of their shape; both finite FP32.

    0.5 is the most that rounding to nearest in that format leaves. Its upper end is ignored: the steps go on.
    """
    grid = _grid(format)

    def place(values: Tensor) -> Tensor:
        sign = 1 - 2 * torch.signbit(values).long()
        return grid.ordinals(values.to(grid.carrier)).long().mul_(sign)

    return place(y).sub_(place(x)).abs_().double().mul_(2.0**-grid.fraction_bits)


@cache
def _grid(format: str) -> Grid:
    spec = find_format(format)
    assert isinstance(spec, FloatSpec), f"{format} has no steps of its own"
    grid = find_grid(spec, torch.float32)
    assert grid.carrier == torch.float32, f"FP32 cannot count the steps of {format}"
    return grid


def _compare_block(x: Tensor, y: Tensor, format: str) -> PairError:
    sums = _sum_squares(x, y)
    if math.isfinite(sums[3]):  # FP64 holds any sum of squares of FP32 values, so nothing here is NaN or Inf
        return PairError(len(x), *sums, *_find_extremes(x, y, format)) if sums[3] else _equal(len(x), sums, format)
    known = x.isfinite()
    both = known & y.isfinite()
    inside = _compare_block(x[both], y[both], format) if bool(both.any()) else PairError()
    born = PairError(
        len(x) - inside.elements, new_nan=int((known & y.isnan()).sum()), new_inf=int((known & y.isinf()).sum())
    )
    return inside.merge(born)


def _equal(elements: int, sums: tuple[float, float, float, float], format: str) -> PairError:
    return PairError(elements, *sums, output_ulps=0.0 if _has_steps(format) else math.nan)


def _has_steps(format: str) -> bool:
    """Whether the values of a format lie on one grid: codes do on their scale's."""
    return isinstance(find_format(format), FloatSpec)


def _sum_squares(x: Tensor, y: Tensor) -> tuple[float, float, float, float]:
    """The sums of x**2, y**2, x * y and (y - x)**2."""
    if not x.is_cpu:
        a, b = x.double(), y.double()
        e = b - a
        pairs = ((a, a), (b, b), (a, b), (e, e))
        signal, other, dot, noise = torch.stack([torch.dot(*pair) for pair in pairs]).tolist()
        return signal, other, dot, noise
    from explorer.compare.loops import add_squares  # Numba loads when tensors are compared, not with the package

    sums = np.zeros(4)
    add_squares(x.numpy(), y.numpy(), sums)
    return float(sums[0]), float(sums[1]), float(sums[2]), float(sums[3])


def _find_extremes(x: Tensor, y: Tensor, format: str) -> tuple[float, float, float]:
    """The largest distance: as a number, in FP32's steps and in the format's (NaN where it has none)."""
    if not x.is_cpu:
        largest, find = float((y.double() - x.double()).abs().max()), _find_ulps_anywhere
    else:
        from explorer.compare.loops import find_largest

        largest, find = float(find_largest(x.numpy(), y.numpy())), _find_ulps_on_cpu
    ulps = find(x, y, "fp32")
    if not _has_steps(format):
        return largest, ulps, math.nan
    grid = _grid(format)
    with_range_of_fp32 = grid.min_exponent == _grid("fp32").min_exponent
    return largest, ulps, ulps * 2.0**-grid.fraction_bits if with_range_of_fp32 else find(x, y, format)


def _find_ulps_anywhere(x: Tensor, y: Tensor, format: str) -> float:
    return float(count_ulps(x, y, format).max())


def _find_ulps_on_cpu(x: Tensor, y: Tensor, format: str) -> float:
    from explorer.compare.loops import find_farthest

    grid = _grid(format)
    patterns = (np.ascontiguousarray(part.numpy()).view(np.int32) for part in (x, y))
    return float(find_farthest(*patterns, np.int32(grid.min_exponent + 127))) * 2.0**-grid.fraction_bits


def _larger(a: float, b: float) -> float:
    """The larger one; NaN where either is."""
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)
