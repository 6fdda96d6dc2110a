"""Counting a tensor by the bits of its elements: one read, on the CPU or where the tensor lives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.formats.steps import check_float
from explorer.ranges import places as at
from explorer.ranges.bins import FINITE_EXPONENTS, FP32_MANTISSA, Counts, check_mantissa_bits

if TYPE_CHECKING:
    from explorer.ranges.job import Job

_JOBS_KEPT = 4  # shapes of a stream: a whole batch, a shorter last one
_CPU_BLOCK = 1 << 18  # elements widened to FP32 at a time: they stay in the cache
_DEVICE_BLOCK = 1 << 22  # bounds the INT64 copies, and the halves of so many squares add up far below 2**63
_MAGNITUDE, _INFINITY, _MANTISSA, _HIDDEN_BIT = 0x7FFFFFFF, 0x7F800000, 0x7FFFFF, 0x800000
_NEGATIVE_INFINITY = 0xFF800000


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

    mantissa_bits: leading mantissa bits of a bin, 0 to 11; 3 take 35 KB, 7 take 0.5 MB.
    moments: whether ``mantissas``, ``total`` and ``square`` are found too, which takes a third of the time.
    rectified: whether what a ReLU would leave of the tensors is counted too, see ``read_rectified``.
    channel_axes: the axes along which the largest magnitudes are found too, see ``channel_absmax``.
    compiled: whether to count by our loops or by torch's operations; by default the loops for a tensor on a CPU.
    """

    def __init__(
        self,
        mantissa_bits: int,
        moments: bool = True,
        channel_axes: tuple[int, ...] = (),
        compiled: bool | None = None,
        rectified: bool = False,
    ) -> None:
        check_mantissa_bits(mantissa_bits)
        self.mantissa_bits, self.moments, self.channel_axes = mantissa_bits, moments or rectified, channel_axes
        self.compiled, self.rectified = compiled, rectified
        self._counts = np.zeros(1 << (9 + mantissa_bits), np.int64)
        self._facts = np.array(at.NO_FACTS)
        self._limbs = np.zeros((at.SUM_KINDS, at.LIMB_PLACES), np.int64)
        self._masks = np.zeros(at.SIGNS_AND_EXPONENTS, np.uint32)
        self._channels = np.zeros(0, np.uint32)
        self._sums = [0] * at.SUM_KINDS
        self._jobs: dict[tuple[Any, ...], Job | None] = {}

    def see(self, x: Tensor) -> None:
        """Counts x: any shape, strides and device, FP32, BF16, FP16 or FP64; never modified.

        FP64 elements are cut towards zero to FP32, so that 1e-50 counts as a zero and 1e300 as FP32's largest.
        Raises ``PrecisionError`` for other dtypes.
        """
        check_float(x, "count a range")
        x = x.detach()
        if not x.numel():
            return
        if x.is_cpu if self.compiled is None else self.compiled:
            self._count_with_loops(x)
        else:
            self._count_with_torch(x)

    def read(self) -> Tally:
        """The tally of all that was seen so far."""
        return _read(self._counts, self._facts, self._masks, self._add_limbs()[:2])

    def read_rectified(self) -> Tally:
        """That of max(x, 0) for each element x of all that was seen so far, NaN for NaN."""
        assert self.rectified, "asked for when the counting began"
        return _read_rectified(self._counts, self._facts, self._masks, self._add_limbs()[2:])

    @property
    def channel_absmax(self) -> NDArray[np.float32] | None:
        """[C] the largest finite magnitude of each channel so far, the last axis varying fastest; None without."""
        return self._of_channels(0)

    @property
    def rectified_channel_absmax(self) -> NDArray[np.float32] | None:
        """[C] that of max(x, 0)."""
        return self._of_channels(1)

    def _of_channels(self, kind: int) -> NDArray[np.float32] | None:
        if not self.channel_axes or not self._channels.size:
            return None
        found: NDArray[np.float32] = self._channels.view(np.float32).reshape(1 + self.rectified, -1)[kind]
        return found

    def _add_limbs(self) -> list[int]:
        """The sums and sums of squares, of all elements and of the positive ones."""
        rows = self._limbs.tolist()
        limbs = (sum(limb << 32 * place for place, limb in enumerate(row) if limb) for row in rows)
        return [found + more for found, more in zip(self._sums, limbs, strict=True)]

    @property
    def ignored(self) -> int:
        """How many elements were NaN or Inf."""
        return int(self._facts[at.NANS] + self._facts[at.INFS])

    @property
    def saw_finite(self) -> bool:
        """Whether there was a finite element."""
        return bool((self._facts[:2] > at.NO_FACTS[:2]).any())

    def _count_with_loops(self, x: Tensor) -> None:
        job = self._find_job(x)
        if job is not None:
            job.run(x)
            return
        for block in _pieces(x, self.channel_axes):
            found = self._find_job(block)
            assert found is not None, "the elements of a contiguous tensor are in an order that loops go along"
            found.run(block)

    def _find_job(self, x: Tensor) -> Job | None:
        """The call that counts tensors that lie in memory as x does; None where a copy of it must be counted."""
        key = x.dtype, x.shape, x.stride()
        if key not in self._jobs:
            from explorer.ranges.job import Job, find_rows  # Numba loads when a tensor is counted, not with the package

            self._start_channels(x)
            rows = find_rows(tuple(x.shape), x.stride(), self.channel_axes) if x.dtype == torch.float32 else None
            arrays = self._counts, self._facts, self._limbs, self._masks, self._channels
            job = None if rows is None else Job(rows, arrays, self.mantissa_bits, self.moments + self.rectified)
            self._jobs = {**(self._jobs if len(self._jobs) < _JOBS_KEPT else {}), key: job}
        return self._jobs[key]

    def _start_channels(self, x: Tensor) -> None:
        """Make room for the channels of the first tensor; those of others than have as many are not told apart."""
        size = prod(x.shape[axis] for axis in self.channel_axes) * (1 + self.rectified)
        if not self.channel_axes or self._channels.size == size:
            return
        if self._channels.size:
            self.channel_axes, self._channels, self._jobs = (), self._channels[:0], {}
        else:
            self._channels = np.zeros(size, np.uint32)

    def _count_with_torch(self, x: Tensor) -> None:
        self._start_channels(x)
        if self.channel_axes:
            kinds = (x, x.clamp(min=0.0)) if self.rectified else (x,)
            found = torch.cat([largest_along(each, self.channel_axes) for each in kinds]).cpu().numpy()
            np.maximum(self._channels, found.view(np.uint32), out=self._channels)
        for block in _blocks(_flatten(x)):
            self._count_block(block)

    def _count_block(self, x: Tensor) -> None:
        bits = x.view(torch.int32).long().bitwise_and_(0xFFFFFFFF)
        size = bits & _MAGNITUDE
        nans, finite = int((size > _INFINITY).sum()), bits[size < _INFINITY]
        self._facts[at.NANS] += nans
        self._facts[at.INFS] += x.numel() - nans - finite.numel()
        self._facts[at.NEGATIVE_INFS] += int((bits == _NEGATIVE_INFINITY).sum())
        _fold_facts(finite, self._facts)
        bins = finite >> (FP32_MANTISSA - self.mantissa_bits)
        counts = _add_at(bins, torch.ones_like(bins), self._counts.size)
        self._counts += counts
        if self.moments:
            place, mantissa = finite >> FP32_MANTISSA, (finite & _MANTISSA) | _HIDDEN_BIT
            squares = mantissa * mantissa
            parts = (_add_at(place, part, 512) for part in (mantissa, squares >> 32, squares & 0xFFFFFFFF))
            found, sums = counts.reshape(512, -1), np.stack(list(parts), axis=1)
            more = (*_read_moments(found, sums), *_read_moments(found[:256], sums[:256]))
            self._sums = [before + each for before, each in zip(self._sums, more, strict=True)]
            self._masks |= (_or_at(place, mantissa) & _MANTISSA).astype(np.uint32)


def tally(x: Tensor, mantissa_bits: int) -> Tally:
    """The tally of one tensor; arguments and errors as for ``Counter`` and ``Counter.see``."""
    counter = Counter(mantissa_bits)
    counter.see(x)
    return counter.read()


def largest_along(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """[C] FP32: the largest finite magnitude of each channel, by torch's operations, on the device of x."""
    kept = [axis % x.dim() for axis in axes]
    others = [axis for axis in range(x.dim()) if axis not in kept]
    size = x.abs().float()
    size = torch.where(size.isfinite(), size, 0.0)
    return (size.amax(others) if others else size).reshape(-1)


def _pieces(x: Tensor, channel_axes: tuple[int, ...]) -> Iterator[Tensor]:
    """x in FP32 and contiguous, in pieces along axes that are not of channels: copies, so of few elements each."""
    kept = {axis % x.dim() for axis in channel_axes}
    free = [axis for axis in range(x.dim()) if axis not in kept and x.shape[axis] > 1]
    if x.numel() <= _CPU_BLOCK or not free:
        yield (_cut(x) if x.dtype == torch.float64 else x.float()).contiguous()
        return
    longest = max(free, key=lambda axis: x.shape[axis])
    for part in torch.split(x, max(1, x.shape[longest] * _CPU_BLOCK // x.numel()), longest):
        yield from _pieces(part, channel_axes)


def _flatten(x: Tensor) -> Tensor:
    """x as one dimension, in the order of its memory where it is dense."""
    dense = torch.empty_like(x, device="meta").stride() == x.stride()
    return x.as_strided((x.numel(),), (1,)) if dense else x.reshape(-1).contiguous()


def _blocks(flat: Tensor) -> Iterator[Tensor]:
    """Blocks of a flat tensor in FP32."""
    for block in torch.split(flat, _DEVICE_BLOCK):
        yield _cut(block) if block.dtype == torch.float64 else block.float()


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
    """Folds extremes and zeros of finite elements' patterns into the facts."""
    if not bits.numel():
        return
    signed = torch.where(bits > _MAGNITUDE, bits - 2**32, bits)
    least = (bits * 2 - 1) & 0xFFFFFFFF
    positive = (bits - 1) & 0xFFFFFFFF
    facts[at.SIGNED_MAX] = max(facts[at.SIGNED_MAX], int(signed.max()))
    facts[at.UNSIGNED_MAX] = max(facts[at.UNSIGNED_MAX], int(bits.max()))
    facts[at.LEAST] = min(facts[at.LEAST], int(least.min()))
    facts[at.LEAST_POSITIVE] = min(facts[at.LEAST_POSITIVE], int(positive.min()))
    facts[at.ZEROS] += int((bits & _MAGNITUDE == 0).sum())
    facts[at.NEGATIVE_ZEROS] += int((bits == _MAGNITUDE + 1).sum())


def _read(counts: Counts, facts: Counts, masks: NDArray[np.uint32], sums: list[int]) -> Tally:
    """The tally; ``sums``: of the elements and of their squares."""
    above, high, least, _, zeros, _, nan, inf, _ = facts.tolist()
    smallest, largest, nearest = math.inf, -math.inf, math.inf
    if least != at.NO_FACTS[at.LEAST]:
        nearest = _value((least + 1) >> 1)
    if above != at.NO_FACTS[at.SIGNED_MAX] or high:
        smallest = _value(high) if high > _MAGNITUDE else 0.0 if zeros else nearest
        largest = _value(above) if above >= 0 else 0.0 if zeros else -nearest
    mantissas = masks.reshape(2, -1)[:, :FINITE_EXPONENTS].astype(np.int64)
    return Tally(_without_zeros(counts, facts), zeros, nan, inf, smallest, largest, nearest, mantissas, *sums)


def _read_rectified(counts: Counts, facts: Counts, masks: NDArray[np.uint32], sums: list[int]) -> Tally:
    """The tally of what a ReLU leaves: of negative elements, infinite ones too, zeros."""
    above, _, _, least, zeros, _, nan, inf, negative_inf = facts.tolist()
    counts = _without_zeros(counts, facts)
    zeros += int(counts[1].sum()) + negative_inf
    counts[1] = 0
    nearest = _value(least + 1) if above > 0 else math.inf
    smallest, largest = 0.0 if zeros else nearest, _value(above) if above > 0 else 0.0 if zeros else -math.inf
    mantissas = np.zeros((2, FINITE_EXPONENTS), np.int64)
    mantissas[0] = masks[:FINITE_EXPONENTS]
    return Tally(counts, zeros, nan, inf - negative_inf, smallest, largest, nearest, mantissas, *sums)


def _without_zeros(counts: Counts, facts: Counts) -> Counts:
    """[2, bins] the counts but for zeros, which lie in the lowest bins."""
    bins = counts.size >> 1
    kept = counts.reshape(2, -1)[:, : bins - (bins >> 8)].copy()
    kept[:, 0] -= (facts[at.ZEROS] - facts[at.NEGATIVE_ZEROS], facts[at.NEGATIVE_ZEROS])
    return kept


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
