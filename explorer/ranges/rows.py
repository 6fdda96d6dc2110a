# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,return-value,no-any-return"
"""The rows of a tensor that make a chunk, as compiled loops. Importing this imports Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from explorer.ranges import places as at
from explorer.ranges.folds import copy_apart, fold_columns, fold_each

ALL_BITS = 0xFFFFFFFF


@njit(nogil=True)
def find_rows(item: Any, job: Any) -> Any:
    """The first row of a chunk, the first of its elements, the number of rows and of their elements."""
    width, pieces = job[at.WIDTH], job[at.PIECES]
    if pieces > 1:
        start = item % pieces * at.CHUNK
        return item // pieces, start, np.int64(1), min(np.int64(at.CHUNK), width - start)
    first = item * job[at.GROUP]
    return first, np.int64(0), min(job[at.GROUP], job[at.ROWS] - first), width


@njit(nogil=True)
def place_row(row: Any, sizes: Any) -> Any:
    """Where a row starts, in elements, and its first channel."""
    place, channel = np.int64(0), np.int64(0)
    for outer in range(sizes.shape[0] - 1, -1, -1):
        index = row % sizes[outer, 0]
        row //= sizes[outer, 0]
        place += index * sizes[outer, 1]
        channel += index * sizes[outer, 2]
    return place, channel


@njit(nogil=True)
def copy_rows(rows: Any, job: Any, sizes: Any, held: Any) -> None:
    """Bring rows that are no neighbours together in ``held``."""
    first, start, count, width = rows
    index = 0
    while index < count:
        place, _, step, _, run = _find_run(first, index, count, sizes)
        target = np.int64(held.ctypes.data) + index * width * 4
        copy_apart(job[at.X] + (place + start) * 4, run, step * 4, width, target)
        index += run


@njit(nogil=True)
def fold_channels(rows: Any, job: Any, sizes: Any, tops: Any, channels: Any) -> None:
    """Fold the magnitudes of a chunk into its channels' largest, and the positive elements into those of their own.

    tops: the patterns of the largest finite magnitude of all, and of the largest positive element, 0 if there is none.
    """
    first, _, count, _ = rows
    both = job[at.MOMENTS] == 2
    if count == 1 and job[at.ALONG] == 0:
        _, channel = place_row(first, sizes)
        channels[channel] = max(channels[channel], np.uint32(tops[0]))
        if both:
            channel += channels.size // 2
            channels[channel] = max(channels[channel], np.uint32(tops[1]))
        return
    base = np.int64(channels.ctypes.data)
    _fold_kept(rows, job, sizes, base, np.int64(at.MAGNITUDE))
    if both:
        _fold_kept(rows, job, sizes, base + channels.size * 2, np.int64(ALL_BITS))


@njit(nogil=True)
def _fold_kept(rows: Any, job: Any, sizes: Any, base: Any, kept: Any) -> None:
    """Fold the rows of a chunk into the channels at ``base``; kept: the bits that are compared."""
    first, start, count, width = rows
    index = 0
    while index < count:
        place, channel, step, next_channel, run = _find_run(first, index, count, sizes)
        source, stride = job[at.X] + (place + start) * 4, step * 4
        if job[at.ALONG] == 0:
            fold_each(source, run, stride, width, base + channel * 4, next_channel * 4, kept)
        elif next_channel == 0:
            fold_columns(source, run, stride, width, base + (channel + start) * 4, kept)
        else:
            for row in range(run):
                target = base + (channel + row * next_channel + start) * 4
                fold_columns(source + row * stride, np.int64(1), stride, width, target, kept)
        index += run


@njit(nogil=True)
def _find_run(first: Any, index: Any, count: Any, sizes: Any) -> Any:
    """Where a row and its channels start, the steps to the next row's, and how many rows are so many steps apart."""
    place, channel = place_row(first + index, sizes)
    last = sizes.shape[0] - 1
    if last < 0:
        return place, channel, np.int64(0), np.int64(0), count - index
    run = min(count - index, sizes[last, 0] - (first + index) % sizes[last, 0])
    return place, channel, sizes[last, 1], sizes[last, 2], run
