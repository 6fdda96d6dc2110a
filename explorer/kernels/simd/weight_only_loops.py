# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The loops of a product with an INT4 or INT8 weight, on torch's threads. Importing imports Numba. (Effect: JIT.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, cfunc

from explorer.kernels.simd.weight_only_tile import WIDE, emit_tile
from explorer.team import CALL, claim, pointer, run

__all__ = ["int4_matmul", "int8_matmul", "pack_rows", "run"]

TALL, TALL_PANELS = 4, 2
"""Rows that one reading of the weight serves, and panels of 16 outputs at a time: all their sums fit in registers."""
ROUNDER = np.float32(3 << 22)
"""Added to a number below 2**22, it leaves that number, rounded half to even, in the low bits."""


@cfunc(CALL, cache=True)
def pack_rows(call: Any) -> None:
    """Writes rows of BF16 as 14-bit integers in blocks under a power of two, split into signed bytes."""
    job = carray(call, (8,))
    rows, blocks, block, offset = job[1], job[2], job[3], np.int32(job[4])
    x = carray(pointer(job[5]), (rows, blocks, block), np.uint16)
    pieces = carray(pointer(job[6]), (rows, 2, blocks, block), np.int8)
    ints = carray(pointer(job[7]), (rows, blocks, 4), np.int32)
    floats = carray(pointer(job[7]), (rows, blocks, 4), np.float32)
    row: Any = claim(call)
    while row < rows:
        for b in range(blocks):
            values, high, low = x[row, b], pieces[row, 0, b], pieces[row, 1, b]
            largest = np.int32(0)
            for k in range(block):
                magnitude = np.int32(values[k]) & np.int32(0x7FFF)
                largest = magnitude if magnitude > largest else largest
            exponent = max(np.int32(largest >> 7), np.int32(14))
            inverse = np.int32((267 - exponent) << 23).view(np.float32)
            step = np.int32((exponent - 13) << 23).view(np.float32)
            if exponent == 255:
                inverse, step = np.float32(0.0), np.float32(np.nan)
            total = np.int32(0)
            for k in range(block):
                value = np.int32(np.int32(values[k]) << 16).view(np.float32)
                code = np.int16(np.float32(np.float32(value * inverse) + ROUNDER).view(np.int32))
                high[k] = np.int8((np.int32(code) + np.int32(128)) >> np.int32(8))
                low[k] = np.int8(code)
                total = np.int32(total + np.int32(code))
            ints[row, b, 0] = np.int32(-offset * total)
            floats[row, b, 1] = step
            floats[row, b, 2] = np.float32(total) * step
        row = claim(call)


def _matmul_of(bits: int) -> Any:
    """The product with a weight of so many bits: one thread's share is 64 outputs at a time, all rows, all of K."""
    wide, tall = emit_tile(bits, 1, WIDE), emit_tile(bits, TALL, TALL_PANELS)
    share_bytes, panel_bytes = WIDE * 16 * bits // 8, 64

    @cfunc(CALL, cache=True)
    def matmul(call: Any) -> None:
        job = carray(call, (14,))
        rows, shares, blocks, units, pieces, meta = job[1], job[2], job[3], job[4], job[5], job[6]
        weights, scales, zeros, scale_bytes, scale_step, biases, outs = (
            job[7], job[8], job[9], job[10], job[11], job[12], job[13],
        )  # fmt: skip
        depth = blocks * units * 32
        row_bytes, meta_bytes, out_bytes = 2 * depth, 16 * blocks, 128 * shares
        share: Any = claim(call)
        while share < shares:
            weight, bias, out = weights + share * depth * share_bytes, biases + share * 256, outs + share * 128
            scale, zero = scales + share * scale_bytes, zeros + share * scale_bytes if zeros else 0
            row = 0
            while row + TALL <= rows:
                for panel in range(0, WIDE, TALL_PANELS):
                    tall(
                        pieces + row * row_bytes, row_bytes, meta + row * meta_bytes, meta_bytes,
                        weight + panel * panel_bytes, scale + panel * 32, zero + panel * 32 if zero else 0, scale_step,
                        bias + panel * 64, out + row * out_bytes + panel * 32, out_bytes, blocks, units,
                    )  # fmt: skip
                row += TALL
            while row < rows:
                wide(
                    pieces + row * row_bytes, row_bytes, meta + row * meta_bytes, meta_bytes, weight, scale, zero,
                    scale_step, bias, out + row * out_bytes, out_bytes, blocks, units,
                )  # fmt: skip
                row += 1
            share = claim(call)

    return matmul


int4_matmul, int8_matmul = _matmul_of(4), _matmul_of(8)
