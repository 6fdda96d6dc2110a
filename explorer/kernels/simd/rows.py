"""Row-wise INT8 quantisation on the CPU in one read. (Effect: JIT, threads.)"""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.simd import job
from explorer.kernels.simd.ending import Template

SMALL = 1 << 15
"""Elements below which waking the other threads costs more than their help."""
SHARES_PER_THREAD = 4


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return INT8 codes [..., K] and FP32 scales [..., 1] of ``x`` [..., K], one scale a row.

    Bit for bit what :func:`explorer.kernels.fused.quantize_rows` describes.
    """
    width = x.shape[-1]
    source = x if x.dtype is torch.float32 and x.is_contiguous() else x.detach().float().contiguous()
    assert source.is_cpu, "the loop sees a bare address"
    codes, scale = source.new_empty(x.shape, dtype=torch.int8), source.new_empty((*x.shape[:-1], 1))
    rows, threads = scale.numel(), torch.get_num_threads() if source.numel() >= SMALL else 1
    block = _template().copy()
    block[job.ROWS], block[job.GROUP_WIDTH] = rows, width
    block[job.SHARE] = ceil(rows / (threads if threads == 1 else threads * SHARES_PER_THREAD)) or 1
    block[job.X], block[job.OUT], block[job.ROW_SCALE] = source.data_ptr(), codes.data_ptr(), scale.data_ptr()
    work, start = _team()
    start(work, threads, block)
    return codes, scale


@cache
def _template() -> Template:
    return Template({})


@cache
def _team() -> tuple[Any, Any]:
    """The compiled loop and what starts it."""
    from explorer.kernels.simd.loops import quantize_team
    from explorer.team import start

    return quantize_team, start
