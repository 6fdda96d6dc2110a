"""Weights as the weight-only kernels read them: packed once, so that every load is contiguous. Plain torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import Quantized

GROUPS = (32, 64, 128)
NARROWEST = 32
"""Output channels of the narrowest tile; a weight has one counter for each so wide a tile."""


@dataclass(frozen=True, eq=False)
class PackedInt4:
    """A weight [N, K] of INT4 codes in groups along K, two codes a byte.

    codes: UINT8 [K / group, N, group / 2]: the low half of byte j of a group is its code j, the high half its code
    j + group / 2, so that codes and activations are both read in order. Symmetric codes are stored plus 8.
    scale, zero_point: FP32 [K / group, N]; weight = (code - zero_point) * scale, zero_point None where symmetric.
    counters: INT32 zeros, with which the parts of a split product are joined. One call at a time may use them.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor | None
    counters: Tensor

    @property
    def group(self) -> int:
        return 2 * self.codes.shape[2]

    @property
    def variant(self) -> str:
        """What of it changes the kernel, in words."""
        return f"int4 in {self.group}{'' if self.zero_point is None else ' with zero points'}"

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)"""
        return self.codes.shape[1], self.codes.shape[0] * self.group


@dataclass(frozen=True, eq=False)
class PackedInt8:
    """A weight [N, K] of INT8 codes with an FP32 scale per output channel [N]; ``counters`` as of ``PackedInt4``."""

    codes: Tensor
    scale: Tensor
    counters: Tensor
    variant = "int8"

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)"""
        return self.codes.shape[0], self.codes.shape[1]


def pack_int4(weight: Quantized) -> PackedInt4:
    """Pack a weight [N, K] quantised to INT4 in groups of 32, 64 or 128; raises ``PrecisionError`` for others."""
    scheme, codes = weight.scheme, weight.codes
    if codes.ndim != 2 or scheme.group not in GROUPS or scheme.format not in ("int4", "uint4"):
        found = f"the weight is {scheme}, of shape {list(codes.shape)}"
        raise PrecisionError("pack a weight of INT4", found, "[N, K] in INT4 with group=32, 64 or 128")
    nibbles = codes.to(torch.uint8) if weight.zero_point is not None else (codes + 8).to(torch.uint8)
    low, high = nibbles.reshape(codes.shape[0], -1, 2, scheme.group // 2).unbind(2)
    by_group = (low | (high << 4)).transpose(0, 1).contiguous()
    zero_point = None if weight.zero_point is None else weight.zero_point.float().t().contiguous()
    return PackedInt4(by_group, weight.scale.float().t().contiguous(), zero_point, _counters(codes))


def pack_int8(weight: Quantized) -> PackedInt8:
    """Pack a weight [N, K] quantised to INT8 per output channel; raises ``PrecisionError`` for others."""
    scheme, codes = weight.scheme, weight.codes
    fits = codes.dtype == torch.int8 and codes.ndim == 2 and scheme.granularity == "channel" and scheme.axis in (0, -2)
    if not fits:
        found = f"the weight is {scheme}, of shape {list(codes.shape)}"
        raise PrecisionError("pack a weight of INT8", found, "[N, K] in INT8 per channel, axis 0")
    return PackedInt8(codes.contiguous(), weight.scale.float().reshape(-1).contiguous(), _counters(codes))


def unpack_int4(packed: PackedInt4) -> Tensor:
    """The weight [N, K] in FP32 that a packed one stands for."""
    nibbles = torch.stack((packed.codes & 15, packed.codes >> 4), dim=2)
    codes = nibbles.reshape(*packed.codes.shape[:2], packed.group).float()
    zero_point = 8.0 if packed.zero_point is None else packed.zero_point.unsqueeze(2)
    return ((codes - zero_point) * packed.scale.unsqueeze(2)).transpose(0, 1).reshape(packed.shape)


def _counters(codes: Tensor) -> Tensor:
    return torch.zeros(-(-codes.shape[0] // NARROWEST), dtype=torch.int32, device=codes.device)
