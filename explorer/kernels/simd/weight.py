"""An INT8 weight as the product reads it: panels of 64 outputs, four inputs of each side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from explorer.kernels.simd.job import PANEL
from explorer.kernels.simd.pages import aligned


@dataclass(frozen=True, eq=False)
class Int8Weight:
    """A packed weight of ``groups`` x ``width`` outputs, each of ``taps`` x ``depth`` inputs.

    panels: [groups, panels, taps, depth / 4, 64, 4] INT8, 64-byte aligned, ``depth`` padded to four and outputs to 64
    with zeros; sums: [groups * panels * 64] INT32, the sum of each output's codes.
    """

    panels: Tensor
    sums: Tensor
    groups: int
    width: int
    taps: int
    depth: int
    _corrections: dict[int, Tensor] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        return self.groups * self.width

    @property
    def quads(self) -> int:
        """Groups of four inputs in a tap."""
        return -(-self.depth // 4)

    @property
    def panel_count(self) -> int:
        """Panels of all groups."""
        return self.groups * self.panels.shape[1]

    def correct(self, zero_point: int) -> Tensor:
        """Return ``zero_point`` times the sums, by which a product of codes exceeds that of values; kept."""
        if zero_point not in self._corrections:
            self._corrections[zero_point] = self.sums * zero_point
        return self._corrections[zero_point]

    def spread(self, columns: Tensor | None, fill: float) -> Tensor:
        """Return one FP32 number per output (None: ``fill``) in the order of the panels, the padding filled too."""
        padded = torch.full((self.groups, self.panels.shape[1] * PANEL), fill)
        if columns is not None:
            padded[:, : self.width] = columns.detach().reshape(self.groups, self.width)
        return padded.reshape(-1)


def pack_int8(codes: Tensor, groups: int = 1) -> Int8Weight:
    """Return the weight ``codes`` [N, K], or [N, taps, K], INT8, packed; N is that of all ``groups``."""
    if codes.dim() == 2:
        codes = codes.unsqueeze(1)
    assert codes.dtype == torch.int8 and codes.is_cpu and codes.shape[0] % groups == 0
    outputs, taps, depth = codes.shape
    width, quads = outputs // groups, -(-depth // 4)
    panels = -(-width // PANEL)
    padded = codes.new_zeros(groups, panels * PANEL, taps, quads * 4)
    padded[:, :width, :, :depth] = codes.reshape(groups, width, taps, depth)
    blocks = padded.reshape(groups, panels, PANEL, taps, quads, 4).permute(0, 1, 3, 4, 2, 5)
    packed = aligned(padded.numel(), torch.int8).reshape(blocks.shape).copy_(blocks)
    sums = padded.sum((2, 3), dtype=torch.int32).reshape(-1)
    return Int8Weight(packed, sums, groups, width, taps, depth)
