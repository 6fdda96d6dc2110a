"""The data of a session: model inputs and targets, checked, cut into batches of one size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from explorer.errors import DataError
from explorer.graph import flatten_inputs

Inputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]


def split_inputs(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return ``(args, kwargs)`` for ``forward`` from a tensor, a tuple or a mapping by argument name."""
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    raise DataError(
        "read the example inputs",
        f"they are {type(inputs).__name__}",
        "a tensor, a tuple of tensors, or a dict by name",
    )


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs in the order of the graph's, each [n, ...], and targets [n, ...] or None."""

    inputs: tuple[Tensor, ...]
    targets: Tensor | None
    batch_size: int

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def batches(self) -> int:
        return -(-len(self) // self.batch_size)

    def batch(self, index: int) -> tuple[Tensor, ...]:
        """Return the inputs of a batch, always ``batch_size`` samples: the last is filled up with its last sample, so
        that every kernel runs at one shape."""
        start = index * self.batch_size
        return tuple(_fill(x[start : start + self.batch_size], self.batch_size) for x in self.inputs)

    def real(self, index: int) -> int:
        """Return how many samples of a batch are not filling."""
        return min(self.batch_size, len(self) - index * self.batch_size)

    def target(self, index: int, count: int) -> Tensor | None:
        start = index * self.batch_size
        return None if self.targets is None else self.targets[start : start + count]

    def first(self, n: int) -> Iterator[tuple[tuple[Tensor, ...], int]]:
        """Yield the batches that hold the first ``n`` samples, each with how many of them are in it."""
        left, index = min(n, len(self)), 0
        while left > 0:
            count = min(self.real(index), left)
            yield self.batch(index), count
            left, index = left - count, index + 1

    def to(self, device: str) -> Samples:
        targets = None if self.targets is None else self.targets.to(device)
        return Samples(tuple(x.to(device) for x in self.inputs), targets, self.batch_size)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the inputs and targets."""
        digest = hashlib.blake2b(digest_size=8)
        for tensor in (*self.inputs, *([] if self.targets is None else [self.targets])):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def gather_samples(data: Any, example: tuple[Any, ...], batch_size: int) -> Samples:
    """Return the samples in ``data``: ``(x, y)``, an iterable of such batches (a DataLoader), or None for the example.

    ``x`` is a tensor, a tuple or a mapping like the model's inputs. Raises :class:`DataError` when there are none, when
    lengths differ, or when a sample is not shaped like the example's.
    """
    asked = "read the data"
    if batch_size < 1:
        raise DataError(asked, f"batch_size is {batch_size}", "a positive number")
    x, y = _join(data, asked) if data is not None else (example, None)
    inputs = flatten_inputs(*split_inputs(x))
    if not inputs or not all(isinstance(part, Tensor) and part.dim() for part in inputs):
        raise DataError(asked, "an input is not a tensor with a batch dimension", "tensors of shape [n, ...]")
    if len(inputs) != len(example):
        raise DataError(asked, f"it has {len(inputs)} inputs, the model takes {len(example)}", "one tensor per input")
    n = len(inputs[0])
    if n == 0:
        raise DataError(asked, "there are no samples", "at least one sample")
    if any(len(part) != n for part in inputs) or (y is not None and len(y) != n):
        lengths = [len(part) for part in inputs] + ([len(y)] if y is not None else [])
        raise DataError(asked, f"lengths differ: {lengths}", "as many targets as samples")
    for part, like in zip(inputs, example, strict=True):
        _check_like(part, like, asked)
    return Samples(inputs, y, min(batch_size, n) if data is None else batch_size)


def _check_like(part: Tensor, like: Tensor, asked: str) -> None:
    sequence = like.dim() == 2 and not like.is_floating_point()
    free = 2 if sequence else 1
    if part.shape[free:] != like.shape[free:] or part.dim() != like.dim():
        raise DataError(
            asked,
            f"samples are {list(part.shape[1:])}, the example input is {list(like.shape[1:])}",
            f"inputs of shape [n, {', '.join(map(str, like.shape[1:]))}]",
        )
    if part.dtype != like.dtype:
        raise DataError(asked, f"samples are {part.dtype}, the example input is {like.dtype}", f"x.to({like.dtype})")


def _join(data: Any, asked: str) -> tuple[Any, Tensor | None]:
    if isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = data
        return x, None if y is None else torch.as_tensor(y)
    if isinstance(data, (Tensor, Mapping)):
        return data, None
    if not isinstance(data, Iterable):
        raise DataError(asked, f"it is {type(data).__name__}", "(x, y), or a DataLoader of such batches")
    parts = [_join(batch, asked) for batch in data]
    if not parts:
        raise DataError(asked, "there are no samples", "at least one sample")
    flat = [flatten_inputs(*split_inputs(x)) for x, _ in parts]
    x = tuple(torch.cat(column) for column in zip(*flat, strict=True))
    targets = [y for _, y in parts if y is not None]
    return x, torch.cat(targets) if len(targets) == len(parts) else None


def _fill(x: Tensor, size: int) -> Tensor:
    if len(x) == size:
        return x
    return torch.cat([x, x[-1:].expand(size - len(x), *x.shape[1:])])


def check_targets(samples: Samples, output: Tensor, task: str) -> None:
    """Raise :class:`DataError` when the targets cannot be those of this output ([batch, ...] of a first batch)."""
    asked = f"score task {task!r}"
    y = samples.targets
    if task not in ("classification", "causal-lm") or y is None:
        if y is None and task in ("classification", "causal-lm", "regression"):
            raise DataError(asked, "the data has no targets", "data=(x, y), or task='agreement'")
        return
    if y.is_floating_point():
        raise DataError(asked, f"the labels are {y.dtype}", "integer class labels")
    if y.shape[1:] != output.shape[1:-1]:
        raise DataError(
            asked, f"labels have shape {list(y.shape)}, outputs {['n', *output.shape[1:]]}", "one label per prediction"
        )
    labels = y[y != -100]
    if labels.numel() and (int(labels.max()) >= output.shape[-1] or int(labels.min()) < 0):
        raise DataError(
            asked,
            f"labels go from {int(labels.min())} to {int(labels.max())}, the model has {output.shape[-1]} classes",
            "labels from 0 up to the number of classes, and -100 for positions that are not asked",
        )
