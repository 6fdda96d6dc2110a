"""Which elements of an op's output belong to which sample, and to which token of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.graph import Op
from explorer.kernels import as_float

MASK = -1e30
"""What is below this says "not this one" to a softmax, be it -Inf or the least number of a format."""


@dataclass(frozen=True)
class Batch:
    """A batch of ``size`` samples of which the first ``count`` count: the others fill it up."""

    size: int
    count: int

    def pick(self, x: Tensor, op: Op) -> Tensor:
        """The elements of the samples that count, samples first [count, ...]; all, where no dimension is the batch."""
        found = samples_first(x, op, self.size)
        return x if found is None else found[: self.count]


def floats_in(value: Any) -> Iterator[Tensor]:
    """Yield the floating tensors of an op's output (a tensor, codes, or a tuple of tensors) in FP32."""
    for part in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(part, Quantized) or (isinstance(part, Tensor) and part.is_floating_point()):
            yield as_float(part)


def samples_first(x: Tensor, op: Op, batch: int, order: Tensor | None = None) -> Tensor | None:
    """Return ``x``, an output of ``op``, as [batch, ...], or None where it does not depend on the sample.

    The batch may be any dimension, or the outer part of one (heads of all samples in a row). order: of its rows, where
    samples do not follow each other (:meth:`explorer.compare.owners.Owners.order`); None too where that is empty.
    """
    if order is not None:
        return x[order].reshape(batch, -1, *x.shape[1:]) if len(order) else None
    shape = op.output.shape if op.output is not None else ()
    if len(shape) != x.dim():  # another tensor of a tuple than the one whose shape was noted
        return x if x.dim() and len(x) == batch else None
    for dim, size in enumerate(shape):
        if isinstance(size, str) and "batch" in size and x.shape[dim] % batch == 0:
            split = x.reshape(*x.shape[:dim], batch, -1, *x.shape[dim + 1 :]) if x.shape[dim] > batch else x
            return split.movedim(dim, 0)
    return None


def tokens_second(x: Tensor, op: Op, batch: int, tokens: int) -> Tensor | None:
    """Return ``x`` as [batch, tokens, ...], or None where it has no dimension of tokens; of two, the first counts."""
    found = samples_first(x, op, batch)
    if found is None:
        return None
    shape = op.output.shape if op.output is not None else ()
    if not any(isinstance(size, str) and "seq" in size for size in shape):
        return None
    dim = next((dim for dim in range(1, found.dim()) if found.shape[dim] == tokens), None)
    return None if dim is None else found.movedim(dim, 1)


def without_masks(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with zeros where both hold a mask: FP32's least number is -Inf in a narrower format."""
    if not x.numel() or float(x.amin()) >= MASK:  # with a NaN the least is NaN
        return x, y
    said = (x < MASK) & (y < MASK)
    return x.masked_fill(said, 0.0), y.masked_fill(said, 0.0)


def norm_by_item(x: Tensor, dims: int) -> Tensor:
    """The Euclidean norm over all but the first ``dims`` dimensions, in FP32."""
    rest = tuple(range(dims, x.dim()))
    return torch.linalg.vector_norm(x, dim=rest) if rest else x.abs()
