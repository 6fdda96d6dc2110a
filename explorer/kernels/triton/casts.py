# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""Casts inside kernels that round to nearest even on a GPU and under Triton's interpreter alike.

The interpreter (3.6 to 3.9) cuts FP32 to BF16, rounds FP8 wrongly and multiplies BF16 by its bit patterns. So where it
runs, BF16 is rounded here by integer arithmetic and products are taken in FP32, which holds every operand exactly.
"""

from __future__ import annotations

import triton
import triton.language as tl

IS_INTERPRETED: bool = bool(triton.knobs.runtime.interpret)
"""Whether kernels run under the interpreter; decided when Triton was imported."""
INTERPRETED = tl.constexpr(IS_INTERPRETED)

MAGNITUDE = tl.constexpr(0x7FFFFFFF)
INFINITY = tl.constexpr(0x7F800000)
ROUNDER = tl.constexpr(12582912.0)
"""1.5 * 2**23: added to a number below 2**22, it leaves that number, rounded half to even, in the low bits. Exact only
where the product before it is rounded by itself: launch with ``enable_fp_fusion=False``."""


@triton.jit
def widen(x):
    """x: any float, as FP32; exact."""
    if INTERPRETED and x.dtype == tl.bfloat16:
        wide = (x.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    else:
        wide = x.to(tl.float32)
    return wide


@triton.jit
def narrow(x, dtype: tl.constexpr):
    """x: FP32, in dtype (FP32, FP16 or BF16), to nearest even; too large becomes Inf."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = x.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        rounded = tl.where((bits & MAGNITUDE) > INFINITY, 0x7FC0, rounded)
        result = rounded.to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        result = x.to(dtype)
    return result


@triton.jit
def as_operand(x, dtype: tl.constexpr):
    """x, whose values dtype holds, as tl.dot takes it: in dtype; under the interpreter in FP32 where that is BF16."""
    return widen(x) if INTERPRETED and dtype == tl.bfloat16 else x.to(dtype)


@triton.jit
def round_to_code(x):
    """x: FP32 below 2**22 in magnitude, rounded half to even, as INT8; see ``ROUNDER``."""
    return (x + ROUNDER).to(tl.int32, bitcast=True).to(tl.int8)


@triton.jit
def encode_fp8(x, LARGEST: tl.constexpr, MANTISSA: tl.constexpr, NATIVE: tl.constexpr):
    """x: FP32 as the bits of E4M3 (MANTISSA 3) or E5M2 (MANTISSA 2) in UINT8, to nearest even, saturating; NaN stays.

    NATIVE takes the GPU's own cast (sm_89 and later); else by integer arithmetic, bit for bit the same.
    """
    x = tl.where(x > LARGEST, LARGEST, tl.where(x < -LARGEST, -LARGEST, x))  # casts differ above the largest
    if NATIVE:
        code = x.to(tl.float8e4nv if MANTISSA == 3 else tl.float8e5).to(tl.uint8, bitcast=True)
    else:
        bias: tl.constexpr = 7 if MANTISSA == 3 else 15
        dropped: tl.constexpr = 23 - MANTISSA
        bits = x.to(tl.int32, bitcast=True)
        size = bits & MAGNITUDE
        rounded = size + ((1 << (dropped - 1)) - 1) + ((size >> dropped) & 1)  # a carry into the exponent is right
        normal = (rounded >> dropped) - ((127 - bias) << MANTISSA)
        steps = size.to(tl.float32, bitcast=True) * (2.0 ** (bias - 1 + MANTISSA))  # of the subnormals
        subnormal = (tl.minimum(steps, 2.0**20) + ROUNDER).to(tl.int32, bitcast=True) & 0xFF
        code = tl.where(size < ((128 - bias) << 23), subnormal, normal)
        code = tl.where(size > INFINITY, 0x7F, code)
        code = (code | ((bits >> 24) & 0x80)).to(tl.uint8)
    return code
