"""Weights as the weight-only kernels read them: packed once, so that every load is contiguous. Plain torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import Quantized
from explorer.kernels.stored import Int4Weight

GROUPS = (32, 64, 128)
NARROWEST = 32
"""Output channels of the narrowest tile; a weight has one counter for each so wide a tile."""


@dataclass(frozen=True, eq=False)
class PackedInt4:
    """A weight [N, K] of INT4 codes in groups along K, two codes a byte.

    codes: UINT8 [K / group, N, group / 2]: the low half of byte j of a group is its code j, 0 to 15, the high half its
    code j + group / 2, so that codes and activations are both read in order.
    scale, zero: FP32 or BF16 [K / group, N]; weight = (code - 8) * scale + zero, zero None where symmetric.
    counters: INT32 zeros, with which the parts of a split product are joined. One call at a time may use them.
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor | None
    counters: Tensor

    @property
    def group(self) -> int:
        return 2 * self.codes.shape[2]

    @property
    def variant(self) -> str:
        """What of it changes the kernel, in words."""
        return f"int4 in {self.group}{'' if self.zero is None else ' with zeros'} {self.scale.dtype}"

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


def pack_int4(weight: Quantized | Int4Weight) -> PackedInt4:
    """Pack a weight [N, K] of INT4 codes in groups of 32, 64 or 128; raises ``PrecisionError`` for others."""
    stored = weight if isinstance(weight, Int4Weight) else _as_stored(weight)
    if stored.group not in GROUPS:
        raise _misfit(f"groups of {stored.group}")
    low, high = stored.codes.reshape(len(stored.codes), -1, 2, stored.group // 2).unbind(2)
    by_group = (low | (high << 4)).transpose(0, 1).contiguous()
    zero = None if stored.zero is None else stored.zero.t().contiguous()
    return PackedInt4(by_group, stored.scale.t().contiguous(), zero, _counters(stored.codes))


def _as_stored(weight: Quantized) -> Int4Weight:
    scheme, codes, scale = weight.scheme, weight.codes, weight.scale.float()
    if codes.ndim != 2 or scheme.granularity != "group" or scheme.format not in ("int4", "uint4"):
        raise _misfit(f"{scheme}, of shape {list(codes.shape)}")
    if weight.zero_point is None:
        return Int4Weight((codes + 8).to(torch.uint8), scale, None)
    return Int4Weight(codes, scale, (8.0 - weight.zero_point.float()) * scale)


def _misfit(found: str) -> PrecisionError:
    return PrecisionError("pack a weight of INT4", f"the weight is in {found}", "[N, K] in groups of 32, 64 or 128")


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
    values = (nibbles.reshape(*packed.codes.shape[:2], packed.group).float() - 8) * packed.scale.float().unsqueeze(2)
    values = values if packed.zero is None else values + packed.zero.float().unsqueeze(2)
    return values.transpose(0, 1).reshape(packed.shape)


def _counters(codes: Tensor) -> Tensor:
    return torch.zeros(-(-codes.shape[0] // NARROWEST), dtype=torch.int32, device=codes.device)
