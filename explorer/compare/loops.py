# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The loops that compare two tensors on a CPU. Importing this imports Numba. (Effect: JIT, cache on disk, threads.)

A tensor is compared in shares, claimed by the threads of torch's team, each share in chunks that stay in the first
cache between the loops. Every share has a row of results and rows are added in order, so the number of threads changes
no bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from explorer.team import claim, compiled, pointer, run

MANTISSA_BITS = 23
_FRACTION = np.int32((1 << MANTISSA_BITS) - 1)
_HIDDEN = np.int32(1 << MANTISSA_BITS)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_MAGNITUDE_64 = np.int64(0x7FFFFFFFFFFFFFFF)
_CHUNK = 4096
_SHARE = 1 << 16
"""Elements of a share; below two of them waking another thread costs more than its help."""
_SIGNAL, _OTHER, _DOT, _NOISE, _LARGEST, _ULPS, _STEPS, _NAN, _INF, _RECOVERED = range(10)
"""Places in a row of results: four sums, three maxima, three counts."""
_SUMS, _MAXIMA, _COUNTS = slice(_SIGNAL, _LARGEST), slice(_LARGEST, _NAN), slice(_NAN, _RECOVERED + 1)


def compare(x: Tensor, y: Tensor, first_field: int) -> tuple[list[float], list[float], list[int]]:
    """Return the sums of x**2, y**2, x * y and (y - x)**2; the largest difference, and distance in ordinals of FP32 and
    of another grid; and how many elements are NaN, Inf, and finite again, as :class:`PairError` counts them.

    x, y: contiguous FP32 of one size. first_field: FP32's exponent field of the grid's smallest normal magnitude;
    ordinals count the parts of its steps that FP32 can tell (:class:`explorer.formats.ordinals.Grid`).
    """
    shares = -(-x.numel() // _SHARE)
    rows = np.zeros((shares, _RECOVERED + 1))
    threads = min(torch.get_num_threads(), shares)
    run(_compare_team, threads, x.data_ptr(), y.data_ptr(), x.numel(), rows.ctypes.data, first_field)
    maxima = rows[:, _MAXIMA].max(axis=0)
    return rows[:, _SUMS].sum(axis=0).tolist(), maxima.tolist(), rows[:, _COUNTS].sum(axis=0).astype(int).tolist()


@njit(nogil=True)
def _compare_share(x: Any, y: Any, first_field: Any, row: Any) -> None:
    sums, largest = np.zeros(4), np.zeros(1, np.int64)
    differences = np.empty(_CHUNK)
    left, right = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    for start in range(0, x.size, _CHUNK):
        a, b = x[start : start + _CHUNK], y[start : start + _CHUNK]
        _sum_squares(a, b, sums)
        if not np.isfinite(sums[_NOISE]):  # FP64 holds any sum of squares of FP32 values: something here is NaN or Inf
            kept = _keep_finite(a, b, left, right, row)
            a, b = left[:kept], right[:kept]
            _sum_squares(a, b, sums)
        for place in range(_LARGEST):
            row[place] += sums[place]
        if sums[_NOISE] > 0.0:
            part = differences[: a.size]
            _subtract(a, b, part)
            largest[0] = max(largest[0], _largest(part.view(np.int64)))
            ulps = float(_farthest(a.view(np.int32), b.view(np.int32)))
            row[_ULPS] = max(row[_ULPS], ulps)
            if first_field != 1:
                ulps = float(_farthest_on_grid(a.view(np.int32), b.view(np.int32), first_field))
            row[_STEPS] = max(row[_STEPS], ulps)
    row[_LARGEST] = largest.view(np.float64)[0]


@njit(nogil=True)
def _keep_finite(x: Any, y: Any, left: Any, right: Any, row: Any) -> int:
    """Copy the pairs that are both finite, count the others, and return how many were copied."""
    kept = 0
    for i in range(x.size):
        known, finite = np.isfinite(x[i]), np.isfinite(y[i])
        if known and finite:
            left[kept], right[kept] = x[i], y[i]
            kept += 1
        elif finite:
            row[_RECOVERED] += 1
        elif known:
            row[_NAN if np.isnan(y[i]) else _INF] += 1
    return kept


@njit(nogil=True, fastmath={"reassoc", "contract"})
def _sum_squares(x: Any, y: Any, sums: Any) -> None:
    """Set ``sums`` [4] to those of x**2, y**2, x * y and (y - x)**2; NaN and Inf go through."""
    signal = other = dot = noise = 0.0
    for i in range(x.size):
        a, b = np.float64(x[i]), np.float64(y[i])
        e = b - a
        signal += a * a
        other += b * b
        dot += a * b
        noise += e * e
    sums[_SIGNAL], sums[_OTHER], sums[_DOT], sums[_NOISE] = signal, other, dot, noise


@njit(nogil=True)
def _subtract(x: Any, y: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = np.float64(y[i]) - np.float64(x[i])


@njit(nogil=True)
def _largest(bits: Any) -> Any:
    """The largest magnitude of FP64 values given as INT64, as INT64: so the loop stays in vectors."""
    largest = np.int64(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & _MAGNITUDE_64)
    return largest


@njit(nogil=True)
def _farthest(x: Any, y: Any) -> Any:
    """The largest distance of FP32 values given as INT32, in their own ordinals."""
    farthest = np.int64(0)
    for i in range(x.size):
        farthest = max(farthest, abs(np.int64(_signed(y[i])) - np.int64(_signed(x[i]))))
    return farthest


@njit(nogil=True)
def _signed(bits: Any) -> Any:
    """FP32 bits -> the ordinal on FP32's own grid, negative below zero."""
    sign = bits >> np.int32(31)
    return (bits ^ (sign & _MAGNITUDE)) - sign


@njit(nogil=True)
def _farthest_on_grid(x: Any, y: Any, first_field: Any) -> Any:
    """The same in ordinals of a grid whose subnormals begin earlier than FP32's."""
    farthest = np.int64(0)
    for i in range(x.size):
        farthest = max(farthest, abs(np.int64(_place(y[i], first_field)) - np.int64(_place(x[i], first_field))))
    return farthest


@njit(nogil=True)
def _place(bits: Any, first_field: Any) -> Any:
    size = bits & _MAGNITUDE
    field = size >> np.int32(MANTISSA_BITS)
    shift = min(max(first_field - max(field, np.int32(1)), np.int32(0)), np.int32(MANTISSA_BITS + 1))
    significand = (size & _FRACTION) | (_HIDDEN if field > 0 else np.int32(0))
    cut = significand >> shift
    if (cut << shift) != significand:
        cut |= np.int32(1)
    place = cut + (max(field - first_field, np.int32(0)) << np.int32(MANTISSA_BITS))
    return -place if bits < 0 else place


@compiled
def _compare_team(call: Any) -> None:
    """One thread's work on a block of INT64: shares claimed, x, y, elements, results, first field."""
    job = carray(call, (6,), np.int64)
    size, first_field = job[3], np.int32(job[5])
    share: Any = claim(call)
    while share * _SHARE < size:
        start, here = share * _SHARE, min(_SHARE, size - share * _SHARE)
        x = carray(pointer(job[1] + 4 * start), (here,), np.float32)
        y = carray(pointer(job[2] + 4 * start), (here,), np.float32)
        row = carray(pointer(job[4] + 8 * (_RECOVERED + 1) * share), (_RECOVERED + 1,), np.float64)
        _compare_share(x, y, first_field, row)
        share = claim(call)
