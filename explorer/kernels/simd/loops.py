# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,misc,no-any-return"
"""The loops over shares of an INT8 product and of elementwise work, as C functions that each thread of a team calls.

Importing this file imports Numba. (Effect: JIT, cache on disk.) Every thread claims one share after another
(:mod:`explorer.team`). What is emitted by hand (tile, epilogue) is called from here; the rest is plain Numba.

Numba's cache sees the text of one function only, so what the two entries call is compiled with them, and they enclose a
digest of all files whose code they contain: another digest is another entry in the cache.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer import vectors
from explorer.kernels.simd.epilogue import apply, finish
from explorer.kernels.simd.job import (
    BLOCK_BYTES,
    CAST_AT,
    FLIPPED,
    GROUP_BYTES,
    GROUP_PANELS,
    GROUP_WIDTH,
    HEIGHTS,
    IMAGE_BYTES,
    INPUTS,
    ITEMS,
    OFFSETS,
    OUT,
    OUT_CODES,
    OUT_WIDTH,
    PADDING,
    PANEL,
    PANELS,
    PIXELS,
    PLACES,
    QUADS,
    ROW_BYTES,
    ROW_SCALE,
    ROWS,
    SCRATCH,
    SCRATCH_BYTES,
    SHARE,
    SHARE_PANELS,
    SUMS_BYTES,
    TAPS,
    THREADS_IN,
    TOKEN_SCALE,
    WAITING_AT,
    WEIGHT,
    X,
)
from explorer.kernels.simd.quantise import quantize_row
from explorer.kernels.simd.tile import FAR, NEAR, accumulate
from explorer.team import claim, compiled, digest, pointer
from explorer.vectors import Vectors

TALLEST = HEIGHTS[0]
SIGNS = np.uint32(0x80808080)
SOURCES = ("activations", "epilogue", "job", "loops", "quantise", "tile")


@intrinsic
def take_number(typing_context: Any, call: Any) -> Any:
    """Return how many threads asked before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [ir.Constant(ir.IntType(64), THREADS_IN)])
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@intrinsic
def address_of(typing_context: Any, call: Any) -> Any:
    """A pointer as the INT64 that the emitted functions take."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], cgutils.intp_t)

    return types.int64(types.CPointer(types.int64)), generate


@intrinsic
def expect_write(typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address, soon to be written."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        Vectors(builder).prefetch(arguments[0], write=True)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@njit(nogil=True)
def flip_signs(source: int, target: int, words: int) -> None:
    """Write INT8 codes, in words of four, as UINT8 codes with zero point 128."""
    codes, flipped = carray(pointer(source), (words,), np.uint32), carray(pointer(target), (words,), np.uint32)
    for word in range(words):
        flipped[word] = codes[word] ^ SIGNS


@njit(nogil=True)
def locate_rows(job: Any, first: int, last: int, scratch: int) -> None:
    """Write the addresses [rows, taps] of a share's rows to its scratch memory, then those of the last row again."""
    taps, count = job[TAPS], last - first
    table = carray(pointer(scratch + SUMS_BYTES), ((count + TALLEST) * taps,), np.int64)
    if job[OFFSETS] != 0:
        pixels, padding = job[PIXELS], job[PADDING]
        offsets = carray(pointer(job[OFFSETS]), (pixels * taps,), np.int64)
        row = first
        while row < last:
            image, pixel = row // pixels, row % pixels
            stop = min(last, row + pixels - pixel)
            base, place = job[X] + image * job[IMAGE_BYTES], (row - first) * taps
            for entry in range((stop - row) * taps):
                offset = offsets[pixel * taps + entry]
                table[place + entry] = base + offset if offset >= 0 else padding
            row = stop
    else:
        base = job[X] + first * job[ROW_BYTES]
        if job[FLIPPED] != 0:
            copied = scratch + SUMS_BYTES + ((job[SHARE] + TALLEST) * taps * 8 + 63) // 64 * 64
            flip_signs(base, copied, count * job[ROW_BYTES] // 4)
            base = copied
        for row in range(count):
            table[row] = base + row * job[ROW_BYTES]
    for entry in range(TALLEST * taps):
        table[count * taps + entry] = table[(count - 1) * taps + entry % taps]


@njit(nogil=True)
def multiply_share(call: int, job: Any, first: int, last: int, panel: int, scratch: int) -> None:
    """Compute rows ``first`` to ``last`` of one panel of outputs, tile after tile."""
    taps, quads = job[TAPS], job[QUADS]
    group, inside = panel // job[GROUP_PANELS], panel % job[GROUP_PANELS] * PANEL
    column, columns = group * job[GROUP_WIDTH] + inside, min(PANEL, job[GROUP_WIDTH] - inside)
    weight = job[WEIGHT] + panel * taps * quads * 4 * PANEL
    size = 4 - 3 * job[OUT_CODES]
    row = first
    while row < last:
        rows = min(TALLEST, last - row)
        addresses = scratch + SUMS_BYTES + (row - first) * taps * 8
        for ahead in range(row, row + rows):
            place = job[OUT] + (ahead * job[OUT_WIDTH] + column) * size
            for line in range(size):
                expect_write(place + line * 64)
        accumulate(
            rows, addresses, taps, quads, group * job[GROUP_BYTES], weight, scratch, FAR if row == first else NEAR
        )
        finish(call, scratch, row, rows, panel, column, columns)
        row += rows


@njit(nogil=True)
def cast_rows(job: Any, block: int) -> None:
    """Copy the job to ``block`` so that it reads INT8 codes right after it: those of the rows of FP32 in X."""
    copy = carray(pointer(block), (PLACES,), np.int64)
    for place in range(PLACES):
        copy[place] = job[place]
    rows, row_bytes, inputs = job[ROWS], job[ROW_BYTES], job[INPUTS]
    codes = block + BLOCK_BYTES
    scales = codes + (rows * row_bytes + 63) // 64 * 64
    copy[X], copy[ROW_SCALE] = codes, scales
    for row in range(rows):
        quantize_row(job[X] + row * inputs * 4, codes + row * row_bytes, scales + row * 4, inputs)


@njit(nogil=True)
def redirect(job: Any, first: int, block: int) -> None:
    """Copy the job to ``block`` so that the rows from ``first`` on are written right after it, not to OUT."""
    copy = carray(pointer(block), (PLACES,), np.int64)
    for place in range(PLACES):
        copy[place] = job[place]
    copy[OUT] = block + BLOCK_BYTES - first * job[OUT_WIDTH] * 4


@njit(nogil=True)
def encode_waiting(job: Any, first: int, last: int, waiting: int) -> None:
    """Write the FP32 rows ``first`` to ``last``, which lie at ``waiting``, as INT8 codes with one scale each."""
    width = job[OUT_WIDTH]
    for row in range(first, last):
        source = waiting + (row - first) * width * 4
        quantize_row(source, job[OUT] + row * width, job[TOKEN_SCALE] + row * 4, width)


def digest_sources(names: tuple[str, ...]) -> int:
    """Return 60 bits of a digest of the files whose code the entries contain, the emitter's too."""
    return digest(Path(vectors.__file__), *(Path(__file__).parent / f"{name}.py" for name in names))


def _product_of(sources: int) -> Any:
    @compiled
    def product_team(call: Any) -> None:
        """One thread's part of an INT8 product, linear or convolution, whose fields :mod:`.job` lists."""
        assert sources >= 0
        job = carray(call, (PLACES,))
        address: int = address_of(call)
        panels = job[PANELS]
        scratch, located = job[SCRATCH] + take_number(call) * job[SCRATCH_BYTES], -1
        waits, casts = job[WAITING_AT], job[CAST_AT]
        block = scratch + waits + casts if waits or casts else address
        if casts:
            cast_rows(job, block)
        target = carray(pointer(block), (PLACES,), np.int64)
        per_row_share = (panels + job[SHARE_PANELS] - 1) // job[SHARE_PANELS]
        item = claim(call)
        while item < job[ITEMS]:
            first = item // per_row_share * job[SHARE]
            last = min(first + job[SHARE], job[ROWS])
            if first != located:
                if waits:
                    redirect(job, first, block)
                locate_rows(target, first, last, scratch)
                located = first
            start = item % per_row_share * job[SHARE_PANELS]
            for panel in range(start, min(start + job[SHARE_PANELS], panels)):
                multiply_share(block, target, first, last, panel, scratch)
            if waits:
                encode_waiting(job, first, last, block + BLOCK_BYTES)
            item = claim(call)

    return product_team


def _elementwise_of(sources: int) -> Any:
    @compiled
    def elementwise_team(call: Any) -> None:
        """One thread's part of activation and quantisation, element by element."""
        assert sources >= 0
        job = carray(call, (PLACES,))
        address: int = address_of(call)
        count, share = job[ROWS], job[SHARE]
        first = claim(call) * share
        while first < count:
            apply(address, first, min(first + share, count))
            first = claim(call) * share

    return elementwise_team


def _quantize_of(sources: int) -> Any:
    @compiled
    def quantize_team(call: Any) -> None:
        """One thread's part of quantising rows [ROWS, GROUP_WIDTH] of X: codes to OUT, scales to ROW_SCALE."""
        assert sources >= 0
        job = carray(call, (PLACES,))
        rows, share, columns = job[ROWS], job[SHARE], job[GROUP_WIDTH]
        first = claim(call) * share
        while first < rows:
            for row in range(first, min(first + share, rows)):
                quantize_row(job[X] + row * columns * 4, job[OUT] + row * columns, job[ROW_SCALE] + row * 4, columns)
            first = claim(call) * share

    return quantize_team


_DIGEST = digest_sources(SOURCES)
product_team, elementwise_team, quantize_team = _product_of(_DIGEST), _elementwise_of(_DIGEST), _quantize_of(_DIGEST)
