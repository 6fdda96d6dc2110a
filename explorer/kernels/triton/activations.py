# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""Activations in FP32: one function, which the products' epilogues and a kernel of its own share, so that both agree.

Launch with ``enable_fp_fusion=False``: then each step is rounded by itself, wherever the function is inlined.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra import libdevice

from explorer.errors import PrecisionError
from explorer.kernels.site import ACTIVATIONS
from explorer.kernels.triton.casts import INTERPRETED
from explorer.kernels.triton.launch import on_device

_BLOCK = 1024


def activate_tensor(x: Tensor, activation: str) -> Tensor:
    """Return ``x`` (FP32, any shape and strides; never modified) through an activation, contiguous.

    Raises ``PrecisionError`` for other dtypes and activations.
    """
    if activation not in ACTIVATIONS or x.dtype != torch.float32:
        raise PrecisionError(
            f"{activation!r} of a tensor of {x.dtype}",
            "there is no such kernel",
            f"FP32 and {' or '.join(ACTIVATIONS)}",
        )
    x = x.detach().contiguous()
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if x.numel():
        with on_device(x):
            _activate_kernel[(triton.cdiv(x.numel(), _BLOCK),)](
                x, out, x.numel(), ACTIVATION=activation, BLOCK=_BLOCK, enable_fp_fusion=False
            )
    return out


@triton.jit
def _activate_kernel(x, out, elements, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + place, mask=place < elements, other=0.0)
    tl.store(out + place, activate(values, ACTIVATION), mask=place < elements)


@triton.jit
def activate(x, ACTIVATION: tl.constexpr):
    """x: FP32 through relu, gelu (by erf), gelu_tanh or silu, or as it is where ACTIVATION is empty; NaN stays."""
    if ACTIVATION == "relu":
        x = tl.where(x < 0.0, 0.0, x)  # a maximum would lose NaN
    elif ACTIVATION == "gelu":
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "gelu_tanh":
        # (1 + tanh(u)) / 2 is the logistic curve at 2 u, which loses nothing where the tanh nears -1.
        x = _times_logistic(x, 1.5957691216057308 * (x + 0.044715 * (x * x * x)))
    elif ACTIVATION == "silu":
        x = _times_logistic(x, x)
    return x


@triton.jit
def _times_logistic(x, u):
    power = tl.exp(-u) if INTERPRETED else libdevice.exp(-u)
    return tl.div_rn(x, 1.0 + power)
