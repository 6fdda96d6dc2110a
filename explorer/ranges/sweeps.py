# mypy: disable-error-code="no-untyped-call,untyped-decorator,no-any-return"
"""The sweeps over the elements of a chunk, emitted through LLVM, sixteen elements a step. Importing this imports Numba.

They are made for AVX512, where a step is of single registers; for other CPUs LLVM makes of the same code as many
narrower instructions as it takes. A sweep finds extremes, sums and bins of the same sixteen elements: the counters of
the bins are scalar memory operations, the rest is vector arithmetic, and both run side by side on ports of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer.ranges import places as at
from explorer.vectors import FLOAT, INT32, INT64, INTS, LANES, Vectors, own_function, whole

EIGHT = ir.VectorType(ir.DoubleType(), 8)
COUNTERS = ir.VectorType(ir.IntType(16), at.LANES)
AHEAD = 4096
"""Bytes ahead of a sweep that are asked for: some hundred cycles."""
COARSE = 20
"""The shift of a range's bins, which are found faster: they are in the upper half of a pattern."""
FOLDS = ("smax", "umax", "umin", "umin")
NEUTRAL = (-(2**31), 0, -1, -1)
SUMS = 6
"""Registers of one kind of sums: of elements, of their squares' upper parts, of what is below those; two each."""


class Sweeping(Vectors):
    """Emits a sweep; its running extremes and sums are in registers throughout.

    kinds: 0 for no sums, 1 for those of all elements, 2 for those of the positive ones, and their least, too.
    """

    def __init__(self, builder: Any, found: Any, kinds: int) -> None:
        super().__init__(builder)
        self._found, self._kinds = found, kinds

    def count(self, arguments: list[Any]) -> None:
        """The whole of a sweep: extremes, bins, and sums if asked for."""
        source, count, self._bins, self._shift, low, anchor = arguments
        self._start_extremes()
        self._start_sums(low, anchor)

        def step(place: Any, bits: Any, mask: Any) -> None:
            before = self._find_extremes(bits, mask)
            self._add(bits, before)
            if mask is not None:
                place = self.at(self._found, at.LAST_AT, 1)
                self.store(bits, place)
                self._take_back(mask)
            self._count_bins(place)

        coarse = self.builder.icmp_signed("==", self._shift, whole(COARSE))
        with self.builder.if_else(coarse) as branches:
            for self._coarse, branch in zip((True, False), branches, strict=True):
                with branch:
                    self._each(source, count, step)
        self._write_extremes()
        self._write_sums()

    def add(self, arguments: list[Any]) -> None:
        """Sums alone."""
        source, count, low, anchor = arguments
        self._start_sums(low, anchor)
        self._each(source, count, lambda place, bits, mask: self._add(bits, self.before(bits)))
        self._write_sums()

    def before(self, bits: Any) -> Any:
        """Twice a magnitude's pattern less one: below all others for the least, above all for a zero."""
        return self.builder.sub(self.builder.add(bits, bits), ir.Constant(INTS, [1] * LANES))

    def _each(self, source: Any, count: Any, step: Callable[[Any, Any, Any], None]) -> None:
        """Repeat ``step(place, bits, mask)`` for each sixteen elements; the mask is of the last few, else None."""
        builder = self.builder
        with self.loop(builder.lshr(count, whole(4))) as index:
            place = self.at(source, index, 64)
            self.prefetch(self.at(place, AHEAD, 1))
            step(place, self.load(place, INTS), None)
        left = builder.and_(count, whole(15))
        with builder.if_then(builder.icmp_signed("!=", left, whole(0))):
            place, mask = self.at(source, builder.sub(count, left), 4), self.first(left)
            step(place, self.load_some(place, INTS, mask), mask)

    def _start_extremes(self) -> None:
        starts = [ir.Constant(INTS, [value] * LANES) for value in NEUTRAL]
        self._extremes = [cgutils.alloca_once_value(self.builder, start) for start in starts]

    def _find_extremes(self, bits: Any, mask: Any) -> Any:
        """Lanes outside the mask hold zeros, which are nothing to the unsigned extremes."""
        builder, before = self.builder, self.before(bits)
        lowest = ir.Constant(INTS, [NEUTRAL[0]] * LANES)
        signed = bits if mask is None else builder.select(mask, bits, lowest)
        values = [signed, bits, before]
        if self._kinds > 1:
            values.append(builder.sub(bits, ir.Constant(INTS, [1] * LANES)))
        for place, fold, value in zip(self._extremes, FOLDS, values, strict=False):
            function = self._function(f"llvm.{fold}.v16i32", INTS, [INTS] * 2)
            builder.store(builder.call(function, [builder.load(place), value]), place)
        return before

    def _write_extremes(self) -> None:
        builder = self.builder
        for number, (fold, place) in enumerate(zip(FOLDS, self._extremes, strict=True)):
            function = self._function(f"llvm.vector.reduce.{fold}.v16i32", INT32, [INTS])
            found = builder.call(function, [builder.load(place)])
            wide = builder.sext(found, INT64) if fold == "smax" else builder.zext(found, INT64)
            self.store(wide, self.at(self._found, at.EXTREMES_AT + 8 * number, 1), 8)

    def _start_sums(self, low: Any, anchor: Any) -> None:
        before = self.builder.trunc(self.builder.sub(self.builder.shl(low, whole(1)), whole(1)), INT32)
        self._low = self.spread(before, INTS)
        self._anchor = self.spread(anchor, EIGHT)
        starts = [ir.Constant(EIGHT, None)] * 2 + [self._anchor] * 2 + [ir.Constant(EIGHT, None)] * 2
        self._sums = [cgutils.alloca_once_value(self.builder, start) for start in starts * self._kinds]

    def _add(self, bits: Any, before: Any) -> None:
        """Add the elements that are not too small, and their squares; of positive ones once more."""
        builder = self.builder
        inside = builder.icmp_unsigned(">=", before, self._low)
        floats = builder.bitcast(bits, ir.VectorType(FLOAT, LANES))
        zeros = ir.Constant(EIGHT, None)
        for half in range(2 if self._kinds else 0):
            lanes = ir.Constant(ir.VectorType(INT32, 8), list(range(8 * half, 8 * half + 8)))
            wide = builder.fpext(builder.shuffle_vector(floats, floats, lanes), EIGHT)
            x = builder.select(builder.shuffle_vector(inside, inside, lanes), wide, zeros)
            self._add_half(x, self._sums[half:SUMS:2])
            if self._kinds > 1:
                positive = builder.select(builder.fcmp_ordered(">", x, zeros), x, zeros)
                self._add_half(positive, self._sums[SUMS + half :: 2])

    def _add_half(self, x: Any, sums: list[Any]) -> None:
        """Add eight elements to their sums.

        A square's upper part is what acc + x**2 gains, rounded to the last place of the anchor that acc began with.
        """
        builder = self.builder
        fused = self._function("llvm.fma.v8f64", EIGHT, [EIGHT] * 3)
        total, upper, lower = sums
        builder.store(builder.fadd(builder.load(total), x), total)
        acc = builder.load(upper)
        grown = builder.call(fused, [x, x, acc])
        builder.store(grown, upper)
        rest = builder.call(fused, [x, x, builder.fneg(builder.fsub(grown, acc))])
        builder.store(builder.fadd(builder.load(lower), rest), lower)

    def _write_sums(self) -> None:
        for place, total in enumerate(self._sums):
            value = self.builder.load(total)
            value = self.builder.fsub(value, self._anchor) if place % SUMS in (2, 3) else value
            self.store(value, self.at(self._found, place, 64), 8)

    def _count_bins(self, place: Any) -> None:
        """Add one to a counter for each of sixteen elements: plain loads, which cost less than to extract lanes."""
        builder = self.builder
        for lane in range(LANES):
            step = self._find_step(self.at(place, 4 * lane, 1))
            counter = builder.add(builder.add(self._bins, step), whole(2 * lane))
            pointer = builder.inttoptr(counter, COUNTERS.element.as_pointer())
            builder.store(builder.add(builder.load(pointer), COUNTERS.element(1)), pointer)

    def _find_step(self, place: Any) -> Any:
        """How many bytes of counters are before those of an element's bin.

        An atomic load, a plain one to the CPU, stops LLVM from extracting a lane of a vector after all.
        """
        builder = self.builder
        if self._coarse:
            upper = builder.inttoptr(self.at(place, 2, 1), COUNTERS.element.as_pointer())
            pattern = builder.zext(builder.load_atomic(upper, "monotonic", 2), INT64)
            return builder.shl(builder.and_(pattern, whole(0xFFF0)), whole(1))
        pattern = builder.load_atomic(builder.inttoptr(place, INT32.as_pointer()), "monotonic", 4)
        shifted = builder.lshr(pattern, builder.sub(builder.trunc(self._shift, INT32), INT32(5)))
        return builder.zext(builder.and_(shifted, INT32(-at.BYTES_OF_BIN)), INT64)

    def _take_back(self, mask: Any) -> None:
        """Lanes outside the mask were counted as zeros."""
        counted = self.builder.zext(self.builder.not_(mask), COUNTERS)
        self.store(self.builder.sub(self.load(self._bins, COUNTERS, 2), counted), self._bins, 2)


def call_own(
    context: Any, builder: Any, name: str, arguments: list[Any], emit: Callable[[Any, list[Any]], None]
) -> Any:
    """Call a function of the module's own, which ``emit`` fills: its registers are its own."""
    builder.call(own_function(builder, name, len(arguments), emit), arguments)
    return context.get_dummy_value()


def _sweep_of(kinds: int) -> Any:
    @intrinsic
    def sweep_chunk(
        typing_context: Any, source: Any, count: Any, bins: Any, shift: Any, low: Any, anchor: Any, found: Any
    ) -> Any:
        def emit(inside: Any, given: list[Any]) -> None:
            *first, anchor, found = given
            Sweeping(inside, found, kinds).count([*first, inside.bitcast(anchor, EIGHT.element)])

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            *first, anchor, found = arguments
            return call_own(context, builder, f"sweep_{kinds}", [*first, builder.bitcast(anchor, INT64), found], emit)

        return types.void(*[types.int64] * 5, types.float64, types.int64), generate

    return sweep_chunk


sweep_bins, sweep_all, sweep_twice = map(_sweep_of, range(3))
"""Count the FP32 elements at an address into bins and write their extremes, and their sums, to ``found``.

source: address of ``count`` elements. bins: address of UINT16 [K, LANES], K patterns without their last ``shift`` bits;
neighbours go to different lanes. low: sums are of the elements whose magnitude's pattern is at least that. anchor: a
power of two, whose last place the squares' upper parts are multiples of. found: FP64 [2, 6, 8], of all elements and of
the positive ones the sums, those of their squares' upper parts and of what is below those, twice eight lanes each; then
INT64 [4], the largest pattern as INT32 and as UINT32, twice the least magnitude's less one, which makes of a zero the
largest, and the least positive pattern less one.
"""


@intrinsic
def add_sums(typing_context: Any, source: Any, count: Any, low: Any, anchor: Any, found: Any) -> Any:
    """Write the sums alone, as ``sweep_twice`` does."""

    def emit(inside: Any, given: list[Any]) -> None:
        source, count, low, anchor, found = given
        Sweeping(inside, found, 2).add([source, count, low, inside.bitcast(anchor, EIGHT.element)])

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, count, low, anchor, found = arguments
        given = [source, count, low, builder.bitcast(anchor, INT64), found]
        return call_own(context, builder, "add_sums", given, emit)

    return types.void(*[types.int64] * 3, types.float64, types.int64), generate
