# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The inner tile of a product with an INT4 or INT8 weight, emitted as AVX512-VNNI code. Importing imports Numba.

A tile makes some rows times some panels of 16 outputs, all of K, in registers. One lane holds one output; a VNNI
instruction adds to every lane the products of four unsigned codes of the weight and four signed bytes of a row. A row
comes as 14-bit integers in blocks that share a power of two (:mod:`explorer.kernels.simd.weight_only`), split into a
high and a low byte, so that the sum over a block is an exact INT32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
UNIT = 32
"""Inputs that one turn of the inner loop takes: of INT4 four loads of 64 bytes a panel, of INT8 eight."""

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
BYTES = ir.VectorType(ir.IntType(8), 64)
INTS, FLOATS = ir.VectorType(I32, LANES), ir.VectorType(F32, LANES)
SHORTS = ir.VectorType(I16, LANES)
WIDE = 4
"""Panels of 16 outputs that lie beside each other in a packed weight: 64 outputs in turn take the next inputs."""
AHEAD = 2048
"""Bytes by which a weight is fetched before it is used: a tenth faster where it comes from memory."""
ARGUMENTS = (
    "row", "row_step", "meta", "meta_step", "weight", "scale", "zero", "scale_step", "bias", "out", "out_step",
    "blocks", "units",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Emitter:
    """A builder of code, with the few vector operations that a tile is made of. Addresses are INT64."""

    builder: Any

    def at(self, base: Any, offset: Any) -> Any:
        return self.builder.add(base, ir.Constant(I64, offset) if isinstance(offset, int) else offset)

    def times(self, value: Any, factor: int) -> Any:
        return self.builder.mul(value, ir.Constant(I64, factor))

    def load(self, address: Any, type_: Any, align: int) -> Any:
        found = self.builder.load(self.builder.inttoptr(address, type_.as_pointer()))
        found.align = align
        return found

    def load_ahead(self, address: Any) -> Any:
        """64 bytes of a weight, and those to come on their way."""
        target = self.builder.inttoptr(self.at(address, AHEAD), cgutils.voidptr_t)
        signature = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, I32, I32, I32])
        fetch = cgutils.get_or_insert_function(self.builder.module, signature, "llvm.prefetch.p0")
        self.builder.call(fetch, [target, *(ir.Constant(I32, n) for n in (0, 3, 1))])
        return self.load(address, INTS, 64)

    def splat(self, scalar: Any) -> Any:
        """The scalar in every lane; from memory the instruction that uses it does this for nothing."""
        vector = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
        first = self.builder.insert_element(vector, scalar, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, vector, ir.Constant(INTS, [0] * LANES))

    def intrinsic(self, name: str, *arguments: Any) -> Any:
        type_ = arguments[0].type
        signature = ir.FunctionType(type_, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), arguments)

    def dot(self, total: Any, codes: Any, row: Any) -> Any:
        """total + products of unsigned bytes of ``codes`` and signed bytes of ``row``, four to a lane."""
        return self.intrinsic("llvm.x86.avx512.vpdpbusd.512", total, codes, row)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.intrinsic("llvm.fma.v16f32", a, b, c)

    def widen_bf16(self, address: Any) -> Any:
        """16 BF16 at an address as FP32."""
        bits = self.builder.zext(self.load(address, SHORTS, 2), INTS)
        return self.builder.bitcast(self.builder.shl(bits, _ints(16)), FLOATS)

    def narrow_to_bf16(self, value: Any) -> Any:
        """FP32 rounded to nearest-even BF16; NaN stays NaN."""
        b = self.builder
        bits = b.bitcast(value, INTS)
        odd = b.and_(b.lshr(bits, _ints(16)), _ints(1))
        rounded = b.lshr(b.add(b.add(bits, odd), _ints(0x7FFF)), _ints(16))
        is_nan = b.fcmp_unordered("uno", value, value)
        return b.trunc(b.select(is_nan, _ints(0x7FC0), rounded), SHORTS)

    def codes(self, bits: int, address: Any) -> list[Any]:
        """The codes of the next 8 inputs as two vectors of unsigned bytes, four inputs to a lane."""
        b = self.builder
        if bits == 8:
            return [self.load_ahead(self.at(address, 64 * WIDE * half)) for half in range(2)]
        both = self.load_ahead(address)
        mask = _ints(0x0F0F0F0F)
        return [b.and_(both, mask), b.and_(b.lshr(both, _ints(4)), mask)]


def _ints(value: int) -> Any:
    return ir.Constant(INTS, [value] * LANES)


def emit_tile(bits: int, rows: int, panels: int) -> Any:
    """Return the tile of so many rows and panels of 16 outputs as a function that Numba-compiled code may call.

    Its arguments are INT64 (``ARGUMENTS``): addresses of the first row, of what belongs to its blocks, of the first
    panel of the weight, of its scales (BF16), zero points (BF16, or 0 for none), biases (FP32) and of the output
    (BF16), with the bytes from one row or block to the next; ``blocks`` of a row, ``units`` of 32 inputs in a block.
    """

    @intrinsic
    def tile(
        typing_context: Any, row: Any, row_step: Any, meta: Any, meta_step: Any, weight: Any, scale: Any, zero: Any,
        scale_step: Any, bias: Any, out: Any, out_step: Any, blocks: Any, units: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _Tile(_Emitter(builder), dict(zip(ARGUMENTS, arguments, strict=True)), bits, rows, panels).write()
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(ARGUMENTS)), generate

    return tile


@dataclass(frozen=True, eq=False)
class _Tile:
    """One tile while it is written; ``a`` holds its arguments by name."""

    emit: _Emitter
    a: dict[str, Any]
    bits: int
    rows: int
    panels: int

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(r, v) for r in range(self.rows) for v in range(self.panels)]

    def fresh(self, type_: Any) -> dict[tuple[int, int], Any]:
        """A register of zeros for every place."""
        return {place: cgutils.alloca_once_value(self.emit.builder, ir.Constant(type_, None)) for place in self.places}

    def step(self, base: str, stride: str, index: int) -> Any:
        """The address of one row's part."""
        return self.emit.at(self.a[base], self.emit.times(self.a[stride], index))

    def write(self) -> None:
        emit, b, a = self.emit, self.emit.builder, self.a
        total, high, low = self.fresh(FLOATS), self.fresh(INTS), self.fresh(INTS)
        with cgutils.for_range(b, a["blocks"]) as loop:
            metas = [emit.at(self.step("meta", "meta_step", r), emit.times(loop.index, 16)) for r in range(self.rows)]
            starts = [emit.splat(emit.load(meta, I32, 4)) for meta in metas]
            for r, v in self.places:
                b.store(ir.Constant(INTS, None), high[r, v])
                b.store(starts[r], low[r, v])
            with cgutils.for_range(b, a["units"]) as inner:
                unit = b.add(b.mul(loop.index, a["units"]), inner.index)
                weight = emit.at(a["weight"], emit.times(unit, WIDE * LANES * UNIT * self.bits // 8))
                for eight in range(UNIT // 8):
                    self.add_eight(emit.times(unit, UNIT), weight, eight, high, low)
            self.add_block(loop.index, metas, total, high, low)
        for r, v in self.places:
            result = b.fadd(b.load(total[r, v]), emit.load(emit.at(a["bias"], 4 * LANES * v), FLOATS, 4))
            target = emit.at(self.step("out", "out_step", r), 2 * LANES * v)
            stored = b.store(emit.narrow_to_bf16(result), b.inttoptr(target, SHORTS.as_pointer()))
            stored.align = 2

    def add_eight(self, input_at: Any, weight: Any, eight: int, high: Any, low: Any) -> None:
        """Add the products of the next eight inputs: high and low bytes of four, then of four more."""
        emit, b = self.emit, self.emit.builder
        low_plane = b.lshr(self.a["row_step"], ir.Constant(I64, 1))
        for v in range(self.panels):
            for half, codes in enumerate(
                emit.codes(self.bits, emit.at(weight, WIDE * 16 * self.bits * eight + 64 * v))
            ):
                for r in range(self.rows):
                    at = emit.at(emit.at(self.step("row", "row_step", r), input_at), 8 * eight + 4 * half)
                    for sums, byte in ((high, at), (low, emit.at(at, low_plane))):
                        piece = emit.splat(emit.load(byte, I32, 4))
                        b.store(emit.dot(b.load(sums[r, v]), codes, piece), sums[r, v])

    def add_block(self, block: Any, metas: list[Any], total: Any, high: Any, low: Any) -> None:
        """Add a block's exact sums, times the row's step and the weight's scale; and its zero points."""
        emit, b, a = self.emit, self.emit.builder, self.a
        scales = emit.at(a["scale"], b.mul(block, a["scale_step"]))
        for r, v in self.places:
            both = b.add(b.shl(b.load(high[r, v]), _ints(8)), b.load(low[r, v]))
            step = emit.splat(emit.load(emit.at(metas[r], 4), F32, 4))
            value, scale = b.fmul(b.sitofp(both, FLOATS), step), emit.widen_bf16(emit.at(scales, 2 * LANES * v))
            b.store(emit.fma(value, scale, b.load(total[r, v])), total[r, v])
        with b.if_then(b.icmp_signed("!=", a["zero"], ir.Constant(I64, 0))):
            zeros = emit.at(a["zero"], b.mul(block, a["scale_step"]))
            for r, v in self.places:
                summed = emit.splat(emit.load(emit.at(metas[r], 8), F32, 4))
                zero = emit.widen_bf16(emit.at(zeros, 2 * LANES * v))
                b.store(emit.fma(summed, zero, b.load(total[r, v])), total[r, v])
