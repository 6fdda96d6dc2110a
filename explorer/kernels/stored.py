"""Weights as the weight-only kernels store them: codes under scales that BF16 holds, for real and emulated alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explorer.formats import Quantized, find_scale, quantize
from explorer.precision import PRECISIONS, weight_scheme_of
from explorer.weights import search_scale

CHANNEL = weight_scheme_of("w8")


@dataclass(frozen=True, eq=False)
class Int4Weight:
    """A weight [N, K] of 4-bit codes in groups along K: value = (code - 8) * scale + zero.

    codes: UINT8 [N, K] of 0..15. scale: BF16 [N, K / group]. zero: the same, or None where the scheme is symmetric.
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor | None

    @property
    def group(self) -> int:
        return self.codes.shape[1] // self.scale.shape[1]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the codes, two to a byte."""
        return self.codes.numel() // 2

    @property
    def scale_bytes(self) -> int:
        return self.scale.nbytes + (0 if self.zero is None else self.zero.nbytes)

    def values(self) -> Tensor:
        """What the weight stands for, [N, K] FP32."""
        centred = self.codes.reshape(*self.scale.shape, self.group).float() - 8
        values = centred * self.scale.float().unsqueeze(2)
        if self.zero is not None:
            values += self.zero.float().unsqueeze(2)
        return values.reshape(self.codes.shape)


def store_int4(weight: Tensor, precision: str) -> Int4Weight:
    """Return ``weight`` [N, K] as a precision of 4-bit groups stores it; K is a multiple of its group.

    The scale is found by the precision's method and rounded to BF16 before the weight is rounded with it, so that no
    error comes from the scale; so is the zero point. A group with NaN or Inf has a scale of NaN.
    """
    scheme, method = weight_scheme_of(precision), PRECISIONS[precision].weight_method
    scale, zero_point = search_scale(weight, scheme, method) if method != "nearest" else find_scale(weight, scheme)
    narrow = scale.to(torch.bfloat16)
    if zero_point is None:
        record = quantize(weight, replace(scheme, dynamic=False), narrow.float())
        return Int4Weight((record.codes + 8).to(torch.uint8), narrow, None)
    zero = ((8 - zero_point) * scale).to(torch.bfloat16)
    grouped = weight.float().reshape(*scale.shape, -1)
    codes = ((grouped - zero.float().unsqueeze(2)) * (1 / narrow.float()).unsqueeze(2)).round_().add_(8).clamp_(0, 15)
    return Int4Weight(codes.nan_to_num_(nan=0.0).to(torch.uint8).reshape(weight.shape), narrow, zero)


def store_int8(weight: Tensor) -> tuple[Quantized, Tensor]:
    """Return ``weight`` [N, ...] as INT8 per output channel under scales that BF16 holds, and those scales [N]."""
    scale, _ = find_scale(weight, CHANNEL)
    scale = scale.to(torch.bfloat16)
    return quantize(weight, replace(CHANNEL, dynamic=False), scale.float()), scale.reshape(-1).contiguous()
