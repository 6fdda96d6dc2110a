# mypy: disable-error-code="no-untyped-call"
"""Attention of one head for up to 64 queries, sixteen queries to a register. Importing this imports llvmlite.

The lanes are queries, so that keys and values are read where they lie, one number spread over a register at a time, and
the softmax over the keys needs nothing across lanes. Only the queries are turned on their way in, and the results on
their way out. Sums run over the depth, and over the keys, in their order; no bit of a query's result depends on the
other queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer.kernels.simd import job
from explorer.kernels.simd.activations import exp
from explorer.kernels.simd.epilogue import Ending
from explorer.vectors import FLOAT, FLOATS, LANES, Vectors, own_function, whole

WIDEST = 4
"""Registers of queries in a block."""
REGISTER_BYTES = 4 * LANES
HEIGHTS = {1: (8, 1), 2: (8, 1), 3: (8, 1), 4: (4, 1)}
"""Rows of the register tiles by registers of queries: their sums, one row's queries and a spread number fit in 32."""
SMALLEST_WEIGHT = -87.0
"""A key whose score is below the largest one by more than this has weight 0: e to that is hardly a normal number."""


@intrinsic
def attend(
    typing_context: Any,
    registers: Any,
    queries: Any,
    keys: Any,
    key_bytes: Any,
    values: Any,
    value_bytes: Any,
    count: Any,
    depth: Any,
    value_depth: Any,
    masked: Any,
    weights: Any,
    results: Any,
) -> Any:
    """Write softmax(queries x keys) x values, turned: [value_depth, registers * 16], to ``results``.

    queries: [depth, registers * 16], scaled; keys: ``count`` rows of ``depth``, one every ``key_bytes``; values
    likewise. weights: memory of [count, registers * 16]; where ``masked`` it holds what is added to the scores. A query
    whose scores are all -Inf gets zeros. All FP32, what is given here is INT64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        registers, *rest = arguments
        done = builder.append_basic_block("attended")
        choice = builder.switch(registers, done)
        for width in range(1, WIDEST + 1):
            block = builder.append_basic_block(f"attend{width}")
            choice.add_case(whole(width), block)
            builder.position_at_end(block)
            builder.call(own_function(builder, f"attend_{width}", len(rest), _emitter(width)), rest)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), generate


def _emitter(width: int) -> Callable[[Any, list[Any]], None]:
    return lambda builder, arguments: _Block(builder, width, arguments).emit()


class _Block:
    """Emits the three passes over the keys for ``width`` registers of queries."""

    def __init__(self, builder: Any, width: int, arguments: list[Any]) -> None:
        self.builder, self.v, self.width = builder, Vectors(builder), width
        self.line = width * REGISTER_BYTES
        (self.queries, self.keys, self.key_bytes, self.values, self.value_bytes, *rest) = arguments
        (self.count, self.depth, self.value_depth, self.masked, self.weights, self.results) = rest

    def emit(self) -> None:
        inverses = self._weigh(self._score())
        self._sum_values(inverses)

    def _score(self) -> list[Any]:
        """Write the scores of all keys to the weights' memory, and return the largest of each query."""
        v, lowest = self.v, self.v.floats(float("-inf"))
        largest = [cgutils.alloca_once_value(self.builder, lowest) for _ in range(self.width)]

        def step(rows: list[Any], line: Any, at: Any, totals: list[list[Any]]) -> None:
            queries = self._load(line)
            self._accumulate(queries, [v.at(row, at, 4) for row in rows], totals)

        def write(key: Any, totals: list[list[Any]]) -> None:
            base = v.at(self.weights, key, self.line)
            with self.builder.if_then(self.builder.icmp_signed("!=", self.masked, whole(0))):
                for index, row in enumerate(totals):
                    for total, added in zip(row, self._load(v.at(base, index, self.line)), strict=True):
                        self.builder.store(self.builder.fadd(self.builder.load(total), added), total)
            for index, row in enumerate(totals):
                for register, (total, most) in enumerate(zip(row, largest, strict=True)):
                    score = self.builder.load(total)
                    v.store(score, v.at(v.at(base, index, self.line), register, REGISTER_BYTES), 64)
                    self.builder.store(v.largest(score, self.builder.load(most)), most)

        def tile(height: int, key: Any) -> None:
            rows = [
                self.builder.add(self.keys, self.builder.mul(self.builder.add(key, whole(row)), self.key_bytes))
                for row in range(height)
            ]
            totals = self._zeros(height)
            with v.loop(self.depth) as at:
                step(rows, v.at(self.queries, at, self.line), at, totals)
            write(key, totals)

        self._each_tile(self.count, tile)
        return [self.builder.load(most) for most in largest]

    def _weigh(self, largest: list[Any]) -> list[Any]:
        """Replace scores by e to their distance from the largest, and return 1 / their sum; 0 where all were -Inf."""
        builder, v = self.builder, self.v
        zero, none = v.floats(0.0), v.floats(float("-inf"))
        largest = [builder.select(builder.fcmp_ordered("==", most, none), zero, most) for most in largest]
        sums = [cgutils.alloca_once_value(builder, zero) for _ in largest]
        with v.loop(self.count) as key:
            line = v.at(self.weights, key, self.line)
            for register, (most, total) in enumerate(zip(largest, sums, strict=True)):
                place = v.at(line, register, REGISTER_BYTES)
                distance = builder.fsub(v.load(place, FLOATS, 64), most)
                far = builder.fcmp_ordered("<", distance, v.floats(SMALLEST_WEIGHT))
                weight = builder.select(far, zero, exp(v, distance, None))
                v.store(weight, place, 64)
                builder.store(builder.fadd(builder.load(total), weight), total)
        found = [builder.load(total) for total in sums]
        return [
            builder.select(builder.fcmp_ordered("==", total, zero), zero, builder.fdiv(v.floats(1.0), total))
            for total in found
        ]

    def _sum_values(self, inverses: list[Any]) -> None:
        """Write the sums of the values under their weights, each times its query's ``inverses``."""
        builder, v = self.builder, self.v

        def tile(height: int, column: Any) -> None:
            totals = self._zeros(height)
            first = v.at(self.values, column, 4)
            with v.loop(self.count) as key:
                row = builder.add(first, builder.mul(key, self.value_bytes))
                weights = self._load(v.at(self.weights, key, self.line))
                self._accumulate(weights, [v.at(row, index, 4) for index in range(height)], totals)
            base = v.at(self.results, column, self.line)
            for index, row in enumerate(totals):
                for register, (total, inverse) in enumerate(zip(row, inverses, strict=True)):
                    place = v.at(v.at(base, index, self.line), register, REGISTER_BYTES)
                    v.store(builder.fmul(builder.load(total), inverse), place, 64)

        self._each_tile(self.value_depth, tile)

    def _each_tile(self, count: Any, emit: Callable[[int, Any], None]) -> None:
        """Repeat ``emit(height, first)`` until ``count`` rows are done: in tall tiles, then in lower ones."""
        builder, done = self.builder, whole(0)
        for height in HEIGHTS[self.width]:
            rounds = builder.sdiv(builder.sub(count, done), whole(height))
            with self.v.loop(rounds) as index:
                emit(height, builder.add(done, builder.mul(index, whole(height))))
            done = builder.add(done, builder.mul(rounds, whole(height)))

    def _zeros(self, height: int) -> list[list[Any]]:
        places = [[cgutils.alloca_once(self.builder, FLOATS) for _ in range(self.width)] for _ in range(height)]
        for place in (place for row in places for place in row):
            self.builder.store(self.v.floats(0.0), place)
        return places

    def _load(self, line: Any) -> list[Any]:
        """The registers of one line of the queries or weights."""
        v = self.v
        return [v.load(v.at(line, register, REGISTER_BYTES), FLOATS, 64) for register in range(self.width)]

    def _accumulate(self, registers: list[Any], numbers: list[Any], totals: list[list[Any]]) -> None:
        """Add to each row of ``totals`` the registers times the number at that row's address."""
        for address, row in zip(numbers, totals, strict=True):
            number = self.v.spread(self.v.load(address, FLOAT, 4))
            for register, total in zip(registers, row, strict=True):
                self.builder.store(self.v.fused(register, number, self.builder.load(total)), total)


@intrinsic
def turn_in(
    typing_context: Any,
    source: Any,
    row_bytes: Any,
    rows: Any,
    columns: Any,
    registers: Any,
    factor: Any,
    target: Any,
) -> Any:
    """Write ``rows`` rows of ``columns`` FP32 as [columns, registers * 16], each number times ``factor`` (its bits).

    ``columns`` is rounded up to sixteen in ``target``, whose spare lanes and lines hold something.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "turn_in", len(arguments), _emit_turn_in), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


def _emit_turn_in(builder: Any, arguments: list[Any]) -> None:
    source, row_bytes, rows, columns, registers, factor, target = arguments
    v = Vectors(builder)
    last = builder.sub(rows, whole(1))
    times = v.spread(builder.bitcast(builder.trunc(factor, ir.IntType(32)), FLOAT))
    line = builder.mul(registers, whole(REGISTER_BYTES))
    with v.loop(registers) as register:
        starts = []
        for lane in range(LANES):
            row = builder.add(builder.mul(register, whole(LANES)), whole(lane))
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
            starts.append(builder.add(source, builder.mul(row, row_bytes)))
        with v.loop(_blocks(builder, columns)) as block:
            column = builder.mul(block, whole(LANES))
            mask = v.first(builder.sub(columns, column))
            turned = _turn(v, [v.load_some(v.at(start, column, 4), FLOATS, mask) for start in starts])
            place = builder.add(v.at(target, register, REGISTER_BYTES), builder.mul(column, line))
            for value in turned:
                v.store(builder.fmul(value, times), place, 64)
                place = builder.add(place, line)


@intrinsic
def turn_out(
    typing_context: Any, source: Any, registers: Any, rows: Any, columns: Any, row_bytes: Any, target: Any
) -> Any:
    """Write [columns, registers * 16] FP32 as ``rows`` rows of ``columns``, one every ``row_bytes``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "turn_out", len(arguments), _emit_turn_out), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def _emit_turn_out(builder: Any, arguments: list[Any]) -> None:
    source, registers, rows, columns, row_bytes, target = arguments
    v = Vectors(builder)
    line = builder.mul(registers, whole(REGISTER_BYTES))
    with v.loop(registers) as register, v.loop(_blocks(builder, columns)) as block:
        column = builder.mul(block, whole(LANES))
        mask = v.first(builder.sub(columns, column))
        place = builder.add(v.at(source, register, REGISTER_BYTES), builder.mul(column, line))
        lines = [builder.add(place, builder.mul(line, whole(index))) for index in range(LANES)]
        turned = _turn(v, [v.load(address, FLOATS, 64) for address in lines])
        first = builder.mul(register, whole(LANES))
        for lane, value in enumerate(turned):
            row = builder.add(first, whole(lane))
            with builder.if_then(builder.icmp_signed("<", row, rows)):
                v.store_some(value, builder.add(v.at(target, column, 4), builder.mul(row, row_bytes)), mask)


def _blocks(builder: Any, columns: Any) -> Any:
    return builder.lshr(builder.add(columns, whole(LANES - 1)), whole(4))


def _turn(v: Vectors, rows: list[Any]) -> list[Any]:
    """Sixteen registers, lane j of register i becoming lane i of register j: pairs trade blocks of 8, 4, 2, 1 lanes."""
    for distance in (8, 4, 2, 1):
        traded = list(rows)
        for low in (index for index in range(LANES) if not index & distance):
            a, b = rows[low], rows[low | distance]
            lanes = range(LANES)
            first = [lane if not lane & distance else LANES + (lane ^ distance) for lane in lanes]
            second = [lane | distance if not lane & distance else LANES + lane for lane in lanes]
            traded[low], traded[low | distance] = v.shuffled(a, b, first), v.shuffled(a, b, second)
        rows = traded
    return rows


@intrinsic
def encode(typing_context: Any, call: Any, source: Any, first: Any, rows: Any) -> Any:
    """Write rows [rows, GROUP_WIDTH] FP32 at ``source`` as the rows from ``first`` on of OUT.

    With ROW_SCALE as INT8 codes and a scale there, else as the job's ending says.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(own_function(builder, "encode_rows", len(arguments), _emit_encode), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


def _emit_encode(builder: Any, arguments: list[Any]) -> None:
    call, source, first, rows = arguments
    v, end = Vectors(builder), Ending(builder, call)
    columns = end.field(job.GROUP_WIDTH)
    with v.loop(rows) as index:
        row = builder.add(first, index)
        base = v.at(source, builder.mul(index, columns), 4)

        def read(at: Any, mask: Any, base: Any = base) -> Any:
            return v.load_some(v.at(base, at, 4), FLOATS, mask)

        end.write_row(read, row, columns)
