"""Codes: the bits that stand for a value in a format, sign first; from values and back, and what is in one code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.catalog import find_format
from explorer.formats.ordinals import find_grid
from explorer.formats.packing import check_codes
from explorer.formats.rounding import round_to
from explorer.formats.spec import BlockSpec, ElementSpec, FloatSpec, IntSpec
from explorer.formats.steps import check_float, run_step

Kind = Literal["zero", "subnormal", "normal", "inf", "nan"]


@dataclass(frozen=True)
class Fields:
    """What one code holds.

    sign, exponent, mantissa: the raw bits as integers, 0 where the format has none of them. An integer's mantissa is
    all its bits but the sign's, in two's complement.
    """

    sign: int
    exponent: int
    mantissa: int
    value: float
    kind: Kind


def encode(x: Tensor, format: str | ElementSpec, saturate: bool = True) -> Tensor:
    """The codes of x's elements, in x's shape: UINT8 up to 8 bits, INT32 up to 16, INT64 above (TF32: its 19 bits).

    x: what ``round_to`` takes, which rounds it to nearest first; ``saturate`` is told there.
    -0 has its code in floats, and is 0 in integers. NaN of any sign and payload: the positive quiet NaN (0x7FC0 in
    BF16, 0x7E00 in FP16, 0x7E in E5M2), 0x7F in E4M3, 0xFF in E8M0; in a format without NaN, ``PrecisionError``.
    """
    spec = _find_element(format, "codes")
    check_float(x, f"codes of {spec.name}")
    return run_step(partial(_encode, spec=spec, saturate=saturate), x, _code_dtype(spec))


def decode(codes: Tensor, format: str | ElementSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """The values of codes, in their shape and in a float dtype; what it cannot hold is rounded to it by torch.

    codes: any integer dtype, 0 <= code < 2**bits, else ``PrecisionError``.
    """
    spec = _find_element(format, "values of codes")
    codes = check_codes(codes, spec.bits, f"values of codes of {spec.name}")
    if spec.bits > 16:
        return _decode_arithmetically(codes, spec).to(dtype)
    table = _list_values(spec).to(codes.device, dtype)
    return table.index_select(0, codes.reshape(-1).to(torch.int32)).reshape(codes.shape)


def all_values(format: str | ElementSpec) -> Tensor:
    """The value of every code, [2**bits] in the order of codes, FP32; formats of at most 16 bits."""
    spec = _find_element(format, "every value")
    if spec.bits > 16:
        found = f"it has 2**{spec.bits} codes"
        raise PrecisionError(f"every value of {spec.name}", found, "a format of at most 16 bits")
    return _list_values(spec).to(torch.float32)


def fields(code: int, format: str | ElementSpec) -> Fields:
    """What a code holds; raises ``PrecisionError`` for a code that the format does not have."""
    spec = _find_element(format, "fields of a code")
    value = spec.decode(code)
    _, exponent_bits, mantissa_bits = _field_widths(spec)
    sign = code >> (exponent_bits + mantissa_bits)
    exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = code & ((1 << mantissa_bits) - 1)
    return Fields(sign, exponent, mantissa, value, _find_kind(value, exponent, spec))


def from_fields(sign: int, exponent: int, mantissa: int, format: str | ElementSpec) -> int:
    """The code with these raw bits; raises ``PrecisionError`` where one does not fit its field."""
    spec = _find_element(format, "code")
    widths = _field_widths(spec)
    code = 0
    for name, width, bits in zip(("sign", "exponent", "mantissa"), widths, (sign, exponent, mantissa), strict=True):
        if not 0 <= bits < 1 << width:
            found = f"{name} {bits} in a field of {width} bits"
            raise PrecisionError(f"code of {spec.name}", found, f"0 to {(1 << width) - 1}")
        code = (code << width) | bits
    return code


def neighbours(value: float, format: str | ElementSpec) -> tuple[float | None, float | None]:
    """The format's nearest values strictly below and strictly above a number, which it may hold or not.

    Beyond the largest value lies Inf where the format has it, else nothing: None. Both zeros are one number. NaN has no
    neighbours: None, None.
    """
    spec = _find_element(format, "neighbours")
    if math.isnan(value):
        return None, None
    return _below(value, spec), _above(value, spec)


def _find_element(format: str | ElementSpec, asked: str) -> ElementSpec:
    spec = find_format(format)
    if isinstance(spec, BlockSpec):
        found = "a value in blocks has no code of its own, as it depends on its block's scale"
        raise PrecisionError(f"{asked} of {spec.name}", found, f"{spec.element!r}, the format of its elements")
    return spec


def _code_dtype(spec: ElementSpec) -> torch.dtype:
    return torch.uint8 if spec.bits <= 8 else torch.int32 if spec.bits <= 16 else torch.int64


def _encode(source: Tensor, target: Tensor, spec: ElementSpec, saturate: bool) -> None:
    y = round_to(source, spec, saturate)
    if (isinstance(spec, IntSpec) or spec.nan == "none") and y.isnan().any():
        raise PrecisionError(f"codes of {spec.name}", "x has NaN and the format has none", "x.nan_to_num(nan=0.0)")
    if isinstance(spec, IntSpec):
        target.copy_(y.to(torch.int32).bitwise_and_((1 << spec.bits) - 1))
    else:
        target.copy_(_encode_floats(y, spec))


def _encode_floats(y: Tensor, spec: FloatSpec) -> Tensor:
    """The codes of values of the format."""
    grid = find_grid(spec, torch.float64 if y.dtype == torch.float64 else torch.float32)
    carried = y.to(grid.carrier)
    magnitudes = grid.ordinals(carried).bitwise_right_shift(grid.fraction_bits)
    codes = magnitudes.to(torch.int32 if spec.bits <= 16 else torch.int64).sub_(0 if spec.has_zero else 1)
    codes.masked_fill_(carried.isinf(), _top_exponent(spec))
    if spec.signed:
        codes.bitwise_or_(carried.signbit().to(codes.dtype).bitwise_left_shift_(spec.bits - 1))
    return codes.masked_fill_(carried.isnan(), _nan_code(spec))


def _top_exponent(spec: FloatSpec) -> int:
    """The magnitude with all exponent bits set and no other: Inf in formats that have it."""
    return ((1 << spec.exponent_bits) - 1) << spec.mantissa_bits


def _nan_code(spec: FloatSpec) -> int:
    quiet = 1 << (spec.mantissa_bits - 1) if spec.nan == "ieee" else (1 << spec.mantissa_bits) - 1
    return _top_exponent(spec) | quiet


@lru_cache(maxsize=64)
def _list_values(spec: ElementSpec) -> Tensor:
    """Every code's value in FP64, on the CPU; shared, so never to be written to."""
    return _decode_arithmetically(torch.arange(1 << spec.bits), spec)


def _decode_arithmetically(codes: Tensor, spec: ElementSpec) -> Tensor:
    """Values of codes in FP64, which holds each of them."""
    codes = codes.to(torch.int64)
    if isinstance(spec, IntSpec):
        return (codes - (codes > spec.largest).to(torch.int64) * (1 << spec.bits)).double()
    grid, top = find_grid(spec), _top_exponent(spec)
    magnitudes = codes.bitwise_and((1 << (spec.exponent_bits + spec.mantissa_bits)) - 1)
    ordinals = (magnitudes + (0 if spec.has_zero else 1)).bitwise_left_shift_(grid.fraction_bits)
    values = grid.magnitudes(ordinals)
    if spec.nan == "ieee":
        values.masked_fill_(magnitudes == top, math.inf).masked_fill_(magnitudes > top, math.nan)
    elif spec.nan == "all_ones":
        values.masked_fill_(magnitudes == _nan_code(spec), math.nan)
    return torch.where(codes == magnitudes, values, -values)


def _field_widths(spec: ElementSpec) -> tuple[int, int, int]:
    """Bits of sign, exponent and mantissa."""
    if isinstance(spec, IntSpec):
        return int(spec.signed), 0, spec.bits - int(spec.signed)
    return int(spec.signed), spec.exponent_bits, spec.mantissa_bits


def _find_kind(value: float, exponent: int, spec: ElementSpec) -> Kind:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf"
    if value == 0:
        return "zero"
    return "subnormal" if isinstance(spec, FloatSpec) and spec.has_zero and exponent == 0 else "normal"


def _above(value: float, spec: ElementSpec) -> float | None:
    if value >= spec.largest:
        return math.inf if _has_inf(spec) and value < math.inf else None
    if value < spec.smallest:
        return float(spec.smallest)
    return _next_larger(value, spec) if value >= 0 else 0.0 - _next_smaller(-value, spec)


def _below(value: float, spec: ElementSpec) -> float | None:
    if value <= spec.smallest:
        return -math.inf if _has_inf(spec) and spec.signed and value > -math.inf else None
    if value > spec.largest:
        return float(spec.largest)
    return _next_smaller(value, spec) if value > 0 else -_next_larger(-value, spec)


def _next_larger(magnitude: float, spec: ElementSpec) -> float:
    """The smallest magnitude of the format's grid above one, which is not negative."""
    step = _step_at(magnitude, spec)
    return (math.floor(magnitude / step) + 1) * step


def _next_smaller(magnitude: float, spec: ElementSpec) -> float:
    """The largest magnitude of the format's grid below one, which is positive."""
    step = _step_at(math.nextafter(magnitude, 0.0), spec)
    return (math.ceil(magnitude / step) - 1) * step


def _step_at(magnitude: float, spec: ElementSpec) -> float:
    grid = find_grid(spec)
    exponent = math.frexp(magnitude)[1] - 1 if magnitude else grid.min_exponent
    return 2.0 ** (max(exponent, grid.min_exponent) - grid.mantissa_bits)


def _has_inf(spec: ElementSpec) -> bool:
    return isinstance(spec, FloatSpec) and spec.has_inf
