# mypy: disable-error-code="no-untyped-call,untyped-decorator,no-any-return"
"""What is done to the elements of a chunk beside the sweep, emitted through LLVM: picking the few that a sweep left
over, bringing rows together, folding them into channels, and counters into counts. Importing this imports Numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer.ranges import places as at
from explorer.ranges.sweeps import COUNTERS, call_own
from explorer.vectors import INT32, INT64, INTS, LANES, MASK, Vectors, whole

NONE = ir.Constant(INTS, None)


class Folding(Vectors):
    """Emits what goes along the rows of a chunk, or picks some of its elements."""

    def gather(self, arguments: list[Any]) -> Any:
        """The number of the elements picked; most sixteens have none, and four of them are told by one question."""
        source, count, *intervals, self._target = arguments
        builder = self.builder
        bounds = [self.spread(builder.trunc(each, INT32), INTS) for each in intervals]
        self._size = cgutils.alloca_once_value(builder, whole(0))

        def find(start: Any, masks: list[Any]) -> None:
            places = [self.at(source, builder.add(start, whole(LANES * n)), 4) for n in range(4)]
            bits = [self.load_some(place, INTS, mask) for place, mask in zip(places, masks, strict=True)]
            chosen = [self._left_over(x, bounds) for x in bits]
            either = builder.or_(builder.or_(chosen[0], chosen[1]), builder.or_(chosen[2], chosen[3]))
            flags = builder.bitcast(either, COUNTERS.element)
            with builder.if_then(builder.icmp_unsigned("!=", flags, COUNTERS.element(0)), likely=False):
                for x, mask in zip(bits, chosen, strict=True):
                    self._pick(x, mask)

        self.each_four(count, find)
        return builder.load(self._size)

    def _left_over(self, bits: Any, bounds: list[Any]) -> Any:
        """Neither zeros, as lanes outside a mask are, nor in one of two intervals: of a start and a length each."""
        builder = self.builder
        size = builder.and_(bits, ir.Constant(INTS, [at.MAGNITUDE] * LANES))
        found = builder.icmp_unsigned("!=", size, NONE)
        for first, length in (bounds[:2], bounds[2:]):
            found = builder.and_(found, builder.icmp_unsigned(">=", builder.sub(bits, first), length))
        return found

    def _pick(self, bits: Any, chosen: Any) -> None:
        """Write the chosen lanes after those picked before: without asking whether there are any, which is hard to
        foretell."""
        builder = self.builder
        compress = self._function("llvm.experimental.vector.compress.v16i32", INTS, [INTS, MASK, INTS])
        place = builder.load(self._size)
        self.store(builder.call(compress, [bits, chosen, NONE]), self.at(self._target, place, 4), 4)
        flags = builder.bitcast(chosen, COUNTERS.element)
        number = builder.call(self._function("llvm.ctpop.i16", flags.type, [flags.type]), [flags])
        builder.store(builder.add(place, builder.zext(number, INT64)), self._size)

    def copy_rows(self, arguments: list[Any]) -> None:
        """Rows that lie apart, one after the other."""
        source, rows, stride, width, target = arguments
        builder = self.builder
        full, left = builder.lshr(width, whole(4)), builder.and_(width, whole(15))
        done = builder.sub(width, left)
        with self.loop(rows) as row:
            start = builder.add(source, builder.mul(row, stride))
            to = builder.add(target, builder.mul(row, builder.shl(width, whole(2))))
            with self.loop(full) as index:
                self.store(self.load(self.at(start, index, 64), INTS), self.at(to, index, 64))
            with builder.if_then(builder.icmp_signed("!=", left, whole(0))):
                mask = self.first(left)
                self.store_some(self.load_some(self.at(start, done, 4), INTS, mask), self.at(to, done, 4), mask)

    def fold_each(self, arguments: list[Any]) -> None:
        """All elements of a row are of one channel."""
        source, rows, stride, width, channels, step, kept = arguments
        builder = self.builder
        self._keep(kept)
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
        source, rows, stride, width, channels, kept = arguments
        builder = self.builder
        self._keep(kept)
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

    def _keep(self, kept: Any) -> None:
        self._kept = self.spread(self.builder.trunc(kept, INT32), INTS)

    def _raise(self, largest: Any, bits: Any) -> None:
        """Raise the largest so far to those of the elements whose kept bits are a finite magnitude."""
        builder = self.builder
        size = builder.and_(bits, self._kept)
        finite = builder.icmp_unsigned("<", size, ir.Constant(INTS, [at.INFINITY] * LANES))
        most = self._function("llvm.umax.v16i32", INTS, [INTS] * 2)
        builder.store(builder.call(most, [builder.load(largest), builder.select(finite, size, NONE)]), largest)


@intrinsic
def gather(
    typing_context: Any,
    source: Any,
    count: Any,
    first: Any,
    length: Any,
    other_first: Any,
    other_length: Any,
    target: Any,
) -> Any:
    """Copy to ``target`` the elements that are no zeros and whose patterns are in neither of two intervals; return how
    many there are. first, length: of an interval of UINT32. target: room for 15 elements more than ``count``; it may be
    ``source``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return Folding(builder).gather(arguments)

    return types.int64(*[types.int64] * 7), generate


@intrinsic
def copy_apart(typing_context: Any, source: Any, rows: Any, stride: Any, width: Any, target: Any) -> Any:
    """Copy rows of ``width`` elements, ``stride`` bytes apart, to ``target``, one after the other."""

    def emit(inside: Any, given: list[Any]) -> None:
        Folding(inside).copy_rows(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_own(context, builder, "copy_apart", list(arguments), emit)

    return types.void(*[types.int64] * 5), generate


@intrinsic
def fold_each(
    typing_context: Any, source: Any, rows: Any, stride: Any, width: Any, channels: Any, step: Any, kept: Any
) -> Any:
    """Fold the finite magnitudes of rows, ``stride`` bytes apart, into the largest of one channel each.

    width: elements of a row. channels: address of the first row's channel, a UINT32 pattern; the next is ``step`` bytes
    further on. kept: the bits of a pattern that are compared: those of its magnitude, or all, which leaves out negative
    elements.
    """

    def emit(inside: Any, given: list[Any]) -> None:
        Folding(inside).fold_each(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_own(context, builder, "fold_each", list(arguments), emit)

    return types.void(*[types.int64] * 7), generate


@intrinsic
def fold_columns(typing_context: Any, source: Any, rows: Any, stride: Any, width: Any, channels: Any, kept: Any) -> Any:
    """Fold the finite magnitudes of rows, ``stride`` bytes apart, into the largest of each column's channel; ``kept``
    as for :func:`fold_each`."""

    def emit(inside: Any, given: list[Any]) -> None:
        Folding(inside).fold_columns(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_own(context, builder, "fold_columns", list(arguments), emit)

    return types.void(*[types.int64] * 6), generate


@intrinsic
def fold_bins(typing_context: Any, bins: Any, first: Any, last: Any, counts: Any) -> Any:
    """Add the lanes of the bins from ``first`` to before ``last`` to ``counts`` INT64 [K], and leave them as zeros."""

    def emit(inside: Any, given: list[Any]) -> None:
        Folding(inside).fold_bins(given)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_own(context, builder, "fold_bins", list(arguments), emit)

    return types.void(*[types.int64] * 4), generate
