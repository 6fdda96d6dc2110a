"""Where the range kernels add what they find, and how it is read back as the fields of a histogram."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Places in the buffer of INT64. Bins of exponent 255 hold no finite elements; three count all elements, Inf and NaN.
BINS, SIGN, SPECIAL = 4096, 2048, 2040
WINDOWS = BINS  # [256, 6] by the lowest exponent of a window: three sums inside it, each as upper and lower halves
SINGLES = WINDOWS + 256 * 6  # [512, 3] by sign and exponent: sums of the mantissas outside windows
MASKS = SINGLES + 512 * 3  # [512] by sign and exponent: the mantissa bits in use, or-ed
EXTREMES = MASKS + 512  # the keys of the smallest, largest and least, all as maxima plus 2**31: 0 says none
SIZE = EXTREMES + 3
SPLIT = 42
"""Bits by which the upper part of a square's sum is above the lower."""
PATTERNS = 1 << 16
"""Bit patterns of BF16, each of which has a counter of its own in the second buffer."""


def read(buffer: Any, patterns: Any | None) -> tuple[Any, ...]:
    """The fields of a histogram, after its mantissa bits. patterns: [65536] counts of BF16's patterns, zeros apart."""
    signs = buffer[:BINS].reshape(2, SIGN).copy()
    elements, inf, nan = (int(signs[:, SPECIAL + kind].sum()) for kind in range(3))
    counts = signs[:, :SPECIAL]
    masks = buffer[MASKS:EXTREMES].reshape(2, 256)[:, :255].copy()
    ends = [_end(int(value), kind) for kind, value in enumerate(buffer[EXTREMES:])]
    total, square = _read_sums(buffer)
    if patterns is not None and patterns.any():
        found = np.flatnonzero(patterns)
        found = found[found & 0x7FFF != 0]
        times, size = patterns[found], found & 0x7FFF
        inf, nan = inf + int(times[size == 0x7F80].sum()), nan + int(times[size > 0x7F80].sum())
        found, times, size = (part[size < 0x7F80] for part in (found, times, size))
        np.add.at(counts, (found >> 15, size >> 4), times)
        np.bitwise_or.at(masks, (found >> 15, size >> 7), (found & 0x7F) << 16)
        values = (found.astype(np.uint32) << 16).view(np.float32)
        if len(values):
            least = float(np.abs(values).min())
            ends = [min(ends[0], float(values.min())), max(ends[1], float(values.max())), min(ends[2], least)]
        more, squares = _sums_of_patterns(found, times)
        total, square = total + more, square + squares
    zeros = elements - int(counts.sum()) - inf - nan
    if zeros:
        ends[:2] = min(ends[0], 0.0), max(ends[1], 0.0)
    return counts, zeros, nan, inf, *(end + 0.0 for end in ends), masks, total, square


def _end(stored: int, kind: int) -> float:
    """The smallest (kind 0), largest or least value that a stored key stands for; the identity where there is none."""
    if not stored:
        return (math.inf, -math.inf, math.inf)[kind]
    key = stored - 2**31
    return _value_of_key((~key, key, -key)[kind])


def _read_sums(buffer: Any) -> tuple[int, int]:
    """The sum of the elements in units of 2**-149, and of their squares in units of 2**-298."""
    total = square = 0
    windows = buffer[WINDOWS:SINGLES].reshape(256, 3, 2)
    for base in np.flatnonzero(windows.any(axis=(1, 2))):
        sums, high, low = ((int(upper) << 32) + int(lower) for upper, lower in windows[base])
        shift = int(base) - 1
        total += sums << shift
        square += ((high << SPLIT) + low) << 2 * shift
    singles = buffer[SINGLES:MASKS].reshape(512, 3)
    for place in np.flatnonzero(singles.any(axis=1)):
        mantissa, upper, lower = (int(part) for part in singles[place])
        shift = max((int(place) & 0xFF) - 1, 0)
        total += (-mantissa if place > 0xFF else mantissa) << shift
        square += ((upper << 32) + lower) << 2 * shift
    return total, square


def _sums_of_patterns(found: Any, times: Any) -> tuple[int, int]:
    """The same two sums of BF16's patterns, so many times each; one step of Python per sign and exponent."""
    total = square = 0
    place, mantissa = found >> 7, (found & 0x7F) | np.where(found & 0x7F80, 0x80, 0)
    for each in np.unique(place):
        here = place == each
        plain, squared = int((times * mantissa)[here].sum()), int((times * mantissa * mantissa)[here].sum())
        shift = 16 + max((int(each) & 0xFF) - 1, 0)
        total += (-plain if each > 0xFF else plain) << shift
        square += squared << 2 * shift
    return total, square


def _value_of_key(key: int) -> float:
    """The FP32 value whose place among all floats is ``key``: a positive one's pattern, a negative one's in reverse."""
    pattern = key if key >= 0 else (key ^ 0x7FFFFFFF) & 0xFFFFFFFF
    return float(np.uint32(pattern).view(np.float32)) + 0.0
