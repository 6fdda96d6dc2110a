# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The loops of a product with an INT4 or INT8 weight, on torch's threads. Importing imports Numba. (Effect: JIT.)

A core that reads at its full rate has much on its way at any time: so a thread takes neighbouring panels, and what was
fetched beyond the end of one is the start of the next. Of few rows each thread makes the integers for itself: that
takes less than waiting for another to have made them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from explorer import vectors
from explorer.kernels.simd.weight_only_job import (
    BIAS,
    BLOCK,
    BLOCKS,
    GAP,
    META,
    NARROW,
    OFFSET,
    OUT,
    PACKED_BYTES,
    PART,
    PIECES,
    PLACES,
    ROWS,
    SCALE,
    SCALE_BYTES,
    SCALE_STEP,
    SHARES,
    THREADS_IN,
    WEIGHT,
    WEIGHT_BYTES,
    ZERO,
    X,
)
from explorer.kernels.simd.weight_only_tile import UNIT, WIDE, emit_tile
from explorer.team import claim, compiled, digest, pointer, start

__all__ = ["int4_matmul", "int8_matmul", "pack_rows", "start"]

TALL, TALL_PANELS = 4, 2
"""Rows that one reading of the weight serves, and panels of 16 outputs at a time: all their sums fit in registers."""
ROUNDER = np.float32(3 << 22)
"""Added to a number below 2**22, it leaves that number, rounded half to even, in the low bits."""


@intrinsic
def take_number(typing_context: Any, call: Any) -> Any:
    """Return how many threads asked before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [ir.Constant(ir.IntType(64), THREADS_IN)])
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@njit(nogil=True)
def pack_row(x: int, pieces: int, meta: int, blocks: int, block: int, offset: int) -> None:
    """Write a row of BF16 as 14-bit integers in blocks under a power of two, split into signed bytes.

    pieces: of [2, blocks, block] INT8, high bytes and low bytes; meta: of [blocks, 4], 32 bits each: what the offset of
    the weight's codes adds (INT32), the block's power of two and the sum of its values (FP32).
    """
    rows, planes = (
        carray(pointer(x), (blocks, block), np.uint16),
        carray(pointer(pieces), (2, blocks, block), np.int8),
    )
    ints, floats = carray(pointer(meta), (blocks, 4), np.int32), carray(pointer(meta), (blocks, 4), np.float32)
    for b in range(blocks):
        values, high, low = rows[b], planes[0, b], planes[1, b]
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
        ints[b, 0] = np.int32(-offset * total)
        floats[b, 1] = step
        floats[b, 2] = np.float32(total) * step


def _pack_of(sources: int) -> Any:
    @compiled
    def pack_rows(call: Any) -> None:
        """One thread's part of :func:`pack_row`: it claims row after row."""
        assert sources >= 0
        job = carray(call, (PLACES,))
        blocks, block = job[BLOCKS], job[BLOCK]
        row_bytes = 2 * blocks * block
        row: Any = claim(call)
        while row < job[ROWS]:
            pieces, meta = job[PIECES] + row * row_bytes, job[META] + row * 16 * blocks
            pack_row(job[X] + row * row_bytes, pieces, meta, blocks, block, job[OFFSET])
            row = claim(call)

    return pack_rows


@njit(nogil=True)
def find_run(number: int, shares: int, part: int) -> tuple[int, int]:
    """Return the first share of the run of this number, and the one after its last: each run is a part of what is left.

    So most of a weight is read in long runs, and no thread waits long for the last.
    """
    first = 0
    for _ in range(number):
        first += max(1, (shares - first) // part)
    return first, min(shares, first + max(1, (shares - first) // part))


@njit(nogil=True)
def narrow_row(x: int, target: int, depth: int) -> None:
    """Write a row of FP32 as BF16: rounded to nearest even, Inf beyond the largest, any NaN as one."""
    bits, narrow = carray(pointer(x), (depth,), np.uint32), carray(pointer(target), (depth,), np.uint16)
    for k in range(depth):
        value = bits[k]
        rounded = np.uint32(value + np.uint32(0x7FFF) + ((value >> np.uint32(16)) & np.uint32(1)))
        is_nan = (value & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
        narrow[k] = np.uint16(0x7FC0) if is_nan else np.uint16(rounded >> np.uint32(16))


@njit(nogil=True)
def pack_all(job: Any, number: int) -> tuple[int, int]:
    """Return where the rows' integers and their blocks' are; packed for this thread where that was not done before."""
    own = number * job[PACKED_BYTES]
    pieces, meta = job[PIECES] + own, job[META] + own
    if job[PACKED_BYTES]:
        blocks, block = job[BLOCKS], job[BLOCK]
        depth = blocks * block
        for row in range(job[ROWS]):
            values = job[X] + row * 2 * depth
            if job[NARROW]:
                values = job[NARROW] + own
                narrow_row(job[X] + row * 4 * depth, values, depth)
            pack_row(values, pieces + row * 2 * depth, meta + row * 16 * blocks, blocks, block, job[OFFSET])
    return pieces, meta


def _matmul_of(bits: int, sources: int) -> Any:
    """The product with a weight of so many bits: one thread's share is 64 outputs at a time, all rows, all of K."""
    wide, tall = emit_tile(bits, 1, WIDE), emit_tile(bits, TALL, TALL_PANELS)
    panel_bytes = 64

    @compiled
    def matmul(call: Any) -> None:
        assert sources >= 0
        job = carray(call, (PLACES,))
        rows, shares, blocks, units = job[ROWS], job[SHARES], job[BLOCKS], job[BLOCK] // UNIT
        scale_step, gap, depth = job[SCALE_STEP], job[GAP], job[BLOCKS] * job[BLOCK]
        row_bytes, meta_bytes, out_bytes = 2 * depth, 16 * blocks, 128 * shares
        pieces, meta = pack_all(job, take_number(call))
        first, after = find_run(claim(call), shares, job[PART])
        while first < shares:
            for share in range(first, after):
                weight, bias = job[WEIGHT] + share * job[WEIGHT_BYTES], job[BIAS] + share * 256
                scale, out = job[SCALE] + share * job[SCALE_BYTES], job[OUT] + share * 128
                zero = job[ZERO] + share * job[SCALE_BYTES] if job[ZERO] else 0
                row = 0
                while row + TALL <= rows:
                    for panel in range(0, WIDE, TALL_PANELS):
                        tall(
                            pieces + row * row_bytes, row_bytes, meta + row * meta_bytes, meta_bytes,
                            weight + panel * panel_bytes, scale + panel * 32, zero + panel * 32 if zero else 0,
                            scale_step, bias + panel * 64, out + row * out_bytes + panel * 32, out_bytes, blocks, units,
                            gap,
                        )  # fmt: skip
                    row += TALL
                while row < rows:
                    wide(
                        pieces + row * row_bytes, row_bytes, meta + row * meta_bytes, meta_bytes, weight, scale, zero,
                        scale_step, bias, out + row * out_bytes, out_bytes, blocks, units, gap,
                    )  # fmt: skip
                    row += 1
            first, after = find_run(claim(call), shares, job[PART])

    return matmul


_HERE = Path(__file__)
_DIGEST = digest(
    _HERE, Path(vectors.__file__), *(_HERE.with_name(f"weight_only_{name}.py") for name in ("job", "tile"))
)
pack_rows = _pack_of(_DIGEST)
int4_matmul, int8_matmul = _matmul_of(4, _DIGEST), _matmul_of(8, _DIGEST)
