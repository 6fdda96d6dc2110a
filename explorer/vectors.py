# mypy: disable-error-code="no-untyped-call"
"""Emits operations on sixteen 32-bit lanes, one AVX512 register, through llvmlite. Importing this imports llvmlite.

Each method adds instructions where ``builder`` stands. An address is an INT64, as Numba's loops hand it over. No
operation carries fast-math flags: what is written is what is computed, each step rounded by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils

LANES = 16
BIT, BYTE, INT32, INT64, FLOAT = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
FLOATS, INTS, BYTES = (ir.VectorType(kind, LANES) for kind in (FLOAT, INT32, BYTE))
MASK = ir.VectorType(BIT, LANES)


def whole(value: int) -> Any:
    """Return an INT64 constant: a count, an index or a number of bytes."""
    return ir.Constant(INT64, value)


class Vectors:
    """An emitter at one place of a function."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    # Numbers ------------------------------------------------------------------------------------------------------

    def floats(self, value: float) -> Any:
        """The same FP32 constant in each lane."""
        rounded = struct.unpack("<f", struct.pack("<f", value))[0]
        return ir.Constant(FLOATS, [ir.Constant(FLOAT, rounded)] * LANES)

    def spread(self, scalar: Any, kind: Any = FLOATS) -> Any:
        """A scalar of run time in each lane."""
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, scalar, ir.Constant(INT32, 0))
        places = ir.Constant(ir.VectorType(INT32, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(first, empty, places)

    def at(self, address: Any, index: Any, size: int) -> Any:
        """The address ``index`` (an INT64, or a Python integer) elements of ``size`` bytes further on."""
        step = whole(index * size) if isinstance(index, int) else self.builder.mul(index, whole(size))
        return self.builder.add(address, step)

    # Memory -------------------------------------------------------------------------------------------------------

    def load(self, address: Any, kind: Any, align: int = 1) -> Any:
        loaded = self.builder.load(self._pointer(address, kind))
        loaded.align = align
        return loaded

    def load_some(self, address: Any, kind: Any, mask: Any) -> Any:
        """The lanes that ``mask`` has, and zeros: the others' memory is not touched."""
        pointer = self._pointer(address, kind)
        name = f"llvm.masked.load.{_suffix(kind)}.p0"
        load = self._function(name, kind, [pointer.type, INT32, MASK, kind])
        return self.builder.call(load, [pointer, ir.Constant(INT32, 1), mask, ir.Constant(kind, None)])

    def store(self, value: Any, address: Any, align: int = 1) -> None:
        self.builder.store(value, self._pointer(address, value.type)).align = align

    def store_some(self, value: Any, address: Any, mask: Any) -> None:
        """Write the lanes that ``mask`` has; the others' memory is not touched."""
        pointer = self._pointer(address, value.type)
        name = f"llvm.masked.store.{_suffix(value.type)}.p0"
        store = self._function(name, ir.VoidType(), [value.type, pointer.type, INT32, MASK])
        self.builder.call(store, [value, pointer, ir.Constant(INT32, 1), mask])

    def prefetch(self, address: Any, write: bool = False) -> None:
        """Ask for the cache line at ``address``, which need not exist, to be brought near; ``write``: to be written."""
        pointer = self._pointer(address, BYTE)
        prefetch = self._function("llvm.prefetch.p0", ir.VoidType(), [pointer.type, INT32, INT32, INT32])
        self.builder.call(prefetch, [pointer, *(ir.Constant(INT32, number) for number in (int(write), 3, 1))])

    def first(self, count: Any) -> Any:
        """The mask of the first ``count`` lanes; all from 16 on, none from 0 down."""
        lanes = ir.Constant(INTS, list(range(LANES)))
        return self.builder.icmp_signed("<", lanes, self.spread(self.builder.trunc(count, INT32), INTS))

    # Arithmetic ---------------------------------------------------------------------------------------------------

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once."""
        return self.builder.call(self._function("llvm.fma.v16f32", FLOATS, [FLOATS] * 3), [a, b, c])

    def polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        """Horner's scheme; the constant term comes first."""
        total = self.floats(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = self.fused(total, x, self.floats(coefficient))
        return total

    def rounded(self, x: Any) -> Any:
        """The nearest integers, halves to even."""
        return self.builder.call(self._function("llvm.roundeven.v16f32", FLOATS, [FLOATS]), [x])

    def to_integers(self, x: Any) -> Any:
        """The nearest INT32, halves to even."""
        name = "llvm.x86.avx512.mask.cvtps2dq.512"
        convert = self._function(name, INTS, [FLOATS, INTS, ir.IntType(16), INT32])
        return self.builder.call(convert, [x, ir.Constant(INTS, None), ir.IntType(16)(-1), ir.Constant(INT32, 8)])

    def saturated(self, x: Any) -> Any:
        """INT32 from 0 up as bytes, 255 from there on."""
        name = "llvm.x86.avx512.mask.pmovus.db.512"
        narrow = self._function(name, BYTES, [INTS, BYTES, ir.IntType(16)])
        return self.builder.call(narrow, [x, ir.Constant(BYTES, None), ir.IntType(16)(-1)])

    def capped(self, x: Any, limit: Any) -> Any:
        """The smaller of the two; NaN where x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", limit, x), limit, x)

    def most(self, a: Any, b: Any) -> Any:
        """The larger of two INT32."""
        return self.builder.call(self._function("llvm.smax.v16i32", INTS, [INTS] * 2), [a, b])

    def most_of_all(self, a: Any) -> Any:
        """The largest of the sixteen INT32."""
        return self.builder.call(self._function("llvm.vector.reduce.smax.v16i32", INT32, [INTS]), [a])

    def times_power(self, x: Any, exponent: Any) -> Any:
        """x * 2**exponent, rounded once also where the result is denormal; ``exponent`` holds integers."""
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        scale = self._function(name, FLOATS, [FLOATS, FLOATS, FLOATS, ir.IntType(16), INT32])
        return self.builder.call(scale, [x, exponent, x, ir.IntType(16)(-1), ir.Constant(INT32, 4)])

    def sum_of_all(self, x: Any) -> Any:
        """The sum of the sixteen lanes, in each of them: halves are added to halves, four times."""
        for distance in (8, 4, 2, 1):
            other = ir.Constant(INTS, [lane ^ distance for lane in range(LANES)])
            x = self.builder.fadd(x, self.builder.shuffle_vector(x, x, other))
        return x

    def shuffled(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """Lanes of two registers by their numbers, the second one's from sixteen on."""
        return self.builder.shuffle_vector(a, b, ir.Constant(INTS, lanes))

    def root(self, scalar: Any) -> Any:
        """The square root of one FP32 number."""
        return self.builder.call(self._function("llvm.sqrt.f32", FLOAT, [FLOAT]), [scalar])

    def magnitude(self, x: Any) -> Any:
        return self.builder.call(self._function("llvm.fabs.v16f32", FLOATS, [FLOATS]), [x])

    def least(self, x: Any, limit: Any) -> Any:
        """The smaller of the two; ``limit`` where x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, limit), x, limit)

    def largest(self, x: Any, limit: Any) -> Any:
        """The larger of the two; ``limit`` where x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered(">", x, limit), x, limit)

    # Control ------------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """Repeat what is emitted inside for each index below ``count``."""
        with cgutils.for_range(self.builder, count) as loop:
            yield loop.index

    def each_four(self, columns: Any, emit: Callable[[Any, list[Any]], None]) -> None:
        """Repeat ``emit(start, masks)`` for each 64 columns: the first of them, and four masks of those there are."""
        builder = self.builder
        full = ir.Constant(MASK, [1] * LANES)
        rounds = builder.lshr(columns, whole(6))
        with self.loop(rounds) as index:
            emit(builder.shl(index, whole(6)), [full] * 4)
        start = builder.shl(rounds, whole(6))
        with builder.if_then(builder.icmp_signed("<", start, columns)):
            left = builder.sub(columns, start)
            emit(start, [self.first(builder.sub(left, whole(n * LANES))) for n in range(4)])

    # ----------------------------------------------------------------------------------------------------------------

    def _pointer(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())

    def _function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)


def own_function(builder: Any, name: str, count: int, emit: Callable[[Any, list[Any]], None]) -> Any:
    """Return the module's function ``name`` of ``count`` INT64, which ``emit(builder, arguments)`` fills once.

    A function of its own keeps its registers to itself, and is optimised once however often it is called.
    """
    found = builder.module.globals.get(name)
    if found is not None:
        return found
    function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [INT64] * count), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    inside = ir.IRBuilder(function.append_basic_block())
    emit(inside, list(function.args))
    inside.ret_void()
    return function


def _suffix(kind: Any) -> str:
    return f"v{kind.count}{'f32' if kind.element == FLOAT else f'i{kind.element.width}'}"
