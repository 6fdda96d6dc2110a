"""What a convolution reads for each output: its settings, and where its taps start in an image of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A two-dimensional convolution's settings, each as (rows, columns); a one-dimensional one has a single row."""

    kernel: Pair
    stride: Pair
    before: Pair
    after: Pair
    dilation: Pair
    groups: int

    @property
    def pointwise(self) -> bool:
        """Whether an output reads the one input at its own place."""
        return self.kernel == (1, 1) == self.stride and self.before == (0, 0) == self.after

    def outputs(self, height: int, width: int) -> Pair:
        """Rows and columns of the output for an input of this size."""
        rows, columns = (
            (size + self.before[d] + self.after[d] - self.dilation[d] * (self.kernel[d] - 1) - 1) // self.stride[d] + 1
            for d, size in enumerate((height, width))
        )
        return max(rows, 0), max(columns, 0)

    def offsets(self, height: int, width: int, channels: int) -> Tensor:
        """Return [output pixels, taps] INT64: the byte where each tap's channels start, -1 in the padding.

        The image is [height, width, channels] bytes; the taps are those of the kernel, row by row.
        """
        places = []
        for d, (size, count) in enumerate(zip((height, width), self.outputs(height, width), strict=True)):
            first = torch.arange(count) * self.stride[d] - self.before[d]
            place = first.unsqueeze(1) + torch.arange(self.kernel[d]) * self.dilation[d]
            places.append(torch.where((place >= 0) & (place < size), place, -1))
        rows, columns = places[0][:, None, :, None], places[1][None, :, None, :]
        offsets = torch.where((rows >= 0) & (columns >= 0), (rows * width + columns) * channels, -1)
        return offsets.reshape(-1, self.kernel[0] * self.kernel[1]).contiguous()


def read_window(kernel: Sequence[int], settings: Sequence[object]) -> Window:
    """Return the window of a convolution: ``settings`` are ATen's stride, padding, dilation and groups, or fewer."""
    given = [*settings, *(1, 0, 1, 1)[len(settings) :]]
    dims = len(kernel)
    stride, dilation = _each(given[0], dims, 1), _each(given[2], dims, 1)
    if isinstance(given[1], str):
        total = [d * (k - 1) if given[1] == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
        before = tuple(size // 2 for size in total)
        after = tuple(size - size // 2 for size in total)
    else:
        before = after = _each(given[1], dims, 0)
    assert isinstance(given[3], int)
    return Window(
        _pair(tuple(kernel), 1), _pair(stride, 1), _pair(before, 0), _pair(after, 0), _pair(dilation, 1), given[3]
    )


def _each(value: object, dims: int, default: int) -> tuple[int, ...]:
    """One number for each dimension, as ATen's lists give it: all, one for all, or none."""
    if isinstance(value, int):
        return (value,) * dims
    assert isinstance(value, (list, tuple))
    numbers = tuple(int(number) for number in value)
    return numbers * dims if len(numbers) == 1 else numbers or (default,) * dims


def _pair(values: tuple[int, ...], fill: int) -> Pair:
    return (fill, values[0]) if len(values) == 1 else (values[0], values[1])
