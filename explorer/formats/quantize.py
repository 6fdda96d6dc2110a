"""Quantising a tensor under a scheme: to codes that can be stored, or to the values that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.rounding import round_to
from explorer.formats.scales import find_scale, reduced_dims, scale_dtype, scale_shape, split_groups, spread_scale
from explorer.formats.scheme import Scheme
from explorer.formats.spec import Spec
from explorer.formats.steps import NATIVE_DTYPES, check_float


@dataclass(frozen=True, eq=False)
class Quantized:
    """A tensor in a format: value = (code - zero_point) * scale.

    codes: the tensor's shape; integers as INT8 (asymmetric: UINT8), one per byte; floats in their own dtype, FP6 and
    FP4 in E4M3, which holds each of their values, TF32 in FP32.
    scale, zero_point: ``scale_shape(codes.shape, scheme)``; zero_point is None when symmetric.
    dtype: of the tensor that was quantised, and of ``dequantize()``.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor | None
    scheme: Scheme
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes to store it: codes packed to the format's bits, with scales and zero points."""
        codes = (self.codes.numel() * self.scheme.spec.storage_bits + 7) // 8
        scales = self.scale.nbytes if self.scheme.scaled else 0
        return codes + scales + (0 if self.zero_point is None else self.zero_point.nbytes)

    def dequantize(self) -> Tensor:
        """The values that the codes stand for, in ``dtype`` and the shape of ``codes``."""
        values = self.codes.to(self.scale.dtype, copy=True)
        if not self.scheme.scaled:
            return values.to(self.dtype)
        return _decode(split_groups(values, self.scheme), self).reshape(self.codes.shape).to(self.dtype)


def quantize(x: Tensor, scheme: Scheme, scale: Tensor | None = None, zero_point: Tensor | None = None) -> Quantized:
    """x in the scheme's format, rounded to nearest even.

    x: any shape and strides, FP32, BF16, FP16 or FP64; never modified. Arithmetic is FP32 (FP64 for FP64).
    scale, zero_point: for a scheme with dynamic=False and only there; of ``scale_shape`` or a scalar, scale positive.

    All-zero x: codes 0, exactly 0 again. Empty x: empty codes. Values beyond a static scale's reach: the largest code.
    NaN: every element that shares its scale dequantises to NaN. Inf: the same with a dynamic scale, the largest code
    with a static one. Formats of 16 bits and more are plain casts, where too large becomes Inf as on the hardware.
    Raises ``PrecisionError`` where the scheme does not fit x or the scales given.
    """
    if not scheme.scaled:
        codes = _round_unscaled(x, scheme).to(_storage_dtype(scheme))
        return Quantized(codes, x.new_ones((), dtype=scale_dtype(x)), None, scheme, x.dtype)
    scale, zero_point = _take_scale(x, scheme, scale, zero_point)
    values = _encode(x, scheme, scale, zero_point)
    if not scheme.spec.is_float:
        if not scheme.dynamic:
            scale = _mark_nan(values, scheme, scale, scale_shape(x.shape, scheme))
        values.nan_to_num_(nan=0.0)  # what a NaN becomes in an integer differs between devices
    codes = values.to(_storage_dtype(scheme)).reshape(x.shape)
    return Quantized(codes, scale, zero_point, scheme, x.dtype)


def fake_quantize(x: Tensor, scheme: Scheme, scale: Tensor | None = None, zero_point: Tensor | None = None) -> Tensor:
    """``quantize(...).dequantize()`` without the codes: the same values, in x's shape and dtype, in fewer passes.

    Arguments, edge cases and errors are those of ``quantize``, but for two of integers: a negative value that rounds to
    zero stays -0, and under a static scale a NaN marks only itself.
    """
    if not scheme.scaled:
        return _round_unscaled(x, scheme)
    scale, zero_point = _take_scale(x, scheme, scale, zero_point)
    values = _encode(x, scheme, scale, zero_point)
    return _decode(values, Quantized(values, scale, zero_point, scheme, x.dtype)).reshape(x.shape).to(x.dtype)


def _round_unscaled(x: Tensor, scheme: Scheme) -> Tensor:
    return round_to(x, scheme.spec, saturate=False)


def _encode(x: Tensor, scheme: Scheme, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    """A new tensor, groups split, of the codes' values in the scale's dtype; NaN stays."""
    x = split_groups(x.detach(), scheme).to(scale.dtype)
    values = x * spread_scale(1.0 / scale, scheme)  # times the inverse, as torch's and our kernels do
    if scheme.spec.is_float:
        return round_to(values, scheme.spec)
    if zero_point is None:
        values.round_()
    elif scheme.zero_is_integer:
        values.round_().add_(spread_scale(zero_point, scheme))
    else:
        values.add_(spread_scale(zero_point, scheme)).round_()
    if zero_point is None and scheme.dynamic:
        return values  # its own scale leaves nothing to clamp
    return values.clamp_(scheme.smallest_code, scheme.largest_code)


def _decode(values: Tensor, record: Quantized) -> Tensor:
    """Turns the codes' values, groups split, into what they stand for, in place."""
    if record.zero_point is not None:
        values.sub_(spread_scale(record.zero_point, record.scheme))
    return values.mul_(spread_scale(record.scale, record.scheme))


def _take_scale(
    x: Tensor, scheme: Scheme, scale: Tensor | None, zero_point: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The scale and zero point to use: found when dynamic, checked when given."""
    if scheme.dynamic and scale is None and zero_point is None:
        return find_scale(x, scheme)
    check_float(x, scheme)
    asked = f"quantise to {scheme}"
    if scheme.dynamic:
        raise PrecisionError(asked, "a dynamic scheme finds its own scale", "dynamic=False, or no scale")
    if scale is None:
        raise PrecisionError(asked, "a static scheme needs a scale", "find_scale(data, scheme), or dynamic=True")
    if (zero_point is None) != scheme.symmetric:
        found = "it is symmetric, yet a zero point is given" if scheme.symmetric else "no zero point is given"
        raise PrecisionError(asked, found, "scale, zero_point = find_scale(data, scheme)")
    shape = scale_shape(x.shape, scheme)
    for name, part in (("scale", scale), ("zero point", zero_point)):
        if part is not None and part.ndim and tuple(part.shape) != shape:
            found = f"the {name} has shape {list(part.shape)} for a tensor of shape {list(x.shape)}"
            raise PrecisionError(asked, found, f"shape {list(shape)}, or a scalar")
    scale = scale.detach().to(scale_dtype(x))
    return scale, None if zero_point is None else zero_point.detach().to(scale.dtype)


def _mark_nan(values: Tensor, scheme: Scheme, scale: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The scale with NaN where a value under it is NaN, since an integer code cannot say so."""
    is_nan = values.isnan().any(reduced_dims(values, scheme)).reshape(shape) if values.ndim else values.isnan()
    return scale.expand(shape).masked_fill(is_nan, float("nan"))


def _storage_dtype(scheme: Scheme) -> torch.dtype:
    spec: Spec = scheme.spec
    if not spec.is_float:
        return torch.int8 if scheme.symmetric else torch.uint8
    return NATIVE_DTYPES.get(spec, torch.float32 if spec.bits >= 16 else torch.float8_e4m3fn)
