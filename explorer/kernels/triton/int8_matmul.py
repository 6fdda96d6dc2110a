# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""INT8 codes times INT8 codes, summed exactly in INT32, scaled and finished before they leave the chip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.triton.epilogue import Epilogue, finish, tile_of
from explorer.kernels.triton.launch import on_device, power_of_two
from explorer.kernels.triton.tiles import load_tiles, operands_at
from explorer.kernels.triton.tuning import Config, Problem, choose

DEEPEST = 2**31 // 127**2
"""Products whose sum INT32 holds for certain."""
DEEPEST_STATIC = 2**31 // (255 * 127)
"""The same where one factor is the difference of a UINT8 code and its zero point."""


@dataclass(frozen=True, eq=False)
class Static:
    """What UINT8 activations need besides their scale.

    zero_point: [] FP32, an integer from 0 to 255. column_sums: [N] INT32, the sums of the weight's codes along K.
    """

    zero_point: Tensor
    column_sums: Tensor


def int8_matmul(
    a: Tensor,
    b: Tensor,
    row_scale: Tensor,
    column_scale: Tensor,
    epilogue: Epilogue = Epilogue(),  # noqa: B008  frozen
    config: Config | None = None,
    static: Static | None = None,
) -> Tensor:
    """Return ``a @ b.T`` [M, N], times the scales, through the epilogue.

    a: [M, K] and b: [N, K] INT8 codes, K contiguous; row_scale: [M], column_scale: [N] FP32. With ``static``, a is
    UINT8 codes under one scale, row_scale [], and the product is that of ``a - zero_point``.
    The sums are exact, and each step of the epilogue is rounded by itself, as in ``kernels.cpu.scale_product``: FP32
    output equals it bit for bit, and so do codes. Raises ``PrecisionError`` where shapes or dtypes do not fit, and for
    K above ``DEEPEST`` (``DEEPEST_STATIC``).
    """
    (rows, depth), columns = a.shape, b.shape[0]
    _check(a, b, row_scale, column_scale, static)
    epilogue = epilogue.fitted(rows, columns)
    out = torch.empty(rows, columns, dtype=epilogue.stored, device=a.device)
    if not out.numel():
        return out

    def launch(config: Config) -> None:
        tiles = triton.cdiv(rows, config["BLOCK_M"]) * triton.cdiv(columns, config["BLOCK_N"])
        with on_device(a):
            _int8_kernel[(tiles,)](
                a, b, out, row_scale, column_scale, out if static is None else static.zero_point,
                out if static is None else static.column_sums, rows=rows, columns=columns, depth=depth,
                a_stride=a.stride(0), b_stride=b.stride(0), EVEN=depth % config["BLOCK_K"] == 0,
                STATIC=static is not None, enable_fp_fusion=False, **epilogue.arguments(out), **config.options,
            )  # fmt: skip

    if config is None:
        variant = f"{'' if static is None else 'static '}{epilogue.variant}"
        problem = Problem("int8_matmul", (power_of_two(rows, 16), columns, depth), variant)
        config = choose(problem, candidates(rows), launch, a)
    launch(config)
    return out


@cache
def candidates(rows: int) -> tuple[Config, ...]:
    """The launches worth trying for so many rows."""

    def tile(m: int, n: int, k: int, warps: int, stages: int) -> Config:
        return Config.of(warps, stages, BLOCK_M=m, BLOCK_N=n, BLOCK_K=k, GROUP_M=8)

    if rows <= 16:
        return (tile(16, 32, 256, 4, 4), tile(16, 64, 128, 4, 5), tile(16, 128, 128, 4, 4), tile(16, 16, 256, 2, 5))
    if rows <= 64:
        return (tile(64, 64, 128, 4, 4), tile(32, 64, 128, 4, 4), tile(64, 32, 256, 4, 3), tile(64, 128, 128, 4, 4))
    return (
        tile(128, 128, 128, 4, 4),
        tile(128, 256, 128, 8, 3),
        tile(128, 128, 128, 8, 4),
        tile(64, 128, 128, 4, 4),
        tile(128, 64, 128, 4, 4),
        tile(64, 64, 128, 4, 5),
    )


def _check(a: Tensor, b: Tensor, row_scale: Tensor, column_scale: Tensor, static: Static | None) -> None:
    asked = f"an INT8 product of {list(a.shape)} and {list(b.shape)}"
    wanted = torch.int8 if static is None else torch.uint8
    if a.dtype != wanted or b.dtype != torch.int8 or a.shape[1:] != b.shape[1:] or a.ndim != 2:
        raise PrecisionError(asked, f"the codes are {a.dtype} and {b.dtype}", f"{wanted} [M, K] and INT8 [N, K]")
    if a.stride(1) != 1 or b.stride(1) != 1:
        raise PrecisionError(asked, f"the strides are {a.stride()} and {b.stride()}", "codes contiguous along K")
    rows = a.shape[:1] if static is None else torch.Size(())
    if row_scale.shape != rows or column_scale.shape != b.shape[:1]:
        found = f"the scales have shapes {list(row_scale.shape)} and {list(column_scale.shape)}"
        raise PrecisionError(asked, found, f"{list(rows)} and [{b.shape[0]}]")
    deepest = DEEPEST if static is None else DEEPEST_STATIC
    if a.shape[1] > deepest:
        raise PrecisionError(asked, "sums of so many products may leave INT32", f"K <= {deepest}")


@triton.jit
def _int8_kernel(
    a, b, out, row_scale, column_scale, a_zero, column_sums, after, rows, columns, depth, a_stride, b_stride,
    STATIC: tl.constexpr,
    HAS_BIAS: tl.constexpr, ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, CODES: tl.constexpr, EVEN: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    tile_m, tile_n = tile_of(tl.program_id(0), rows, columns, BLOCK_M, BLOCK_N, GROUP_M)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a_at, b_at = operands_at(a, b, row, column, k, rows, columns, a_stride, b_stride)
    sums = tl.zeros([BLOCK_M, BLOCK_N], tl.int32)
    for first in range(0, depth, BLOCK_K):
        a_tile, b_tile = load_tiles(a_at, b_at, first, k, depth, EVEN)
        if STATIC:
            a_tile = (a_tile ^ 128).to(tl.int8, bitcast=True)  # minus 128; what lies beyond K meets zeros of b
        sums = tl.dot(a_tile, b_tile, sums, out_dtype=tl.int32)
    if STATIC:
        shift = 128 - tl.load(a_zero).to(tl.int32)
        sums = sums + shift * tl.load(column_sums + column, mask=column < columns, other=0)[None, :]
        scaled = sums.to(tl.float32) * tl.load(row_scale)
    else:
        scaled = sums.to(tl.float32) * tl.load(row_scale + row, mask=row < rows, other=0.0)[:, None]
    scaled = scaled * tl.load(column_scale + column, mask=column < columns, other=0.0)[None, :]
    finish(
        scaled, row[:, None], column[None, :], out, after, rows, columns, HAS_BIAS, ADDEND, ACTIVATION, CODES,
    )  # fmt: skip
