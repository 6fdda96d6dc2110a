"""The range of one tensor of a model: its histogram, and the largest magnitude of each of its channels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.ranges.histogram import Histogram
from explorer.ranges.runs import Runs

Magnitudes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TensorRange:
    """What is known of a tensor, or of a stream of tensors: exact to merge.

    channel_absmax: [C] the largest finite magnitude of each channel, 0 where there is none; None for a tensor without
    channels. channel_axis: the axis of the tensor that they are along; from the end, -1, where the channels are the
    features of a token. In [n, heads, tokens, d] those are heads * d, as the linear before or after has them.
    runs: a few runs of neighbours, where they were kept.
    """

    histogram: Histogram
    channel_absmax: Magnitudes | None = None
    channel_axis: int | None = None
    runs: Runs | None = None

    def __post_init__(self) -> None:
        if self.channel_absmax is not None:
            self.channel_absmax.flags.writeable = False

    def merge(self, other: TensorRange) -> TensorRange:
        """The range of the elements of both; without channels where theirs differ in number or axis.

        Raises ``PrecisionError`` where the histograms' bins differ.
        """
        joined = self.histogram.merge(other.histogram)
        runs = None if self.runs is None or other.runs is None else self.runs.merge(other.runs)
        mine, theirs = self.channel_absmax, other.channel_absmax
        if mine is None or theirs is None or mine.shape != theirs.shape or self.channel_axis != other.channel_axis:
            return TensorRange(joined, runs=runs)
        return TensorRange(joined, np.maximum(mine, theirs), self.channel_axis, runs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorRange):
            return NotImplemented
        same = self.histogram == other.histogram and self.channel_axis == other.channel_axis and self.runs == other.runs
        if self.channel_absmax is None or other.channel_absmax is None:
            return same and self.channel_absmax is other.channel_absmax
        return same and np.array_equal(self.channel_absmax, other.channel_absmax)

    __hash__ = None  # type: ignore[assignment]

    @property
    def absmax(self) -> float:
        """The largest magnitude of the finite elements; 0 when there are none."""
        return self.histogram.absmax

    @property
    def outlier_ratio(self) -> float:
        """The largest channel's magnitude over the median channel's; inf over a median of 0, NaN without channels."""
        if self.channel_absmax is None or not self.channel_absmax.any():
            return math.nan
        median = float(np.median(self.channel_absmax))
        return float(self.channel_absmax.max()) / median if median else math.inf
