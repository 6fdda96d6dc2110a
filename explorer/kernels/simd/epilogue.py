"""What follows the sums of an INT8 product, in the registers: scales, bias, addend, activation, codes.

Importing this imports llvmlite. The order of the steps and the rounding of each to FP32 are part of the kernel's
contract: the separate steps in plain torch give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from explorer.kernels.simd import job
from explorer.kernels.simd.activations import EMITTERS
from explorer.kernels.simd.quantise import write_codes
from explorer.kernels.site import ACTIVATIONS
from explorer.vectors import (
    BYTES,
    FLOAT,
    FLOATS,
    INT32,
    INT64,
    INTS,
    LANES,
    Vectors,
    own_function,
    whole,
)

MOST_STEPS = 512.0
"""More steps of a code's scale than any result needs, and few enough for an INT32. What is below the least INT32, and
NaN, becomes that one when it is converted, and so the code 0."""


@intrinsic
def finish(
    typing_context: Any, call: Any, sums: Any, first: Any, rows: Any, panel: Any, column: Any, columns: Any
) -> Any:
    """Write the results of a tile whose ``sums`` [rows, 64] are INT32.

    call: the address of the job; first: the tile's first row; panel: its panel; column, columns: its first output, and
    how many it has (beyond those nothing is read or written).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "int8_finish", len(arguments), _emit_finish), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


@intrinsic
def apply(typing_context: Any, call: Any, first: Any, last: Any) -> Any:
    """Write activation and codes of the elements ``first`` to ``last`` of X [ROWS] FP32 to OUT."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "apply_elements", len(arguments), _emit_apply), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


def _emit_finish(builder: Any, arguments: list[Any]) -> None:
    _, sums, first, rows, panel, column, columns = arguments
    v, end = Vectors(builder), Ending(builder, arguments[0])
    starts = range(0, job.PANEL, LANES)
    masks = [v.first(builder.sub(columns, whole(start))) for start in starts]
    packed = builder.mul(panel, whole(job.PANEL))

    def of_columns(place: int, kind: Any) -> list[Any]:
        base = v.at(end.field(place), packed, 4)
        return [v.load(v.at(base, start, 4), kind) for start in starts]

    corrections = of_columns(job.CORRECTION, INTS)
    scales, biases = of_columns(job.COLUMN_SCALE, FLOATS), of_columns(job.BIAS, FLOATS)
    with v.loop(rows) as row:
        at_row = builder.add(first, row)
        place = builder.add(end.field(job.ROW_SCALE), builder.mul(at_row, end.field(job.ROW_SCALE_BYTES)))
        row_scale = v.spread(v.load(place, FLOAT))
        out = builder.add(builder.mul(at_row, end.field(job.OUT_WIDTH)), column)
        line = v.at(sums, row, job.PANEL * 4)
        results = []
        for start, correction, scale, bias in zip(starts, corrections, scales, biases, strict=True):
            total = builder.sub(v.load(v.at(line, start, 4), INTS, 64), correction)
            x = builder.fmul(builder.fmul(builder.sitofp(total, FLOATS), row_scale), scale)
            results.append(builder.fadd(x, bias))
        end.write(end.activate(end.add(results, out, masks)), out, masks)


def _emit_apply(builder: Any, arguments: list[Any]) -> None:
    _, first, last = arguments
    v, end = Vectors(builder), Ending(builder, arguments[0])
    count = builder.sub(last, first)
    with v.loop(builder.sdiv(builder.add(count, whole(job.PANEL - 1)), whole(job.PANEL))) as index:
        done = builder.mul(index, whole(job.PANEL))
        at, left = builder.add(first, done), builder.sub(count, done)
        masks = [v.first(builder.sub(left, whole(start))) for start in range(0, job.PANEL, LANES)]
        base = v.at(end.field(job.X), at, 4)
        loaded = [v.load_some(v.at(base, n * LANES, 4), FLOATS, mask) for n, mask in enumerate(masks)]
        end.write(end.activate(loaded), at, masks)


class Ending:
    """Emits the last steps of a job as its fields ask for them: addend, activation and the writing.

    Each takes four registers, 64 neighbouring elements from the element ``at`` on, of which ``masks`` has those that
    exist; so the fields are asked once for 64 results, and four results are in the works at a time.
    """

    def __init__(self, builder: Any, call: Any) -> None:
        self.builder, self.v = builder, Vectors(builder)
        self._fields = {
            place: self.v.load(self.v.at(call, place, 8), INT64, 8) for place in range(job.SAW_NAN, job.NAN_SEEN)
        }

    def field(self, place: int) -> Any:
        return self._fields[place]

    def number(self, place: int) -> Any:
        """A FP32 field in each lane."""
        bits = self.builder.trunc(self.field(place), INT32)
        return self.v.spread(self.builder.bitcast(bits, FLOAT))

    def add(self, values: list[Any], at: Any, masks: list[Any]) -> list[Any]:
        """The values plus the addend's elements, where the job has one: FP32, or UINT8 codes under a scale."""
        builder, v, address = self.builder, self.v, self.field(job.ADDEND)

        def floats() -> list[Any]:
            base = v.at(address, at, 4)
            loaded = [v.load_some(v.at(base, n * LANES, 4), FLOATS, mask) for n, mask in enumerate(masks)]
            return [builder.fadd(x, y) for x, y in zip(values, loaded, strict=True)]

        def codes() -> list[Any]:
            base, zero, scale = builder.add(address, at), self.number(job.ADDEND_ZERO), self.number(job.ADDEND_SCALE)
            loaded = [v.load_some(v.at(base, n * LANES, 1), BYTES, mask) for n, mask in enumerate(masks)]
            shifted = [builder.fsub(builder.sitofp(builder.zext(code, INTS), FLOATS), zero) for code in loaded]
            return [builder.fadd(x, builder.fmul(y, scale)) for x, y in zip(values, shifted, strict=True)]

        kind = builder.select(
            builder.icmp_signed("==", address, whole(0)),
            whole(0),
            builder.add(self.field(job.ADDEND_CODES), whole(1)),
        )
        return self._choose(kind, [lambda: values, floats, codes])

    def activate(self, values: list[Any]) -> list[Any]:
        """The job's activation of the values."""

        def of(emit: Any) -> Callable[[], list[Any]]:
            return lambda: [emit(self.v, x) for x in values]

        choices = [lambda: values, *(of(EMITTERS[name]) for name in ACTIVATIONS)]
        return self._choose(self.field(job.ACTIVATION), choices)

    def write(self, values: list[Any], at: Any, masks: list[Any]) -> None:
        """Write the values, as FP32 or as UINT8 codes."""
        builder, v, address = self.builder, self.v, self.field(job.OUT)

        def floats() -> list[Any]:
            base = v.at(address, at, 4)
            for n, (x, mask) in enumerate(zip(values, masks, strict=True)):
                v.store_some(x, v.at(base, n * LANES, 4), mask)
            return []

        def codes() -> list[Any]:
            self._note_nan(
                [builder.and_(builder.fcmp_unordered("uno", x, x), m) for x, m in zip(values, masks, strict=True)]
            )
            base, inverse, zero = builder.add(address, at), self.number(job.OUT_INVERSE), self.number(job.OUT_ZERO)
            zero = builder.fptosi(zero, INTS)
            for n, (x, mask) in enumerate(zip(values, masks, strict=True)):
                steps = v.to_integers(v.capped(builder.fmul(x, inverse), v.floats(MOST_STEPS)))
                code = v.most(builder.add(steps, zero), ir.Constant(INTS, None))
                v.store_some(v.saturated(code), v.at(base, n * LANES, 1), mask)
            return []

        self._choose(self.field(job.OUT_CODES), [floats, codes])

    def write_row(self, read: Callable[[Any, Any], Any], row: Any, columns: Any) -> None:
        """Write the row ``row`` of OUT, whose values ``read(at, mask)`` emits: 0 off the mask, and more than once.

        Where the job has row scales, as INT8 codes with a scale there.
        """
        builder, v = self.builder, self.v
        scales, start_of_row = self.field(job.ROW_SCALE), builder.mul(row, columns)

        def write(start: Any, masks: list[Any]) -> None:
            values = [read(builder.add(start, whole(n * LANES)), mask) for n, mask in enumerate(masks)]
            self.write(values, builder.add(start_of_row, start), masks)

        with builder.if_else(builder.icmp_signed("!=", scales, whole(0))) as (by_row, as_it_ends):
            with by_row:
                write_codes(v, read, builder.add(self.field(job.OUT), start_of_row), v.at(scales, row, 4), columns)
            with as_it_ends:
                v.each_four(columns, write)

    def _note_nan(self, masks: list[Any]) -> None:
        builder, bits = self.builder, ir.IntType(LANES)
        some = masks[0]
        for mask in masks[1:]:
            some = builder.or_(some, mask)
        found = builder.icmp_unsigned("!=", builder.bitcast(some, bits), ir.Constant(bits, 0))
        with builder.if_then(found, likely=False):
            self.v.store(whole(1), self.field(job.SAW_NAN), 8)

    def _choose(self, number: Any, choices: list[Callable[[], list[Any]]]) -> list[Any]:
        """The registers that the choice of this number returns; only that one runs."""
        builder = self.builder
        done = builder.append_basic_block("chosen")
        blocks = [builder.append_basic_block("choice") for _ in choices]
        choice = builder.switch(number, blocks[0])
        ends = []
        for index, (block, emit) in enumerate(zip(blocks, choices, strict=True)):
            if index:
                choice.add_case(whole(index), block)
            builder.position_at_end(block)
            ends.append((emit(), builder.block))
            builder.branch(done)
        builder.position_at_end(done)
        joined = []
        for alternatives in zip(*(results for results, _ in ends), strict=True):
            phi = builder.phi(FLOATS)
            for value, (_, block) in zip(alternatives, ends, strict=True):
                phi.add_incoming(value, block)
            joined.append(phi)
        return joined
