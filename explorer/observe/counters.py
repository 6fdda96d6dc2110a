"""The counters of the tensors of a pass, on whichever device they are. (Effect: compiled loops on threads.)"""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch
from torch import Tensor

from explorer.graph import ModelGraph
from explorer.observe.watch import Watched
from explorer.ranges import Histogram, TensorRange
from explorer.ranges.tensor_range import Magnitudes


class Counters:
    """Counters by value name, each made when its value is first seen."""

    def __init__(self) -> None:
        self._counted: dict[str, TensorRange] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._counted

    def see(self, watched: Watched, x: Tensor) -> None:
        """Count x as one more part of a value."""
        found = count_range(x, watched.channel_axes)
        before = self._counted.get(watched.name)
        self._counted[watched.name] = found if before is None else before.merge(found)

    def join(self, names: tuple[str, ...]) -> TensorRange:
        """The range of what these values hold together; their channels, if any, one after the other."""
        parts = [self._counted[name] for name in names]
        if len(parts) == 1:
            return parts[0]
        histogram = reduce(Histogram.merge, (part.histogram for part in parts))
        channels = [part.channel_absmax for part in parts if part.channel_absmax is not None]
        if len(channels) < len(parts):
            return TensorRange(histogram)
        return TensorRange(histogram, np.concatenate(channels), parts[0].channel_axis)


def count_range(x: Tensor, channel_axes: tuple[int, ...]) -> TensorRange:
    """The range of one tensor, with the largest magnitude along the axes of its channels."""
    axis = channel_axes[-1] if channel_axes else None
    return TensorRange(Histogram.of(x), _find_channels(x, channel_axes), axis)


def count_weight(graph: ModelGraph, name: str) -> TensorRange:
    """The range of a constant; channels are what an op gives: axis 0, or 1 of a matrix that is stored [in, out]."""
    weight = graph.constants[name]
    if weight.dim() < 2:
        return count_range(weight, ())
    return count_range(weight, (0,))


def _find_channels(x: Tensor, axes: tuple[int, ...]) -> Magnitudes | None:
    if not axes:
        return None
    kept = [axis % x.dim() for axis in axes]
    others = [axis for axis in range(x.dim()) if axis not in kept]
    size = x.detach().float().abs()
    size = torch.where(size.isfinite(), size, 0.0)
    found: Magnitudes = size.amax(others).reshape(-1).cpu().numpy()
    return found
