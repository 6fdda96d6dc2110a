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
from explorer.vectors import FLOAT, INT32, INT64, INTS, LANES, MASK, Vectors, own_function, whole

EIGHT = ir.VectorType(ir.DoubleType(), 8)
COUNTERS = ir.VectorType(ir.IntType(16), at.LANES)
NONE = ir.Constant(INTS, None)
AHEAD = 4096
"""Bytes ahead of a sweep that are asked for: some hundred cycles."""
COARSE = 20
"""The shift of a range's bins, which are found faster: they are in the upper half of a pattern."""
FOLDS = ("smax", "umax", "umin")
NEUTRAL = (-(2**31), 0, -1)


class Sweeping(Vectors):
    """Emits a sweep; its running extremes and sums are in registers throughout."""

    def __init__(self, builder: Any, found: Any) -> None:
        super().__init__(builder)
        self._found = found

    def count(self, arguments: list[Any], with_sums: bool) -> None:
        """The whole of a sweep: extremes, bins, and sums if asked for."""
        source, count, self._bins, self._shift, low, anchor = arguments
        self._start_extremes()
        if with_sums:
            self._start_sums(low, anchor)

        def step(place: Any, bits: Any, mask: Any) -> None:
            before = self._find_extremes(bits, mask)
            if with_sums:
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
        if with_sums:
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
        for place, fold, value in zip(self._extremes, FOLDS, (signed, bits, before), strict=True):
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
        self._sums = [cgutils.alloca_once_value(self.builder, start) for start in starts]

    def _add(self, bits: Any, before: Any) -> None:
        """Add the elements that are not too small, and their squares.

        A square's upper part is what acc + x**2 gains, rounded to the last place of the anchor that acc began with.
        """
        builder = self.builder
        inside = builder.icmp_unsigned(">=", before, self._low)
        floats = builder.bitcast(bits, ir.VectorType(FLOAT, LANES))
        fused = self._function("llvm.fma.v8f64", EIGHT, [EIGHT] * 3)
        for half in range(2):
            lanes = ir.Constant(ir.VectorType(INT32, 8), list(range(8 * half, 8 * half + 8)))
            wide = builder.fpext(builder.shuffle_vector(floats, floats, lanes), EIGHT)
            x = builder.select(builder.shuffle_vector(inside, inside, lanes), wide, ir.Constant(EIGHT, None))
            total, upper, lower = (self._sums[2 * kind + half] for kind in range(3))
            builder.store(builder.fadd(builder.load(total), x), total)
            acc = builder.load(upper)
            grown = builder.call(fused, [x, x, acc])
            builder.store(grown, upper)
            rest = builder.call(fused, [x, x, builder.fneg(builder.fsub(grown, acc))])
            builder.store(builder.fadd(builder.load(lower), rest), lower)

    def _write_sums(self) -> None:
        for place, total in enumerate(self._sums):
            value = self.builder.load(total)
            value = self.builder.fsub(value, self._anchor) if place in (2, 3) else value
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


class Rows(Vectors):
    """Emits what goes along the rows of a chunk, or picks some of its elements."""

    def gather(self, arguments: list[Any]) -> Any:
        """The number of the elements picked; most sixteens have none, and four of them are told by one question."""
        source, count, first, last, self._target = arguments
        builder = self.builder
        span = self.spread(builder.trunc(builder.sub(last, first), INT32), INTS)
        less = self.spread(builder.trunc(builder.sub(whole(-1), first), INT32), INTS)
        self._size = cgutils.alloca_once_value(builder, whole(0))

        def find(start: Any, masks: list[Any]) -> None:
            places = [self.at(source, builder.add(start, whole(LANES * n)), 4) for n in range(4)]
            bits = [self.load_some(place, INTS, mask) for place, mask in zip(places, masks, strict=True)]
            inside = [
                builder.and_(builder.icmp_unsigned("<", builder.add(builder.add(x, x), less), span), mask)
                for x, mask in zip(bits, masks, strict=True)
            ]
            either = builder.or_(builder.or_(inside[0], inside[1]), builder.or_(inside[2], inside[3]))
            with builder.if_then(self._is_any(either), likely=False):
                for x, chosen in zip(bits, inside, strict=True):
                    self._pick(x, chosen)

        self.each_four(count, find)
        return builder.load(self._size)

    def _is_any(self, mask: Any) -> Any:
        flags = self.builder.bitcast(mask, COUNTERS.element)
        return self.builder.icmp_unsigned("!=", flags, COUNTERS.element(0))

    def _pick(self, bits: Any, chosen: Any) -> None:
        """Write the chosen lanes after those picked before."""
        builder = self.builder
        with builder.if_then(self._is_any(chosen)):
            compress = self._function("llvm.experimental.vector.compress.v16i32", INTS, [INTS, MASK, INTS])
            place = builder.load(self._size)
            self.store(builder.call(compress, [bits, chosen, NONE]), self.at(self._target, place, 4), 4)
            flags = builder.bitcast(chosen, COUNTERS.element)
            number = builder.call(self._function("llvm.ctpop.i16", flags.type, [flags.type]), [flags])
            builder.store(builder.add(place, builder.zext(number, INT64)), self._size)

    def fold_each(self, arguments: list[Any]) -> None:
        """All elements of a row are of one channel."""
        source, rows, stride, width, channels, step = arguments
        builder = self.builder
        largest = cgutils.alloca_once(builder, INTS)
        with self.loop(rows) as row:
            builder.store(NONE, largest)
            start = builder.add(source, builder.mul(row, stride))
            with self.loop(builder.lshr(width, whole(4))) as index:
                self._raise(largest, self.load(self.at(start, index, 64), INTS))
            left = builder.and_(width, whole(15))
            with builder.if_then(builder.icmp_signed("!=", left, whole(0))):
                end = self.at(start, builder.sub(width, left), 4)
                self._raise(largest, self.load_some(end, INTS, self.first(left)))
            reduce = self._function("llvm.vector.reduce.umax.v16i32", INT32, [INTS])
            found = builder.call(reduce, [builder.load(largest)])
            place = builder.inttoptr(builder.add(channels, builder.mul(row, step)), INT32.as_pointer())
            most = self._function("llvm.umax.i32", INT32, [INT32] * 2)
            builder.store(builder.call(most, [builder.load(place), found]), place)

    def fold_columns(self, arguments: list[Any]) -> None:
        """Each element of a row is a channel of its own, the same in all rows."""
        source, rows, stride, width, channels = arguments
        builder = self.builder
        largest = cgutils.alloca_once(builder, INTS)
        with self.loop(builder.lshr(builder.add(width, whole(15)), whole(4))) as index:
            start = builder.shl(index, whole(4))
            mask = self.first(builder.sub(width, start))
            place, column = self.at(channels, start, 4), self.at(source, start, 4)
            builder.store(self.load_some(place, INTS, mask), largest)
            with self.loop(rows) as row:
                self._raise(largest, self.load_some(builder.add(column, builder.mul(row, stride)), INTS, mask))
            self.store_some(builder.load(largest), place, mask)

    def fold_bins(self, arguments: list[Any]) -> None:
        """Add up the lanes of some bins, and leave them as zeros."""
        bins, first, last, counts = arguments
        builder = self.builder
        wide = ir.VectorType(INT32, at.LANES)
        with self.loop(builder.sub(last, first)) as index:
            number = builder.add(first, index)
            place = self.at(bins, number, at.BYTES_OF_BIN)
            lanes = builder.zext(self.load(place, COUNTERS, 2), wide)
            found = builder.call(self._function("llvm.vector.reduce.add.v16i32", INT32, [wide]), [lanes])
            self.store(ir.Constant(COUNTERS, None), place, 2)
            total = builder.inttoptr(self.at(counts, number, 8), INT64.as_pointer())
            builder.store(builder.add(builder.load(total), builder.zext(found, INT64)), total)

    def _raise(self, largest: Any, bits: Any) -> None:
        """Raise the largest magnitudes so far to those of finite elements."""
        builder = self.builder
        size = builder.and_(bits, ir.Constant(INTS, [at.MAGNITUDE] * LANES))
        finite = builder.icmp_unsigned("<", size, ir.Constant(INTS, [at.INFINITY] * LANES))
        most = self._function("llvm.umax.v16i32", INTS, [INTS] * 2)
        kept = builder.select(finite, size, NONE)
        builder.store(builder.call(most, [builder.load(largest), kept]), largest)


def _call(context: Any, builder: Any, name: str, arguments: list[Any], emit: Callable[[Any, list[Any]], None]) -> Any:
    """Call a function of the module's own, which ``emit`` fills: its registers are its own."""
    builder.call(own_function(builder, name, len(arguments), emit), arguments)
    return context.get_dummy_value()


def _sweep_of(with_sums: bool) -> Any:
    @intrinsic
    def sweep_chunk(
        typing_context: Any, source: Any, count: Any, bins: Any, shift: Any, low: Any, anchor: Any, found: Any
    ) -> Any:
        def emit(inside: Any, given: list[Any]) -> None:
            *first, anchor, found = given
            wide = inside.bitcast(anchor, EIGHT.element)
            Sweeping(inside, found).count([*first, wide], with_sums)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            *first, anchor, found = arguments
            name = "sweep_all" if with_sums else "sweep_bins"
            return _call(context, builder, name, [*first, builder.bitcast(anchor, INT64), found], emit)

        return types.void(*[types.int64] * 5, types.float64, types.int64), generate

    return sweep_chunk


sweep_all, sweep_bins = _sweep_of(True), _sweep_of(False)
"""Count the FP32 elements at an address into bins and write their extremes, and their sums, to ``found``.

source: address of ``count`` elements. bins: address of UINT16 [K, LANES], K patterns without their last ``shift`` bits;
neighbours go to different lanes. low: sums are of the elements whose magnitude's pattern is at least that. anchor: a
power of two, whose last place the squares' upper parts are multiples of. found: FP64 [6, 8], the sums of the elements,
of their squares' upper parts and of what is below those, twice eight lanes each; then INT64 [3], the largest pattern as
INT32 and as UINT32, and twice the least magnitude's less one, which makes of a zero the largest.
"""


@intrinsic
def add_sums(typing_context: Any, source: Any, count: Any, low: Any, anchor: Any, found: Any) -> Any:
    """Write the sums alone, as ``sweep_all`` does."""

    def emit(inside: Any, given: list[Any]) -> None:
        source, count, low, anchor, found = given
        Sweeping(inside, found).add([source, count, low, inside.bitcast(anchor, EIGHT.element)])

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, count, low, anchor, found = arguments
        given = [source, count, low, builder.bitcast(anchor, INT64), found]
        return _call(context, builder, "add_sums", given, emit)

    return types.void(*[types.int64] * 3, types.float64, types.int64), generate


@intrinsic
def gather(typing_context: Any, source: Any, count: Any, first: Any, last: Any, target: Any) -> Any:
    """Copy to ``target`` the elements with ``first`` <= 2 m - 1 < ``last`` of their magnitude's pattern m, or of a zero
    2**32 - 1; return how many there are. target: room for 15 elements more than ``count``; it may be ``source``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return Rows(builder).gather(arguments)

    return types.int64(*[types.int64] * 5), generate


@intrinsic
def fold_each(typing_context: Any, source: Any, rows: Any, stride: Any, width: Any, channels: Any, step: Any) -> Any:
    """Fold the finite magnitudes of rows, ``stride`` bytes apart, into the largest of one channel each.

    width: elements of a row. channels: address of the first row's channel, a UINT32 pattern; the next is ``step`` bytes
    further on.
    """

    def emit(inside: Any, given: list[Any]) -> None:
        Rows(inside).fold_each(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(context, builder, "fold_each", list(arguments), emit)

    return types.void(*[types.int64] * 6), generate


@intrinsic
def fold_columns(typing_context: Any, source: Any, rows: Any, stride: Any, width: Any, channels: Any) -> Any:
    """Fold the finite magnitudes of rows, ``stride`` bytes apart, into the largest of each column's channel."""

    def emit(inside: Any, given: list[Any]) -> None:
        Rows(inside).fold_columns(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(context, builder, "fold_columns", list(arguments), emit)

    return types.void(*[types.int64] * 5), generate


@intrinsic
def fold_bins(typing_context: Any, bins: Any, first: Any, last: Any, counts: Any) -> Any:
    """Add the lanes of the bins from ``first`` to before ``last`` to ``counts`` INT64 [K], and leave them as zeros."""

    def emit(inside: Any, given: list[Any]) -> None:
        Rows(inside).fold_bins(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(context, builder, "fold_bins", list(arguments), emit)

    return types.void(*[types.int64] * 4), generate
