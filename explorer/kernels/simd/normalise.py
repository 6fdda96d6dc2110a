# mypy: disable-error-code="no-untyped-call"
"""Layer norms of rows of FP32, sixteen lanes at a time, written in three forms. Importing this imports llvmlite.

Sums are taken in 64 lanes, the lanes then added in a fixed order, so that a row's bits depend on that row alone. The
second pass sums the distances from the first mean besides their squares, which corrects what the first one rounded:
rows far from zero lose nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer.kernels.simd import job
from explorer.kernels.simd.epilogue import Ending
from explorer.vectors import FLOAT, FLOATS, INT32, LANES, Vectors, own_function, whole

Read = Callable[[Any, Any], Any]
"""Emits sixteen values of a row: those from a column on, of which a mask has those that exist; 0 for the others."""


@intrinsic
def normalise(typing_context: Any, call: Any, first: Any, last: Any) -> Any:
    """Write the layer norm of the rows ``first`` to ``last`` of X [ROWS, GROUP_WIDTH] FP32 to OUT.

    Each row minus its mean, times 1 / sqrt(variance + EPS), times COLUMN_SCALE plus BIAS. With ROW_SCALE as INT8 codes
    and a scale there, else as the job's ending says.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "normalise_rows", len(arguments), _emit), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


def _emit(builder: Any, arguments: list[Any]) -> None:
    call, first, last = arguments
    v, end = Vectors(builder), Ending(builder, call)
    columns = end.field(job.GROUP_WIDTH)
    with v.loop(builder.sub(last, first)) as index:
        row = builder.add(first, index)
        start_of_row = builder.mul(row, columns)
        read = _normalised(v, end, v.at(end.field(job.X), start_of_row, 4), columns)
        end.write_row(read, row, columns)


def _normalised(v: Vectors, end: Ending, source: Any, columns: Any) -> Read:
    """Emit the two sums over a row, and return what emits its normalised values."""
    builder = v.builder

    def load(address: Any, at: Any, mask: Any) -> Any:
        return v.load_some(v.at(address, at, 4), FLOATS, mask)

    share = builder.fdiv(v.floats(1.0), v.spread(builder.sitofp(columns, FLOAT)))
    (total,) = _sums(v, columns, 1, lambda at, mask, sums: [builder.fadd(sums[0], load(source, at, mask))])
    mean = builder.fmul(total, share)

    def measure(at: Any, mask: Any, sums: list[Any]) -> list[Any]:
        distance = builder.select(mask, builder.fsub(load(source, at, mask), mean), v.floats(0.0))
        return [builder.fadd(sums[0], distance), v.fused(distance, distance, sums[1])]

    distances, squares = _sums(v, columns, 2, measure)
    missed = builder.fmul(distances, share)
    variance = v.fused(builder.fneg(missed), missed, builder.fmul(squares, share))
    variance = builder.extract_element(variance, ir.Constant(INT32, 0))
    zero, one = ir.Constant(FLOAT, 0.0), ir.Constant(FLOAT, 1.0)
    variance = builder.select(builder.fcmp_ordered("<", variance, zero), zero, variance)
    eps = builder.bitcast(builder.trunc(end.field(job.EPS), INT32), FLOAT)
    factor = v.spread(builder.fdiv(one, v.root(builder.fadd(variance, eps))))
    shift = builder.fneg(builder.fmul(missed, factor))
    weight, bias = end.field(job.COLUMN_SCALE), end.field(job.BIAS)

    def read(at: Any, mask: Any) -> Any:
        distance = v.fused(builder.fsub(load(source, at, mask), mean), factor, shift)
        value = v.fused(distance, load(weight, at, mask), load(bias, at, mask))
        return builder.select(mask, value, v.floats(0.0))

    return read


def _sums(v: Vectors, columns: Any, count: int, add: Callable[[Any, Any, list[Any]], list[Any]]) -> list[Any]:
    """So many sums over a row, each in every lane. ``add(at, mask, sums)`` returns ``sums`` plus sixteen columns."""
    builder = v.builder
    parts = [
        [cgutils.alloca_once_value(builder, v.floats(0.0)) for _ in range(count)] for _ in range(job.PANEL // LANES)
    ]

    def step(start: Any, masks: list[Any]) -> None:
        for n, (mask, places) in enumerate(zip(masks, parts, strict=True)):
            grown = add(builder.add(start, whole(n * LANES)), mask, [builder.load(place) for place in places])
            for value, place in zip(grown, places, strict=True):
                builder.store(value, place)

    v.each_four(columns, step)
    lanes = [[builder.load(place) for place in places] for places in zip(*parts, strict=True)]
    return [v.sum_of_all(builder.fadd(builder.fadd(a, b), builder.fadd(c, d))) for a, b, c, d in lanes]
