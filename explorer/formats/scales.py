"""Scales and zero points of a tensor under a scheme, and the view of the tensor that they broadcast against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.blocks import block_scale_shape, find_block_scale
from explorer.formats.scheme import Scheme
from explorer.formats.spec import BlockSpec
from explorer.formats.steps import check_float


def find_scale(x: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor | None]:
    """The scale of x under the scheme, and its zero point (None when symmetric), from the smallest and largest values.

    Both have ``scale_shape(x.shape, scheme)``, in FP32 (FP64 for an FP64 x); a value is (code - zero_point) * scale.
    Symmetric: scale = absmax / largest code. Asymmetric: scale = (max - min) / (2**bits - 1), the range widened to
    hold 0 if the zero point is a code; one that is a float is -min / scale.

    All zeros: scale 1. Constant with a float zero point: scale 1, exact. Scales are never below the smallest normal.
    An asymmetric range that nears FP32's largest value may come back as Inf, as its zero point moves it by half a step.
    NaN or Inf among the elements of a scale: that scale is NaN or Inf, and all its elements dequantise to NaN.
    Formats that take no scale: 1. Block formats: what each block's elements are multiplied by, NVFP4's tensor scale
    included. The scheme's calibrator does not matter here.
    Raises ``PrecisionError`` where the scheme does not fit the shape or dtype.
    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
    (2018), section 2.1; the float zero point as in HQQ and torch's INT4 weight-only kernels.
    """
    check_float(x, scheme)
    if not scheme.scaled:
        return x.new_ones((), dtype=scale_dtype(x)), None
    if isinstance(scheme.spec, BlockSpec):
        return find_block_scale(x, scheme.spec, block_axis(scheme)), None
    shape = scale_shape(x.shape, scheme)
    low, high = _find_range(x.detach(), scheme)
    if scheme.symmetric:
        return _find_symmetric(torch.maximum(high, -low), scheme).reshape(shape), None
    scale, zero_point = _find_asymmetric(low, high, scheme)
    return scale.reshape(shape), zero_point.reshape(shape)


def scale_shape(shape: Sequence[int], scheme: Scheme) -> tuple[int, ...]:
    """Shape of the scale of a tensor of this shape.

    tensor: []; channel: 1 but for ``axis``; token: [..., 1]; group: [..., last / group]; square: the last two / group,
    block: [..., last / block] (or so at ``axis``), both rounded up, since the last ones may be partly filled.
    Raises ``PrecisionError`` for an axis that is not there, a group that does not divide, a scalar per token or group,
    and fewer than two dimensions per square.
    """
    if isinstance(scheme.spec, BlockSpec):
        return block_scale_shape(shape, scheme.spec, block_axis(scheme))
    _check_shape(shape, scheme)
    if scheme.granularity == "tensor":
        return ()
    if scheme.granularity == "square":
        return (*shape[:-2], *(-(-size // (scheme.group or 1)) for size in shape[-2:]))
    if scheme.axis is not None:
        axis = scheme.axis % len(shape)
        return tuple(size if i == axis else 1 for i, size in enumerate(shape))
    return (*shape[:-1], shape[-1] // scheme.group if scheme.group else 1)


def block_axis(scheme: Scheme) -> int:
    """The dimension along which a block scheme's blocks lie."""
    return -1 if scheme.axis is None else scheme.axis


def scale_dtype(x: Tensor) -> torch.dtype:
    """FP64 for an FP64 x, else FP32: what scales and the arithmetic with them use."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def split_groups(x: Tensor, scheme: Scheme) -> Tensor:
    """x: [..., last] as [..., groups, group] when the scheme has groups, [..., squares, group, squares, group] when it
    has squares, those at the ends filled with zeros; else x. A view wherever strides allow."""
    if scheme.granularity == "square":
        *outer, tall, wide = scale_shape(x.shape, scheme)
        side = scheme.group or 1
        margins = (0, wide * side - x.shape[-1], 0, tall * side - x.shape[-2])
        whole = torch.nn.functional.pad(x, margins) if any(margins) else x
        return whole.reshape(*outer, tall, side, wide, side)
    return x.reshape(*x.shape[:-1], x.shape[-1] // scheme.group, scheme.group) if scheme.group else x


def join_groups(x: Tensor, shape: Sequence[int], scheme: Scheme) -> Tensor:
    """The tensor of this shape that ``split_groups`` was given."""
    if scheme.granularity == "square":
        *_, tall, side, wide, _ = x.shape
        return x.reshape(*shape[:-2], tall * side, wide * side)[..., : shape[-2], : shape[-1]].contiguous()
    return x.reshape(shape)


def spread_scale(scale: Tensor, scheme: Scheme) -> Tensor:
    """A scale or zero point as it broadcasts against ``split_groups`` of its tensor."""
    if scheme.granularity == "square" and scale.ndim:
        return scale.unsqueeze(-1).unsqueeze(-3)
    return scale.unsqueeze(-1) if scheme.group and scale.ndim else scale


def reduced_dims(x: Tensor, scheme: Scheme) -> list[int]:
    """The dimensions of a tensor, its groups split, that share one scale."""
    if scheme.granularity == "tensor":
        return list(range(x.ndim))
    if scheme.granularity == "square":
        return [x.ndim - 3, x.ndim - 1]
    if scheme.axis is not None:
        return [i for i in range(x.ndim) if i != scheme.axis % x.ndim]
    return [x.ndim - 1]


def _find_range(x: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Smallest and largest values per scale, kept dimensions; zeros where there are no elements."""
    x = split_groups(x, scheme)
    dims = reduced_dims(x, scheme)
    if x.numel() == 0 or not dims:
        zeros = x.new_zeros([1 if i in dims else size for i, size in enumerate(x.shape)], dtype=scale_dtype(x))
        return (zeros, zeros) if x.numel() == 0 else (x.to(scale_dtype(x)), x.to(scale_dtype(x)))
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)  # far quicker on a CPU than aminmax or abs
    return low.to(scale_dtype(x)), high.to(scale_dtype(x))


def _find_symmetric(absmax: Tensor, scheme: Scheme) -> Tensor:
    # By a tensor: a GPU divides by a number by multiplying with its inverse, which rounds twice.
    scale = _settle(absmax / absmax.new_full((), scheme.largest_code), absmax == 0)
    widest, safe = _widest_scale(scale.dtype, scheme.largest_code)
    return scale if widest == safe else scale.masked_fill_(scale == widest, safe)


def _find_asymmetric(low: Tensor, high: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    if scheme.zero_is_integer:
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    levels = high.new_full((), scheme.largest_code)
    scale = _settle(high / levels - low / levels, high == low)  # divided first: high - low may overflow
    zero_point = -low * (1.0 / scale)
    return scale, zero_point.round_().clamp_(0.0, scheme.largest_code) if scheme.zero_is_integer else zero_point


def _settle(scale: Tensor, is_flat: Tensor) -> Tensor:
    """Scales with a finite inverse: 1 where the range is nothing, else at least the smallest normal."""
    return scale.clamp_(min=torch.finfo(scale.dtype).tiny).masked_fill_(is_flat, 1.0)


@lru_cache(maxsize=64)
def _widest_scale(dtype: torch.dtype, largest_code: float) -> tuple[float, float]:
    """The scale of the dtype's largest value, and the nearest one that does not overflow on the way back."""
    widest = torch.tensor(torch.finfo(dtype).max, dtype=dtype) / largest_code
    overflows = bool((widest * largest_code).isinf())
    safe = torch.nextafter(widest, torch.zeros_like(widest)) if overflows else widest
    return float(widest), float(safe)


def _check_shape(shape: Sequence[int], scheme: Scheme) -> None:
    ndim = len(shape)
    if scheme.axis is not None and not -ndim <= scheme.axis < ndim:
        found = f"it has {ndim} dimensions and no axis {scheme.axis}"
        raise _misfit(shape, scheme, found, f"an axis from {-ndim} to {ndim - 1}" if ndim else "granularity='tensor'")
    if scheme.granularity in ("token", "group") and ndim == 0:
        raise _misfit(shape, scheme, "a scalar has no last dimension", "granularity='tensor'")
    if scheme.granularity == "square" and ndim < 2:
        found = f"it has {ndim} dimension{'' if ndim == 1 else 's'} and squares need two"
        raise _misfit(shape, scheme, found, "granularity='group'" if ndim else "granularity='tensor'")
    if scheme.granularity == "group" and scheme.group and shape[-1] % scheme.group:
        found = f"the last dimension, {shape[-1]}, is no multiple of {scheme.group}"
        powers = [size for size in (256, 128, 64, 32, 16, 8) if size != scheme.group and shape[-1] % size == 0]
        best = powers[0] if powers else math.gcd(shape[-1], scheme.group)
        raise _misfit(shape, scheme, found, f"group={best}, or granularity='token'")


def _misfit(shape: Sequence[int], scheme: Scheme, found: str, try_: str) -> PrecisionError:
    return PrecisionError(f"{scheme} for a tensor of shape {list(shape)}", found, try_)
