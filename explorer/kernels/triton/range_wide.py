# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""The range of FP32 data (FP16 as FP32) in one read: bins and mantissa bits in shared memory, sums exact in FP64.

Sums are taken in a window of 19 octaves around the first elements. There every element is an integer of 43 bits in one
unit, so FP64 adds 256 of them exactly; a square is cut into two such integers by adding and subtracting a large number.
Elements outside, some in a hundred thousand of normal data, are added one by one. Specials and the smallest subnormals,
which share bins with zeros and with each other, are told apart in a second read if there are any.
"""

from __future__ import annotations

import triton
import triton.language as tl

from explorer.kernels.triton import range_buffer as places
from explorer.kernels.triton.casts import INFINITY, MAGNITUDE, widen
from explorer.kernels.triton.shared_counters import count, mark, open_counters, peek, read_counters

MOST_TILES: int = 256
"""Tiles of a program, each of which adds one element to every FP64 sum."""
TILES: int = 4
"""Tiles taken together, of which it is asked once whether there is anything rare in them."""
OCTAVES = tl.constexpr(19)
BINS = tl.constexpr(places.BINS)
SPECIAL = tl.constexpr(places.SPECIAL)
WINDOWS = tl.constexpr(places.WINDOWS)
SINGLES = tl.constexpr(places.SINGLES)
MASKS = tl.constexpr(places.MASKS)
EXTREMES = tl.constexpr(places.EXTREMES)
SPLIT = tl.constexpr(places.SPLIT)
LESS = tl.constexpr(2.0**-places.SPLIT)
NONE = tl.constexpr(-(2**31))
LOW_HALF = tl.constexpr(0xFFFFFFFF)
FINEST = tl.constexpr(0x100000)
"""The smallest magnitude, as a pattern, that does not share a bin with zero."""


@triton.jit
def count_wide_kernel(x, buffer, scratch, elements, BLOCK: tl.constexpr, TILES: tl.constexpr):
    """x: FP32 or FP16 [elements]; buffer: INT64, of ``range_buffer``; at most ``MOST_TILES`` tiles a program."""
    counters = open_counters(scratch)
    lane = tl.arange(0, BLOCK)
    base = _window_of(x, elements, lane)
    unit, cutter = _power(150 - base), 1.5 * _power(2 * base - 300 + SPLIT + 52)
    sums = tl.zeros([BLOCK], tl.float64)
    high, low = sums, sums
    positive = tl.zeros([BLOCK], tl.int32)
    negative = positive.to(tl.uint32, bitcast=True)
    least = tl.full([BLOCK], -1, tl.int32).to(tl.uint32, bitcast=True)
    for group in range(tl.program_id(0), tl.cdiv(elements, BLOCK * TILES), tl.num_programs(0)):
        rare = tl.zeros([BLOCK], tl.int32)
        for part in tl.static_range(TILES):
            values, bits = _load_bits(x, group * TILES + part, elements, lane, BLOCK)
            size = bits & MAGNITUDE
            place = (bits >> 20) & 0xFFF
            count(counters, place)
            fresh = bits & 0x7FFFFF & ~peek(counters, BINS + (place >> 3))  # soon every octave's bits are known
            positive = tl.maximum(positive, bits)
            negative = tl.maximum(negative, bits.to(tl.uint32, bitcast=True))
            before = (size - 1).to(tl.uint32, bitcast=True)  # zeros wrap around to be largest
            least = tl.minimum(least, before)
            is_inside = (size - (base << 23)).to(tl.uint32, bitcast=True) < (OCTAVES << 23)
            rare |= fresh | ((before < INFINITY - 1) & ~is_inside).to(tl.int32)
            wide = tl.where(is_inside, values, 0.0).to(tl.float64)
            square = wide * wide
            upper = (square + cutter) - cutter
            sums += wide
            high += upper
            low += square - upper
        if tl.max(rare) > 0:
            for again in range(TILES):
                _take_in_rare(x, buffer, counters, group * TILES + again, elements, base, lane, BLOCK)

    sums_at = buffer + WINDOWS + base * 6
    _add_lanes(sums_at, sums * unit)
    _add_lanes(sums_at + 2, high * unit * unit * LESS)
    _add_lanes(sums_at + 4, low * unit * unit)
    _add_table(buffer, counters)
    slot = tl.arange(0, 16)
    specials = tl.sum(read_counters(counters, SPECIAL + slot % 8 + (slot // 8) * 2048))
    nearest = tl.min(least.to(tl.int64) & LOW_HALF) + 1
    if (specials > 0) | (nearest < FINEST):
        _look_again(x, buffer, elements, lane, BLOCK)
    else:
        _raise_ends(buffer + EXTREMES, tl.max(positive), tl.max(negative.to(tl.int64) & LOW_HALF), nearest)
    _raise_key(buffer + EXTREMES + 2, -nearest.to(tl.int32), nearest < INFINITY)
    if tl.program_id(0) == 0:
        tl.atomic_add(buffer + SPECIAL, tl.zeros([], tl.int64) + elements, sem="relaxed")


@triton.jit
def _load_bits(x, tile, elements, lane, BLOCK: tl.constexpr):
    """Elements of a tile in FP32, and their patterns; zeros beyond the end."""
    first = tile * tl.full([], BLOCK, tl.int64)
    values = widen(tl.load(x + first + lane, mask=lane < tl.minimum(elements - first, BLOCK).to(tl.int32), other=0.0))
    return values, values.to(tl.int32, bitcast=True)


@triton.jit
def _window_of(x, elements, lane):
    """The lowest exponent field of the window: 14 octaves below the mean exponent of the first elements."""
    size = widen(tl.load(x + lane, mask=lane < elements, other=0.0)).to(tl.int32, bitcast=True) & MAGNITUDE
    is_normal = (size >= 0x800000) & (size < INFINITY)
    many = tl.maximum(tl.sum(is_normal.to(tl.int32)), 1)
    mean = tl.sum(tl.where(is_normal, size >> 23, 0)) // many
    return tl.minimum(tl.maximum(mean - 14, 1), 255 - OCTAVES)


@triton.jit
def _power(exponent):
    """2.0**exponent in FP64."""
    return ((exponent + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)


@triton.jit
def _add_lanes(place, lanes):
    """Add integers below 2**52 in FP64 as the upper and lower halves of their sum, so that no sum leaves INT64."""
    whole = lanes.to(tl.int64)
    tl.atomic_add(place, tl.sum(whole >> 32), sem="relaxed")
    tl.atomic_add(place + 1, tl.sum(whole & LOW_HALF), sem="relaxed")


@triton.jit
def _add_table(buffer, counters):
    """Add the bins, those of zeros and of exponent 255 apart, and the mantissa bits."""
    for first in tl.static_range(0, BINS, 2048):
        slot = first + tl.arange(0, 2048)
        inside = slot % 2048
        found = tl.where((inside > 0) & (inside < SPECIAL), read_counters(counters, slot), 0)
        tl.atomic_add(buffer + slot, found.to(tl.int64), mask=found > 0, sem="relaxed")
    octave = tl.arange(0, 512)
    bits = tl.where(octave % 256 < 255, read_counters(counters, BINS + octave), 0)
    tl.atomic_or(buffer + MASKS + octave, bits.to(tl.int64), mask=bits != 0, sem="relaxed")


@triton.jit
def _take_in_rare(x, buffer, counters, tile, elements, base, lane, BLOCK: tl.constexpr):
    """Mark the mantissa bits of a tile, and add the sums of its elements outside the window one by one."""
    _, bits = _load_bits(x, tile, elements, lane, BLOCK)
    size, place = bits & MAGNITUDE, (bits >> 23) & 0x1FF
    exponent = size >> 23
    mark(counters, BINS + place, size & 0x7FFFFF)
    is_outside = (size > 0) & (size < INFINITY) & ((exponent < base) | (exponent >= base + OCTAVES))
    mantissa = ((size & 0x7FFFFF) | tl.where(exponent > 0, 0x800000, 0)).to(tl.int64)
    square = mantissa * mantissa
    single = buffer + SINGLES + place * 3
    tl.atomic_add(single, mantissa, mask=is_outside, sem="relaxed")
    tl.atomic_add(single + 1, square >> 32, mask=is_outside, sem="relaxed")
    tl.atomic_add(single + 2, square & LOW_HALF, mask=is_outside, sem="relaxed")


@triton.jit
def _look_again(x, buffer, elements, lane, BLOCK: tl.constexpr):
    """Count the smallest subnormals, Inf and NaN, and find the ends of the finite elements."""
    fine = tl.zeros([BLOCK], tl.int64)
    fine_negative, inf, nan = fine, fine, fine
    smallest = tl.full([BLOCK], NONE, tl.int32)
    largest = smallest
    for tile in range(tl.program_id(0), tl.cdiv(elements, BLOCK), tl.num_programs(0)):
        _, bits = _load_bits(x, tile, elements, lane, BLOCK)
        size = bits & MAGNITUDE
        is_fine = (size > 0) & (size < FINEST)
        fine += (is_fine & (bits > 0)).to(tl.int64)
        fine_negative += (is_fine & (bits < 0)).to(tl.int64)
        inf += (size == INFINITY).to(tl.int64)
        nan += (size > INFINITY).to(tl.int64)
        is_number = (size > 0) & (size < INFINITY)  # zeros are seen to where the counts are read
        key = tl.where(bits < 0, bits ^ MAGNITUDE, size)
        smallest = tl.maximum(smallest, tl.where(is_number, ~key, NONE))
        largest = tl.maximum(largest, tl.where(is_number, key, NONE))
    tl.atomic_add(buffer, tl.sum(fine), sem="relaxed")
    tl.atomic_add(buffer + 2048, tl.sum(fine_negative), sem="relaxed")
    tl.atomic_add(buffer + SPECIAL + 1, tl.sum(inf), sem="relaxed")
    tl.atomic_add(buffer + SPECIAL + 2, tl.sum(nan), sem="relaxed")
    _raise_key(buffer + EXTREMES, tl.max(smallest), tl.max(smallest) > NONE)
    _raise_key(buffer + EXTREMES + 1, tl.max(largest), tl.max(largest) > NONE)


@triton.jit
def _raise_ends(place, positive, negative, nearest):
    """From the largest patterns as signed and as unsigned numbers: where one sign is missing, its end is the least."""
    has_positive, has_negative = positive > 0, negative > 0x80000000
    size, least = (negative & MAGNITUDE).to(tl.int32), nearest.to(tl.int32)  # a negative's key is -1 - its size
    _raise_key(place, tl.where(has_negative, size, -1 - least), has_positive | has_negative)
    _raise_key(place + 1, tl.where(has_positive, positive, -1 - least), has_positive | has_negative)


@triton.jit
def _raise_key(place, key, is_one):
    tl.atomic_max(place, key.to(tl.int64) + 2147483648, mask=is_one, sem="relaxed")
