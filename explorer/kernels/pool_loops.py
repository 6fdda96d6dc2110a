"""The largest code of every window, channels last, in one pass. Importing this file imports Numba. (Effect: JIT.)"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from explorer.team import claim, compiled, pointer, run

SMALL = 1 << 14
"""Elements below which waking the other threads costs more than their help."""
IMAGES, ROWS, COLUMNS, CHANNELS, OUT_ROWS, OUT_COLUMNS, SETTINGS, CODES, OUT = 1, 2, 3, 4, 5, 6, 7, 15, 16
"""Places in a call's block of INT64: sizes, the window's eight settings, and the addresses of both arrays."""


@njit(nogil=True, cache=True)
def pool_row(codes: Any, out: Any, row: int, settings: Any) -> None:
    """Fill ``out`` [columns, channels], a row of pooled pixels, from an image ``codes`` [rows, columns, channels]."""
    high, wide, down, right, top, left, step, stride = settings
    for column in range(out.shape[0]):
        pixel = out[column]
        pixel[:] = 0
        for i in range(high):
            y = row * down - top + i * step
            for j in range(wide):
                x = column * right - left + j * stride
                if 0 <= y < codes.shape[0] and 0 <= x < codes.shape[1]:
                    seen = codes[y, x]
                    for channel in range(pixel.shape[0]):
                        code = seen[channel]  # said so, not as max(): Numba would widen that to 64 bits
                        pixel[channel] = code if code > pixel[channel] else pixel[channel]


@compiled
def _pool_team(call: Any) -> None:
    job = carray(call, (OUT + 1,))
    images, rows, columns, channels = job[IMAGES], job[ROWS], job[COLUMNS], job[CHANNELS]
    out_rows, out_columns = job[OUT_ROWS], job[OUT_COLUMNS]
    settings = job[SETTINGS], job[8], job[9], job[10], job[11], job[12], job[13], job[14]
    codes = carray(pointer(job[CODES]), (images, rows, columns, channels), np.uint8)
    out = carray(pointer(job[OUT]), (images, out_rows, out_columns, channels), np.uint8)
    index = claim(call)
    while index < images * out_rows:
        image, row = index // out_rows, index % out_rows
        pool_row(codes[image], out[image, row], row, settings)
        index = claim(call)


def max_pool(codes: Tensor, out: Tensor, window: Any, stride: Any, padding: Any, dilation: Any) -> None:
    """Fill ``out`` from ``codes``; both [n, c, h, w] UINT8, channels last. Places beyond the edge count for nothing."""
    for tensor in (codes, out):
        assert tensor.dtype == torch.uint8, "the loop sees bytes"
        assert tensor.is_contiguous(memory_format=torch.channels_last), "the loop sees bare addresses"
    images, channels, rows, columns = codes.shape
    threads = torch.get_num_threads() if codes.numel() >= SMALL else 1
    sizes = images, rows, columns, channels, *out.shape[2:]
    run(_pool_team, threads, *sizes, *window, *stride, *padding, *dilation, codes.data_ptr(), out.data_ptr())
