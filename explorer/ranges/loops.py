# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
# mypy: disable-error-code="return-value,no-any-return,var-annotated"
"""Counting a tensor on a CPU, as a function that each thread of a team calls. Importing this file imports Numba.
(Effect: JIT, cache on disk, threads.)

A tensor is cut into chunks that stay in the first cache. One sweep (:mod:`.sweeps`) over a chunk finds nearly all; what
it shows to be missing, few elements as a rule, is looked for afterwards: those below the window of its sums, those of
octaves whose mantissa bits are not all in use yet, NaN and Inf. Every thread counts into memory of its own, which is
small and lent to one tensor after another, and folds that into the tensor's own counts when no chunk is left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from explorer import team, vectors
from explorer.ranges import folds, mantissas, places, rows, sums, sweeps
from explorer.ranges import places as at
from explorer.ranges.folds import fold_bins
from explorer.ranges.mantissas import add_masks, find_filled
from explorer.ranges.rows import copy_rows, find_rows, fold_channels, place_row
from explorer.ranges.sums import add_below, add_found, find_exponent, find_window
from explorer.ranges.sweeps import sweep_all, sweep_bins, sweep_twice
from explorer.team import claim, compiled, pointer

MAGNITUDE = np.uint32(at.MAGNITUDE)
INFINITY = np.uint32(at.INFINITY)
NEGATIVE_INFINITY = np.uint32(0xFF800000)
SIGN = np.int64(0x80000000)
NO_LEAST = np.int64(0xFFFFFFFF)
STEADY = 16
"""Chunks after which the window of the sums is an octave lower, where no element is as large: chunks of one tensor
differ by an octave, and one whose elements are larger than expected is added up twice."""


def _atomic(operation: str, place: int, value: int) -> Any:
    @intrinsic
    def change(typing_context: Any, call: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = builder.gep(arguments[0], [ir.Constant(ir.IntType(64), place)])
            return builder.atomic_rmw(operation, address, ir.Constant(ir.IntType(64), value), "acq_rel")

        return types.int64(types.CPointer(types.int64)), generate

    return change


_take_number = _atomic("add", at.THREADS_IN, 1)
_lock, _unlock = _atomic("xchg", at.LOCKED, 1), _atomic("xchg", at.LOCKED, 0)
"""What was there before: how many threads asked for a number, whether another holds the lock."""


@njit(nogil=True)
def _clean_memory(job: Any, thread: Any) -> Any:
    """A thread's limbs, channels and the address of its lanes of bins."""
    base = job[at.CLEAN] + thread * job[at.CLEAN_BYTES]
    bins = np.int64(at.BYTES_OF_BIN) << (32 - job[at.SHIFT])
    limbs = carray(pointer(base + bins), (at.SUM_KINDS, at.LIMB_PLACES), np.int64)
    after = base + bins + 8 * at.SUM_KINDS * at.LIMB_PLACES
    channels = carray(pointer(after), (job[at.CHANNELS],), np.uint32)
    return limbs, channels, base


@njit(nogil=True)
def _work_memory(job: Any, thread: Any) -> Any:
    """A thread's facts, what a sweep found, its masks, and two chunks: one held, one of picked elements."""
    base = job[at.WORK] + thread * at.WORK_BYTES
    found = carray(pointer(base), (at.SUM_PLACES,), np.float64)
    extremes = carray(pointer(base + at.EXTREMES_AT), (at.EXTREME_PLACES,), np.int64)
    facts = carray(pointer(base + at.FACTS_AT), (at.FACT_PLACES,), np.int64)
    masks = carray(pointer(base + at.MASKS_AT), (at.SIGNS_AND_EXPONENTS,), np.uint32)
    held = carray(pointer(base + at.HELD_AT), (at.CHUNK + at.SPARE,), np.uint32)
    picked = carray(pointer(base + at.PICKED_AT), (at.CHUNK + at.SPARE,), np.uint32)
    return facts, found, extremes, masks, held, picked


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
            facts[at.NEGATIVE_INFS] += np.int64(pattern > MAGNITUDE)
        else:
            facts[at.NANS] += 1
    return size


@njit(nogil=True)
def _forget_infinite(bins: Any, shift: Any) -> None:
    """Clear the bins in which a sweep counted NaN and Inf."""
    size = np.int64(at.LANES) << (23 - shift)
    for sign in range(2):
        place = bins + ((np.int64(255 + 256 * sign) << (23 - shift)) * at.BYTES_OF_BIN)
        carray(pointer(place), (size,), np.uint16)[:] = 0


@njit(nogil=True)
def _find_extremes(chunk: Any, extremes: Any) -> None:
    above, high, least, positive = np.int32(-(2**31)), np.uint32(0), np.uint32(NO_LEAST), np.uint32(NO_LEAST)
    for i in range(chunk.size):
        pattern = chunk[i]
        signed = np.int32(pattern)
        before = np.uint32(np.uint32(pattern << np.uint32(1)) - np.uint32(1))
        above = signed if signed > above else above
        high = pattern if pattern > high else high
        least = before if before < least else least
        positive = min(positive, np.uint32(pattern - np.uint32(1)))
    extremes[0], extremes[1], extremes[2], extremes[3] = above, high, least, positive


@njit(nogil=True)
def _take_off_small(chunk: Any, shift: Any, facts: Any) -> None:
    """Take off the zeros the elements that are so small that they share their bins."""
    for i in range(chunk.size):
        magnitude = np.int64(chunk[i] & MAGNITUDE)
        if 0 < magnitude < np.int64(1) << shift:
            facts[at.ZEROS] -= 1
            facts[at.NEGATIVE_ZEROS] -= np.int64(chunk[i] > MAGNITUDE)


@njit(nogil=True)
def _count_chunk(address: Any, size: Any, job: Any, exponent: Any, thread: Any) -> Any:
    """Count a chunk; ``exponent`` is of the window that its sums are likely in. Return the one that they are in, and
    the patterns of the largest magnitude and of the largest positive element, 0 if there is none."""
    limbs, bins, facts, found, extremes, masks, held, picked, filled = thread
    low, anchor = find_window(exponent)
    if job[at.MOMENTS] == 2:
        sweep_twice(address, size, bins, job[at.SHIFT], low, anchor, np.int64(found.ctypes.data))
    elif job[at.MOMENTS] == 1:
        sweep_all(address, size, bins, job[at.SHIFT], low, anchor, np.int64(found.ctypes.data))
    else:
        sweep_bins(address, size, bins, job[at.SHIFT], low, anchor, np.int64(found.ctypes.data))
    is_finite = extremes[0] < INFINITY and extremes[1] < NEGATIVE_INFINITY
    chunk = carray(pointer(address), (size,), np.uint32)
    if not is_finite:
        _forget_infinite(bins, job[at.SHIFT])
        chunk = held[: _keep_finite(chunk, held, facts)]
        address = np.int64(held.ctypes.data)
        _find_extremes(chunk, extremes)
    above, high, least = extremes[0], extremes[1], extremes[2]
    facts[at.SIGNED_MAX] = max(facts[at.SIGNED_MAX], above)
    facts[at.UNSIGNED_MAX] = max(facts[at.UNSIGNED_MAX], high)
    facts[at.LEAST] = min(facts[at.LEAST], least)
    facts[at.LEAST_POSITIVE] = min(facts[at.LEAST_POSITIVE], extremes[3])
    if least < (np.int64(2) << job[at.SHIFT]) - 1:
        _take_off_small(chunk, job[at.SHIFT], facts)
    top = max(above, high - SIGN, np.int64(0))
    found_exponent = find_exponent(top)
    if job[at.MOMENTS]:
        add_masks(address, chunk, extremes, picked, masks, filled)
        limit = SIGN
        if is_finite and found_exponent <= exponent:
            add_found(found, exponent, job[at.MOMENTS], limbs)
            limit = low
        if least < 2 * limit - 1:
            add_below(address, chunk.size, limit, found, picked, limbs)
    return found_exponent, (top, max(above, np.int64(0)))


@njit(nogil=True)
def _flush_bins(call: Any, job: Any, facts: Any, bins: Any) -> None:
    """Add the thread's bins to the tensor's counts; zeros are those of the lowest bins."""
    half = np.int64(1) << (31 - job[at.SHIFT])
    counts = carray(pointer(job[at.COUNTS]), (2 * half,), np.int64)
    while _lock(call):
        pass
    before, negative_before = counts[0], counts[half]
    fold_bins(bins, np.int64(0), np.int64(1), job[at.COUNTS])
    fold_bins(bins, half, half + 1, job[at.COUNTS])
    facts[at.ZEROS] += counts[0] - before + counts[half] - negative_before
    facts[at.NEGATIVE_ZEROS] += counts[half] - negative_before
    if facts[at.LEAST] != NO_LEAST:
        low = max((facts[at.LEAST] + 1) >> (job[at.SHIFT] + 1), np.int64(1))
        last = max(facts[at.SIGNED_MAX], np.int64(0)) >> job[at.SHIFT]
        fold_bins(bins, low, max(low, last + 1), job[at.COUNTS])
        if facts[at.UNSIGNED_MAX] > np.int64(MAGNITUDE):
            last = (facts[at.UNSIGNED_MAX] & np.int64(MAGNITUDE)) >> job[at.SHIFT]
            fold_bins(bins, half + low, half + max(low, last + 1), job[at.COUNTS])
    _unlock(call)


@njit(nogil=True)
def _fold(call: Any, job: Any, facts: Any, limbs: Any, masks: Any, channels: Any) -> None:
    """Fold what else the thread found into the tensor's own, and leave its clean memory so."""
    own_facts = carray(pointer(job[at.FACTS]), (at.FACT_PLACES,), np.int64)
    own_limbs = carray(pointer(job[at.LIMBS]), (at.SUM_KINDS, at.LIMB_PLACES), np.int64)
    own_masks = carray(pointer(job[at.MASKS]), (at.SIGNS_AND_EXPONENTS,), np.uint32)
    own_channels = carray(pointer(job[at.CHANNEL_MAX]), (job[at.CHANNELS],), np.uint32)
    while _lock(call):
        pass
    for place in (at.UNSIGNED_MAX, at.SIGNED_MAX):
        own_facts[place] = max(own_facts[place], facts[place])
    for place in (at.LEAST, at.LEAST_POSITIVE):
        own_facts[place] = min(own_facts[place], facts[place])
    for place in (at.ZEROS, at.NEGATIVE_ZEROS, at.NANS, at.INFS, at.NEGATIVE_INFS):
        own_facts[place] += facts[place]
    own_limbs += limbs
    own_masks |= masks
    for channel in range(channels.size):
        own_channels[channel] = max(own_channels[channel], channels[channel])
    _unlock(call)
    limbs[:] = 0
    channels[:] = 0


@njit(nogil=True)
def _likely_exponent(job: Any) -> int:
    """That of the largest element of the tensors counted before."""
    own_facts = carray(pointer(job[at.FACTS]), (at.FACT_PLACES,), np.int64)
    return find_exponent(max(own_facts[at.SIGNED_MAX], own_facts[at.UNSIGNED_MAX] - SIGN))


@njit(nogil=True)
def _count_shares(call: Any, job: Any, start: Any) -> None:
    """Count one share after another, the first of which starts at chunk ``start``."""
    number = _take_number(call)
    limbs, channels, bins = _clean_memory(job, number)
    facts, found, extremes, masks, held, picked = _work_memory(job, number)
    sizes = carray(pointer(job[at.SIZES]), (job[at.OUTER], 3), np.int64)
    masks[:] = carray(pointer(job[at.MASKS]), (at.SIGNS_AND_EXPONENTS,), np.uint32)
    filled = np.zeros(5, np.int64)
    find_filled(masks, filled)
    for place in range(at.FACT_PLACES):
        facts[place] = at.NO_FACTS[place]
    thread = limbs, bins, facts, found, extremes, masks, held, picked, filled
    likely, counted = (_likely_exponent(job) + 1) * STEADY - 1, 0
    while start < job[at.ITEMS]:
        for item in range(start, min(start + job[at.SHARE], job[at.ITEMS])):
            chunk = find_rows(item, job)
            address = job[at.X] + (place_row(chunk[0], sizes)[0] + chunk[1]) * 4
            if job[at.DENSE] == 0 and chunk[2] > 1:
                copy_rows(chunk, job, sizes, held)
                address = np.int64(held.ctypes.data)
            largest, tops = _count_chunk(address, chunk[2] * chunk[3], job, likely // STEADY, thread)
            likely = max((largest + 1) * STEADY - 1, likely - 1)
            if job[at.CHANNELS] > 0:
                fold_channels(chunk, job, sizes, tops, channels)
            counted += 1
            if counted % at.MOST_CHUNKS == 0:
                _flush_bins(call, job, facts, bins)
        start = claim(call) * job[at.SHARE]
    _flush_bins(call, job, facts, bins)
    _fold(call, job, facts, limbs, masks, channels)


def _count_of(sources: int) -> Any:
    @compiled
    def _count_team(call: Any) -> None:
        """One thread's part of counting a tensor."""
        assert sources >= 0
        job = carray(call, (at.JOB_PLACES,))
        start = claim(call) * job[at.SHARE]
        if start < job[at.ITEMS]:
            _count_shares(call, job, start)

    return _count_team


_FILES = (Path(str(module.__file__)) for module in (vectors, folds, mantissas, places, rows, sums, sweeps))
_count_team = _count_of(team.digest(Path(__file__), *_FILES))


def count(block: Any, threads: int) -> None:
    """Count the tensor that a block of INT64 tells of (:mod:`explorer.ranges.places`), claimed and counted by none."""
    team.start(_count_team, threads, block)
