# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""What follows a product before it is written: bias, activation, a residual, the cast to the output's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.triton.casts import narrow, widen

ACTIVATIONS = ("none", "relu", "gelu", "silu")
OUTPUTS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class Epilogue:
    """What is done to scaled sums, in this order: ``+ bias``, ``activation``, ``+ addend``, rounding to ``output``.

    bias: [N] or None. activation: none, relu, gelu (the exact one, by erf) or silu. addend: [M, N] or None. The steps
    are in FP32, each rounded by itself where the kernel says that it is exact.
    """

    bias: Tensor | None = None
    activation: str = "none"
    addend: Tensor | None = None
    output: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            found = f"there is no activation {self.activation!r}"
            raise PrecisionError("an epilogue", found, " or ".join(map(repr, ACTIVATIONS)))
        if self.output not in OUTPUTS:
            raise PrecisionError(
                "an epilogue", f"a product cannot leave in {self.output}", "float32, bfloat16, float16"
            )

    @property
    def is_exact(self) -> bool:
        """Whether its steps can be rounded as torch rounds them: the curves of gelu and silu cannot, on any device."""
        return self.activation in ("none", "relu")

    @property
    def variant(self) -> str:
        """What of it changes the kernel, in words."""
        bias, addend = "" if self.bias is None else " bias", "" if self.addend is None else " addend"
        return f"{self.activation}{bias}{addend} {self.output}"

    def fitted(self, rows: int, columns: int) -> Epilogue:
        """Itself with the addend as dense rows; raises ``PrecisionError`` where a part does not fit [rows, columns]."""
        if self.bias is not None and self.bias.shape != (columns,):
            found = f"the bias has shape {list(self.bias.shape)}"
            raise PrecisionError(f"a product of {columns} columns", found, f"shape [{columns}]")
        if self.addend is not None and self.addend.numel() != rows * columns:
            found = f"the addend has shape {list(self.addend.shape)}"
            raise PrecisionError(f"a product of shape [{rows}, {columns}]", found, f"{rows * columns} elements")
        bias = None if self.bias is None else self.bias.contiguous()
        addend = None if self.addend is None else self.addend.reshape(rows, columns).contiguous()
        return Epilogue(bias, self.activation, addend, self.output)

    def arguments(self, out: Tensor) -> dict[str, Any]:
        """The keyword arguments that every product kernel takes for it; ``out`` stands where a tensor is missing."""
        return {
            "bias": out if self.bias is None else self.bias,
            "addend": out if self.addend is None else self.addend,
            "HAS_BIAS": self.bias is not None,
            "HAS_ADDEND": self.addend is not None,
            "ACTIVATION": self.activation,
        }


@triton.jit
def finish(
    sums, row, column, out, bias, addend, rows, columns,
    HAS_BIAS: tl.constexpr, HAS_ADDEND: tl.constexpr, ACTIVATION: tl.constexpr,
):  # fmt: skip
    """Write scaled sums through the epilogue.

    sums: FP32; row, column: their places, of shapes that broadcast to that of sums, so a tile may lie either way.
    out, addend: [rows, columns] dense; bias: [columns].
    """
    if HAS_BIAS:
        sums = sums + widen(tl.load(bias + column, mask=column < columns, other=0.0))
    if ACTIVATION == "relu":
        sums = tl.where(sums < 0.0, 0.0, sums)  # a maximum would lose NaN
    elif ACTIVATION == "gelu":
        sums = 0.5 * sums * (1.0 + tl.erf(sums * 0.7071067811865476))
    elif ACTIVATION == "silu":
        sums = sums / (1.0 + tl.exp(-sums))
    place = row.to(tl.int64) * columns + column
    mask = (row < rows) & (column < columns)
    if HAS_ADDEND:
        sums = sums + widen(tl.load(addend + place, mask=mask, other=0.0))
    tl.store(out + place, narrow(sums, out.dtype.element_ty), mask=mask)


@triton.jit
def tile_of(program, rows, columns, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr):
    """The tile (its row and column among tiles) of a program: GROUP_M tiles tall, so that neighbours share operands."""
    tall, wide = tl.cdiv(rows, BLOCK_M), tl.cdiv(columns, BLOCK_N)
    band = program // (GROUP_M * wide)
    height = tl.minimum(tall - band * GROUP_M, GROUP_M)
    inside = program % (GROUP_M * wide)
    return band * GROUP_M + inside % height, inside // height
