# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""BF16 or FP16 activations times INT4 or INT8 weights, for few rows: what counts is how fast the weight is read.

Codes enter the tensor cores as the integers that they are, which BF16 and FP16 hold exactly; scales and zero points
are applied to FP32 sums. Few rows make few tiles, so K may be split among programs: each writes its part, and the last
to arrive adds the parts in their order, which makes the result the same every time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.triton.casts import INTERPRETED, as_operand, widen
from explorer.kernels.triton.epilogue import Epilogue, finish
from explorer.kernels.triton.launch import on_device, power_of_two
from explorer.kernels.triton.packed import NARROWEST, PackedInt4, PackedInt8
from explorer.kernels.triton.tuning import Config, Problem, choose

HALVES = (torch.bfloat16, torch.float16)


def weight_only_matmul(
    x: Tensor,
    weight: PackedInt4 | PackedInt8,
    epilogue: Epilogue = Epilogue(output=torch.bfloat16),  # noqa: B008  frozen
    config: Config | None = None,
) -> Tensor:
    """Return ``x @ weight.T`` [M, N] through the epilogue.

    x: [M, K] BF16 or FP16, K contiguous, any M (made for M up to 16). Sums are FP32, over integers times x, scaled per
    group or channel. Raises ``PrecisionError`` where shapes or dtypes do not fit.
    """
    rows, (columns, depth) = x.shape[0], weight.shape
    if x.dtype not in HALVES or x.ndim != 2 or x.shape[1] != depth or x.stride(1) != 1:
        found = f"x is {list(x.shape)} of {x.dtype} with strides {x.stride()}"
        raise PrecisionError(
            f"a product with a weight of shape {[columns, depth]}", found, f"[M, {depth}] BF16 or FP16"
        )
    epilogue = epilogue.fitted(rows, columns)
    out = torch.empty(rows, columns, dtype=epilogue.stored, device=x.device)
    if not out.numel():
        return out
    launch = _launcher(x, weight, out, epilogue)
    if config is None:
        variant = f"{weight.variant} {x.dtype} {epilogue.variant}"
        problem = Problem("weight_only_matmul", (power_of_two(rows, 16), columns, depth), variant)
        config = choose(problem, candidates(rows, weight), launch, x)
    launch(config)
    return out


def candidates(rows: int, weight: PackedInt4 | PackedInt8) -> tuple[Config, ...]:
    """The launches worth trying. BLOCK_N channels are a tile's rows, which the tensor cores want at least 64 tall."""
    height = min(power_of_two(rows, 16), 64)
    depth = {} if isinstance(weight, PackedInt4) else {"BLOCK_K": 128}
    stages = max(3, min(8, 512 // weight.group)) if isinstance(weight, PackedInt4) else 4
    splits = (1, 2, 4, 8) if rows <= height else (1,)
    return tuple(
        Config.of(warps, stages, BLOCK_M=height, BLOCK_N=width, SPLIT=split, **depth)
        for width, warps in ((64, 4), (128, 8))
        for split in splits
    )


def _launcher(x: Tensor, weight: PackedInt4 | PackedInt8, out: Tensor, epilogue: Epilogue) -> Callable[[Config], None]:
    """A function that launches the weight's kernel under a configuration."""
    rows, (columns, depth) = x.shape[0], weight.shape
    kernel: Any = _int8_weight_kernel
    own: dict[str, Any] = {}
    if isinstance(weight, PackedInt4):
        kernel, has_zero = _int4_weight_kernel, weight.zero is not None
        own = {"zero": weight.zero if has_zero else out, "HAS_ZERO": has_zero, "GROUP": weight.group}

    def launch(config: Config) -> None:
        split, options = config["SPLIT"], dict(own)
        parts = torch.empty(split, rows, columns, dtype=torch.float32, device=x.device) if split > 1 else out
        if isinstance(weight, PackedInt8):
            options["EVEN"] = depth % (config["BLOCK_K"] * split) == 0
        grid = (triton.cdiv(columns, config["BLOCK_N"]), split, triton.cdiv(rows, config["BLOCK_M"]))
        assert split == 1 or (grid[2] == 1 and config["BLOCK_N"] >= NARROWEST), "counters are for one row of tiles"
        with on_device(x):
            kernel[grid](
                x, weight.codes, weight.scale, out, parts=parts, counters=weight.counters, rows=rows, columns=columns,
                depth=depth, x_stride=x.stride(0), enable_fp_fusion=True, **options, **epilogue.arguments(out),
                **config.options,
            )  # fmt: skip

    return launch


@triton.jit
def _int4_weight_kernel(
    x, codes, scale, out, zero, parts, counters, after, rows, columns, depth, x_stride,
    HAS_ZERO: tl.constexpr, GROUP: tl.constexpr,
    HAS_BIAS: tl.constexpr, ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, CODES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    half: tl.constexpr = GROUP // 2
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = tl.program_id(2) * BLOCK_M + tl.arange(0, BLOCK_M)
    k = tl.arange(0, half)
    inside = column % columns  # channels beyond the last wrap around, and are not written
    groups = depth // GROUP
    share = tl.cdiv(groups, SPLIT)
    first = tl.program_id(1) * share
    codes_at = codes + (first.to(tl.int64) * columns + inside)[:, None] * half + k[None, :]
    x_at = x + row.to(tl.int64)[None, :] * x_stride + k[:, None]
    is_row = (row < rows)[None, :]
    sums = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
    for group in range(first, tl.minimum(first + share, groups)):
        pairs = tl.load(codes_at)
        codes_at += columns * half
        x_low = tl.load(x_at + group * GROUP, mask=is_row, other=0.0)
        x_high = tl.load(x_at + group * GROUP + half, mask=is_row, other=0.0)
        part = tl.dot(_int4_numbers(pairs & 15, x.dtype.element_ty), as_operand(x_low, x.dtype.element_ty))
        part = tl.dot(_int4_numbers(pairs >> 4, x.dtype.element_ty), as_operand(x_high, x.dtype.element_ty), part)
        sums += part * widen(tl.load(scale + group * columns + inside))[:, None]
        if HAS_ZERO:
            total = tl.sum(widen(x_low) + widen(x_high), axis=0)
            sums += widen(tl.load(zero + group * columns + inside))[:, None] * total[None, :]
    _join(
        sums, row[None, :], column[:, None], out, parts, counters, after, rows, columns,
        HAS_BIAS, ADDEND, ACTIVATION, CODES, SPLIT,
    )  # fmt: skip


@triton.jit
def _int8_weight_kernel(
    x, codes, scale, out, parts, counters, after, rows, columns, depth, x_stride,
    EVEN: tl.constexpr, HAS_BIAS: tl.constexpr, ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, CODES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = tl.program_id(2) * BLOCK_M + tl.arange(0, BLOCK_M)
    k = tl.arange(0, BLOCK_K)
    codes_at = codes + (column % columns).to(tl.int64)[:, None] * depth + k[None, :]
    x_at = x + row.to(tl.int64)[None, :] * x_stride + k[:, None]
    is_row = (row < rows)[None, :]
    share = tl.cdiv(tl.cdiv(depth, BLOCK_K), SPLIT) * BLOCK_K
    start = tl.program_id(1) * share
    sums = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
    for first in range(start, tl.minimum(start + share, depth), BLOCK_K):
        if EVEN:
            integers = tl.load(codes_at + first)
            x_tile = tl.load(x_at + first, mask=is_row, other=0.0)
        else:
            integers = tl.load(codes_at + first, mask=(first + k < depth)[None, :], other=0)
            x_tile = tl.load(x_at + first, mask=is_row & (first + k < depth)[:, None], other=0.0)
        sums = tl.dot(_int8_numbers(integers, x.dtype.element_ty), as_operand(x_tile, x.dtype.element_ty), sums)
    sums = sums * tl.load(scale + column, mask=column < columns, other=0.0)[:, None]
    _join(
        sums, row[None, :], column[:, None], out, parts, counters, after, rows, columns,
        HAS_BIAS, ADDEND, ACTIVATION, CODES, SPLIT,
    )  # fmt: skip


@triton.jit
def _int4_numbers(nibbles, dtype: tl.constexpr):
    """nibbles: 0 to 15 in UINT8, as the numbers -8 to 7 in dtype; exact.

    Set into the mantissa of 128 (FP16: 1024), from which the difference is exact: far cheaper than a conversion.
    """
    if INTERPRETED:
        numbers = as_operand(nibbles.to(tl.float32) - 8.0, dtype)
    elif dtype == tl.bfloat16:
        numbers = ((nibbles.to(tl.uint16) | 0x4300).to(tl.bfloat16, bitcast=True) - 136.0).to(tl.bfloat16)
    else:
        numbers = ((nibbles.to(tl.uint16) | 0x6400).to(tl.float16, bitcast=True) - 1032.0).to(tl.float16)
    return numbers


@triton.jit
def _int8_numbers(codes, dtype: tl.constexpr):
    """codes: INT8, as numbers in dtype; exact. (Triton converts quickly to BF16, but not to FP16.)"""
    if INTERPRETED:
        numbers = as_operand(codes.to(tl.float32), dtype)
    elif dtype == tl.bfloat16:
        numbers = codes.to(tl.bfloat16)
    else:
        shifted = (codes.to(tl.uint8, bitcast=True) ^ 0x80).to(tl.uint16)
        numbers = ((shifted | 0x6400).to(tl.float16, bitcast=True) - 1152.0).to(tl.float16)
    return numbers


@triton.jit
def _join(
    sums, row, column, out, parts, counters, after, rows, columns,
    HAS_BIAS: tl.constexpr, ADDEND: tl.constexpr, ACTIVATION: tl.constexpr, CODES: tl.constexpr,
    SPLIT: tl.constexpr,
):  # fmt: skip
    """Finish the sums of the only part; else write this part, and finish all of them if it is the last to arrive."""
    if SPLIT == 1:
        finish(
            sums, row, column, out, after, rows, columns,
            HAS_BIAS, ADDEND, ACTIVATION, CODES,
        )  # fmt: skip
    else:
        place = parts + row * columns + column
        mask = (row < rows) & (column < columns)
        tl.store(place + tl.program_id(1) * rows * columns, sums, mask=mask)
        tl.debug_barrier()  # every thread has written before the count says so
        arrived = tl.atomic_add(counters + tl.program_id(0), 1)
        if arrived == SPLIT - 1:
            total = tl.zeros_like(sums)
            for part in range(SPLIT):
                total += tl.load(place + part * rows * columns, mask=mask, other=0.0, cache_modifier=".cg")
            tl.store(counters + tl.program_id(0), 0)  # ready for the next call
            finish(
                total, row, column, out, after, rows, columns,
                HAS_BIAS, ADDEND, ACTIVATION, CODES,
            )  # fmt: skip
