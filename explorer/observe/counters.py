"""The counters of the tensors of a pass, on whichever device they are. (Effect: compiled loops on threads.)"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.graph import ModelGraph
from explorer.observe.watch import Watched
from explorer.ranges import Counter, Histogram, TensorRange
from explorer.ranges.bins import RANGE_BITS
from explorer.ranges.tally import Tally, largest_along

if TYPE_CHECKING:
    from explorer.kernels.triton.ranges import RangeCounts


class Counters:
    """Counters by value name, each made when its value is first seen."""

    def __init__(self) -> None:
        self._counted: dict[str, HostRange | DeviceRange | RectifiedRange] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._counted

    def see(self, watched: Watched, x: Tensor) -> None:
        """Count x as one more part of a value."""
        found = self._counted.get(watched.name)
        if found is None:
            found = self._start(watched, x)
        found.see(x)

    def is_counted_along(self, name: str) -> bool:
        """Whether a value's range follows from what is counted of another, so that it need not be seen."""
        return isinstance(self._counted.get(name), RectifiedRange)

    def _start(self, watched: Watched, x: Tensor) -> HostRange | DeviceRange:
        """Begin to count a value; on the CPU, what a ReLU leaves of it is counted along."""
        if watched.rectified is None or not x.is_cpu:
            found = _find_kind(x)(watched.channel_axes)
        else:
            found = HostRange(watched.channel_axes, rectified=True)
            self._counted[watched.rectified] = RectifiedRange(found)
        self._counted[watched.name] = found
        return found

    def join(self, names: tuple[str, ...]) -> TensorRange:
        """The range of what these values hold together; their channels, if any, one after the other."""
        parts = [self._counted[name].read() for name in names]
        if len(parts) == 1:
            return parts[0]
        histogram = reduce(Histogram.merge, (part.histogram for part in parts))
        channels = [part.channel_absmax for part in parts if part.channel_absmax is not None]
        if len(channels) < len(parts):
            return TensorRange(histogram)
        return TensorRange(histogram, np.concatenate(channels), parts[0].channel_axis)


class HostRange:
    """The range of a value that is counted on the CPU."""

    def __init__(self, channel_axes: tuple[int, ...], rectified: bool = False) -> None:
        """rectified: whether what a ReLU would leave of it is counted too."""
        self._axis = channel_axes[-1] if channel_axes else None
        self._counter = Counter(RANGE_BITS, channel_axes=channel_axes, rectified=rectified)
        self._read: tuple[TensorRange, ...] = ()

    def see(self, x: Tensor) -> None:
        """Count x too."""
        self._counter.see(x)

    def read(self) -> TensorRange:
        """What was seen in all; ends the counting, so that the counts are held once."""
        return self._end()[0]

    def read_rectified(self) -> TensorRange:
        """The range of what a ReLU leaves of all that was seen."""
        return self._end()[1]

    def _end(self) -> tuple[TensorRange, ...]:
        if not self._read:
            counter = self._counter
            found = [(counter.read(), counter.channel_absmax)]
            if counter.rectified:
                found.append((counter.read_rectified(), counter.rectified_channel_absmax))
            self._read = tuple(self._range(tally, channels) for tally, channels in found)
            del self._counter
        return self._read

    def _range(self, tally: Tally, channels: NDArray[np.float32] | None) -> TensorRange:
        return TensorRange(Histogram(RANGE_BITS, *tally), channels, None if channels is None else self._axis)


class RectifiedRange:
    """The range of a ReLU's output, which is counted along with its input."""

    def __init__(self, source: HostRange) -> None:
        self._source = source

    def see(self, x: Tensor) -> None:
        """Nothing: its elements were counted when the input was seen."""

    def read(self) -> TensorRange:
        """What was seen in all."""
        return self._source.read_rectified()


class DeviceRange:
    """The range of a value that is counted on a GPU, by its kernel and without waiting."""

    def __init__(self, channel_axes: tuple[int, ...]) -> None:
        self._axes = channel_axes
        self._counts: RangeCounts | None = None
        self._channels: Tensor | None = None

    def see(self, x: Tensor) -> None:
        """Count x too."""
        from explorer.kernels.triton.ranges import RangeCounts

        if self._counts is None:
            self._counts = RangeCounts.empty(x.device)
        self._counts.add(x)
        if self._axes:
            found = largest_along(x, self._axes)
            if self._channels is not None and self._channels.shape != found.shape:
                self._axes, self._channels = (), None
            else:
                self._channels = found if self._channels is None else torch.maximum(self._channels, found)

    def read(self) -> TensorRange:
        """What was seen in all; waits for the device."""
        assert self._counts is not None, "made when its value is first seen"
        if self._channels is None:
            return TensorRange(self._counts.read())
        return TensorRange(self._counts.read(), self._channels.cpu().numpy(), self._axes[-1])


def _find_kind(x: Tensor) -> Callable[[tuple[int, ...]], HostRange | DeviceRange]:
    """How a tensor is counted: on CUDA by a kernel where there is one for its dtype, else by loops on the CPU."""
    if x.is_cuda and x.dtype in (torch.float32, torch.bfloat16, torch.float16):
        return DeviceRange
    return HostRange


def count_weight(graph: ModelGraph, name: str) -> TensorRange:
    """The range of a constant; the channels of a weight are what its op gives, of a table its columns.

    A linear or a convolution stores [out, in, ...], a product with a matrix [in, out].
    """
    weight = graph.constants[name]
    axes = () if weight.dim() < 2 else (_output_axis(graph, name),)
    found = _find_kind(weight)(axes)
    found.see(weight)
    return found.read()


def _output_axis(graph: ModelGraph, name: str) -> int:
    kinds = {op.kind for op in graph.users.get(name, ())}
    targets = {str(getattr(op.target, "__name__", op.target)) for op in graph.users.get(name, ())}
    stored_out_first = any(kind.startswith("conv") for kind in kinds) or any("linear" in target for target in targets)
    return 0 if stored_out_first else -1
