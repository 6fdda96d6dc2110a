# mypy: disable-error-code="no-untyped-call"
"""The register tile of the INT8 product: AVX512-VNNI, up to 6 rows times 64 outputs. Importing this imports llvmlite.

``vpdpbusd`` multiplies four neighbouring UINT8 by four INT8 and adds all four products to an INT32 lane. So the weight
is packed in panels of 64 outputs, four inputs of each output side by side: one step reads four registers of weights,
and for each row spreads four of its bytes over a register. 6 rows times 4 registers are 24 sums, which with the 4
registers of weights and the spread ones just fit the 32 registers; a step then has 24 products for 10 loads, and the
products are what it waits for. Nothing is rounded, and no sum overflows unless the true one does.

Rows are given by their addresses, one for each tap, and are read from there byte by byte: a convolution is the same
product, with as many taps as its filter has places.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer.kernels.simd.job import HEIGHTS, PANEL
from explorer.vectors import INT32, INT64, INTS, LANES, Vectors, own_function, whole

REGISTERS = PANEL // LANES
STEP_BYTES = PANEL * 4
NEAR, FAR = 8 * STEP_BYTES, 32 * STEP_BYTES
"""Bytes of weights by which prefetching is ahead. A panel rarely fits the first cache: once it is in the second, eight
steps are enough; what comes from beyond, as a tile reads that is the first to see its panel, takes thirty-two."""


@intrinsic
def accumulate(
    typing_context: Any, rows: Any, addresses: Any, taps: Any, quads: Any, shift: Any, panel: Any, sums: Any, ahead: Any
) -> Any:
    """Write the sums [rows, 64] INT32 of a panel's products to ``sums``.

    addresses: of [rows, taps] INT64, each ``shift`` bytes before a row's inputs at that tap; quads: groups of four
    inputs in a tap; panel: [taps, quads, 64, 4] INT8, 64-byte aligned; ahead: bytes by which prefetching is. ``rows``,
    at most 6, is rounded up to the next tile that exists, so that there must be addresses for 6.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, *rest = arguments
        done = builder.append_basic_block("multiplied")
        choice = builder.switch(rows, done)
        for height in HEIGHTS:
            block = builder.append_basic_block(f"tile{height}")
            smaller = [other for other in HEIGHTS if other < height]
            for count in range(max(smaller, default=0) + 1, height + 1):
                choice.add_case(whole(count), block)
            builder.position_at_end(block)
            tile = own_function(builder, f"int8_tile_{height}", len(rest), _emitter(height))
            builder.call(tile, rest)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


def _emitter(height: int) -> Any:
    return lambda builder, arguments: _emit_tile(Vectors(builder), height, *arguments)


def _emit_tile(
    v: Vectors, height: int, addresses: Any, taps: Any, quads: Any, shift: Any, panel: Any, sums: Any, ahead: Any
) -> None:
    builder = v.builder
    zero = ir.Constant(INTS, None)
    totals = [[cgutils.alloca_once_value(builder, zero) for _ in range(REGISTERS)] for _ in range(height)]
    tap_bytes = builder.mul(quads, whole(STEP_BYTES))
    with v.loop(taps) as tap:
        rows = []
        for row in range(height):
            entry = builder.add(builder.mul(taps, whole(row)), tap)
            rows.append(builder.add(v.load(v.at(addresses, entry, 8), INT64, 8), shift))
        weights = builder.add(panel, builder.mul(tap, tap_bytes))
        pairs = builder.lshr(quads, whole(1))
        with v.loop(pairs) as pair:  # two steps at once, for less counting
            for quad in (builder.mul(pair, whole(2)), builder.add(builder.mul(pair, whole(2)), whole(1))):
                _emit_step(v, totals, rows, quad, v.at(weights, quad, STEP_BYTES), ahead)
        with v.loop(builder.and_(quads, whole(1))):
            last = builder.sub(quads, whole(1))
            _emit_step(v, totals, rows, last, v.at(weights, last, STEP_BYTES), ahead)
    for row in range(height):
        for register in range(REGISTERS):
            place = v.at(sums, row * PANEL + register * LANES, 4)
            v.store(builder.load(totals[row][register]), place, 64)


def _emit_step(v: Vectors, totals: list[list[Any]], rows: list[Any], quad: Any, weights: Any, ahead: Any) -> None:
    """Multiply four inputs of each row by their 4 x 64 weights."""
    builder, later = v.builder, v.builder.add(weights, ahead)
    product = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(INTS, [INTS] * 3), "llvm.x86.avx512.vpdpbusd.512"
    )
    columns = [v.load(v.at(weights, register * LANES, 4), INTS, 64) for register in range(REGISTERS)]
    for register in range(REGISTERS):
        v.prefetch(v.at(later, register * LANES, 4))
    for row, address in zip(totals, rows, strict=True):
        inputs = v.spread(v.load(v.at(address, quad, 4), INT32), INTS)
        for total, column in zip(row, columns, strict=True):
            builder.store(builder.call(product, [builder.load(total), inputs, column]), total)
