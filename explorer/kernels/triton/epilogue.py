# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""What follows a product before it is written: bias, a residual, activation, the cast to the output's format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import Quantized
from explorer.kernels.site import ACTIVATIONS, StaticScale
from explorer.kernels.triton.activations import activate
from explorer.kernels.triton.casts import ROUNDER, narrow, widen

OUTPUTS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class Epilogue:
    """What is done to scaled sums, in this order: ``+ bias``, ``+ addend``, ``activation``, rounding to the output.

    bias: [N] or None. addend: of the output's shape, a float or UINT8 codes under a static scale, or None. activation:
    one of ``site.ACTIVATIONS``, or nothing. output: the format that leaves; with codes, UINT8 codes under that scale
    leave instead, and ``marks`` [] FP32, which holds the scale, becomes NaN where one of the values is.
    The steps are in FP32, each rounded by itself where the kernel says so.
    """

    bias: Tensor | None = None
    activation: str = ""
    addend: Tensor | Quantized | None = None
    output: torch.dtype = torch.float32
    codes: StaticScale | None = None
    marks: Tensor | None = None

    def __post_init__(self) -> None:
        if self.activation and self.activation not in ACTIVATIONS:
            found = f"there is no activation {self.activation!r}"
            raise PrecisionError("an epilogue", found, f"{' or '.join(map(repr, ACTIVATIONS))}, or none")
        if self.output not in OUTPUTS:
            raise PrecisionError(
                "an epilogue", f"a product cannot leave in {self.output}", "float32, bfloat16, float16"
            )

    @property
    def stored(self) -> torch.dtype:
        """The dtype of what leaves."""
        return self.output if self.codes is None else torch.uint8

    @property
    def variant(self) -> str:
        """What of it changes the kernel, in words."""
        kind = {0: "", 1: " addend", 2: " addend of codes"}[self._addend_kind]
        return f"{self.activation or 'none'}{'' if self.bias is None else ' bias'}{kind} {self.stored}"

    @property
    def _addend_kind(self) -> int:
        """0: none; 1: floats; 2: codes under a static scale."""
        return 0 if self.addend is None else 2 if isinstance(self.addend, Quantized) else 1

    def fitted(self, rows: int, columns: int) -> Epilogue:
        """Itself with the addend as dense rows; raises ``PrecisionError`` where a part does not fit [rows, columns]."""
        if self.bias is not None and self.bias.shape != (columns,):
            found = f"the bias has shape {list(self.bias.shape)}"
            raise PrecisionError(f"a product of {columns} columns", found, f"shape [{columns}]")
        bias = None if self.bias is None else self.bias.contiguous()
        if self.addend is None:
            return replace(self, bias=bias)
        dense = self.addend.codes if isinstance(self.addend, Quantized) else self.addend
        if dense.numel() != rows * columns:
            found = f"the addend has shape {list(dense.shape)}"
            raise PrecisionError(f"a product of shape [{rows}, {columns}]", found, f"{rows * columns} elements")
        dense = dense.reshape(rows, columns).contiguous()
        addend = replace(self.addend, codes=dense) if isinstance(self.addend, Quantized) else dense
        return replace(self, bias=bias, addend=addend)

    def arguments(self, out: Tensor) -> dict[str, Any]:
        """The keyword arguments that every product kernel takes for it; ``out`` stands where a tensor is missing."""
        codes = self.codes or StaticScale(1.0, 0)
        addend: tuple[Any, ...] = (out if self.addend is None else self.addend, out, out)
        if isinstance(self.addend, Quantized):
            addend = (self.addend.codes, self.addend.scale, self.addend.zero_point)
        return {
            "after": (
                out if self.bias is None else self.bias,
                *addend,
                out if self.marks is None else self.marks,
                float(np.float32(1.0) / np.float32(codes.scale)),
                float(codes.zero_point),
            ),
            "HAS_BIAS": self.bias is not None,
            "ADDEND": self._addend_kind,
            "ACTIVATION": self.activation,
            "CODES": self.codes is not None,
        }


@triton.jit
def finish(
    sums, row, column, out, after, rows, columns,
    HAS_BIAS: tl.constexpr, ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, CODES: tl.constexpr,
):  # fmt: skip
    """Write scaled sums through the epilogue.

    sums: FP32; row, column: their places, of shapes that broadcast to that of sums, so a tile may lie either way.
    out, addend: [rows, columns] dense; bias: [columns]; the addend's scale and zero point, and marks: [].
    """
    bias, addend, addend_scale, addend_zero, marks, inverse, zero = after
    if HAS_BIAS:
        sums = sums + widen(tl.load(bias + column, mask=column < columns, other=0.0))
    place = row.to(tl.int64) * columns + column
    mask = (row < rows) & (column < columns)
    if ADDEND == 1:
        sums = sums + widen(tl.load(addend + place, mask=mask, other=0.0))
    elif ADDEND == 2:
        codes = tl.load(addend + place, mask=mask, other=0).to(tl.float32)
        sums = sums + (codes - tl.load(addend_zero)) * tl.load(addend_scale)
    sums = activate(sums, ACTIVATION)
    if CODES:
        tl.store(out + place, encode_static(sums, inverse, zero), mask=mask)
        mark_nan(marks, (sums != sums) & mask)
    else:
        tl.store(out + place, narrow(sums, out.dtype.element_ty), mask=mask)


@triton.jit
def encode_static(x, inverse, zero):
    """x: FP32 as UINT8 codes clamp(round_half_even(x * inverse) + zero, 0, 255); NaN as 0."""
    steps = tl.minimum(tl.maximum(x * inverse, -1024.0), 1024.0)  # beyond, every code is an end
    code = tl.minimum(tl.maximum((steps + ROUNDER) - ROUNDER + zero, 0.0), 255.0)
    return tl.where(x != x, 0.0, code).to(tl.uint8)


@triton.jit
def mark_nan(marks, is_nan):
    """Make the scale [] NaN where any is: an integer code cannot say so."""
    if tl.max(tl.max(is_nan.to(tl.int32), axis=1), axis=0) > 0:
        tl.store(marks, float("nan"))


@triton.jit
def tile_of(program, rows, columns, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr):
    """The tile (its row and column among tiles) of a program: GROUP_M tiles tall, so that neighbours share operands."""
    tall, wide = tl.cdiv(rows, BLOCK_M), tl.cdiv(columns, BLOCK_N)
    band = program // (GROUP_M * wide)
    height = tl.minimum(tall - band * GROUP_M, GROUP_M)
    inside = program % (GROUP_M * wide)
    return band * GROUP_M + inside % height, inside // height
