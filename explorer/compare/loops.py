# mypy: disable-error-code="no-untyped-call,untyped-decorator"
"""The loops that compare two tensors on a CPU. Importing this file imports Numba. (Effect: JIT, cache on disk.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

MANTISSA_BITS = 23
_FRACTION = np.int32((1 << MANTISSA_BITS) - 1)
_HIDDEN = np.int32(1 << MANTISSA_BITS)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def add_squares(x: Any, y: Any, sums: Any) -> None:
    """Add the sums of x**2, y**2, x * y and (y - x)**2 to ``sums`` [4] FP64. x, y: FP32 [n]. NaN and Inf go through."""
    signal = other = dot = noise = 0.0
    for i in range(x.size):
        a, b = np.float64(x[i]), np.float64(y[i])
        e = b - a
        signal += a * a
        other += b * b
        dot += a * b
        noise += e * e
    sums[0] += signal
    sums[1] += other
    sums[2] += dot
    sums[3] += noise


@njit(nogil=True, cache=True, fastmath=True)
def find_largest(x: Any, y: Any) -> float:
    """Return the largest \\|y - x\\|. x, y: finite FP32 [n]."""
    largest = 0.0
    for i in range(x.size):
        largest = max(largest, abs(np.float64(y[i]) - np.float64(x[i])))
    return largest


@njit(nogil=True, cache=True)
def find_farthest(x: Any, y: Any, first_field: Any) -> int:
    """Return the largest distance of ordinals, in parts of a step as :class:`explorer.formats.ordinals.Grid` counts.

    x, y: finite FP32 as INT32 [n]. first_field: FP32's exponent field of the smallest normal magnitude of the grid.
    """
    farthest = np.int64(0)
    if first_field == 1:
        for i in range(x.size):
            farthest = max(farthest, abs(np.int64(_signed(y[i])) - np.int64(_signed(x[i]))))
        return farthest
    for i in range(x.size):
        farthest = max(farthest, abs(np.int64(_place(y[i], first_field)) - np.int64(_place(x[i], first_field))))
    return farthest


@njit(nogil=True, cache=True)
def _signed(bits: Any) -> Any:
    """FP32 bits -> the ordinal on FP32's own grid, negative below zero."""
    sign = bits >> np.int32(31)
    return (bits ^ (sign & _MAGNITUDE)) - sign


@njit(nogil=True, cache=True)
def _place(bits: Any, first_field: Any) -> Any:
    """FP32 bits -> the signed ordinal on a grid whose subnormals begin earlier than FP32's."""
    size = bits & _MAGNITUDE
    field = size >> np.int32(MANTISSA_BITS)
    shift = min(max(first_field - max(field, np.int32(1)), np.int32(0)), np.int32(MANTISSA_BITS + 1))
    significand = (size & _FRACTION) | (_HIDDEN if field > 0 else np.int32(0))
    cut = significand >> shift
    if (cut << shift) != significand:
        cut |= np.int32(1)
    place = cut + (max(field - first_field, np.int32(0)) << np.int32(MANTISSA_BITS))
    return -place if bits < 0 else place
