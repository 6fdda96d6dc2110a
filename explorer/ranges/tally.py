"""Counting a tensor by the bits of its elements: one read, on the CPU or where the tensor lives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.formats.steps import check_float
from explorer.ranges.bins import FINITE_EXPONENTS, FP32_MANTISSA, Counts, bins_per_sign, check_mantissa_bits

_SHARES, _LANES = 4, 4  # as in loops.py
_CPU_BLOCK = 1 << 18  # elements widened to FP32 at a time: they stay in the cache
_DEVICE_BLOCK = 1 << 22  # bounds the INT64 copies, and the halves of so many squares add up far below 2**63
_MAGNITUDE, _INFINITY, _MANTISSA, _HIDDEN_BIT = 0x7FFFFFFF, 0x7F800000, 0x7FFFFF, 0x800000
_NO_FACTS = (0, 2**32 - 1, -(2**31), 2**31 - 1, 2**32 - 1, 0, 0, 0, 0)  # in the order of the places in loops.py


class Tally(NamedTuple):
    """What was counted of one tensor, field for field as ``Histogram`` describes them."""

    counts: Counts
    zeros: int
    nan: int
    inf: int
    min: float
    max: float
    least: float
    mantissas: Counts
    total: int
    square: int


class Counter:
    """Counts a stream of tensors, in memory that does not grow: the mutable twin of ``Tally``, for long streams.

    mantissa_bits: leading mantissa bits of a bin, 0 to 11; 3 take at most 0.5 MB, 7 at most 8 MB.
    moments: whether ``least``, ``mantissas``, ``total`` and ``square`` are found too, which takes half of the time.
    compiled: whether to count by our loops or by torch's operations; by default the loops for a tensor on a CPU.
    """

    def __init__(self, mantissa_bits: int, moments: bool = True, compiled: bool | None = None) -> None:
        check_mantissa_bits(mantissa_bits)
        self.mantissa_bits, self.moments, self.compiled = mantissa_bits, moments, compiled
        self._counts = np.zeros((_SHARES, _LANES, 1 << (9 + mantissa_bits)), np.int64)
        self._facts = np.tile(np.array(_NO_FACTS), (_SHARES, 1))
        self._sums = np.zeros((_SHARES, 512, 4), np.int64)

    def see(self, x: Tensor) -> None:
        """Counts x: any shape, strides and device, FP32, BF16, FP16 or FP64; never modified.

        FP64 elements are cut towards zero to FP32, so that 1e-50 counts as a zero and 1e300 as FP32's largest.
        Raises ``PrecisionError`` for other dtypes.
        """
        check_float(x, "count a range")
        by_loops = x.is_cpu if self.compiled is None else self.compiled
        for block in _blocks(_flatten(x.detach())):
            if by_loops:
                self._count_with_loops(block)
            else:
                self._count_with_torch(block)

    def read(self) -> Tally:
        """The tally of all that was seen so far."""
        sums = self._sums.sum(axis=0)
        sums[:, 3] = np.bitwise_or.reduce(self._sums[:, :, 3], axis=0)
        return _read(self._counts.sum(axis=(0, 1)), _join_facts(self._facts), sums, self.mantissa_bits)

    @property
    def ignored(self) -> int:
        """How many elements were NaN or Inf."""
        return int(self._facts[:, -2:].sum())

    @property
    def saw_finite(self) -> bool:
        """Whether there was a finite element."""
        return bool((self._facts[:, 0] >= self._facts[:, 1]).any())  # largest and smallest pattern, once there is one

    def _count_with_loops(self, x: Tensor) -> None:
        from explorer.ranges.loops import count  # Numba loads when a tensor is counted, not with the package

        bits, shift = x.numpy().view(np.uint32), FP32_MANTISSA - self.mantissa_bits
        count(bits, shift, self._counts, self._facts, self._sums, self.moments, torch.get_num_threads())

    def _count_with_torch(self, x: Tensor) -> None:
        bits = x.view(torch.int32).long().bitwise_and_(0xFFFFFFFF)
        size = bits & _MAGNITUDE
        nans, finite = int((size > _INFINITY).sum()), bits[size < _INFINITY]
        self._facts[0, 7:] += (nans, x.numel() - nans - finite.numel())
        _fold_facts(finite, self._facts[0])
        bins = finite >> (FP32_MANTISSA - self.mantissa_bits)
        self._counts[0, 0] += _add_at(bins, torch.ones_like(bins), self._counts.shape[2])
        if self.moments:
            place, mantissa = finite >> FP32_MANTISSA, (finite & _MANTISSA) | _HIDDEN_BIT
            squares = mantissa * mantissa
            for column, part in enumerate((mantissa, squares >> 32, squares & 0xFFFFFFFF)):
                self._sums[0, :, column] += _add_at(place, part, 512)
            self._sums[0, :, 3] |= _or_at(place, mantissa)


def tally(x: Tensor, mantissa_bits: int) -> Tally:
    """The tally of one tensor; arguments and errors as for ``Counter`` and ``Counter.see``."""
    counter = Counter(mantissa_bits)
    counter.see(x)
    return counter.read()


def _flatten(x: Tensor) -> Tensor:
    """x as one dimension, in the order of its memory where it is dense."""
    dense = torch.empty_like(x, device="meta").stride() == x.stride()
    return x.as_strided((x.numel(),), (1,)) if dense else x.reshape(-1).contiguous()


def _blocks(flat: Tensor) -> Iterator[Tensor]:
    """Blocks of a flat tensor in FP32; FP32 itself on a CPU in one piece, as it needs no copy."""
    size = _CPU_BLOCK if flat.is_cpu else _DEVICE_BLOCK
    if flat.dtype == torch.float32 and flat.is_cpu:
        size = max(flat.numel(), 1)
    return (_cut(block) if block.dtype == torch.float64 else block.float() for block in torch.split(flat, size))


def _cut(x: Tensor) -> Tensor:
    """x: FP64 cut towards zero to FP32; NaN and Inf stay."""
    y = x.to(torch.float32)
    y.view(torch.int32).sub_((y.double().abs() > x.abs()).to(torch.int32))
    return y


def _add_at(place: Tensor, values: Tensor, size: int) -> Counts:
    """[size] the INT64 sums of ``values`` by ``place``; exact, so the order of the additions is of no matter."""
    sums: Counts = values.new_zeros(size).index_add_(0, place, values).cpu().numpy()
    return sums


def _or_at(place: Tensor, mantissas: Tensor) -> Counts:
    """[512] the mantissas or-ed by ``place``."""
    bits = (_add_at(place, mantissas >> bit & 1, 512) > 0 for bit in range(FP32_MANTISSA))
    return np.asarray(sum(used.astype(np.int64) << bit for bit, used in enumerate(bits)))


def _fold_facts(bits: Tensor, facts: Counts) -> None:
    """Folds extremes and zeros of finite elements' patterns into the first seven facts."""
    if not bits.numel():
        return
    signed = torch.where(bits > _MAGNITUDE, bits - 2**32, bits)
    least = (bits * 2 - 1) & 0xFFFFFFFF
    facts[0], facts[1] = max(facts[0], int(bits.max())), min(facts[1], int(bits.min()))
    facts[2], facts[3] = max(facts[2], int(signed.max())), min(facts[3], int(signed.min()))
    facts[4] = min(facts[4], int(least.min()))
    facts[5] += int((bits & _MAGNITUDE == 0).sum())
    facts[6] += int((bits == _MAGNITUDE + 1).sum())


def _join_facts(facts: Counts) -> Counts:
    """The facts of all shares together: largest, smallest, largest, smallest and smallest pattern, then counts."""
    largest, smallest = facts.max(axis=0), facts.min(axis=0)
    extremes = np.stack([largest[0], smallest[1], largest[2], smallest[3], smallest[4]])
    return np.concatenate([extremes, facts[:, 5:].sum(axis=0)])


def _read(counts: Counts, facts: Counts, sums: Counts, mantissa_bits: int) -> Tally:
    highest, lowest, above, below, least, zeros, negative_zeros, nan, inf = map(int, facts)
    smallest, largest, nearest = math.inf, -math.inf, math.inf
    if counts.any():
        smallest = _value(highest if highest > _MAGNITUDE else below)
        largest = _value(above if above >= 0 else lowest)
    if least != 2**32 - 1:
        nearest = _value((least + 1) >> 1)
    total, square = _read_moments(counts.reshape(512, -1), sums)
    counts = counts.reshape(2, -1)[:, : bins_per_sign(mantissa_bits)]
    counts[:, 0] -= (zeros - negative_zeros, negative_zeros)
    mantissas = sums[:, 3].reshape(2, -1)[:, :FINITE_EXPONENTS] & _MANTISSA
    return Tally(counts, zeros, nan, inf, smallest, largest, nearest, mantissas, total, square)


def _read_moments(counts: Counts, sums: Counts) -> tuple[int, int]:
    """The sum of the elements and of their squares, exact, from those of their mantissas; counts: [512, bins]."""
    total = square = 0
    for place in np.flatnonzero(sums.any(axis=1)):
        mantissa, upper, lower = (int(part) for part in sums[place, :3])
        exponent = int(place) & 0xFF
        squares = (upper << 32) + lower
        if exponent == 0:
            n = int(counts[place].sum())
            mantissa -= n * _HIDDEN_BIT  # the count added it to subnormals and zeros, which have none
            squares -= 2 * _HIDDEN_BIT * mantissa + n * _HIDDEN_BIT**2
        shift = max(exponent - 1, 0)
        total += (-mantissa if place > 0xFF else mantissa) << shift
        square += squares << (2 * shift)
    return total, square


def _value(pattern: int) -> float:
    """The FP32 value of a bit pattern, with +0 for either zero."""
    return float(np.uint32(pattern).view(np.float32)) + 0.0
