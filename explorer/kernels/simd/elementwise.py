"""Activation functions and static quantisation of FP32 tensors on the CPU, one pass each. (Effect: JIT, threads.)"""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor

from explorer.errors import ExplorerError
from explorer.formats import Quantized
from explorer.kernels.simd import job
from explorer.kernels.simd.ending import Template, as_result, lasting_fields, result_type, set_out
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
    x = x.detach()
    if not _gapless(x):
        x = x.contiguous()
    if out is None:
        out = torch.empty_like(x, dtype=result_type(post))
    assert x.is_cpu and x.dtype == torch.float32, "the loop sees a bare address"
    assert out.dtype == result_type(post) and out.shape == x.shape and out.stride() == x.stride()
    count, threads = x.numel(), torch.get_num_threads() if x.numel() >= SMALL else 1
    block = _template(post).copy()
    block[job.ROWS], block[job.X] = count, x.data_ptr()
    block[job.SHARE] = min(SHARE, ceil(count / threads / job.PANEL) * job.PANEL or 1)
    set_out(block, out)
    work, start = _team()
    start(work, threads, block)
    return as_result(block, out, post)


@cache
def _template(post: Post) -> Template:
    return Template(lasting_fields(post))


@cache
def _team() -> tuple[Any, Any]:
    """The compiled loop and what starts it."""
    from explorer.kernels.simd.loops import elementwise_team
    from explorer.team import start

    return elementwise_team, start


def _gapless(x: Tensor) -> bool:
    """Whether the elements of ``x`` fill their memory, each once, in whatever order of the dimensions."""
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
