"""How a tensor on a GPU becomes codes and scales: one kernel of ours each, where the GPU and the machine have them."""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme
from explorer.kernels import triton
from explorer.kernels.site import StaticScale

OLDEST = (8, 0)
"""The compute capability from which Triton's kernels are built."""


def serves(x: Tensor) -> bool:
    """Whether the functions below take ``x``: FP32, BF16 or FP16 on a GPU of sm_80 or later, with Triton there."""
    if not x.is_cuda or x.dtype == torch.float64 or triton.missing():
        return False
    from explorer.kernels.triton.launch import capability

    return capability(x.device.index) >= OLDEST


def quantize_tokens(x: Tensor, scheme: Scheme) -> Quantized:
    """Return ``x`` [..., K] in INT8 or FP8 with one scale per row, in one read; ``scheme`` is per token."""
    from explorer.kernels.triton.quantize_rows import quantize_rows

    codes, scale = quantize_rows(x, scheme.format)
    return Quantized(codes, scale, None, scheme, x.dtype)


def quantize_groups(x: Tensor, scheme: Scheme) -> Quantized:
    """Return ``x`` [..., K] in INT8 or FP8 with one scale per group of ``scheme`` along K, in one read."""
    from explorer.kernels.triton.quantize_rows import quantize_rows

    groups = x.reshape(*x.shape[:-1], -1, scheme.group or 1)
    codes, scale = quantize_rows(groups, scheme.format)
    return Quantized(codes.reshape(x.shape), scale.squeeze(-1), None, scheme, x.dtype)


def quantize_static(x: Tensor, scheme: Scheme, fixed: StaticScale) -> Quantized:
    """Return ``x`` in UINT8 codes under a fixed scale, in one read; ``scheme`` is static and asymmetric."""
    from explorer.kernels.triton.quantize_static import quantize_static as encode

    codes, scale, zero_point = encode(x, fixed)
    return Quantized(codes, scale, zero_point, scheme, x.dtype)
