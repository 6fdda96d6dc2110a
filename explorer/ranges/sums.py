# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,return-value,no-any-return"
"""Exact sums of FP32 elements and of their squares, as compiled loops. Importing this imports Numba.

FP64 adds up without rounding what spans few octaves: so elements are added by windows of octaves, from the largest
down, and each chunk's sums go as integers into limbs that hold every FP32 number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from explorer.ranges import places as at
from explorer.ranges.folds import gather
from explorer.ranges.sweeps import add_sums

MAGNITUDE = np.uint32(at.MAGNITUDE)
HIDDEN_BIT = np.int64(0x800000)
LOW_HALF = np.int64(0xFFFFFFFF)
SIGN = np.int64(0x80000000)
BIAS = 127
OCTAVES = 20
"""Octaves below that of the largest element whose sums FP64 holds exactly: 16 lanes of 256 elements each take
1 + 20 + 24 + 8 = 53 bits. A square is a multiple of 2**-41 of the largest octave's and a rest: of 53 bits each, too."""


@njit(nogil=True)
def find_window(exponent: Any) -> Any:
    """Of the window whose largest elements are below 2**(exponent + 1): the pattern of its least, and the anchor."""
    return (max(exponent - OCTAVES, 1 - BIAS) + BIAS) << 23, math.ldexp(1.0, 2 * exponent + 11)


@njit(nogil=True)
def find_exponent(top: Any) -> int:
    """The exponent of the element of a magnitude's pattern, of FP32's least normal number if it is smaller."""
    return max((top >> 23) - BIAS, 1 - BIAS)


@njit(nogil=True)
def add_found(found: Any, exponent: Any, kinds: Any, limbs: Any) -> None:
    """Add what a sweep found in a window: of each kind FP64 [48] of elements, squares' upper and lower parts."""
    unit, upper = max(exponent - OCTAVES, 1 - BIAS) - 23, 2 * exponent - 41
    for kind in range(kinds):
        sums, total, square = found[48 * kind :], limbs[2 * kind], limbs[2 * kind + 1]
        _add_limbs(total, _gather_lanes(sums[:16], math.ldexp(1.0, -unit)), unit + 149)
        _add_limbs(square, _gather_lanes(sums[16:32], math.ldexp(1.0, -upper)), upper + 298)
        _add_limbs(square, _gather_lanes(sums[32:48], math.ldexp(1.0, -2 * unit)), 2 * unit + 298)


@njit(nogil=True)
def add_below(address: Any, size: Any, limit: Any, found: Any, picked: Any, limbs: Any) -> None:
    """Add the elements of ``size`` at an address whose magnitude's pattern is below ``limit``, window after window.

    picked: memory for them.
    """
    place = np.int64(picked.ctypes.data)
    size = _gather_below(address, size, limit, place)
    while size > 0:
        top = _find_top(picked[:size])
        if top < HIDDEN_BIT:
            _add_denormals(picked[:size], limbs)
            return
        exponent = find_exponent(top)
        low, anchor = find_window(exponent)
        add_sums(place, size, low, anchor, np.int64(found.ctypes.data))
        add_found(found, exponent, 2, limbs)
        size = _gather_below(place, size, low, place)


@njit(nogil=True)
def _gather_below(source: Any, count: Any, limit: Any, target: Any) -> int:
    """Pick the elements below a limit but zeros; return how many there are."""
    return gather(source, count, limit, SIGN - limit, SIGN + limit, SIGN - limit, target)


@njit(nogil=True)
def _find_top(chunk: Any) -> int:
    """The pattern of the largest magnitude."""
    largest = np.uint32(0)
    for i in range(chunk.size):
        magnitude = np.uint32(chunk[i] & MAGNITUDE)
        largest = magnitude if magnitude > largest else largest
    return np.int64(largest)


@njit(nogil=True)
def _add_denormals(chunk: Any, limbs: Any) -> None:
    for sign in range(2):
        total, square = np.int64(0), np.int64(0)
        for i in range(chunk.size):
            if np.int64(chunk[i] > MAGNITUDE) == sign:
                mantissa = np.int64(chunk[i] & MAGNITUDE)
                total += mantissa
                square += mantissa * mantissa
        _add_limbs(limbs[0], total if sign == 0 else -total, 0)
        _add_limbs(limbs[1], square, 0)
        if sign == 0:
            _add_limbs(limbs[2], total, 0)
            _add_limbs(limbs[3], square, 0)


@njit(nogil=True)
def _add_limbs(limbs: Any, value: Any, bit: Any) -> None:
    """Add value * 2**bit; |value| is below 2**58."""
    place, shift = bit >> 5, bit & 31
    low, high = (value & LOW_HALF) << shift, (value >> 32) << shift
    limbs[place] += low & LOW_HALF
    limbs[place + 1] += (low >> 32) + (high & LOW_HALF)
    limbs[place + 2] += high >> 32


@njit(nogil=True)
def _gather_lanes(sums: Any, scale: Any) -> int:
    total = np.int64(0)
    for lane in range(16):
        total += np.int64(sums[lane] * scale)
    return total
