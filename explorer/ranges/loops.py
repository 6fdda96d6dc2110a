# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
# mypy: disable-error-code="return-value,no-any-return,var-annotated"
"""The loops that count a tensor on a CPU. Importing this file imports Numba. (Effect: JIT, cache on disk, threads.)

A tensor is cut into chunks that stay in the first cache while one short loop after another runs over them: extremes and
zeros, channels, bins, mantissa bits, sums. Every thread counts into memory of its own, which is small and lent to one
tensor after another; what it found is folded into the tensor's own counts when all are done.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from explorer import team
from explorer.ranges import places as at
from explorer.team import CALL, claim, pointer

MAGNITUDE = np.uint32(0x7FFFFFFF)
INFINITY = np.uint32(0x7F800000)
NEGATIVE_INFINITY = np.uint32(0xFF800000)
NEGATIVE_ZERO = np.uint32(0x80000000)
SIGN = np.int64(0x80000000)
MANTISSA = np.uint32(0x7FFFFF)
HIDDEN_BIT = np.uint32(0x800000)
EXPONENT_SHIFT = np.uint32(23)
NO_LEAST = np.uint32(0xFFFFFFFF)
LOW_HALF = np.int64(0xFFFFFFFF)
BIAS = 127
OCTAVES = 21
"""Octaves below the largest element of a chunk whose sums FP64 holds exactly: 16 lanes of 256 elements each have
24 + 21 + 8 = 53 bits. A square is the sum of a multiple of 2**-43 of the largest and a rest, of 53 bits each."""
NEAR = 64
"""Elements among which one with new mantissa bits is looked for."""


@intrinsic
def _take_number(typing_context: Any, call: Any) -> Any:
    """How many threads asked before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [ir.Constant(ir.IntType(64), at.THREADS_IN)])
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@intrinsic
def _sum_window(typing_context: Any, source: Any, count: Any, low: Any, span: Any, split: Any, sums: Any) -> Any:
    """Add up the FP32 elements whose magnitude's pattern is ``low`` or up to ``span`` more, and their squares.

    source: address of ``count`` elements, a multiple of 16; sums: address of 48 FP64: in 16 lanes the elements' sum,
    that of the squares' parts above the last place of ``split``, and that of what is below, on top of what is there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, count, low, span, split, sums = arguments
        wide, eight = ir.VectorType(ir.IntType(32), 16), ir.VectorType(ir.DoubleType(), 8)
        none = ir.Constant(wide, None)

        def spread(scalar: Any, kind: Any) -> Any:
            empty = ir.Constant(kind, ir.Undefined)
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
            return builder.shuffle_vector(builder.insert_element(empty, scalar, ir.IntType(32)(0)), empty, lanes)

        low, span, split = spread(low, wide), spread(span, wide), spread(split, eight)
        mask = ir.Constant(wide, [0x7FFFFFFF] * 16)
        target = builder.inttoptr(sums, eight.as_pointer())
        totals = []
        for index in range(6):
            before = builder.load(builder.gep(target, [ir.IntType(64)(index)]))
            before.align = 8
            totals.append(cgutils.alloca_once_value(builder, before))
        with cgutils.for_range(builder, builder.lshr(count, ir.IntType(64)(4))) as loop:
            place = builder.add(address, builder.shl(loop.index, ir.IntType(64)(6)))
            bits = builder.load(builder.inttoptr(place, wide.as_pointer()))
            bits.align = 4
            inside = builder.icmp_unsigned("<", builder.sub(builder.and_(bits, mask), low), span)
            floats = builder.bitcast(builder.select(inside, bits, none), ir.VectorType(ir.FloatType(), 16))
            for half in range(2):
                lanes = ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(8 * half, 8 * half + 8)))
                x = builder.fpext(builder.shuffle_vector(floats, floats, lanes), eight)
                square = builder.fmul(x, x)
                upper = builder.fsub(builder.fadd(square, split), split)
                for kind, value in enumerate((x, upper, builder.fsub(square, upper))):
                    total = totals[2 * kind + half]
                    builder.store(builder.fadd(builder.load(total), value), total)
        for index, total in enumerate(totals):
            stored = builder.store(builder.load(total), builder.gep(target, [ir.IntType(64)(index)]))
            stored.align = 8
        return context.get_dummy_value()

    arguments = (types.int64, types.int64, types.uint32, types.uint32, types.float64, types.int64)
    return types.void(*arguments), generate


@njit(nogil=True)
def _find_extremes(chunk: Any) -> Any:
    """The largest pattern as INT32 and as UINT32, and twice the least magnitude's pattern less one, which makes of a
    zero the largest. Integer reductions, which vectorise."""
    above, high, least = np.int32(-(2**31)), np.uint32(0), NO_LEAST
    for i in range(chunk.size):
        pattern = chunk[i]
        signed = np.int32(pattern)
        before = np.uint32(np.uint32(pattern << np.uint32(1)) - np.uint32(1))
        above = signed if signed > above else above
        high = pattern if pattern > high else high
        least = before if before < least else least
    return np.int64(above), np.int64(high), np.int64(least)


@njit(nogil=True)
def _keep_finite(chunk: Any, kept: Any, facts: Any) -> int:
    """Copy the finite elements to ``kept``, count the others, and return how many were kept."""
    size = 0
    for i in range(chunk.size):
        pattern = chunk[i]
        magnitude = pattern & MAGNITUDE
        if magnitude < INFINITY:
            kept[size] = pattern
            size += 1
        elif magnitude == INFINITY:
            facts[at.INFS] += 1
        else:
            facts[at.NANS] += 1
    return size


@njit(nogil=True)
def _fold_zeros(chunk: Any, facts: Any) -> None:
    zeros, negative = np.int32(0), np.int32(0)
    for i in range(chunk.size):
        zeros += np.int32(np.uint32(chunk[i] << np.uint32(1)) == np.uint32(0))
        negative += np.int32(chunk[i] == NEGATIVE_ZERO)
    facts[at.ZEROS] += zeros
    facts[at.NEGATIVE_ZEROS] += negative


@njit(nogil=True)
def _count_lowest(bins: Any) -> int:
    """The elements in the lowest bins of both signs, where the zeros are."""
    total, half = 0, bins.size >> 1
    for lane in range(at.LANES):
        total += bins[lane] + bins[half + lane]
    return total


@njit(nogil=True)
def _add_counts(chunk: Any, shift: Any, bins: Any) -> None:
    """Neighbours go to different lanes of ``bins`` [K * LANES]."""
    whole = chunk.size & ~7
    for i in range(0, whole, 8):
        for lane in range(8):
            bins[((chunk[i + lane] >> shift) << np.uint32(3)) + np.uint32(lane)] += np.uint32(1)
    for i in range(whole, chunk.size):
        bins[(chunk[i] >> shift) << np.uint32(3)] += np.uint32(1)


@njit(nogil=True)
def _find_filled(masks: Any, filled: Any) -> None:
    """The longest run of octaves whose mantissa bits are all in use, in each sign that there is: the first magnitude's
    pattern, the one after the last, and which signs those are, positive 1 and negative 2."""
    positive, negative = masks[:256].any(), masks[256:].any()
    best, start, length = 0, 1, 0
    for exponent in range(1, 255):
        used = masks[exponent] if positive else MANTISSA
        used = used & masks[256 + exponent] if negative else used
        length = length + 1 if used == MANTISSA else 0
        if length > best:
            best, start = length, exponent - length + 1
    filled[0], filled[1] = start << 23, (start + best) << 23
    filled[2] = np.int64(positive) + 2 * np.int64(negative)


@njit(nogil=True)
def _count_outside(chunk: Any, low: Any, high: Any) -> int:
    """How many elements but zeros have a magnitude's pattern below ``low``, or ``high`` and above."""
    outside, last = np.int32(0), np.uint32(low - np.uint32(1))
    for i in range(chunk.size):
        magnitude = np.uint32(chunk[i] & MAGNITUDE)
        outside += np.int32((np.uint32(magnitude - np.uint32(1)) < last) | (magnitude >= high))
    return outside


@njit(nogil=True)
def _add_masks(chunk: Any, signs: Any, least: Any, top: Any, masks: Any, filled: Any) -> None:
    """Or the mantissas into ``masks`` by sign and exponent. Most octaves are filled soon; what is left to look at are
    the few elements that are smaller or larger."""
    unknown = (signs & ~filled[2]) != 0
    if not unknown and least >= filled[0] and top < filled[1]:
        return
    low, high, new = np.uint32(filled[0]), np.uint32(filled[1]), np.uint32(0)
    for start in range(0, chunk.size, NEAR):
        near = chunk[start : start + NEAR]
        if unknown or _count_outside(near, low, high):
            for i in range(near.size):
                place, mantissa = near[i] >> EXPONENT_SHIFT, np.uint32(near[i] & MANTISSA)
                new |= np.uint32(mantissa & ~masks[place])
                masks[place] |= mantissa
    if new:
        _find_filled(masks, filled)


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


@njit(nogil=True)
def _largest_below(chunk: Any, limit: Any) -> int:
    """The largest magnitude's pattern below ``limit``, 0 where there is none: what is below wraps round to the top."""
    largest = np.uint32(0)
    for i in range(chunk.size):
        wrapped = np.uint32(np.uint32(chunk[i] & MAGNITUDE) - limit)
        largest = wrapped if wrapped > largest else largest
    return np.int64(np.uint32(largest + limit)) if largest > MAGNITUDE else np.int64(0)


@njit(nogil=True)
def _add_denormals(chunk: Any, limbs: Any) -> None:
    total, square = np.int64(0), np.int64(0)
    for i in range(chunk.size):
        magnitude = np.uint32(chunk[i] & MAGNITUDE)
        mantissa = np.int64(magnitude if magnitude < HIDDEN_BIT else np.uint32(0))
        total += mantissa if chunk[i] <= MAGNITUDE else -mantissa
        square += mantissa * mantissa
    _add_limbs(limbs[0], total, 0)
    _add_limbs(limbs[1], square, 0)


@njit(nogil=True)
def _add_sums(address: Any, chunk: Any, tail: Any, top: Any, least: Any, sums: Any, limbs: Any) -> None:
    """Add the elements and their squares to ``limbs``, exactly: OCTAVES at a time, from the largest down."""
    whole = chunk.size & ~15
    tail[:] = 0
    for i in range(whole, chunk.size):
        tail[i - whole] = chunk[i]
    while top >= HIDDEN_BIT:
        exponent = (top >> 23) - BIAS
        lowest = max(exponent - OCTAVES, 1 - BIAS)
        low = np.uint32((lowest + BIAS) << 23)
        span = np.uint32(((exponent + 1 + BIAS) << 23) - np.int64(low))
        split = math.ldexp(1.5, 2 * exponent + 9)
        sums[:] = 0.0
        _sum_window(np.int64(address), np.int64(whole), low, span, split, np.int64(sums.ctypes.data))
        if whole < chunk.size:
            _sum_window(np.int64(tail.ctypes.data), np.int64(16), low, span, split, np.int64(sums.ctypes.data))
        unit, upper, lower = max(exponent - 44, -149), 2 * exponent - 43, max(2 * exponent - 88, -298)
        _add_limbs(limbs[0], _gather_lanes(sums[:16], math.ldexp(1.0, -unit)), unit + 149)
        _add_limbs(limbs[1], _gather_lanes(sums[16:32], math.ldexp(1.0, -upper)), upper + 298)
        _add_limbs(limbs[1], _gather_lanes(sums[32:], math.ldexp(1.0, -lower)), lower + 298)
        if least >= 2 * np.int64(low) - 1:
            return
        top = _largest_below(chunk, low)
    if least < 2 * np.int64(HIDDEN_BIT) - 1:
        _add_denormals(chunk, limbs)


@njit(nogil=True)
def _fold_row(row: Any, channels: Any, along: Any) -> None:
    """Fold the finite magnitudes of a row's elements into its channels: one each, or one in all."""
    if along:
        for i in range(row.size):
            magnitude = np.uint32(row[i] & MAGNITUDE)
            magnitude = magnitude if magnitude < INFINITY else np.uint32(0)
            channels[i] = magnitude if magnitude > channels[i] else channels[i]
    else:
        channels[0] = max(channels[0], np.uint32(_largest_below(row, INFINITY)))


@njit(nogil=True)
def _place_row(row: Any, sizes: Any) -> Any:
    """Where a row starts, in elements, and its first channel."""
    place, channel = np.int64(0), np.int64(0)
    for outer in range(sizes.shape[0] - 1, -1, -1):
        index = row % sizes[outer, 0]
        row //= sizes[outer, 0]
        place += index * sizes[outer, 1]
        channel += index * sizes[outer, 2]
    return place, channel


@njit(nogil=True)
def _copy(source: Any, target: Any) -> None:
    for i in range(source.size):
        target[i] = source[i]


@njit(nogil=True)
def _take_item(item: Any, job: Any, sizes: Any, held: Any, channels: Any) -> Any:
    """Fold the channels of one chunk and return its address and its size; rows far apart are copied to ``held``."""
    width = job[at.WIDTH]
    if job[at.PIECES] > 1:
        row, piece = item // job[at.PIECES], item % job[at.PIECES]
        place, channel = _place_row(row, sizes)
        start = piece * at.CHUNK
        size = min(np.int64(at.CHUNK), width - start)
        address = job[at.X] + (place + start) * 4
        if job[at.CHANNELS] > 0:
            first = channel + start * job[at.ALONG]
            _fold_row(carray(pointer(address), (size,), np.uint32), channels[first:], job[at.ALONG])
        return address, size
    first = item * job[at.GROUP]
    rows = min(job[at.GROUP], job[at.ROWS] - first)
    place, channel = _place_row(first, sizes)
    address = job[at.X] + place * 4
    if job[at.DENSE] == 0 or job[at.CHANNELS] > 0:
        _walk_rows(first, rows, job, sizes, held, channels)
    return (address if job[at.DENSE] else np.int64(held.ctypes.data)), rows * width


@njit(nogil=True)
def _walk_rows(first: Any, rows: Any, job: Any, sizes: Any, held: Any, channels: Any) -> None:
    """Fold the channels of some rows, and copy rows that are no neighbours to ``held``."""
    width, last = job[at.WIDTH], sizes.shape[0] - 1
    dense, along, has_channels = job[at.DENSE] != 0, job[at.ALONG], job[at.CHANNELS] > 0
    index = 0
    while index < rows:
        place, channel = _place_row(first + index, sizes)
        # The rows along the innermost of the outer dimensions are one step apart: no division for each.
        run = rows if last < 0 else min(rows, index + sizes[last, 0] - (first + index) % sizes[last, 0])
        while index < run:
            row = carray(pointer(job[at.X] + place * 4), (width,), np.uint32)
            if not dense:
                _copy(row, held[index * width :])
            if has_channels:
                _fold_row(row, channels[channel:], along)
            index += 1
            if last >= 0:
                place += sizes[last, 1]
                channel += sizes[last, 2]


@njit(nogil=True)
def _clean_memory(job: Any, thread: Any) -> Any:
    """A thread's lanes of bins, limbs and channels."""
    base = job[at.CLEAN] + thread * job[at.CLEAN_BYTES]
    size = np.int64(at.LANES) << (32 - job[at.SHIFT])
    bins = carray(pointer(base), (size,), np.uint32)
    limbs = carray(pointer(base + 4 * size), (2, at.LIMB_PLACES), np.int64)
    channels = carray(pointer(base + 4 * size + 16 * at.LIMB_PLACES), (job[at.CHANNELS],), np.uint32)
    return bins, limbs, channels


@njit(nogil=True)
def _work_memory(job: Any, thread: Any) -> Any:
    """A thread's facts, sums, masks, chunk and tail."""
    base = job[at.WORK] + thread * at.WORK_BYTES
    facts = carray(pointer(base), (at.FACT_PLACES,), np.int64)
    base += 8 * at.FACT_PLACES
    sums = carray(pointer(base), (at.SUM_LANES,), np.float64)
    base += 8 * at.SUM_LANES
    masks = carray(pointer(base), (at.SIGNS_AND_EXPONENTS,), np.uint32)
    base += 4 * at.SIGNS_AND_EXPONENTS
    held = carray(pointer(base), (at.CHUNK,), np.uint32)
    tail = carray(pointer(base + 4 * at.CHUNK), (at.TAIL,), np.uint32)
    return facts, sums, masks, held, tail


def _count_of(sources: int) -> Any:
    @cfunc(CALL, cache=True)
    def _count_team(call: Any) -> None:
        """One thread's part of counting a tensor."""
        assert sources >= 0
        job = carray(call, (at.JOB_PLACES,))
        thread = _take_number(call)
        bins, limbs, channels = _clean_memory(job, thread)
        facts, sums, masks, held, tail = _work_memory(job, thread)
        sizes = carray(pointer(job[at.SIZES]), (job[at.OUTER], 3), np.int64)
        known = carray(pointer(job[at.MASKS]), (at.SIGNS_AND_EXPONENTS,), np.uint32)
        filled = np.zeros(3, np.int64)
        for place in range(at.FACT_PLACES):
            facts[place] = at.NO_FACTS[place]
        masks[:] = known
        _find_filled(masks, filled)
        shift, share = np.uint32(job[at.SHIFT]), job[at.SHARE]
        start = claim(call) * share
        while start < job[at.ITEMS]:
            for item in range(start, min(start + share, job[at.ITEMS])):
                address, size = _take_item(item, job, sizes, held, channels)
                chunk = carray(pointer(address), (size,), np.uint32)
                above, high, least = _find_extremes(chunk)
                if above >= INFINITY or high >= NEGATIVE_INFINITY:
                    chunk = held[: _keep_finite(chunk, held, facts)]
                    address = np.int64(held.ctypes.data)
                    above, high, least = _find_extremes(chunk)
                facts[at.SIGNED_MAX] = max(facts[at.SIGNED_MAX], above)
                facts[at.UNSIGNED_MAX] = max(facts[at.UNSIGNED_MAX], high)
                facts[at.LEAST] = min(facts[at.LEAST], least)
                before = _count_lowest(bins)
                _add_counts(chunk, shift, bins)
                if _count_lowest(bins) != before:
                    _fold_zeros(chunk, facts)
                if job[at.MOMENTS]:
                    top = max(above, high - SIGN)
                    signs = np.int64(above > 0) + 2 * np.int64(high > SIGN)
                    _add_masks(chunk, signs, (least + 1) >> 1, top, masks, filled)
                    _add_sums(address, chunk, tail, top, least, sums, limbs)
            start = claim(call) * share

    return _count_team


@njit(nogil=True)
def _fold_bins(bins: Any, first: Any, last: Any, counts: Any) -> None:
    for place in range(first, last + 1):
        total = np.int64(0)
        for lane in range(at.LANES):
            total += bins[place * at.LANES + lane]
        counts[place] += total
    bins[first * at.LANES : (last + 1) * at.LANES] = 0


def _fold_of(sources: int) -> Any:
    @cfunc(CALL, cache=True)
    def _fold_team(call: Any) -> None:
        """Fold what each thread found into the tensor's own counts, and leave its clean memory so."""
        assert sources >= 0
        job = carray(call, (at.JOB_PLACES,))
        counts = carray(pointer(job[at.COUNTS]), (np.int64(1) << (32 - job[at.SHIFT]),), np.int64)
        own_facts = carray(pointer(job[at.FACTS]), (at.FACT_PLACES,), np.int64)
        own_limbs = carray(pointer(job[at.LIMBS]), (2, at.LIMB_PLACES), np.int64)
        own_masks = carray(pointer(job[at.MASKS]), (at.SIGNS_AND_EXPONENTS,), np.uint32)
        own_channels = carray(pointer(job[at.CHANNEL_MAX]), (job[at.CHANNELS],), np.uint32)
        for thread in range(job[at.THREADS_IN]):
            bins, limbs, channels = _clean_memory(job, thread)
            facts, _, masks, _, _ = _work_memory(job, thread)
            half = counts.size >> 1
            if facts[at.ZEROS] > 0:
                _fold_bins(bins, 0, 0, counts)
                _fold_bins(bins, half, half, counts)
            if facts[at.LEAST] != np.int64(NO_LEAST):
                low, high = (facts[at.LEAST] + 1) >> (job[at.SHIFT] + 1), max(facts[at.SIGNED_MAX], np.int64(0))
                _fold_bins(bins, low, high >> job[at.SHIFT], counts)
                high = facts[at.UNSIGNED_MAX] & np.int64(MAGNITUDE)
                if facts[at.UNSIGNED_MAX] > np.int64(MAGNITUDE):
                    _fold_bins(bins, half + low, half + (high >> job[at.SHIFT]), counts)
            for place in (at.UNSIGNED_MAX, at.SIGNED_MAX):
                own_facts[place] = max(own_facts[place], facts[place])
            own_facts[at.LEAST] = min(own_facts[at.LEAST], facts[at.LEAST])
            for place in (at.ZEROS, at.NEGATIVE_ZEROS, at.NANS, at.INFS):
                own_facts[place] += facts[place]
            own_limbs += limbs
            limbs[:] = 0
            own_masks |= masks
            for channel in range(channels.size):
                own_channels[channel] = max(own_channels[channel], channels[channel])
            channels[:] = 0

    return _fold_team


_DIGEST = int(hashlib.sha256((Path(__file__).parent / "places.py").read_bytes()).hexdigest()[:15], 16)
"""Of the other file that the compiled loops hold: Numba's cache sees this file only, and what a loop encloses."""
_count_team, _fold_team = _count_of(_DIGEST), _fold_of(_DIGEST)


def count(block: Any, threads: int) -> None:
    """Count the tensor that a block of INT64 tells of (:mod:`explorer.ranges.places`), claimed and counted by none."""
    team.start(_count_team, threads, block)
    team.start(_fold_team, 1, block)


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
