"""Histograms of many channels at once, each over the octaves below its largest magnitude, to find thresholds in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from explorer.ranges.bins import FP32_MANTISSA, Counts, Flags, Floats, bin_edges
from explorer.ranges.histogram import Histogram
from explorer.ranges.tally import Tally

OCTAVES = 24
"""Octaves kept below a row's largest magnitude; what is smaller counts as zero: no scale of 8 bits tells them apart."""
CHANNEL_BITS = 5
"""Leading mantissa bits of a channel's bins: 3 % wide, 12 kB per channel."""
_BLOCK = 1 << 22  # elements counted at a time: bounds the INT64 copies
_MAGNITUDE, _INFINITY = 0x7FFFFFFF, 0x7F800000


@dataclass(frozen=True, eq=False)
class Spectrum:
    """R histograms (of channels, or one of a whole tensor) on edges of their own scale.

    edges: [K + 1] magnitudes in units of the row. counts: [R, 2, K] positive and negative.
    zeros: [R] elements that are zero, or too small to tell. low, high: [R] the extremes, of the tensor's units.
    unit: [R] what an edge of 1 stands for, a power of two. points: [K] whether all elements of a bin
    are at its lower edge.
    """

    edges: Floats
    counts: Counts
    zeros: Counts
    low: Floats
    high: Floats
    unit: Floats
    bins_per_octave: int
    points: Flags

    @property
    def absmax(self) -> Floats:
        """[R] the largest magnitude, in the row's unit."""
        return np.asarray(np.maximum(self.high, -self.low) / self.unit)

    def coarsen(self, bins_per_octave: int, keep: tuple[float, float] = (0.0, 0.0)) -> Spectrum:
        """At most so many bins to the octave, but as before where an edge lies within ``keep``, in units of the row."""
        merged = max(1, self.bins_per_octave // bins_per_octave)
        lower = self.edges[:-1]
        starts = np.flatnonzero((np.arange(len(lower)) % merged == 0) | ((lower >= keep[0]) & (lower < keep[1])))
        lengths = np.diff(np.append(starts, len(lower)))
        counts = np.add.reduceat(self.counts, starts, axis=2)
        edges = np.append(lower[starts], self.edges[-1])
        return replace(self, edges=edges, counts=counts, points=self.points[starts] & (lengths == 1))

    def rows(self, chosen: slice) -> Spectrum:
        """Some of the rows."""
        return replace(
            self,
            counts=self.counts[chosen],
            zeros=self.zeros[chosen],
            low=self.low[chosen],
            high=self.high[chosen],
            unit=self.unit[chosen],
        )


def spectrum_of(seen: Tally | Histogram, mantissa_bits: int, is_exact: bool = False) -> Spectrum:
    """The spectrum of one histogram; is_exact: whether its elements are all at the lower edges of their bins."""
    counts = seen.counts
    used = np.flatnonzero(counts.any(axis=0))
    top = int(used[-1]) >> mantissa_bits if len(used) else 0
    first = max(int(used[0]) >> mantissa_bits if len(used) else 0, top - OCTAVES + 1)
    kept = slice(first << mantissa_bits, (top + 1) << mantissa_bits)
    edges = bin_edges(mantissa_bits)[kept.start : kept.stop + 1]
    too_small = counts[:, : kept.start].sum()
    ends = np.array([seen.min]), np.array([seen.max])
    points = np.full(len(edges) - 1, is_exact)
    return Spectrum(
        edges, counts[None, :, kept], np.array([seen.zeros + too_small]), *ends, np.ones(1), 1 << mantissa_bits, points
    )


class ChannelCounter:
    """Counts the channels of a stream of tensors, each over the octaves below its own largest magnitude so far.

    Memory: 2 * OCTAVES * 2**CHANNEL_BITS INT64 counts per channel, on the device of the tensors. When a channel's
    largest magnitude grows, its smallest octaves fall out and count as zero; FP32's subnormals do so always.
    """

    def __init__(self, channels: int, device: torch.device) -> None:
        self._width = OCTAVES << CHANNEL_BITS
        self._counts = torch.zeros((channels, 2, self._width), dtype=torch.int64, device=device)
        self._seen = torch.zeros(channels, dtype=torch.int64, device=device)
        self._top = torch.zeros(channels, dtype=torch.int64, device=device)

    def see(self, rows: Tensor) -> None:
        """Counts rows [channels, n] of FP32; NaN and Inf are left out."""
        for block in torch.split(rows, max(1, _BLOCK // max(1, len(rows))), dim=1):
            bits = block.contiguous().view(torch.int32)
            size = bits & _MAGNITUDE
            self._raise_tops(size.masked_fill_(size >= _INFINITY, 0).amax(dim=1).long() >> FP32_MANTISSA)
            bottom = (self._top - OCTAVES + 1) << CHANNEL_BITS
            if bits.is_cpu:
                self._count_with_loops(bits, bottom)
            else:
                self._count_with_torch(bits, bottom)

    def _count_with_loops(self, bits: Tensor, bottom: Tensor) -> None:
        from explorer.ranges.spectrum_loops import (
            count_rows,
        )  # Numba loads when a tensor is counted, not with the package

        patterns, shift = bits.numpy().view(np.uint32), np.uint32(FP32_MANTISSA - CHANNEL_BITS)
        count_rows(patterns, shift, bottom.numpy(), self._counts.numpy(), self._seen.numpy())

    def _count_with_torch(self, bits: Tensor, bottom: Tensor) -> None:
        size = (bits & _MAGNITUDE).long()
        finite = size < _INFINITY
        self._seen += finite.sum(dim=1)
        bins = size >> (FP32_MANTISSA - CHANNEL_BITS)
        place = bins - bottom.unsqueeze(1)
        kept = finite & (place >= 0) & (bins >> CHANNEL_BITS > 0)
        row = torch.arange(len(bits), device=bits.device).unsqueeze(1) * 2 + (bits < 0)
        flat = (row * self._width + place)[kept]
        self._counts.view(-1).index_add_(0, flat, torch.ones_like(flat))

    def _raise_tops(self, top: Tensor) -> None:
        """Moves the counts of the channels whose largest octave grew."""
        rise = (top - self._top).clamp_(min=0)
        if not bool(rise.any()):
            return
        source = torch.arange(self._width, device=rise.device) + (rise.clamp(max=OCTAVES) << CHANNEL_BITS).unsqueeze(1)
        kept = source < self._width
        source = source.clamp_(max=self._width - 1).unsqueeze(1).expand_as(self._counts)
        self._counts = self._counts.gather(2, source) * kept.unsqueeze(1)
        self._top += rise

    def read(self, low: Floats, high: Floats) -> Spectrum:
        """The spectrum of all that was seen, whose extremes [channels] are known from elsewhere."""
        counts: Counts = self._counts.cpu().numpy()
        bins = np.arange(self._width + 1)
        octave, part = bins >> CHANNEL_BITS, bins & ((1 << CHANNEL_BITS) - 1)
        edges = np.ldexp(1.0 + part / (1 << CHANNEL_BITS), octave - OCTAVES + 1)
        zeros = self._seen.cpu().numpy() - counts.sum(axis=(1, 2))
        unit = np.ldexp(1.0, self._top.cpu().numpy() - 127)
        return Spectrum(edges, counts, zeros, low, high, unit, 1 << CHANNEL_BITS, np.zeros(self._width, np.bool_))
