"""Quantising a tensor under a scheme: to codes that can be stored, or to the values that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.blocks import decode_blocks, encode_blocks, round_blocks
from explorer.formats.scales import (
    block_axis,
    find_scale,
    join_groups,
    reduced_dims,
    scale_dtype,
    scale_shape,
    split_groups,
    spread_scale,
)
from explorer.formats.scheme import Scheme
from explorer.formats.spec import BlockSpec
from explorer.formats.steps import NATIVE_DTYPES, check_float, round_elements


@dataclass(frozen=True, eq=False)
class Quantized:
    """A tensor in a format: value = (code - zero_point) * scale.

    codes: the tensor's shape; integers as INT8 (asymmetric: UINT8), one per byte; floats in their own dtype, FP6 and
    FP4 in E4M3, which holds each of their values, TF32 in FP32. Block formats: their elements, likewise.
    scale, zero_point: ``scale_shape(codes.shape, scheme)``; zero_point is None when symmetric. The scales of blocks are
    values of the block format's scale format.
    dtype: of the tensor that was quantised, and of ``dequantize()``.
    tensor_scale: NVFP4's second scale [], FP32: value = element * (scale * tensor_scale). MXINT8: code * 2**-6 * scale.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor | None
    scheme: Scheme
    dtype: torch.dtype
    tensor_scale: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes to store it: codes packed to the format's bits, with scales and zero points.

        Block formats: every block whole, also one that is partly filled.
        """
        spec = self.scheme.spec
        elements = self.scale.numel() * spec.block if isinstance(spec, BlockSpec) else self.codes.numel()
        return (elements * spec.storage_bits + 7) // 8 + self.scale_bytes

    @property
    def scale_bytes(self) -> int:
        """Bytes to store the scales and zero points alone; those of blocks in their own formats."""
        spec = self.scheme.spec
        if isinstance(spec, BlockSpec):
            tensor_scale = 0 if self.tensor_scale is None else self.tensor_scale.nbytes
            return self.scale.numel() * spec.scale_spec.bits // 8 + tensor_scale
        scales = self.scale.nbytes if self.scheme.scaled else 0
        return scales + (0 if self.zero_point is None else self.zero_point.nbytes)

    def dequantize(self) -> Tensor:
        """The values that the codes stand for, in ``dtype`` and the shape of ``codes``."""
        spec = self.scheme.spec
        if isinstance(spec, BlockSpec):
            return decode_blocks(self.codes, self.scale, self.tensor_scale, spec, self.dtype, block_axis(self.scheme))
        values = self.codes.to(self.scale.dtype, copy=True)
        if not self.scheme.scaled:
            return values.to(self.dtype)
        split = _decode(split_groups(values, self.scheme), self)
        return join_groups(split, self.codes.shape, self.scheme).to(self.dtype)


def quantize(x: Tensor, scheme: Scheme, scale: Tensor | None = None, zero_point: Tensor | None = None) -> Quantized:
    """x in the scheme's format, rounded to nearest even.

    x: any shape and strides, FP32, BF16, FP16 or FP64; never modified. Arithmetic is FP32 (FP64 for FP64).
    scale, zero_point: for a scheme with dynamic=False and only there; of ``scale_shape`` or a scalar, scale positive.

    Codes are round(x * (1 / scale)) (+ zero point), as torch's fake-quantise ops, its quantise ops and the INT8 kernels
    here have them, bit for bit. ONNX Runtime divides by the scale instead: the codes are equal but where x / scale is
    within 2**-23 of itself of a tie, about 3 elements in 10 million; none where the scale is a power of two.
    All-zero x: codes 0, exactly 0 again. Empty x: empty codes. Values beyond a static scale's reach: the largest code.
    NaN: every element that shares its scale dequantises to NaN. Inf: the same with a dynamic scale, the largest code
    with a static one. Formats of 16 bits and more are plain casts, where too large becomes Inf as on the hardware.
    Block formats: ``explorer.formats.blocks`` tells their rules.
    Raises ``PrecisionError`` where the scheme does not fit x or the scales given.
    """
    if isinstance(scheme.spec, BlockSpec):
        _refuse_scale(scheme, scale, zero_point)
        codes, scale, tensor_scale = encode_blocks(x, scheme.spec, _storage_dtype(scheme), block_axis(scheme))
        return Quantized(codes, scale, None, scheme, x.dtype, tensor_scale)
    if not scheme.scaled:
        codes = _round_unscaled(x, scheme).to(_storage_dtype(scheme))
        return Quantized(codes, x.new_ones((), dtype=scale_dtype(x)), None, scheme, x.dtype)
    scale, zero_point = _take_scale(x, scheme, scale, zero_point)
    values = _encode(x, scheme, scale, zero_point)
    if not scheme.spec.is_float:
        if not scheme.dynamic:
            scale = _mark_nan(values, scheme, scale, scale_shape(x.shape, scheme))
        values.nan_to_num_(nan=0.0)  # what a NaN becomes in an integer differs between devices
    codes = join_groups(values.to(_storage_dtype(scheme)), x.shape, scheme)
    return Quantized(codes, scale, zero_point, scheme, x.dtype)


def fake_quantize(x: Tensor, scheme: Scheme, scale: Tensor | None = None, zero_point: Tensor | None = None) -> Tensor:
    """``quantize(...).dequantize()`` without the codes: the same values, in x's shape and dtype, in fewer passes.

    Arguments, edge cases and errors are those of ``quantize``, but for two of integers: a negative value that rounds to
    zero stays -0, and under a static scale a NaN marks only itself.
    """
    if isinstance(scheme.spec, BlockSpec):
        _refuse_scale(scheme, scale, zero_point)
        return round_blocks(x, scheme.spec, block_axis(scheme))
    if not scheme.scaled:
        return _round_unscaled(x, scheme)
    scale, zero_point = _take_scale(x, scheme, scale, zero_point)
    values = _encode(x, scheme, scale, zero_point)
    decoded = _decode(values, Quantized(values, scale, zero_point, scheme, x.dtype))
    return join_groups(decoded, x.shape, scheme).to(x.dtype)


def _round_unscaled(x: Tensor, scheme: Scheme) -> Tensor:
    return round_elements(x, scheme.element, saturate=False)


def _encode(x: Tensor, scheme: Scheme, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    """A new tensor, groups split, of the codes' values in the scale's dtype; NaN stays."""
    x = split_groups(x.detach(), scheme).to(scale.dtype)
    values = x * spread_scale(1.0 / scale, scheme)  # times the inverse, as torch's and our kernels do
    if scheme.spec.is_float:
        return round_elements(values, scheme.element)
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


def _refuse_scale(scheme: Scheme, scale: Tensor | None, zero_point: Tensor | None) -> None:
    if scale is not None or zero_point is not None:
        found = "a dynamic scheme finds its own scale"
        try_ = "no scale" if scheme.spec.is_block else "dynamic=False, or no scale"
        raise PrecisionError(f"quantise to {scheme}", found, try_)
    if scheme.calibrator != "minmax":
        found = "a dynamic scale is that of the smallest and largest values"
        raise PrecisionError(f"quantise to {scheme}", found, "dynamic=False with a calibrated scale")


def _take_scale(
    x: Tensor, scheme: Scheme, scale: Tensor | None, zero_point: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The scale and zero point to use: found when dynamic, checked when given."""
    if scheme.dynamic:
        _refuse_scale(scheme, scale, zero_point)
        return find_scale(x, scheme)
    check_float(x, scheme)
    asked = f"quantise to {scheme}"
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
    spec = scheme.element
    if not spec.is_float:
        return torch.int8 if scheme.symmetric else torch.uint8
    return NATIVE_DTYPES.get(spec, torch.float32 if spec.bits >= 16 else torch.float8_e4m3fn)
