"""How far one tensor is from another: sums and extremes of a pair, exact to merge up to the rounding of FP64 sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce

import torch
from torch import Tensor

from explorer.formats import FloatSpec, find_format
from explorer.formats.ordinals import Grid, find_grid
from explorer.measure import sqnr_db

_BLOCK = 1 << 22
"""Elements that torch compares at a time: bounds the FP64 copies."""


@dataclass(frozen=True)
class PairError:
    """How far ``y`` is from its reference ``x``, over any number of pairs of tensors.

    The sums and maxima are over the elements that are finite in both; where ``x`` is NaN or Inf itself nothing can be
    said of the error. ``new_nan`` and ``new_inf`` count the elements of ``y`` that are so where ``x`` was finite,
    ``recovered`` those that are finite where ``x`` was not.

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
    recovered: int = 0

    @classmethod
    def of(cls, x: Tensor, y: Tensor, format: str = "fp32") -> PairError:
        """The error of one pair of equal shapes, FP32 or narrower; ``format`` is what y is stored in.

        Neither is modified. Pairs without elements are no error.
        """
        if not x.numel():
            return cls()
        x, y = x.float().reshape(-1), y.float().reshape(-1)
        return compare_with_loops(x, y, format) if x.is_cpu else compare_with_torch(x, y, format)

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
            self.recovered + other.recovered,
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


def compare_with_loops(x: Tensor, y: Tensor, format: str) -> PairError:
    """The error of one pair [n] of FP32 on a CPU, in one pass. (Effect: JIT at first use.)"""
    from explorer.compare.loops import compare  # Numba loads when tensors are compared, not with the package

    grid = _grid(format if _has_steps(format) else "fp32")
    sums, (largest, ulps, parts), counts = compare(x.contiguous(), y.contiguous(), grid.min_exponent + 127)
    steps = parts * 2.0**-grid.fraction_bits if _has_steps(format) else math.nan
    return _record(len(x), sums, (largest, ulps, steps), counts)


def compare_with_torch(x: Tensor, y: Tensor, format: str) -> PairError:
    """The error of one pair [n] of FP32 on any device, in some passes over blocks."""
    blocks = zip(torch.split(x, _BLOCK), torch.split(y, _BLOCK), strict=True)
    return merge_all(_compare_block(*block, format) for block in blocks)


def _compare_block(x: Tensor, y: Tensor, format: str) -> PairError:
    known, finite = x.isfinite(), y.isfinite()
    both = known & finite
    counts = [int(part.sum()) for part in (known & y.isnan(), known & y.isinf(), ~known & finite)]
    a, b = x[both], y[both]
    first, second = a.double(), b.double()
    e = second - first
    sums = [float(torch.dot(*pair)) for pair in ((first, first), (second, second), (first, second), (e, e))]
    if not len(e):
        return _record(len(x), sums, (0.0, 0.0, 0.0 if _has_steps(format) else math.nan), counts)
    steps = float(count_ulps(a, b, format).max()) if _has_steps(format) else math.nan
    return _record(len(x), sums, (float(e.abs().max()), float(count_ulps(a, b).max()), steps), counts)


def _record(
    elements: int, sums: Sequence[float], maxima: tuple[float, float, float], counts: Sequence[int]
) -> PairError:
    signal, other, dot, noise = sums
    nan, inf, recovered = counts
    return PairError(elements, signal, other, dot, noise, *maxima, nan, inf, recovered)


def _has_steps(format: str) -> bool:
    """Whether the values of a format lie on one grid: codes do on their scale's."""
    return isinstance(find_format(format), FloatSpec)


def _larger(a: float, b: float) -> float:
    """The larger one; NaN where either is."""
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)
