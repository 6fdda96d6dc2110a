"""Activation functions and static quantisation of FP32 tensors on the CPU, one pass each. (Effect: JIT, threads.)"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.errors import ExplorerError
from explorer.formats import Quantized
from explorer.kernels.simd import job
from explorer.kernels.simd.ending import Ending
from explorer.kernels.site import ACTIVATIONS, Post, StaticScale

SMALL = 1 << 15
"""Elements below which waking the other threads costs more than their help."""
SHARE = 1 << 14


def activate(x: Tensor, name: str, out: Tensor | None = None) -> Tensor:
    """Return the activation ``name`` of ``x`` FP32, any shape: bit for bit what the epilogue of a product computes.

    out: written and returned, where given; FP32, of x's shape and strides; it may be ``x`` itself. The result has
    x's strides where those leave no gaps, and is contiguous otherwise. Errors: :mod:`.activations` states them.
    """
    if name not in ACTIVATIONS:
        raise ExplorerError(f"activation {name!r}", "there is no such activation", ", ".join(map(repr, ACTIVATIONS)))
    result = _run(x, Post(activation=name), out)
    assert isinstance(result, Tensor)
    return result


def quantize_static(x: Tensor, fixed: StaticScale) -> Quantized:
    """Return ``x`` FP32, any shape, as UINT8 codes: clamp(round_half_even(x * (1 / scale)) + zero_point, 0, 255).

    NaN gets code 0 and makes the record's scale NaN; strides are those of :func:`activate`.
    """
    result = _run(x, Post(codes=fixed), None)
    assert isinstance(result, Quantized)
    return result


def _run(x: Tensor, post: Post, out: Tensor | None) -> Tensor | Quantized:
    from explorer.kernels.simd.loops import elementwise_team
    from explorer.team import run

    x = x.detach()
    if not _gapless(x):
        x = x.contiguous()
    assert x.is_cpu and x.dtype == torch.float32, "the loop sees a bare address"
    ending = Ending(post, x, out)
    fields = [0] * job.PLACES
    fields[job.ROWS], fields[job.X] = x.numel(), x.data_ptr()
    threads = torch.get_num_threads() if x.numel() >= SMALL else 1
    fields[job.SHARE] = min(SHARE, -(-x.numel() // threads // 16) * 16 or 16)
    ending.fill(fields)
    run(elementwise_team, threads, *fields[1:])
    return ending.result()


def _gapless(x: Tensor) -> bool:
    """Whether the elements of ``x`` fill their memory, each once, in whatever order of the dimensions."""
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
