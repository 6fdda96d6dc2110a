"""The task scores that the model cards state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from explorer.zoo.data import IGNORE


def logits_of(output: object) -> Tensor:
    """The logits in a module's output: the tensor itself, or the ``.logits`` of a transformers output."""
    found = getattr(output, "logits", output)
    assert isinstance(found, Tensor)
    return found


@torch.no_grad()
def accuracy(module: nn.Module, x: Tensor, y: Tensor, batch: int = 128) -> float:
    """The fraction of samples whose largest logit is the label: ``x [n, ...]``, ``y [n]``."""
    right = [logits_of(module(part)).argmax(-1) == label for part, label in _batches(x, y, batch)]
    return torch.cat(right).double().mean().item()


@torch.no_grad()
def exact_match(module: nn.Module, x: Tensor, y: Tensor, batch: int = 128) -> float:
    """The fraction of sequences with every labelled position right, teacher-forced: ``x [n, t]``, ``y [n, t]``."""
    right = [
        ((logits_of(module(part)).argmax(-1) == label) | (label == IGNORE)).all(-1)
        for part, label in _batches(x, y, batch)
    ]
    return torch.cat(right).double().mean().item()


def _batches(x: Tensor, y: Tensor, size: int) -> zip[tuple[Tensor, Tensor]]:
    return zip(torch.split(x, size), torch.split(y, size), strict=True)
