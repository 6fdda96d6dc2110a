"""Memory for what loops stream through: at a multiple of a cache line, in large pages where there are any.

(Effect: advises the operating system.) A weight of some megabytes in pages of 4 KiB costs a look-up of an address for
every 64 cache lines; a virtual machine makes that several times as dear.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor

LINE, LARGE_PAGE = 64, 1 << 21
LARGE_FROM = 2 * LARGE_PAGE
"""Bytes from which on large pages are asked for: below, the part that fills whole ones is small."""
HUGE = 14
"""Linux's MADV_HUGEPAGE."""


def aligned(count: int, dtype: torch.dtype) -> Tensor:
    """Return an empty vector that starts at a multiple of 64 bytes, a cache line and a register.

    From 4 MiB on it starts at a large page, and the system is asked for such pages; it may refuse.
    """
    large = count * dtype.itemsize >= LARGE_FROM
    step = LARGE_PAGE if large else LINE
    spare = torch.empty(count + step // dtype.itemsize, dtype=dtype)
    skipped = -spare.data_ptr() % step // dtype.itemsize
    found = spare[skipped : skipped + count]
    if large and (advise := _advise()) is not None:
        advise(found.data_ptr(), found.nbytes, HUGE)
    return found


def aligned_copy(x: Tensor) -> Tensor:
    """Return ``x`` in memory of :func:`aligned`, contiguous."""
    return aligned(x.numel(), x.dtype).reshape(x.shape).copy_(x)


@cache
def _advise() -> Any:
    """The system's ``madvise``; None where it has none."""
    if sys.platform != "linux":
        return None
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return advise
