# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""INT8 codes times INT8 codes, summed exactly in INT32, scaled and finished before they leave the chip."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.triton.epilogue import Epilogue, finish, tile_of
from explorer.kernels.triton.launch import on_device, power_of_two
from explorer.kernels.triton.tuning import Config, Problem, choose

DEEPEST = 2**31 // 127**2
"""Products whose sum INT32 holds for certain."""


def int8_matmul(
    a: Tensor,
    b: Tensor,
    row_scale: Tensor,
    column_scale: Tensor,
    epilogue: Epilogue = Epilogue(),  # noqa: B008  frozen
    config: Config | None = None,
) -> Tensor:
    """Return ``a @ b.T`` [M, N], times the scales, through the epilogue.

    a: [M, K] and b: [N, K] INT8 codes, K contiguous; row_scale: [M], column_scale: [N] FP32. The sums are exact, and
    each step of the epilogue is rounded by itself, as in ``kernels.cpu.scale_product``: FP32 output equals it bit for
    bit (with relu too). Raises ``PrecisionError`` where shapes or dtypes do not fit, and for K above ``DEEPEST``.
    """
    (rows, depth), columns = a.shape, b.shape[0]
    _check(a, b, row_scale, column_scale)
    epilogue = epilogue.fitted(rows, columns)
    out = torch.empty(rows, columns, dtype=epilogue.output, device=a.device)
    if not out.numel():
        return out

    def launch(config: Config) -> None:
        tiles = triton.cdiv(rows, config["BLOCK_M"]) * triton.cdiv(columns, config["BLOCK_N"])
        with on_device(a):
            _int8_kernel[(tiles,)](
                a, b, out, row_scale, column_scale, rows=rows, columns=columns, depth=depth, a_stride=a.stride(0),
                b_stride=b.stride(0), EVEN=depth % config["BLOCK_K"] == 0, enable_fp_fusion=not epilogue.is_exact,
                **epilogue.arguments(out), **config.options,
            )  # fmt: skip

    if config is None:
        problem = Problem("int8_matmul", (power_of_two(rows, 16), columns, depth), epilogue.variant)
        config = choose(problem, candidates(rows), launch, a)
    launch(config)
    return out


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


def _check(a: Tensor, b: Tensor, row_scale: Tensor, column_scale: Tensor) -> None:
    asked = f"an INT8 product of {list(a.shape)} and {list(b.shape)}"
    if a.dtype != torch.int8 or b.dtype != torch.int8 or a.shape[1:] != b.shape[1:] or a.ndim != 2:
        raise PrecisionError(asked, f"the codes are {a.dtype} and {b.dtype}", "INT8 [M, K] and [N, K]")
    if a.stride(1) != 1 or b.stride(1) != 1:
        raise PrecisionError(asked, f"the strides are {a.stride()} and {b.stride()}", "codes contiguous along K")
    if row_scale.shape != a.shape[:1] or column_scale.shape != b.shape[:1]:
        found = f"the scales have shapes {list(row_scale.shape)} and {list(column_scale.shape)}"
        raise PrecisionError(asked, found, f"[{a.shape[0]}] and [{b.shape[0]}]")
    if a.shape[1] > DEEPEST:
        raise PrecisionError(asked, "sums of so many products may leave INT32", f"K <= {DEEPEST}")


@triton.jit
def _int8_kernel(
    a, b, out, row_scale, column_scale, bias, addend, rows, columns, depth, a_stride, b_stride,
    HAS_BIAS: tl.constexpr, HAS_ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, EVEN: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    tile_m, tile_n = tile_of(tl.program_id(0), rows, columns, BLOCK_M, BLOCK_N, GROUP_M)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    # Rows beyond the last wrap around to rows that exist: loads without a mask, whose results are not written.
    a_at = a + (row % rows).to(tl.int64)[:, None] * a_stride + k[None, :]
    b_at = b + (column % columns).to(tl.int64)[None, :] * b_stride + k[:, None]
    sums = tl.zeros([BLOCK_M, BLOCK_N], tl.int32)
    for first in range(0, depth, BLOCK_K):
        if EVEN:
            a_tile, b_tile = tl.load(a_at + first), tl.load(b_at + first)
        else:
            a_tile = tl.load(a_at + first, mask=(first + k < depth)[None, :], other=0)
            b_tile = tl.load(b_at + first, mask=(first + k < depth)[:, None], other=0)
        sums = tl.dot(a_tile, b_tile, sums, out_dtype=tl.int32)
    scaled = sums.to(tl.float32) * tl.load(row_scale + row, mask=row < rows, other=0.0)[:, None]
    scaled = scaled * tl.load(column_scale + column, mask=column < columns, other=0.0)[None, :]
    finish(
        scaled, row[:, None], column[None, :], out, bias, addend, rows, columns, HAS_BIAS, HAS_ADDEND, ACTIVATION
    )  # fmt: skip
