"""Rounding of each element to the nearest value of a format, ties to even: exact, the same on every torch version."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Protocol

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.catalog import FORMATS
from explorer.formats.spec import ElementSpec, FloatSpec, IntSpec, Spec

FLOAT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

NATIVE_DTYPES: dict[Spec, torch.dtype] = {
    FORMATS["fp32"]: torch.float32,
    FORMATS["bf16"]: torch.bfloat16,
    FORMATS["fp16"]: torch.float16,
    FORMATS["fp8_e4m3"]: torch.float8_e4m3fn,
    FORMATS["fp8_e5m2"]: torch.float8_e5m2,
}
"""Formats that torch can cast to, with their dtype."""

_CPU_BLOCK = 1 << 20  # elements that a CPU's cache holds; smaller blocks suffer when threads wait for busy cores
_OTHER_BLOCK = 1 << 24
_EXPONENT_MASK = 0x7F800000
_MOST_MANTISSA_BITS = 21  # FP32 rounded to odd needs two more, or FP64 would be rounded twice


class Step(Protocol):
    """Writes what it makes of ``source`` into ``target``: equal shapes and strides, never the same memory."""

    def __call__(self, source: Tensor, target: Tensor) -> None: ...


def round_elements(x: Tensor, spec: ElementSpec, saturate: bool = True) -> Tensor:
    """Each element of x as the nearest value of the format, ties to even; ``round_to`` tells the edge cases.

    x: any shape, strides and device; never modified. The result has its shape and dtype, and no gradient.
    Raises ``PrecisionError`` for a dtype that is no float, and where ``rounds_quickly`` says no.
    """
    check_float(x, f"round to {spec.name}")
    return run_step(_choose_step(spec, x.dtype, saturate, x.is_cpu), x)


def rounds_quickly(spec: ElementSpec) -> bool:
    """Whether FP32 arithmetic rounds to this format exactly; E8M0 and some formats of one's own need ordinals."""
    if isinstance(spec, IntSpec) or spec in NATIVE_DTYPES or _has_exponent_of_fp32(spec):
        return True
    within_fp32 = spec.max_exponent + 23 - spec.mantissa_bits < 127 and spec.min_exponent >= -126
    return within_fp32 and spec.mantissa_bits <= _MOST_MANTISSA_BITS and spec.signed and spec.has_zero


def run_step(step: Step, x: Tensor, dtype: torch.dtype | None = None, cpu_block: int = _CPU_BLOCK) -> Tensor:
    """A new tensor that the step has filled: x's shape, the dtype (x's own), and x's strides where x is dense.

    It works in blocks, so that what the step needs besides x and the result is small against a large x. ``cpu_block``:
    their elements on a CPU, fewer for a step that holds more per element.
    """
    x = x.detach()
    out = torch.empty_like(x, dtype=dtype)
    dense = x if out.stride() == x.stride() else x.contiguous()
    target = out if dense is x else torch.empty_like(dense, dtype=dtype)
    for source_block, target_block in _blocks(dense, target, cpu_block if x.is_cpu else _OTHER_BLOCK):
        step(source_block, target_block)
    return target


def check_float(x: Tensor, asked: object) -> None:
    """Returns when x is a float tensor that can be rounded, else raises ``PrecisionError``."""
    if not isinstance(x, Tensor) or x.dtype not in FLOAT_DTYPES:
        found = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise PrecisionError(str(asked), f"x is {found}", "a tensor of float32, bfloat16, float16 or float64")


def common_largest(spec: ElementSpec, dtype: torch.dtype) -> float:
    """The largest finite value that both the format and the dtype hold."""
    top = torch.finfo(dtype).max
    if isinstance(spec, IntSpec) or (spec.largest <= top and _holds(dtype, spec.largest)):
        return float(spec.largest)
    mantissa_bits = min(spec.mantissa_bits, round(-math.log2(torch.finfo(dtype).eps)))
    exponent = min(spec.max_exponent, math.frexp(top)[1] - 1)
    return float((2 - 2.0**-mantissa_bits) * 2.0**exponent)


def common_smallest(spec: ElementSpec, dtype: torch.dtype) -> float:
    """The lowest finite value that both the format and the dtype hold."""
    if isinstance(spec, IntSpec):
        return float(spec.smallest)
    if spec.signed:
        return -common_largest(spec, dtype)
    return 0.0 if spec.has_zero else max(spec.smallest, torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps)


def _holds(dtype: torch.dtype, value: float) -> bool:
    return float(torch.tensor(value, dtype=torch.float64).to(dtype)) == value


def _blocks(source: Tensor, target: Tensor, block: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of views over two dense tensors of equal strides: whole where small, else flat."""
    n = source.numel()
    if n <= block:
        return iter([(source, target)])
    flat_source = source.as_strided((n,), (1,))
    flat_target = target.as_strided((n,), (1,))
    return zip(torch.split(flat_source, block), torch.split(flat_target, block), strict=True)


@lru_cache(maxsize=256)
def _choose_step(spec: ElementSpec, dtype: torch.dtype, saturate: bool, on_cpu: bool) -> Step:
    """The way to round this dtype to this format; raises ``PrecisionError`` where there is none."""
    limit = common_largest(spec, dtype)
    if isinstance(spec, IntSpec):
        return partial(_round_integer, smallest=spec.smallest, largest=spec.largest)
    if not rounds_quickly(spec):
        raise PrecisionError(f"round to {spec.name}", "FP32 arithmetic is not exact for it", "round_to")
    step = _choose_float_step(spec, limit, saturate, on_cpu)
    if dtype == torch.float32:
        return step
    return partial(_round_through_fp32, step=step, nearest=spec == FORMATS["fp32"])


def _choose_float_step(spec: FloatSpec, limit: float, saturate: bool, on_cpu: bool) -> Step:
    dtype = NATIVE_DTYPES.get(spec)
    slow = on_cpu and dtype == torch.float8_e4m3fn  # torch's CPU cast is scalar: the arithmetic takes half its time
    step: Step
    if dtype is not None and not slow:
        step = partial(_round_by_cast, dtype=dtype, limit=limit if saturate or dtype.itemsize == 1 else math.inf)
    elif _has_exponent_of_fp32(spec):
        return partial(_round_bits, dropped=23 - spec.mantissa_bits, limit=limit if saturate else math.inf)
    else:
        step = partial(_round_arithmetic, spec=spec, limit=limit)
    overflows = not saturate and spec.nan != "none" and not (dtype is not None and dtype.itemsize > 1)
    return partial(_round_overflowing, step=step, spec=spec) if overflows else step


def _has_exponent_of_fp32(spec: FloatSpec) -> bool:
    same = (spec.exponent_bits, spec.bias, spec.nan, spec.signed, spec.has_zero) == (8, 127, "ieee", True, True)
    return same and spec.mantissa_bits <= _MOST_MANTISSA_BITS


def _round_integer(source: Tensor, target: Tensor, smallest: int, largest: int) -> None:
    torch.round(source, out=target)
    target.clamp_(smallest, largest)
    if smallest == 0:
        target.abs_()  # devices differ in which zero the clamp leaves


def _round_by_cast(source: Tensor, target: Tensor, dtype: torch.dtype, limit: float) -> None:
    """Through torch's own cast; the clamp comes first because casts differ above the largest value."""
    target.copy_((source if limit == math.inf else source.clamp(-limit, limit)).to(dtype))


def _round_bits(source: Tensor, target: Tensor, dropped: int, limit: float) -> None:
    """For formats with FP32's exponent: adds just under half a step to the bits, then cuts them; carries are right."""
    torch.clamp(source, -limit, limit, out=target)
    bits = target.view(torch.int32)
    is_odd = bits.bitwise_right_shift(dropped).bitwise_and_(1)
    bits.add_(is_odd.add_((1 << (dropped - 1)) - 1)).bitwise_and_(-(1 << dropped))
    target.masked_fill_(source.isnan(), math.nan)  # a NaN of many bits would carry into the sign


def _round_arithmetic(source: Tensor, target: Tensor, spec: FloatSpec, limit: float) -> None:
    """By FP32's own rounding: adding 1.5 * 2**(23 - mantissa) binades above x leaves the format's steps."""
    torch.clamp(source, -limit, limit, out=target)
    power = target.view(torch.int32).bitwise_and(_EXPONENT_MASK).view(torch.float32)
    power.clamp_(min=spec.smallest_normal).mul_(1.5 * 2.0 ** (23 - spec.mantissa_bits))
    target.add_(power).sub_(power).copysign_(source)


def _round_overflowing(source: Tensor, target: Tensor, step: Step, spec: FloatSpec) -> None:
    """As ``step``, which saturates, but with Inf or NaN where rounding leaves the finite values."""
    step(source, target)
    size = source.abs()
    if spec.has_inf:
        beyond = size >= spec.overflow_threshold  # the tie goes to the even neighbour, which is Inf
        target.copy_(torch.where(beyond, torch.copysign(torch.full_like(source, math.inf), source), target))
    else:
        target.masked_fill_(size > spec.overflow_threshold, math.nan)  # the tie goes to the largest, which is even


def _round_through_fp32(source: Tensor, target: Tensor, step: Step, nearest: bool) -> None:
    """Widens or narrows to FP32 first; FP64 narrows to odd, so that the second rounding is the only one.

    Source: Boldo and Melquiond, "When double rounding is odd" (2005): exact when FP32 has two bits more.
    """
    to_odd = source.dtype == torch.float64 and not nearest
    middle = _narrow_to_odd(source) if to_odd else source.to(torch.float32)
    rounded = torch.empty_like(middle)
    step(middle, rounded)
    target.copy_(rounded)


def _narrow_to_odd(x: Tensor) -> Tensor:
    """x: FP64, cut towards zero to FP32, with the last bit set where anything was cut; NaN and Inf stay."""
    y = x.to(torch.float32)
    back = y.to(torch.float64)
    bits = y.view(torch.int32)
    bits.sub_((back.abs() > x.abs()).to(torch.int32))
    bits.bitwise_or_((back != x).to(torch.int32))
    return y
