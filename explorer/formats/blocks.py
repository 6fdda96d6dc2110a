"""Block formats: consecutive elements under a shared scale, found from the block itself. MX and NVFP4.

MX (OCP Microscaling Formats 1.0, section 6.3): the scale is the power of two 2**(floor(log2 absmax) - emax), emax being
the exponent of the element's largest value; the elements are x / scale rounded to nearest even, and they saturate.
The exponent is read from the bits of absmax, so it is exact. What the text leaves open is settled as follows. A scale
below 2**-127 (tiny and all-zero blocks) is 2**-127, one above 2**127 (FP64 only) is 2**127. A block with NaN or Inf has
the scale NaN. MXINT8 uses its lowest code, which stands for -2; where that leaves the range of x's dtype, which is in
the dtype's highest binade, the value is that of the next code, -127/64.

NVFP4 (NVIDIA, "Pretraining Large Language Models with NVFP4", 2025): with the tensor scale g = absmax / (448 * 6) in
FP32, the scale of a block is E4M3's nearest value to clamp(absmax / 6 / g, 2**-6, 448), and the elements are
x / (scale * g) rounded to nearest even, every step in FP32. An all-zero tensor has g = 1; g is at least the smallest
normal, and at most FP32's largest over 448 * 6. NaN or Inf anywhere makes g, and so every element, NaN.

The last block of a row that the block size does not divide is treated as if it were filled up with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.elements import IntSpec
from explorer.formats.spec import BlockSpec
from explorer.formats.steps import check_float, round_elements

_CHUNK = 1 << 20  # elements that a CPU's cache holds
_E8M0_TOP, _E8M0_NAN = 254, 255
_E4M3_SMALLEST_NORMAL = 2.0**-6


def round_blocks(x: Tensor, spec: BlockSpec, axis: int = -1) -> Tensor:
    """``x`` rounded to the values that its blocks along ``axis`` can hold.

    x: any shape but a scalar, any strides and device, FP32, BF16, FP16 or FP64; never modified. The result has its
    shape and dtype, ``axis`` innermost in memory, and no gradient. Arithmetic is FP32 (FP64 for FP64).
    The sign of zero stays. NaN and Inf: the whole block becomes NaN (NVFP4: the whole tensor, through its scale).
    Raises ``PrecisionError`` for a scalar, an axis that is not there, or a dtype that is no such float.
    """
    blocks = _as_blocks(x, spec, axis)
    tensor_scale = _find_tensor_scale(blocks, spec)
    out = torch.empty_like(blocks)
    for source, target in _chunks(blocks, out):
        source = _widen(source)
        total = _join_scales(_find_scale(source, spec, tensor_scale), tensor_scale)
        target.copy_(_decode(_encode(source, total, spec), total, spec, x.dtype))
    return _from_blocks(out, x.shape, axis)


def encode_blocks(
    x: Tensor, spec: BlockSpec, dtype: torch.dtype, axis: int = -1
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The elements of x's blocks along ``axis`` in ``dtype``, their scales, and the tensor scale (None for MX).

    elements: x's shape; floats by value, integers by code; 0 in blocks whose scale is NaN, which says all there is.
    scale: ``block_scale_shape``, FP32 (FP64 for FP64), every one a value of the scale's format; tensor scale: [], FP32.
    Edge cases and errors are those of ``round_blocks``.
    """
    blocks = _as_blocks(x, spec, axis)
    tensor_scale = _find_tensor_scale(blocks, spec)
    codes = torch.empty(blocks.shape, dtype=dtype, device=x.device)
    scales = torch.empty(len(blocks), dtype=_work_dtype(x.dtype), device=x.device)
    for source, target, scale in _chunks(blocks, codes, scales):
        source = _widen(source)
        scale.copy_(_find_scale(source, spec, tensor_scale))
        target.copy_(_encode(source, _join_scales(scale, tensor_scale), spec).nan_to_num_(nan=0.0))
    return _from_blocks(codes, x.shape, axis), _spread_blocks(scales, x.shape, spec, axis), tensor_scale


def decode_blocks(
    codes: Tensor, scale: Tensor, tensor_scale: Tensor | None, spec: BlockSpec, dtype: torch.dtype, axis: int = -1
) -> Tensor:
    """The values, in ``dtype``, of what ``encode_blocks`` returned: element * (scale * tensor scale)."""
    values = _as_blocks(codes.to(scale.dtype, copy=True), spec, axis)
    totals = _join_scales(scale, tensor_scale).movedim(axis, -1).reshape(-1)
    out = torch.empty(values.shape, dtype=dtype, device=values.device)
    for source, target, total in _chunks(values, out, totals):
        target.copy_(_decode(source, total, spec, dtype))
    return _from_blocks(out, codes.shape, axis)


def find_block_scale(x: Tensor, spec: BlockSpec, axis: int = -1) -> Tensor:
    """What each block's elements are multiplied by, tensor scale included: ``block_scale_shape``, FP32 or FP64."""
    blocks = _as_blocks(x, spec, axis)
    tensor_scale = _find_tensor_scale(blocks, spec)
    scales = torch.empty(len(blocks), dtype=_work_dtype(x.dtype), device=x.device)
    for source, scale in _chunks(blocks, scales):
        scale.copy_(_join_scales(_find_scale(_widen(source), spec, tensor_scale), tensor_scale))
    return _spread_blocks(scales, x.shape, spec, axis)


def block_scale_shape(shape: Sequence[int], spec: BlockSpec, axis: int = -1) -> tuple[int, ...]:
    """Shape of the scales of a tensor of this shape: ``axis`` counts blocks, the last of which may be partly filled."""
    ndim = len(shape)
    if not -ndim <= axis < ndim:
        found = (
            f"it has {ndim} dimensions and no axis {axis}" if ndim else "a scalar has no dimension to cut into blocks"
        )
        try_ = f"an axis from {-ndim} to {ndim - 1}" if ndim else f"x.reshape(1), or the format {spec.element!r}"
        raise PrecisionError(f"{spec.label} for a tensor of shape {list(shape)}", found, try_)
    return tuple(math.ceil(size / spec.block) if i == axis % ndim else size for i, size in enumerate(shape))


def _as_blocks(x: Tensor, spec: BlockSpec, axis: int) -> Tensor:
    """x as [blocks, block], the axis innermost and filled up with zeros; a view wherever strides allow."""
    check_float(x, f"round to {spec.name}")
    count = block_scale_shape(x.shape, spec, axis)[axis]
    moved = x.detach().movedim(axis, -1)
    missing = count * spec.block - moved.shape[-1]
    if missing:
        moved = torch.nn.functional.pad(moved, (0, missing))
    return moved.reshape(-1, spec.block)


def _from_blocks(blocks: Tensor, shape: Sequence[int], axis: int) -> Tensor:
    """[blocks, block] as a tensor of this shape, without what was filled up."""
    moved = [size for i, size in enumerate(shape) if i != axis % len(shape)]
    size = shape[axis]
    whole = blocks.reshape(*moved, math.ceil(size / blocks.shape[1]) * blocks.shape[1])
    return whole[..., :size].contiguous().movedim(-1, axis)


def _spread_blocks(scales: Tensor, shape: Sequence[int], spec: BlockSpec, axis: int) -> Tensor:
    """[blocks] as ``block_scale_shape`` of a tensor of this shape."""
    shape = block_scale_shape(shape, spec, axis)
    moved = [size for i, size in enumerate(shape) if i != axis % len(shape)]
    return scales.reshape(*moved, shape[axis]).movedim(-1, axis)


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of equally many blocks of each tensor, small enough for a CPU's cache; the whole on an accelerator."""
    first = tensors[0]
    size = _CHUNK // first.shape[1] if first.is_cpu else max(1, len(first))
    return zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)


def _work_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _widen(x: Tensor) -> Tensor:
    return x.to(_work_dtype(x.dtype))


def _find_scale(x: Tensor, spec: BlockSpec, tensor_scale: Tensor | None) -> Tensor:
    """The scale of each block of x [blocks, block], FP32 or FP64, in that dtype: [blocks]."""
    return _find_power(x, spec) if tensor_scale is None else _find_fraction(x, spec, tensor_scale)


def _encode(x: Tensor, total: Tensor, spec: BlockSpec) -> Tensor:
    """The elements of x [blocks, block] under scales [blocks], in new memory."""
    powers = spec.tensor_scale is None  # then multiplying by the inverse is as exact as dividing, and quicker
    scaled = x * _invert_powers(total).unsqueeze(-1) if powers else x / total.unsqueeze(-1)
    if spec.unit != 1:
        scaled.mul_(1 / spec.unit)
    return round_elements(scaled, spec.element_spec)


def _decode(elements: Tensor, total: Tensor, spec: BlockSpec, dtype: torch.dtype) -> Tensor:
    """The values of elements [blocks, block], in place."""
    if spec.unit != 1:
        elements.mul_(spec.unit)
    elements.mul_(total.unsqueeze(-1))
    if isinstance(spec.element_spec, IntSpec):  # the lowest code reaches a binade further than the others
        top_binade = 2.0 ** (math.frexp(torch.finfo(dtype).max)[1] - 1)
        elements.clamp_(min=-spec.element_spec.largest * spec.unit * top_binade)
    return elements


def _join_scales(scale: Tensor, tensor_scale: Tensor | None) -> Tensor:
    return scale if tensor_scale is None else scale * tensor_scale.to(scale.dtype)


def _find_power(x: Tensor, spec: BlockSpec) -> Tensor:
    """The E8M0 scale of each block of x [blocks, block], from the exponent bits of its largest magnitude: [blocks]."""
    integer, mantissa_bits, bias = (torch.int64, 52, 1023) if x.dtype == torch.float64 else (torch.int32, 23, 127)
    magnitude = x.view(integer).bitwise_and(torch.iinfo(integer).max)  # ordered as the values; NaN above Inf
    exponent = magnitude.amax(-1).bitwise_right_shift_(mantissa_bits)
    code = (exponent + (127 - bias - spec.max_element_exponent)).clamp_(0, _E8M0_TOP)
    code.masked_fill_(exponent == 2 * bias + 1, _E8M0_NAN)
    return _read_e8m0(code.to(torch.int32)).to(x.dtype)


def _read_e8m0(code: Tensor) -> Tensor:
    """The FP32 values of E8M0 codes: 2**(code - 127), 255 is NaN. The code is FP32's exponent field but at its ends."""
    at_an_end = (code == 0) | (code == _E8M0_NAN)  # there FP32 needs the first mantissa bit: subnormal 2**-127, NaN
    return code.bitwise_left_shift(23).bitwise_or_(at_an_end.to(torch.int32) << 22).view(torch.float32)


def _invert_powers(scale: Tensor) -> Tensor:
    """1 / scale of E8M0 scales, by their codes: with flushed subnormals 2**-127 would be 0, and 0 / 0 no zero."""
    code = scale.to(torch.float32).view(torch.int32).bitwise_right_shift(23)
    return _read_e8m0(torch.where(code == _E8M0_NAN, code, _E8M0_TOP - code)).to(scale.dtype)


def _find_fraction(x: Tensor, spec: BlockSpec, tensor_scale: Tensor) -> Tensor:
    """The E4M3 scale of each block of x [blocks, block] under a tensor scale: [blocks]."""
    wanted = _absmax(x, -1) / spec.element_spec.largest / tensor_scale.to(x.dtype)
    return round_elements(wanted.clamp_(_E4M3_SMALLEST_NORMAL, spec.scale_spec.largest), spec.scale_spec)


def _find_tensor_scale(blocks: Tensor, spec: BlockSpec) -> Tensor | None:
    """The FP32 scale [] of a whole tensor, None where the format has none."""
    if spec.tensor_scale_spec is None:
        return None
    if blocks.numel() == 0:
        return torch.ones((), device=blocks.device)
    absmax = _widen(_absmax(blocks.flatten(), 0))
    scale = (absmax / spec.largest).to(torch.float32)
    fp32 = torch.finfo(torch.float32)
    scale.clamp_(fp32.tiny, fp32.max / spec.largest)
    return scale.masked_fill_(absmax == 0, 1.0).masked_fill_(~absmax.isfinite(), math.nan)


def _absmax(x: Tensor, dim: int) -> Tensor:
    return torch.maximum(x.amax(dim), -x.amin(dim))  # far quicker on a CPU than abs
