"""A call of the loops that count: how a tensor lies in memory, and what threads count into. (Effect: threads.)

Importing this imports Numba.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.ranges import loops
from explorer.ranges import places as at

SMALL = 1 << 15
"""Elements below which waking the other threads costs more than their help."""
MOST_THREADS, SHARES_PER_THREAD = 8, 4
_LINE = 64
_KEPT_BYTES = 8 << 20
"""Memory of the threads up to this size is kept for the next call."""
_kept = threading.local()  # a caller's own, so that two may count at once


@dataclass(frozen=True)
class Rows:
    """A tensor as rows of neighbours in memory.

    outer: of each dimension outside a row its size, its stride and that of its channels (0: it has none), outermost
    first. along: whether each element of a row is a channel of its own; else a row is of one channel.
    """

    width: int
    along: bool
    outer: tuple[tuple[int, int, int], ...]

    @property
    def rows(self) -> int:
        return prod(size for size, _, _ in self.outer)

    @property
    def dense(self) -> bool:
        """Whether each row begins where the one before ends."""
        ends = self.width
        for size, stride, _ in reversed(self.outer):
            if stride != ends:
                return False
            ends *= size
        return True


def find_rows(shape: tuple[int, ...], strides: tuple[int, ...], channel_axes: tuple[int, ...]) -> Rows | None:
    """How a tensor lies in memory; None where its elements, or its channels, are in no order that loops go along."""
    channel_stride = dict.fromkeys(range(len(shape)), 0)
    step = 1
    for axis in reversed([axis % len(shape) for axis in channel_axes]):
        channel_stride[axis] = step
        step *= shape[axis]
    dims = [(shape[a], strides[a], channel_stride[a]) for a in range(len(shape)) if shape[a] > 1]
    dims.sort(key=lambda dim: dim[1] or float("inf"), reverse=True)
    merged: list[tuple[int, int, int]] = []
    for size, stride, channel in dims:
        if merged and merged[-1][1] == size * stride and merged[-1][2] == size * channel:
            size *= merged.pop()[0]
        merged.append((size, stride, channel))
    if not merged:
        return Rows(1, False, ())
    width, stride, channel = merged.pop()
    if stride != 1 or channel > 1:
        return None
    return Rows(width, channel == 1, tuple(merged))


class Job:
    """A block of INT64 that tells the loops of a tensor of one shape and of the counts that it adds to.

    counts, facts, limbs, masks, channels: the arrays of a ``Counter``, which outlive the job. moments: 1 for sums of
    all elements, 2 for those of the positive ones too.
    """

    def __init__(self, rows: Rows, arrays: tuple[NDArray[np.generic], ...], mantissa_bits: int, moments: int) -> None:
        counts, facts, limbs, masks, channels = arrays
        pieces, group = -(-rows.width // at.CHUNK), max(1, at.CHUNK // rows.width)
        items = rows.rows * pieces if pieces > 1 else -(-rows.rows // group)
        self._threads = min(torch.get_num_threads(), MOST_THREADS) if rows.rows * rows.width >= SMALL else 1
        self._sizes = np.array(rows.outer, np.int64).reshape(-1, 3)
        shift = 23 - mantissa_bits
        clean_bytes = at.clean_bytes(shift, channels.size)
        self._needed = clean_bytes * self._threads
        fields = {
            at.ROWS: rows.rows,
            at.WIDTH: rows.width,
            at.PIECES: pieces,
            at.GROUP: group,
            at.ITEMS: items,
            at.SHARE: max(1, items // (self._threads * SHARES_PER_THREAD)),
            at.DENSE: int(rows.dense),
            at.SIZES: self._sizes.ctypes.data,
            at.OUTER: len(rows.outer),
            at.CHANNELS: channels.size,
            at.ALONG: int(rows.along),
            at.SHIFT: shift,
            at.MOMENTS: moments,
            at.CLEAN_BYTES: clean_bytes,
            at.COUNTS: counts.ctypes.data,
            at.FACTS: facts.ctypes.data,
            at.LIMBS: limbs.ctypes.data,
            at.MASKS: masks.ctypes.data,
            at.CHANNEL_MAX: channels.ctypes.data,
        }
        self._block = (ctypes.c_int64 * at.JOB_PLACES)(*(fields.get(place, 0) for place in range(at.JOB_PLACES)))

    def run(self, x: Tensor) -> None:
        """Count x: FP32 on the CPU, of the shape and the strides that the job was made for."""
        block = self._block
        clean, work = _lend(self._needed), _work()
        block[at.CLAIMED] = block[at.THREADS_IN] = block[at.LOCKED] = 0
        block[at.X], block[at.CLEAN], block[at.WORK] = x.data_ptr(), clean.address, work.address
        loops.count(block, self._threads)


class _Memory:
    """Zeros, and where they begin: at a cache line."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._array = np.zeros(size + _LINE, np.uint8)
        self.address = -(-self._array.ctypes.data // _LINE) * _LINE


def _lend(size: int) -> _Memory:
    """So many bytes of zeros, which whoever borrows them leaves as zeros."""
    held: _Memory | None = getattr(_kept, "clean", None)
    if held is None or held.size < size:
        held = _Memory(size)
        if size <= _KEPT_BYTES:
            _kept.clean = held
    return held


def _work() -> _Memory:
    """The memory of the threads whose content no call relies on."""
    held: _Memory | None = getattr(_kept, "work", None)
    if held is None:
        held = _kept.work = _Memory(at.WORK_BYTES * MOST_THREADS)
    return held
