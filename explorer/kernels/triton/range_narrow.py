# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""The range of BF16 data: every bit pattern counted, from which all else follows exactly.

BF16 has 65,536 patterns. A program counts those of 32 octaves in shared memory, an atomic addition an element; what
lies outside, zeros apart, is looked for in a second read, which data of one tensor hardly ever need.
"""

from __future__ import annotations

import triton
import triton.language as tl

from explorer.kernels.triton.shared_counters import count, open_counters, read_counters

SPAN = tl.constexpr(8192)
"""Patterns of 32 octaves, both signs; one more counter is for everything else."""
OCTAVES = tl.constexpr(32)
CHUNK = tl.constexpr(256)
"""Elements whose counters are added at once: Triton's own shared memory must fit beside them."""


@triton.jit
def count_narrow_kernel(x, patterns, elements_at, scratch, elements, BLOCK: tl.constexpr):
    """x: the patterns of BF16, INT16 [elements]. patterns: INT64 [65536]; elements_at: INT64, how many there were."""
    counters = open_counters(scratch)
    lane = tl.arange(0, BLOCK)
    base = 2 * _lowest_pattern(x, elements, lane)
    least = tl.full([BLOCK], -1, tl.int32).to(tl.uint32, bitcast=True)
    largest = tl.zeros([BLOCK], tl.int32)
    for tile in range(tl.program_id(0), tl.cdiv(elements, BLOCK), tl.num_programs(0)):
        turned = _load_turned(x, tile, elements, lane, BLOCK)
        place = (turned - base).to(tl.uint32, bitcast=True)  # below the window it wraps around to be large
        count(counters, tl.minimum(place, SPAN).to(tl.int32, bitcast=True))
        least = tl.minimum(least, (turned - 2).to(tl.uint32, bitcast=True))  # zeros wrap around too
        largest = tl.maximum(largest, turned)
    for first in tl.static_range(0, SPAN, CHUNK):
        slot = first + tl.arange(0, CHUNK)
        found = read_counters(counters, slot).to(tl.int64)
        tl.atomic_add(patterns + _turn_back(slot + base), found, mask=found > 0, sem="relaxed")
    lowest = tl.min(least.to(tl.int64) & 0xFFFFFFFF) + 2
    if (lowest < base) | (tl.max(largest) >= base + SPAN):
        for tile in range(tl.program_id(0), tl.cdiv(elements, BLOCK), tl.num_programs(0)):
            for part in range(BLOCK // CHUNK):
                _add_outside(x, patterns, tile * (BLOCK // CHUNK) + part, elements, base)
    if tl.program_id(0) == 0:
        tl.atomic_add(elements_at, tl.zeros([], tl.int64) + elements, sem="relaxed")


@triton.jit
def _add_outside(x, patterns, chunk, elements, base):
    """Add the patterns outside the window one by one, zeros apart."""
    turned = _load_turned(x, chunk, elements, tl.arange(0, CHUNK), CHUNK)
    is_outside = (turned >= 2) & ((turned < base) | (turned >= base + SPAN))
    one = tl.full([CHUNK], 1, tl.int64)
    tl.atomic_add(patterns + _turn_back(turned), one, mask=is_outside, sem="relaxed")


@triton.jit
def _load_turned(x, tile, elements, lane, BLOCK: tl.constexpr):
    """Patterns turned left by one, so that the sign is the last bit and the rest in order; zeros beyond the end."""
    first = tile * tl.full([], BLOCK, tl.int64)
    is_there = lane < tl.minimum(elements - first, BLOCK).to(tl.int32)
    bits = tl.load(x + first + lane, mask=is_there, other=0).to(tl.int32)
    return ((bits << 1) & 0xFFFE) | ((bits >> 15) & 1)


@triton.jit
def _turn_back(turned):
    return (turned >> 1) | ((turned & 1) << 15)


@triton.jit
def _lowest_pattern(x, elements, lane):
    """The pattern of the window's lowest power of two: 24 octaves below the mean exponent of the first elements."""
    size = tl.load(x + lane, mask=lane < elements, other=0).to(tl.int32) & 0x7FFF
    is_normal = (size >= 0x80) & (size < 0x7F80)
    many = tl.maximum(tl.sum(is_normal.to(tl.int32)), 1)
    mean = tl.sum(tl.where(is_normal, size >> 7, 0)) // many
    return tl.minimum(tl.maximum(mean - 24, 1), 255 - OCTAVES) << 7
