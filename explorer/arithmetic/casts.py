"""A tensor cast from format to format and back: what every step loses, and what comes back at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import FloatSpec, Spec, find_format, round_to

Direction = Literal["up", "down", "across"]


@dataclass(frozen=True)
class CastStep:
    """What one cast did to ``elements`` values; every count is of this step alone.

    ``saturated``: values beyond the largest of the new format that came out finite, Inf among them; ``flushed``:
    non-zero values that became zero; ``subnormal``: values that became subnormal, and so lost bits that normal ones
    keep; ``infs`` and ``nans``: those that were none before. ``max_relative_error`` is over the values that are finite
    before and after and were not zero.
    """

    source: str
    target: str
    direction: Direction
    """``up``: the new format holds every value of the old; ``down``: the old all of the new; ``across``: neither."""
    elements: int
    changed: int
    saturated: int
    flushed: int
    subnormal: int
    infs: int
    nans: int
    max_relative_error: float
    sqnr_db: float
    """Signal to noise of this step; Inf where nothing changed, NaN where a value is not finite."""
    total_sqnr_db: float
    """The same since the start of the chain."""


@dataclass(frozen=True)
class CastChain:
    """A tensor's way through formats: ``start`` and ``result`` in FP64, of one shape."""

    formats: tuple[str, ...]
    start: Tensor
    steps: tuple[CastStep, ...]
    result: Tensor

    @property
    def restored(self) -> int:
        """Elements that came out as they went in, bit for bit; any NaN counts as the same."""
        return int(_same(self.start, self.result).sum())


def cast_chain(x: Tensor, formats: Sequence[str | Spec], saturate: bool = True) -> CastChain:
    """The way of ``x`` (any shape, any float dtype) through two or more formats, the first of which it starts in.

    Where x is not in the first format yet, it is rounded to it and that loss is not counted. Casts round to nearest
    even; beyond the largest value they saturate, or with ``saturate=False`` give Inf, NaN where the format has no Inf.
    Raises ``PrecisionError`` for fewer than two formats and for one that is no signed float: integers and block formats
    need a scale, which :func:`explorer.formats.quantize` finds.
    """
    specs = [_castable(each) for each in formats]
    if len(specs) < 2:
        raise PrecisionError("cast chain", f"{len(specs)} formats", "two or more, such as ['fp32', 'bf16', 'fp32']")
    start = round_to(x.detach().to(torch.float64), specs[0], saturate)
    before, steps = start, []
    for source, target in pairwise(specs):
        after = round_to(before, target, saturate)
        steps.append(_compare(source, target, start, before, after))
        before = after
    return CastChain(tuple(spec.name for spec in specs), start, tuple(steps), before)


def direction(source: FloatSpec, target: FloatSpec) -> Direction:
    """Whether a cast goes to a format that holds every value of the source, to one it holds, or neither."""
    return "up" if _holds(target, source) else "down" if _holds(source, target) else "across"


def _holds(wide: FloatSpec, narrow: FloatSpec) -> bool:
    return (
        wide.mantissa_bits >= narrow.mantissa_bits
        and wide.largest >= narrow.largest
        and wide.smallest_subnormal <= narrow.smallest_subnormal
        and (wide.has_inf or not narrow.has_inf)
    )


def _compare(source: FloatSpec, target: FloatSpec, start: Tensor, before: Tensor, after: Tensor) -> CastStep:
    small_before, small_after = _subnormal(before, source), _subnormal(after, target)
    return CastStep(
        source=source.name,
        target=target.name,
        direction=direction(source, target),
        elements=before.numel(),
        changed=int((~_same(before, after)).sum()),
        saturated=int(((before.abs() > target.largest) & after.isfinite()).sum()),
        flushed=int(((before != 0) & (after == 0)).sum()),
        subnormal=int((small_after & ~small_before).sum()),
        infs=int((after.isinf() & ~before.isinf()).sum()),
        nans=int((after.isnan() & ~before.isnan()).sum()),
        max_relative_error=_relative_error(before, after),
        sqnr_db=_sqnr_db(before, after),
        total_sqnr_db=_sqnr_db(start, after),
    )


def _same(a: Tensor, b: Tensor) -> Tensor:
    return ((a == b) & (a.signbit() == b.signbit())) | (a.isnan() & b.isnan())


def _subnormal(x: Tensor, spec: FloatSpec) -> Tensor:
    return (x != 0) & (x.abs() < spec.smallest_normal)


def _relative_error(before: Tensor, after: Tensor) -> float:
    counted = before.isfinite() & after.isfinite() & (before != 0)
    errors = (after[counted] - before[counted]).abs() / before[counted].abs()
    return float(errors.max()) if errors.numel() else 0.0


def _sqnr_db(x: Tensor, y: Tensor) -> float:
    """20 log10(|x| / |x - y|)."""
    noise = torch.where(x == y, 0.0, x - y).norm()
    return float(20 * torch.log10(x.norm() / noise)) if noise != 0 else float("inf")


def _castable(format: str | Spec) -> FloatSpec:
    spec = find_format(format)
    if isinstance(spec, FloatSpec) and spec.smallest < 0:
        return spec
    raise PrecisionError(f"cast to {spec.name}", "it is no signed float format and needs a scale", "explorer.quantize")
