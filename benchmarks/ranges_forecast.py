"""What formats do to a tensor, counted, against what its range foretold of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.formats import FORMATS, FloatSpec, Scheme, fake_quantize, find_scale, round_to
from explorer.observe.table import kind_of
from explorer.ranges import Forecast, TensorRange, forecast_each

KINDS = [kind_of(name) for name in FORMATS if name not in ("e8m0", "fp32")]
WITHIN_DB, EQUAL_DB = 1.0, 130.0
"""Beyond EQUAL_DB, a tensor and its quantised twin are equal but for the FP32 rounding inside a scheme."""
BLOCK = 1 << 15
"""Elements compared at a time, in FP64: they stay in the second cache, where a large tensor's copies would not."""


@dataclass(frozen=True)
class Judged:
    """Of one tensor: how many formats' SQNR are right, of ``counted`` ones whose shares were counted how many are, and
    whether it is small enough to be known whole."""

    right: int
    shares: int
    counted: int
    small: bool


@dataclass(frozen=True)
class Compared:
    """A tensor beside its rounded twin: the sum of squared errors, and the shares of elements beyond the format's
    largest value and rounded to zero."""

    noise: float
    saturated: float
    flushed: float


def judge(x: Tensor, found: TensorRange) -> Judged:
    """Each format put on the tensor, and what was forecast."""
    signal = sum(float(part.double().square().sum()) for part in x.reshape(-1).split(BLOCK))
    right = shares = counted = 0
    for kind, expected in zip(KINDS, forecast_each(found, KINDS), strict=True):
        y = fake_quantize(x, kind) if isinstance(kind, Scheme) else round_to(x, kind)
        compared = _compare(x, y, _limit(x, kind))
        right += _near(expected.sqnr_db, _sqnr_db(signal, compared.noise))
        if not isinstance(kind, Scheme) or (kind.granularity == "tensor" and kind.symmetric):
            counted += 1
            shares += _shares_hold(expected, compared)
    small = found.runs is not None and found.runs.are_all_of(found.histogram)
    return Judged(right, shares, counted, small)


def _limit(x: Tensor, kind: Scheme | str) -> tuple[float, float]:
    """The scale that elements are divided by, and the magnitude above which a quotient is saturated."""
    if isinstance(kind, Scheme) and kind.granularity != "tensor":
        return 1.0, math.inf  # scales of blocks: their shares are not counted
    spec = kind.element if isinstance(kind, Scheme) else FORMATS[kind]
    high = spec.overflow_threshold if isinstance(spec, FloatSpec) else spec.largest + 0.5
    return float(find_scale(x, kind)[0]) if isinstance(kind, Scheme) else 1.0, high


def _compare(x: Tensor, y: Tensor, limit: tuple[float, float]) -> Compared:
    scale, high = limit
    noise, saturated, flushed = 0.0, 0, 0
    for a, b in zip(x.reshape(-1).split(BLOCK), y.reshape(-1).split(BLOCK), strict=True):
        wide = a.double()
        error = wide - b.double()
        noise += float(torch.dot(error, error))
        saturated += int(wide.div_(scale).abs_().gt(high).count_nonzero())
        flushed += int(b.eq(0).logical_and_(a != 0).count_nonzero())
    return Compared(noise, saturated / x.numel(), flushed / x.numel())


def _near(expected: float, measured: float) -> bool:
    if min(expected, measured) > EQUAL_DB or expected == measured:
        return True
    return abs(expected - measured) <= WITHIN_DB


def _sqnr_db(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal and math.isfinite(noise) else -math.inf


def _shares_hold(expected: Forecast, compared: Compared) -> bool:
    """Whether counting gives the forecast's shares of saturated and flushed elements, to within its margin."""
    room = expected.margin + 1e-9
    return abs(expected.saturated - compared.saturated) <= room and abs(expected.flushed - compared.flushed) <= room
