# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The loops that count a tensor on a CPU. Importing this file imports Numba. (Effect: JIT, cache on disk, threads.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, cfunc, njit

from explorer.team import CALL, claim, pointer, run

MAGNITUDE = np.uint32(0x7FFFFFFF)
INFINITY = np.uint32(0x7F800000)
NEGATIVE_INFINITY = np.uint32(0xFF800000)
NEGATIVE_ZERO = np.uint32(0x80000000)
MANTISSA = np.uint32(0x7FFFFF)
HIDDEN_BIT = np.uint32(0x800000)
EXPONENT_SHIFT = np.uint32(23)
LOW_HALF = np.int64(0xFFFFFFFF)
LANES = 4
SHARES = 4
"""Parts of a large tensor that threads count at the same time, each into arrays of its own."""
SMALL = 1 << 16
"""Elements below which waking the other threads costs more than their help."""
CHUNK = 1 << 14
"""Elements that stay in the second cache between the loops, and few enough for their squares to add up in 63 bits."""
UNSIGNED_MAX, UNSIGNED_MIN, SIGNED_MAX, SIGNED_MIN, LEAST, ZEROS, NEGATIVE_ZEROS, NANS, INFS = range(9)
PLACES = 9
"""Places in the array of facts."""


@njit(nogil=True, cache=True)
def count_share(bits: Any, shift: Any, counts: Any, facts: Any, moments: Any, with_moments: bool) -> None:
    """Add the finite elements of ``bits`` [n] (FP32 as UINT32) to what was counted before, by their leading bits.

    counts: INT64 [LANES, 2**(32 - shift)], to be summed over its lanes. facts: INT64 [PLACES], see the places above;
    extremes are of bit patterns. moments: INT64 [512, 4]; found on demand, as is the least magnitude: for each sign and
    exponent the sum of the mantissas with their hidden bit, the upper and the lower halves of that of their squares,
    and the mantissas or-ed. The hidden bit is added to zeros and subnormals too, which the reader takes back.
    """
    kept = np.empty(CHUNK, np.uint32)
    sums = np.zeros((2, 512, 3), np.int64)
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        if not _fold_extremes(chunk, facts):
            chunk = kept[: _keep_finite(chunk, kept, facts)]
            _fold_extremes(chunk, facts)
        before = _count_lowest(counts)
        _add_counts(chunk, shift, counts[0], counts[1], counts[2], counts[3])
        if _count_lowest(counts) != before:
            _fold_zeros(chunk, facts)
        if with_moments:
            _fold_least(chunk, facts)
            _add_moments(chunk, sums[0], sums[1])
            _fold_moments(sums, moments)


@njit(nogil=True, cache=True)
def _add_counts(chunk: Any, shift: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Neighbours go to different lanes: adding to one counter twice in a row waits for the first addition."""
    whole = chunk.size & ~3
    for i in range(0, whole, 4):
        a[chunk[i] >> shift] += 1
        b[chunk[i + 1] >> shift] += 1
        c[chunk[i + 2] >> shift] += 1
        d[chunk[i + 3] >> shift] += 1
    for i in range(whole, chunk.size):
        a[chunk[i] >> shift] += 1


@njit(nogil=True, cache=True)
def _keep_finite(chunk: Any, kept: Any, facts: Any) -> int:
    """Copy the finite elements to ``kept``, count the others, and return how many were kept."""
    size = 0
    for i in range(chunk.size):
        magnitude = chunk[i] & MAGNITUDE
        if magnitude < INFINITY:
            kept[size] = chunk[i]
            size += 1
        elif magnitude == INFINITY:
            facts[INFS] += 1
        else:
            facts[NANS] += 1
    return size


@njit(nogil=True, cache=True)
def _fold_extremes(chunk: Any, facts: Any) -> bool:
    """Fold the extreme patterns into ``facts``, unless one is not finite; integer reductions, which vectorise."""
    high, low = np.uint32(0), np.uint32(0xFFFFFFFF)
    above, below = np.int32(-(2**31)), np.int32(2**31 - 1)
    for i in range(chunk.size):
        pattern = chunk[i]
        signed = np.int32(pattern)
        high = pattern if pattern > high else high
        low = pattern if pattern < low else low
        above = signed if signed > above else above
        below = signed if signed < below else below
    if above >= np.int32(INFINITY) or high >= NEGATIVE_INFINITY:
        return False
    facts[UNSIGNED_MAX] = max(facts[UNSIGNED_MAX], np.int64(high))
    facts[UNSIGNED_MIN] = min(facts[UNSIGNED_MIN], np.int64(low))
    facts[SIGNED_MAX] = max(facts[SIGNED_MAX], np.int64(above))
    facts[SIGNED_MIN] = min(facts[SIGNED_MIN], np.int64(below))
    return True


@njit(nogil=True, cache=True)
def _count_lowest(counts: Any) -> int:
    """The elements in the lowest bins of both signs, where the zeros are."""
    total = 0
    for lane in range(LANES):
        total += counts[lane, 0] + counts[lane, counts.shape[1] // 2]
    return total


@njit(nogil=True, cache=True)
def _fold_zeros(chunk: Any, facts: Any) -> None:
    zeros, negative_zeros = np.int32(0), np.int32(0)
    for i in range(chunk.size):
        zeros += np.int32(np.uint32(chunk[i] << np.uint32(1)) == 0)
        negative_zeros += np.int32(chunk[i] == NEGATIVE_ZERO)
    facts[ZEROS] += zeros
    facts[NEGATIVE_ZEROS] += negative_zeros


@njit(nogil=True, cache=True)
def _fold_least(chunk: Any, facts: Any) -> None:
    """Fold the smallest magnitude but zero: twice the pattern less one, which makes of a zero the largest."""
    least = np.uint32(0xFFFFFFFF)
    for i in range(chunk.size):
        before = np.uint32(np.uint32(chunk[i] << np.uint32(1)) - np.uint32(1))
        least = before if before < least else least
    facts[LEAST] = min(facts[LEAST], np.int64(least))


@njit(nogil=True, cache=True)
def _add_moments(chunk: Any, a: Any, b: Any) -> None:
    """Add mantissas and their squares to, and or them with, [512, 3] of two lanes, by sign and exponent."""
    whole = chunk.size & ~1
    for i in range(0, whole, 2):
        _add_moment(chunk[i], a)
        _add_moment(chunk[i + 1], b)
    if whole < chunk.size:
        _add_moment(chunk[whole], a)


@njit(nogil=True, cache=True, inline="always")
def _add_moment(pattern: Any, sums: Any) -> None:
    place = pattern >> EXPONENT_SHIFT
    mantissa = np.int64((pattern & MANTISSA) | HIDDEN_BIT)
    sums[place, 0] += mantissa
    sums[place, 1] += mantissa * mantissa
    sums[place, 2] |= mantissa


@njit(nogil=True, cache=True)
def _fold_moments(sums: Any, moments: Any) -> None:
    for lane in range(2):
        for place in range(512):
            moments[place, 0] += sums[lane, place, 0]
            moments[place, 1] += sums[lane, place, 1] >> 32
            moments[place, 2] += sums[lane, place, 1] & LOW_HALF
            moments[place, 3] |= sums[lane, place, 2]
    sums[:] = 0


@njit(nogil=True, cache=True)
def count_rows(bits: Any, shift: Any, bottoms: Any, counts: Any, seen: Any) -> None:
    """Add the finite elements of each row of ``bits`` [R, n] to ``counts`` [R, 2, K], from the row's bottom bin on.

    bottoms: INT64 [R]; seen: INT64 [R] counts the finite elements, those below the bottom and FP32's subnormals too.
    """
    lowest_normal = np.int64(HIDDEN_BIT >> shift)
    for row in range(bits.shape[0]):
        positive, negative = counts[row, 0], counts[row, 1]
        bottom = bottoms[row]
        lowest = max(bottom, lowest_normal)
        for i in range(bits.shape[1]):
            pattern = bits[row, i]
            magnitude = pattern & MAGNITUDE
            if magnitude < INFINITY:
                seen[row] += 1
                place = np.int64(magnitude >> shift)
                if place >= lowest:
                    side = positive if pattern == magnitude else negative
                    side[place - bottom] += 1


@cfunc(CALL, cache=True)
def _count_team(call: Any) -> None:
    block = carray(call, (8,))
    size, shift, with_moments = block[1], block[2], block[3] != 0
    bits = carray(pointer(block[4]), (size,), np.uint32)
    counts = carray(pointer(block[5]), (SHARES, LANES, 1 << (32 - shift)), np.int64)
    facts = carray(pointer(block[6]), (SHARES, PLACES), np.int64)
    moments = carray(pointer(block[7]), (SHARES, 512, 4), np.int64)
    part = -(-size // SHARES)
    share = claim(call)
    while share < SHARES:
        chosen = bits[share * part : min((share + 1) * part, size)]
        count_share(chosen, np.uint32(shift), counts[share], facts[share], moments[share], with_moments)
        share = claim(call)


def count(bits: Any, shift: int, counts: Any, facts: Any, moments: Any, with_moments: bool, threads: int) -> None:
    """As ``count_share``, but counts [SHARES, ...], facts [SHARES, ...] and moments [SHARES, ...] are to be joined."""
    if bits.size < SMALL or threads == 1:
        count_share(bits, np.uint32(shift), counts[0], facts[0], moments[0], with_moments)
        return
    addresses = (array.ctypes.data for array in (bits, counts, facts, moments))
    run(_count_team, min(threads, SHARES), bits.size, shift, int(with_moments), *addresses)
