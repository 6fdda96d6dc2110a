"""Magnitudes as ordinals: 0 for zero, 1 for the smallest of a format, and so on, with a binary fraction between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.formats.spec import ElementSpec, IntSpec

_CARRIERS = {torch.float32: (torch.int32, 23, 127), torch.float64: (torch.int64, 52, 1023)}
"""Of each dtype that can carry values: the integer of its bits, its mantissa bits, its bias."""


@dataclass(frozen=True)
class Grid:
    """The magnitudes of a format without its upper end: steps of 2**(max(exponent, min_exponent) - mantissa_bits).

    An ordinal is a fixed-point integer, ``fraction_bits`` of it below the point. Adding to it and cutting its fraction
    is rounding, carries into the next binade included. This is integer arithmetic on the bits of ``carrier`` values, so
    no setting that flushes subnormals can change it.
    carrier: FP64, or FP32 where the format's subnormals are FP32's or leave two bits below their mantissa.
    """

    mantissa_bits: int
    min_exponent: int
    carrier: torch.dtype

    @property
    def fraction_bits(self) -> int:
        """Bits of an ordinal below the point."""
        return self._stored_bits - self.mantissa_bits

    def ordinals(self, x: Tensor) -> Tensor:
        """x: carrier values of any sign -> fixed-point ordinals of their magnitudes; the sign is dropped.

        What lies below the last fraction bit sets that bit, so that an inexact magnitude never looks exact.
        """
        bits = x.view(_CARRIERS[self.carrier][0]).bitwise_and(torch.iinfo(_CARRIERS[self.carrier][0]).max)
        if self._first_field == 1:
            return bits
        field = bits.bitwise_right_shift(self._stored_bits)
        shift = (self._first_field - field.clamp(min=1)).clamp_(0, self._stored_bits + 1)
        significand = bits.bitwise_and_((1 << self._stored_bits) - 1)
        significand.bitwise_or_((field > 0).to(bits.dtype).bitwise_left_shift_(self._stored_bits))
        cut = significand.bitwise_right_shift(shift)
        cut.bitwise_or_((cut.bitwise_left_shift(shift) != significand).to(bits.dtype))
        return cut.add_(field.sub_(self._first_field).clamp_(min=0).bitwise_left_shift_(self._stored_bits))

    def magnitudes(self, ordinals: Tensor) -> Tensor:
        """Fixed-point ordinals without a fraction -> the carrier values that they stand for; may reuse the memory."""
        if self._first_field == 1:
            return ordinals.view(self.carrier)
        is_subnormal = ordinals < 1 << self._stored_bits
        binade = is_subnormal.to(ordinals.dtype).add_(self._first_field - 1).bitwise_left_shift_(self._stored_bits)
        values = binade.add_(ordinals).view(self.carrier)
        return values.sub_(is_subnormal.to(self.carrier).mul_(2.0**self.min_exponent))

    @property
    def _stored_bits(self) -> int:
        return _CARRIERS[self.carrier][1]

    @property
    def _first_field(self) -> int:
        """The carrier's exponent field of the smallest normal magnitude."""
        return self.min_exponent + _CARRIERS[self.carrier][2]


def find_grid(spec: ElementSpec, carrier: torch.dtype = torch.float64) -> Grid:
    """The grid of a format, where integers are all subnormal; one that FP32 cannot carry gets FP64."""
    if isinstance(spec, IntSpec):
        return Grid(spec.bits, spec.bits, carrier)
    fits_fp32 = spec.min_exponent >= -126 and (spec.mantissa_bits <= 21 or spec.min_exponent == -126)
    return Grid(spec.mantissa_bits, spec.min_exponent, carrier if fits_fp32 else torch.float64)
