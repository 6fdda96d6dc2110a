# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""FP8 codes times FP8 codes, added in FP32: with a scale per row and column, or per block of 128."""

from __future__ import annotations

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

CODES = (torch.float8_e4m3fn, torch.float8_e5m2)
BLOCK = 128
"""Elements along K that share a scale in the block form; a block of the weight is as many rows tall."""


def fp8_matmul(
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    epilogue: Epilogue = Epilogue(),  # noqa: B008  frozen
    config: Config | None = None,
) -> Tensor:
    """Return ``a @ b.T`` [M, N], scaled, through the epilogue; for sm_89 and later.

    a: [M, K] and b: [N, K], E4M3 or E5M2, K contiguous. Scales are FP32: [M] and [N], one a row and column; or those of
    blocks, a_scale [M, blocks] and b_scale [blocks of N, blocks], of 128 each that may be partly filled at the ends.
    Products of 128 along K are added by the tensor cores, whose sums on sm_90 keep about 14 bits, and those sums in
    FP32. Raises ``PrecisionError`` where shapes or dtypes do not fit.
    """
    (rows, depth), columns = a.shape, b.shape[0]
    by_blocks = _check(a, b, a_scale, b_scale)
    epilogue = epilogue.fitted(rows, columns)
    out = torch.empty(rows, columns, dtype=epilogue.stored, device=a.device)
    if not out.numel():
        return out
    a_scale, b_scale = a_scale.contiguous(), b_scale.contiguous()

    def launch(config: Config) -> None:
        assert config["BLOCK_K"] == BLOCK, "the length over which the tensor cores add"
        assert not by_blocks or BLOCK % config["BLOCK_N"] == 0, "a tile has one scale of the weight"
        tiles = triton.cdiv(rows, config["BLOCK_M"]) * triton.cdiv(columns, config["BLOCK_N"])
        with on_device(a):
            _fp8_kernel[(tiles,)](
                a, b, out, a_scale, b_scale, rows=rows, columns=columns, depth=depth, a_stride=a.stride(0),
                b_stride=b.stride(0), EVEN=depth % config["BLOCK_K"] == 0, BY_BLOCKS=by_blocks, enable_fp_fusion=True,
                **epilogue.arguments(out), **config.options,
            )  # fmt: skip

    if config is None:
        variant = f"{a.dtype} {b.dtype} by {'blocks' if by_blocks else 'rows'} {epilogue.variant}"
        problem = Problem("fp8_matmul", (power_of_two(rows, 16), columns, depth), variant)
        config = choose(problem, candidates(rows, by_blocks), launch, a)
    launch(config)
    return out


@cache
def candidates(rows: int, by_blocks: bool = True) -> tuple[Config, ...]:
    """The launches worth trying for so many rows. BLOCK_K is the length over which the tensor cores add."""

    def tile(m: int, n: int, warps: int, stages: int) -> Config:
        return Config.of(warps, stages, BLOCK_M=m, BLOCK_N=n, BLOCK_K=BLOCK, GROUP_M=8)

    if rows <= 16:
        return (tile(16, 32, 4, 6), tile(16, 64, 4, 5), tile(16, 128, 4, 4))
    if rows <= 64:
        return (tile(64, 64, 4, 4), tile(32, 64, 4, 4), tile(64, 32, 4, 5), tile(64, 128, 4, 4))
    tiles = (tile(128, 128, 8, 4), tile(128, 128, 4, 4), tile(64, 128, 4, 4), tile(128, 64, 4, 4), tile(64, 64, 4, 5))
    return tiles if by_blocks else (tile(128, 256, 8, 3), tile(128, 256, 8, 4), *tiles)


def _check(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor) -> bool:
    """Whether the scales are those of blocks; raises ``PrecisionError`` where the operands do not fit."""
    asked = f"an FP8 product of {list(a.shape)} and {list(b.shape)}"
    if a.dtype not in CODES or b.dtype not in CODES or a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise PrecisionError(asked, f"the codes are {a.dtype} and {b.dtype}", "FP8 [M, K] and [N, K]")
    if a.stride(1) != 1 or b.stride(1) != 1:
        raise PrecisionError(asked, f"the strides are {a.stride()} and {b.stride()}", "codes contiguous along K")
    blocks = -(-a.shape[1] // BLOCK)
    by_rows = ((a.shape[0],), (b.shape[0],))
    by_blocks = ((a.shape[0], blocks), (-(-b.shape[0] // BLOCK), blocks))
    shapes = (tuple(a_scale.shape), tuple(b_scale.shape))
    if shapes not in (by_rows, by_blocks):
        raise PrecisionError(asked, f"the scales have shapes {shapes}", f"{by_rows} or {by_blocks}")
    return shapes == by_blocks


@triton.jit
def _fp8_kernel(
    a, b, out, a_scale, b_scale, after, rows, columns, depth, a_stride, b_stride, BY_BLOCKS: tl.constexpr,
    HAS_BIAS: tl.constexpr, ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, CODES: tl.constexpr, EVEN: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    tile_m, tile_n = tile_of(tl.program_id(0), rows, columns, BLOCK_M, BLOCK_N, GROUP_M)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a_at, b_at = operands_at(a, b, row, column, k, rows, columns, a_stride, b_stride)
    blocks = tl.cdiv(depth, BLOCK_K)
    a_scale_at = a_scale + (row % rows) * blocks
    b_scale_at = b_scale + (tile_n * BLOCK_N // BLOCK_K) * blocks  # BLOCK_N divides 128: one scale for the tile
    sums = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for step in range(blocks):
        a_tile, b_tile = load_tiles(a_at, b_at, step * BLOCK_K, k, depth, EVEN)
        # Added to the FP32 sums after each tile: left to themselves, the tensor cores of sm_90 keep about 14 bits.
        if BY_BLOCKS:
            part = tl.dot(a_tile, b_tile, max_num_imprecise_acc=BLOCK_K)
            sums += part * (tl.load(a_scale_at + step)[:, None] * tl.load(b_scale_at + step))
        else:
            sums = tl.dot(a_tile, b_tile, sums, max_num_imprecise_acc=BLOCK_K)
    if not BY_BLOCKS:
        sums = sums * tl.load(a_scale + row, mask=row < rows, other=0.0)[:, None]
        sums = sums * tl.load(b_scale + column, mask=column < columns, other=0.0)[None, :]
    finish(
        sums, row[:, None], column[None, :], out, after, rows, columns, HAS_BIAS, ADDEND, ACTIVATION, CODES,
    )  # fmt: skip
