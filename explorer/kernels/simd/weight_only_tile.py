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

from explorer.vectors import FLOAT, FLOATS, INT32, INT64, INTS, LANES, Vectors, whole

UNIT = 32
"""Inputs that one turn of the inner loop takes."""
WIDE = 4
"""Panels of 16 outputs that lie beside each other in a packed weight: 64 outputs in turn take the next inputs."""
AHEAD = 8192
"""Bytes by which a weight is fetched before it is used. As much must be on its way as the memory delivers in the time
of one access: with a quarter of this a core reads at two thirds of the rate."""
SHORTS = ir.VectorType(ir.IntType(16), LANES)
ARGUMENTS = (
    "row", "row_step", "meta", "meta_step", "weight", "scale", "zero", "scale_step", "bias", "out", "out_step",
    "blocks", "units", "gap",
)  # fmt: skip


def emit_tile(bits: int, rows: int, panels: int) -> Any:
    """Return the tile of so many rows and panels of 16 outputs as a function that Numba-compiled code may call.

    Its arguments are INT64 (``ARGUMENTS``): addresses of the first row, of what belongs to its blocks, of the first
    panel of the weight, of its scales (BF16), zero points (BF16, or 0 for none), biases (FP32) and of the output
    (BF16), with the bytes from one row or block to the next; ``blocks`` of a row, ``units`` of 32 inputs in a block,
    and the bytes between the codes of one block and of the next.
    """

    @intrinsic
    def tile(
        typing_context: Any, row: Any, row_step: Any, meta: Any, meta_step: Any, weight: Any, scale: Any, zero: Any,
        scale_step: Any, bias: Any, out: Any, out_step: Any, blocks: Any, units: Any, gap: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _Tile(_Codes(builder), dict(zip(ARGUMENTS, arguments, strict=True)), bits, rows, panels).write()
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(ARGUMENTS)), generate

    return tile


def _ints(value: int) -> Any:
    return ir.Constant(INTS, [value] * LANES)


class _Codes(Vectors):
    """What a tile needs beyond the common operations: codes of a weight, their dot products, and BF16."""

    def codes(self, bits: int, address: Any) -> list[Any]:
        """The codes of the next 8 inputs as two vectors of unsigned bytes, four inputs to a lane."""
        b = self.builder
        if bits == 8:
            return [self.fetched(self.at(address, half, 64 * WIDE)) for half in range(2)]
        both, mask = self.fetched(address), _ints(0x0F0F0F0F)
        return [b.and_(both, mask), b.and_(b.lshr(both, _ints(4)), mask)]

    def fetched(self, address: Any) -> Any:
        """64 bytes of a weight, and those to come on their way."""
        self.prefetch(self.at(address, AHEAD, 1))
        return self.load(address, INTS, 64)

    def dot(self, total: Any, codes: Any, row: Any) -> Any:
        """total + products of unsigned bytes of ``codes`` and signed bytes of ``row``, four to a lane."""
        add = self._function("llvm.x86.avx512.vpdpbusd.512", INTS, [INTS] * 3)
        return self.builder.call(add, [total, codes, row])

    def widened(self, address: Any) -> Any:
        """16 BF16 at an address as FP32."""
        bits = self.builder.zext(self.load(address, SHORTS, 2), INTS)
        return self.builder.bitcast(self.builder.shl(bits, _ints(16)), FLOATS)

    def narrowed(self, value: Any) -> Any:
        """FP32 rounded to nearest-even BF16; NaN stays NaN."""
        b = self.builder
        bits = b.bitcast(value, INTS)
        odd = b.and_(b.lshr(bits, _ints(16)), _ints(1))
        rounded = b.lshr(b.add(b.add(bits, odd), _ints(0x7FFF)), _ints(16))
        is_nan = b.fcmp_unordered("uno", value, value)
        return b.trunc(b.select(is_nan, _ints(0x7FC0), rounded), SHORTS)


@dataclass(frozen=True, eq=False)
class _Tile:
    """One tile while it is written; ``a`` holds its arguments by name."""

    emit: _Codes
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

    def of_row(self, base: str, stride: str, row: int) -> Any:
        """The address of one row's part."""
        return self.emit.builder.add(self.a[base], self.emit.builder.mul(self.a[stride], whole(row)))

    def write(self) -> None:
        emit, b, a = self.emit, self.emit.builder, self.a
        total, high, low = self.fresh(FLOATS), self.fresh(INTS), self.fresh(INTS)
        with emit.loop(a["blocks"]) as block:
            skipped = b.mul(block, a["gap"])
            metas = [emit.at(self.of_row("meta", "meta_step", r), block, 16) for r in range(self.rows)]
            starts = [emit.spread(emit.load(meta, INT32, 4), INTS) for meta in metas]
            for r, v in self.places:
                b.store(ir.Constant(INTS, None), high[r, v])
                b.store(starts[r], low[r, v])
            with emit.loop(a["units"]) as index:
                unit = b.add(b.mul(block, a["units"]), index)
                weight = emit.at(b.add(a["weight"], skipped), unit, WIDE * LANES * UNIT * self.bits // 8)
                for eight in range(UNIT // 8):
                    self.add_eight(b.mul(unit, whole(UNIT)), weight, eight, high, low)
            self.add_block(block, metas, total, high, low)
        for r, v in self.places:
            result = b.fadd(b.load(total[r, v]), emit.load(emit.at(a["bias"], v, 4 * LANES), FLOATS, 4))
            emit.store(emit.narrowed(result), emit.at(self.of_row("out", "out_step", r), v, 2 * LANES), 2)

    def add_eight(self, first: Any, weight: Any, eight: int, high: Any, low: Any) -> None:
        """Add the products of the next eight inputs: high and low bytes of four, then of four more."""
        emit, b = self.emit, self.emit.builder
        low_plane = b.lshr(self.a["row_step"], ir.Constant(INT64, 1))
        for v in range(self.panels):
            panel = emit.at(weight, WIDE * 16 * self.bits * eight + 64 * v, 1)
            for half, codes in enumerate(emit.codes(self.bits, panel)):
                for r in range(self.rows):
                    at = emit.at(b.add(self.of_row("row", "row_step", r), first), 8 * eight + 4 * half, 1)
                    for sums, byte in ((high, at), (low, b.add(at, low_plane))):
                        piece = emit.spread(emit.load(byte, INT32, 4), INTS)
                        b.store(emit.dot(b.load(sums[r, v]), codes, piece), sums[r, v])

    def add_block(self, block: Any, metas: list[Any], total: Any, high: Any, low: Any) -> None:
        """Add a block's exact sums, times the row's step and the weight's scale; and its zero points."""
        emit, b, a = self.emit, self.emit.builder, self.a
        scales = b.add(a["scale"], b.mul(block, a["scale_step"]))
        if self.bits == 4:  # they lie among the codes
            for line in range(0, self.panels * 2 * LANES, 64):
                emit.prefetch(emit.at(scales, AHEAD + line, 1))
        for r, v in self.places:
            both = b.add(b.shl(b.load(high[r, v]), _ints(8)), b.load(low[r, v]))
            step = emit.spread(emit.load(emit.at(metas[r], 4, 1), FLOAT, 4))
            value, scale = b.fmul(b.sitofp(both, FLOATS), step), emit.widened(emit.at(scales, v, 2 * LANES))
            b.store(emit.fused(value, scale, b.load(total[r, v])), total[r, v])
        with b.if_then(b.icmp_signed("!=", a["zero"], whole(0))):
            zeros = b.add(a["zero"], b.mul(block, a["scale_step"]))
            for r, v in self.places:
                summed = emit.spread(emit.load(emit.at(metas[r], 8, 1), FLOAT, 4))
                zero = emit.widened(emit.at(zeros, v, 2 * LANES))
                b.store(emit.fused(summed, zero, b.load(total[r, v])), total[r, v])
