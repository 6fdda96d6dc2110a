# mypy: disable-error-code="no-untyped-call"
"""Rows of FP32 to INT8 codes with one scale each, sixteen lanes at a time. Importing this imports llvmlite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer.kernels.simd import job
from explorer.vectors import BYTES, FLOATS, INT32, INTS, LANES, Vectors, own_function, whole

STEPS = 127.0
MAGNITUDE = 0x7FFFFFFF
LARGEST = 0x7F7FFFFF
"""The bits of the largest finite FP32: Inf and NaN rank above it."""
SMALLEST_NORMAL = 2.0**-126


@intrinsic
def quantize_row(typing_context: Any, source: Any, codes: Any, scale: Any, columns: Any) -> Any:
    """Write a row's INT8 codes [columns] and FP32 scale, from FP32 [columns]: all four are INT64, three addresses.

    scale = absmax / 127 (1 for a row of zeros, NaN or Inf for a row that has one) and at least the smallest normal
    number; code = round_half_even(x * (1 / scale)), 0 where the row is not finite.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "quantize_row", len(arguments), _emit), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


def _emit(builder: Any, arguments: list[Any]) -> None:
    source, codes, scale, columns = arguments
    v = Vectors(builder)

    def read(at: Any, mask: Any) -> Any:
        return v.load_some(v.at(source, at, 4), FLOATS, mask)

    write_codes(v, read, codes, scale, columns)


def write_codes(v: Vectors, read: Callable[[Any, Any], Any], codes: Any, scale: Any, columns: Any) -> None:
    """Emit what :func:`quantize_row` does, of the FP32 values that ``read(at, mask)`` emits, twice: 0 off the mask."""
    builder = v.builder
    largest = _largest_magnitude(v, read, columns)
    absmax = builder.bitcast(largest, ir.FloatType())
    step = builder.fdiv(absmax, ir.Constant(ir.FloatType(), STEPS))
    smallest = ir.Constant(ir.FloatType(), SMALLEST_NORMAL)
    step = builder.select(builder.fcmp_ordered("<", step, smallest), smallest, step)
    is_zero = builder.icmp_signed("==", largest, ir.Constant(INT32, 0))
    step = builder.select(is_zero, ir.Constant(ir.FloatType(), 1.0), step)
    v.store(step, scale, 4)
    inverse = v.spread(builder.fdiv(ir.Constant(ir.FloatType(), 1.0), step))
    is_finite = builder.icmp_signed("<=", largest, ir.Constant(INT32, LARGEST))
    kept = v.spread(builder.select(is_finite, ir.Constant(INT32, -1), ir.Constant(INT32, 0)), INTS)

    def encode(start: Any, masks: list[Any]) -> None:
        for n, mask in enumerate(masks):
            at = builder.add(start, whole(n * LANES))
            code = builder.and_(v.to_integers(builder.fmul(read(at, mask), inverse)), kept)
            v.store_some(builder.trunc(code, BYTES), builder.add(codes, at), mask)

    v.each_four(columns, encode)


def _largest_magnitude(v: Vectors, read: Callable[[Any, Any], Any], columns: Any) -> Any:
    """The bits of the largest magnitude: without its sign a float's bits rank as it does, Inf and NaN above all."""
    builder = v.builder
    found = [cgutils.alloca_once_value(builder, ir.Constant(INTS, None)) for _ in range(job.PANEL // LANES)]
    sign_off = ir.Constant(INTS, [MAGNITUDE] * LANES)

    def compare(start: Any, masks: list[Any]) -> None:
        for n, (mask, most) in enumerate(zip(masks, found, strict=True)):
            bits = builder.bitcast(read(builder.add(start, whole(n * LANES)), mask), INTS)
            builder.store(v.most(builder.load(most), builder.and_(bits, sign_off)), most)

    v.each_four(columns, compare)
    first, second, third, fourth = (builder.load(most) for most in found)
    return v.most_of_all(v.most(v.most(first, second), v.most(third, fourth)))
