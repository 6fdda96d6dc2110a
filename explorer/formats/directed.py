"""Rounding in a direction or at random: an increment is added to each element's ordinal, then its fraction is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from explorer.formats.ordinals import Grid, find_grid
from explorer.formats.spec import ElementSpec, FloatSpec
from explorer.formats.steps import check_float, common_largest, common_smallest, run_step

_CPU_BLOCK = 1 << 17  # elements: several integers of 8 bytes for each still fit a cache
Rounding = Literal["nearest", "toward_zero", "up", "down", "stochastic"]


def round_by_ordinals(
    x: Tensor, spec: ElementSpec, rounding: Rounding, saturate: bool = True, generator: torch.Generator | None = None
) -> Tensor:
    """x rounded to the format in any of the ways that ``round_to`` tells of, which checks the arguments.

    Slower than ``round_elements``, equal to it where both round to nearest. ``generator``: for stochastic rounding, on
    x's device; its draws go to the elements in logical order, whatever the strides of x.
    """
    check_float(x, f"round to {spec.name}")
    is_wide = x.dtype == torch.float64 or rounding == "stochastic"
    grid = find_grid(spec, torch.float64 if is_wide else torch.float32)
    step = DirectedStep(spec, grid, rounding, saturate, generator)
    return run_step(step, x.contiguous() if rounding == "stochastic" else x, cpu_block=_CPU_BLOCK)


@dataclass(frozen=True)
class DirectedStep:
    """Rounds a source tensor into a target by the ordinals of the format's grid."""

    spec: ElementSpec
    grid: Grid
    rounding: Rounding
    saturate: bool
    generator: torch.Generator | None

    def __call__(self, source: Tensor, target: Tensor) -> None:
        x = source.to(self.grid.carrier)
        ordinals = self.grid.ordinals(x)
        if self.grid.fraction_bits:
            self._round(ordinals, x)
        y = self.grid.magnitudes(ordinals).copysign_(x)
        self._bound(y, x, source.dtype)
        target.copy_(y)

    def _round(self, ordinals: Tensor, x: Tensor) -> None:
        """In place: adds less than one ordinal to each, and cuts the fraction."""
        bits = self.grid.fraction_bits
        if self.rounding == "nearest":
            ordinals.add_(_find_half(ordinals, self.grid))
        elif self.rounding == "stochastic":
            ordinals.add_(_draw(ordinals, bits, self.generator))
        elif self.rounding != "toward_zero":
            moves_away = x.signbit() if self.rounding == "down" else ~x.signbit()
            ordinals.add_(moves_away.to(ordinals.dtype).mul_((1 << bits) - 1))
        ordinals.bitwise_and_(-(1 << bits))

    def _bound(self, y: Tensor, x: Tensor, dtype: torch.dtype) -> None:
        """In place: what the format has for values that are too large, too small, negative or NaN."""
        spec, lowest = self.spec, common_smallest(self.spec, dtype)
        if not self.saturate and isinstance(spec, FloatSpec) and spec.nan != "none":
            _overflow(y, x, spec, self.rounding)
        else:
            y.clamp_(lowest, common_largest(spec, dtype))
        if not spec.signed:
            y.clamp_(min=lowest).abs_()  # devices differ in which zero the clamp leaves
        if isinstance(spec, FloatSpec) and not spec.has_zero:
            y.masked_fill_(x <= 0, math.nan)
        y.masked_fill_(x.isnan(), math.nan)


def _find_half(ordinals: Tensor, grid: Grid) -> Tensor | int:
    """What takes an ordinal to the next where its fraction is over a half, or is a half and the ordinal odd.

    Without a mantissa every significand is 1: neither neighbour is even, and a tie goes to the larger.
    Source: IEEE 754-2019, section 4.3.1.
    """
    half = 1 << (grid.fraction_bits - 1)
    if grid.mantissa_bits == 0:
        return half
    return ordinals.bitwise_right_shift(grid.fraction_bits).bitwise_and_(1).add_(half - 1)


def _draw(ordinals: Tensor, bits: int, generator: torch.Generator | None) -> Tensor:
    """Integers of as many random bits, one for each ordinal."""
    shape, dtype, device = ordinals.shape, ordinals.dtype, ordinals.device
    return torch.randint(1 << bits, shape, generator=generator, dtype=dtype, device=device)


def _overflow(y: Tensor, x: Tensor, spec: FloatSpec, rounding: Rounding) -> None:
    """In place: Inf, or NaN where there is none, for what left the finite values; the largest where x was rounded back.

    Source: IEEE 754-2019, section 7.4.
    """
    if rounding in ("toward_zero", "up"):
        y.clamp_(min=-spec.largest)
    if rounding in ("toward_zero", "down"):
        y.clamp_(max=spec.largest)
    is_beyond = (y.abs() > spec.largest).logical_or_(x.isinf())
    y.copy_(torch.where(is_beyond, x * math.inf if spec.has_inf else math.nan, y))
