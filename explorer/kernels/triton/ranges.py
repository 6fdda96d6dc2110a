# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""The range of a tensor counted in one read on the GPU: every figure of ``ranges.Histogram``, exact, and no waiting.

Each program takes a window of 15 octaves around the first elements that it sees. Inside it, elements are counted by a
histogram in registers and added up as integers of one unit; the few outside are added one by one to the same buffer.
All sums are of integers, so the order in which programs finish changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.triton.casts import INFINITY, MAGNITUDE, widen
from explorer.kernels.triton.launch import on_device
from explorer.kernels.triton.tuning import Config, Problem, choose

if TYPE_CHECKING:
    from explorer.ranges import Histogram

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
BITS = 3
"""Leading mantissa bits of the bins, those of ``ranges.RANGE_BITS``."""
MOST_PER_PROGRAM = 1 << 18
"""Elements whose sums of limbs stay far below 2**63."""

# Places in the buffer of INT64. Bins of exponent 255 hold no finite elements; the first three count zeros, Inf and NaN.
_BINS, _SIGN, _SPECIAL = 4096, 2048, 2040
_WINDOWS = _BINS  # [256, 8] by the window's lowest exponent: its sums, each as upper and lower halves
_SINGLES = _WINDOWS + 256 * 8  # [512, 3] by sign and exponent: sums of the mantissas outside windows
_MASKS = _SINGLES + 512 * 3  # [512] by sign and exponent: the mantissa bits in use, or-ed
_EXTREMES = _MASKS + 512  # the keys of the smallest, largest and least, all as maxima plus 2**31: 0 says none
_SIZE = _EXTREMES + 3

WINDOWS = tl.constexpr(_WINDOWS)
SINGLES = tl.constexpr(_SINGLES)
MASKS = tl.constexpr(_MASKS)
EXTREMES = tl.constexpr(_EXTREMES)
SPECIAL = tl.constexpr(_SPECIAL)
OCTAVES = tl.constexpr(15)
SLOTS = tl.constexpr(128)
NONE = tl.constexpr(-(2**31))
LOW_HALF = tl.constexpr(0xFFFFFFFF)


@dataclass(frozen=True, eq=False)
class RangeCounts:
    """What was counted, on the device where the tensors live; ``read`` waits for it, nothing else does.

    buffer: INT64, see the places above; any number of tensors may be counted into one.
    """

    buffer: Tensor

    @classmethod
    def empty(cls, device: torch.device | str) -> RangeCounts:
        """The counts of no elements."""
        return cls(torch.zeros(_SIZE, dtype=torch.int64, device=device))

    def add(self, x: Tensor, config: Config | None = None) -> None:
        """Count x too: FP32, BF16 or FP16, any shape and strides; never modified. Else raises ``PrecisionError``."""
        if x.dtype not in FLOATS or x.device.type != self.buffer.device.type:
            found = f"x is {x.dtype} on {x.device}, the counts are on {self.buffer.device}"
            raise PrecisionError("count a range", found, "float32, bfloat16 or float16 on the device of the counts")
        flat = _flatten(x.detach())
        if not flat.numel():
            return

        def launch(config: Config, buffer: Tensor = self.buffer) -> None:
            block = config["BLOCK"]
            per_program = min(config["TILES"], MOST_PER_PROGRAM // block)
            with on_device(flat):
                _count_kernel[(triton.cdiv(flat.numel(), block * per_program),)](
                    flat, buffer, flat.numel(), BLOCK=block, TILES=per_program, num_warps=config.warps,
                    num_stages=config.stages,
                )  # fmt: skip

        if config is None:
            scratch = cache(lambda: torch.zeros_like(self.buffer))  # counting twice must not count here
            problem = Problem("count_range", (_size_class(flat.numel()),), str(x.dtype))
            config = choose(problem, candidates(), lambda config: launch(config, scratch()), flat)
        launch(config)

    def read(self) -> Histogram:
        """Everything counted so far. Waits for the device."""
        from explorer.ranges import Histogram

        return Histogram(BITS, *_read(self.buffer.cpu().numpy()))


def count_range(x: Tensor) -> RangeCounts:
    """Return the counts of x, on its device and without waiting; see :meth:`RangeCounts.add`."""
    counts = RangeCounts.empty(x.device)
    counts.add(x)
    return counts


def candidates() -> tuple[Config, ...]:
    """The launches worth trying."""
    return tuple(
        Config.of(warps, 2, BLOCK=block, TILES=tiles)
        for block, warps in ((1024, 4), (2048, 4), (2048, 8))
        for tiles in (4, 16)
    )


def _flatten(x: Tensor) -> Tensor:
    """x as one dimension, in the order of its memory where it is dense."""
    dense = torch.empty_like(x, device="meta").stride() == x.stride()
    return x.as_strided((x.numel(),), (1,)) if dense else x.reshape(-1)


def _size_class(elements: int) -> int:
    """The power of 16 that holds so many elements: a launch good for a million is good for two."""
    return 16 ** math.ceil(math.log(max(elements, 2), 16))


def _read(buffer: Any) -> tuple[Any, ...]:
    """The fields of a histogram, after its mantissa bits, from the buffer."""
    signs = buffer[:_BINS].reshape(2, _SIGN)
    zeros, inf, nan = (int(signs[:, _SPECIAL + kind].sum()) for kind in range(3))
    smallest, largest, least = (int(value) for value in buffer[_EXTREMES:])
    mantissas = buffer[_MASKS:_EXTREMES].reshape(2, 256)[:, :255].copy()
    total, square = _read_sums(buffer)
    return (
        signs[:, :_SPECIAL].copy(),
        zeros,
        nan,
        inf,
        _value_of_key(~(smallest - 2**31)) if smallest else math.inf,
        _value_of_key(largest - 2**31) if largest else -math.inf,
        _value_of_key(2**31 - least) if least else math.inf,
        mantissas,
        total,
        square,
    )


def _read_sums(buffer: Any) -> tuple[int, int]:
    """The sum of the elements in units of 2**-149, and of their squares in units of 2**-298."""
    total = square = 0
    windows = buffer[_WINDOWS:_SINGLES].reshape(256, 4, 2)
    for base in np.flatnonzero(windows.any(axis=(1, 2))):
        sums, high, middle, low = ((int(upper) << 32) + int(lower) for upper, lower in windows[base])
        shift = int(base) - 1
        total += sums << shift
        square += ((high << 40) + (middle << 21) + low) << 2 * shift
    singles = buffer[_SINGLES:_MASKS].reshape(512, 3)
    for place in np.flatnonzero(singles.any(axis=1)):
        mantissa, upper, lower = (int(part) for part in singles[place])
        shift = max((int(place) & 0xFF) - 1, 0)
        total += (-mantissa if place > 0xFF else mantissa) << shift
        square += ((upper << 32) + lower) << 2 * shift
    return total, square


def _value_of_key(key: int) -> float:
    """The FP32 value whose place among all floats is ``key`` (see the kernel), with +0 for either zero."""
    pattern = key if key >= 0 else (key ^ 0x7FFFFFFF) & 0xFFFFFFFF
    return float(np.uint32(pattern).view(np.float32)) + 0.0


@triton.jit
def _count_kernel(x, buffer, elements, BLOCK: tl.constexpr, TILES: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * BLOCK * TILES
    lane = tl.arange(0, BLOCK)
    base = _window_of(x + start, elements - start, lane)
    counts = tl.zeros([2 * SLOTS], tl.int32)
    sums = tl.zeros([], tl.int64)
    high, middle, low = sums, sums, sums
    smallest = tl.full([], NONE, tl.int32)
    largest, least = smallest, smallest
    for tile in range(TILES):
        first = start + tile * BLOCK
        is_there = lane < elements - first
        bits = widen(tl.load(x + first + lane, mask=is_there, other=0.0)).to(tl.int32, bitcast=True)
        size = bits & MAGNITUDE
        is_negative = bits < 0
        is_number = is_there & (size < INFINITY)
        exponent = size >> 23
        is_inside = is_number & (exponent >= base) & (exponent < base + OCTAVES)
        _count_outside(buffer, bits, is_number & (size > 0) & ~is_inside)

        special = tl.where(size == 0, 0, tl.where(size == INFINITY, 1, 2))
        slot = tl.where(is_inside, (size >> 20) - base * 8, OCTAVES * 8 + special)
        slot = tl.where(is_negative, SLOTS + slot, slot)
        is_counted = is_inside | (is_there & ((size == 0) | (size >= INFINITY)))
        counts += tl.histogram(tl.where(is_counted, slot, 0), 2 * SLOTS, mask=is_counted)

        shift = tl.where(is_inside, exponent - base, 0).to(tl.int64)
        mantissa = tl.where(is_inside, (size & 0x7FFFFF) | 0x800000, 0).to(tl.int64)
        value = mantissa << shift  # 38 bits, squared in limbs of 18 and 20
        upper, lower = value >> 20, value & 0xFFFFF
        sums += tl.sum(tl.where(is_negative, -value, value))
        high += tl.sum(upper * upper)
        middle += tl.sum(upper * lower)
        low += tl.sum(lower * lower)

        # As integers, patterns of positive floats are in the order of the floats, and of negative ones in reverse. For
        # both zeros the key is 0; no finite float has the lowest, which stands for none.
        key = tl.where(is_negative & (size > 0), bits ^ MAGNITUDE, size)
        smallest = tl.maximum(smallest, tl.max(tl.where(is_number, ~key, NONE)))
        largest = tl.maximum(largest, tl.max(tl.where(is_number, key, NONE)))
        least = tl.maximum(least, tl.max(tl.where(is_number & (size > 0), -size, NONE)))
        _mark_mantissas(buffer + MASKS + is_negative.to(tl.int32) * 256 + exponent, size & 0x7FFFFF, is_number)

    _add_counts(buffer, counts, base)
    sums_at = buffer + WINDOWS + base * 8
    _add_halves(sums_at, sums)
    _add_halves(sums_at + 2, high)
    _add_halves(sums_at + 4, middle)
    _add_halves(sums_at + 6, low)
    _raise(buffer + EXTREMES, smallest)
    _raise(buffer + EXTREMES + 1, largest)
    _raise(buffer + EXTREMES + 2, least)


@triton.jit
def _window_of(x, elements, lane):
    """The lowest exponent field of the window: 11 octaves below the mean exponent of the first elements."""
    size = widen(tl.load(x + lane, mask=lane < elements, other=0.0)).to(tl.int32, bitcast=True) & MAGNITUDE
    is_normal = (size >= 0x800000) & (size < INFINITY)
    count = tl.maximum(tl.sum(is_normal.to(tl.int32)), 1)
    mean = tl.sum(tl.where(is_normal, size >> 23, 0)) // count
    return tl.minimum(tl.maximum(mean - 11, 1), 255 - OCTAVES)


@triton.jit
def _count_outside(buffer, bits, is_outside):
    """Add elements outside the window one by one; a tile that has none skips it."""
    if tl.max(is_outside.to(tl.int32)) > 0:
        size = bits & MAGNITUDE
        is_negative = (bits < 0).to(tl.int32)
        exponent = size >> 23
        mantissa = ((size & 0x7FFFFF) | tl.where(exponent > 0, 0x800000, 0)).to(tl.int64)
        square = mantissa * mantissa
        single = buffer + SINGLES + (is_negative * 256 + exponent) * 3
        one = tl.full(mantissa.shape, 1, tl.int64)
        tl.atomic_add(buffer + is_negative * 2048 + (size >> 20), one, mask=is_outside, sem="relaxed")
        tl.atomic_add(single, mantissa, mask=is_outside, sem="relaxed")
        tl.atomic_add(single + 1, square >> 32, mask=is_outside, sem="relaxed")
        tl.atomic_add(single + 2, square & LOW_HALF, mask=is_outside, sem="relaxed")


@triton.jit
def _mark_mantissas(places, mantissas, is_number):
    """Set the bits of the mantissas that are not set yet: soon there are none, and reading is all that is done."""
    known = tl.load(places, mask=is_number, other=0, cache_modifier=".cg").to(tl.int32)
    fresh = tl.where(is_number, mantissas & ~known, 0)
    if tl.max(fresh) > 0:
        tl.atomic_or(places, fresh.to(tl.int64), mask=fresh != 0, sem="relaxed")


@triton.jit
def _add_counts(buffer, counts, base):
    slot = tl.arange(0, 2 * SLOTS)
    inside = slot % SLOTS
    place = tl.where(inside < OCTAVES * 8, base * 8 + inside, SPECIAL + inside - OCTAVES * 8)
    tl.atomic_add(buffer + (slot // SLOTS) * 2048 + place, counts.to(tl.int64), mask=counts > 0, sem="relaxed")


@triton.jit
def _add_halves(place, sums):
    """Add a signed sum as its upper and lower halves, so that millions of such sums stay below 2**63."""
    tl.atomic_add(place, sums >> 32, sem="relaxed")
    tl.atomic_add(place + 1, sums & LOW_HALF, sem="relaxed")


@triton.jit
def _raise(place, key):
    tl.atomic_max(place, key.to(tl.int64) + 2147483648, sem="relaxed")
