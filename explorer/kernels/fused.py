"""Fused CPU loops, compiled by Numba: row-wise INT8 quantisation, and the epilogue of an INT8 product. (Effect: JIT.)

Neither uses fast-math, so that each equals its plain-torch twin bit for bit.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import torch
from torch import Tensor


@cache
def available() -> bool:
    """Whether Numba is installed. (Asked at every cast, and looking is a tenth of a millisecond: remembered.)"""
    return importlib.util.find_spec("numba") is not None


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return INT8 codes [..., K] and FP32 scales [..., 1] of ``x`` [..., K] on the CPU, one scale a row.

    scale = absmax / 127 and code = round_half_even(x * (1 / scale)): what ``formats.quantize`` computes, in one read.
    A row of zeros has scale 1; a row with NaN or Inf has that as its scale, so that it dequantises to NaN.
    """
    rows = x.detach().reshape(-1, x.shape[-1]).float().contiguous()
    codes = torch.empty(rows.shape, dtype=torch.int8)
    scale = torch.empty(rows.shape[0], dtype=torch.float32)
    _loops().quantize_rows(rows, codes, scale)
    return codes.reshape(x.shape), scale.reshape(*x.shape[:-1], 1)


def scale_product(
    product: Tensor, row_scale: Tensor, column_scale: Tensor, bias: Tensor | None, addend: Tensor | None = None
) -> Tensor:
    """Return ``product * row_scale * column_scale + bias + addend`` in FP32, in one pass over ``product``'s memory.

    product: [M, N] INT32, overwritten (page faults of a second such buffer would cost more than the arithmetic);
    row_scale: [M]; column_scale, bias: [N]; addend: [M, N]; all FP32 and contiguous.
    """
    offset = bias if bias is not None else torch.zeros_like(column_scale)
    return _loops().scale_product(product, row_scale, column_scale, offset, addend)  # type: ignore[no-any-return]


def warm_up() -> None:
    """Compile both loops (about a second the first time on a machine; read from Numba's cache afterwards)."""
    codes, scale = quantize_rows(torch.ones(2, 4))
    product = torch._int_mm(codes, torch.ones(4, 4, dtype=torch.int8))
    scale_product(product, scale.reshape(-1), torch.ones(4), None)


def _loops() -> Any:
    from explorer.kernels import fused_loops

    return fused_loops
