# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""UINT8 codes under a scale that was fixed beforehand, in one read."""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.site import StaticScale
from explorer.kernels.triton.casts import widen
from explorer.kernels.triton.epilogue import encode_static, mark_nan
from explorer.kernels.triton.launch import on_device

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_BLOCK = 2048


def quantize_static(x: Tensor, fixed: StaticScale) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes of x's shape, the scale [] and the zero point [], both FP32, all where x lives.

    x: FP32, BF16 or FP16, any strides; never modified. Equal to ``formats.quantize`` under the same static scale, bit
    for bit: where an element is NaN its code is 0 and the scale is NaN. Raises ``PrecisionError`` for other dtypes.
    """
    if x.dtype not in FLOATS:
        raise PrecisionError("quantise under a static scale", f"x is {x.dtype}", "float32, bfloat16 or float16")
    x = x.detach().contiguous()
    codes = torch.empty(x.shape, dtype=torch.uint8, device=x.device)
    scale = torch.full((), fixed.scale, dtype=torch.float32, device=x.device)
    zero_point = torch.full((), float(fixed.zero_point), dtype=torch.float32, device=x.device)
    if x.numel():
        inverse = float(np.float32(1.0) / np.float32(fixed.scale))
        with on_device(x):
            _static_kernel[(triton.cdiv(x.numel(), _BLOCK),)](
                x, codes, scale, inverse, float(fixed.zero_point), x.numel(), BLOCK=_BLOCK, enable_fp_fusion=False
            )
    return codes, scale, zero_point


@triton.jit
def _static_kernel(x, codes, marks, inverse, zero, elements, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)[None, :]
    mask = place < elements
    values = widen(tl.load(x + place, mask=mask, other=0.0))
    tl.store(codes + place, encode_static(values, inverse, zero), mask=mask)
    mark_nan(marks, values != values)
