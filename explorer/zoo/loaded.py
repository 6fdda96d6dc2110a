"""What every loader of the zoo returns: a module ready to explore, with inputs and, where there are any, data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import DataError

BATCH_SIZE = 32


@dataclass(frozen=True)
class Loaded:
    """A model with everything a session needs to open it.

    ``module`` is new, in eval mode, FP32, and asks for no gradients. ``inputs`` and ``kwargs`` are example
    arguments of its ``forward``. ``data`` is the test split ``(x, y)``, samples first (``x`` a tuple where the model
    takes several inputs, ``y`` None where there are no labels), or None where only example inputs are known. ``task``
    is ``"classification"``, ``"causal-lm"`` (labels already aligned with the logits), ``"regression"`` or
    ``"agreement"`` (no labels). ``show(i)`` says in a line what sample ``i`` of ``data`` is. ``warnings`` are
    sentences; ``noun`` is what the samples are called (``test images``).
    """

    name: str
    title: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    task: str
    kwargs: Mapping[str, Tensor] = field(default_factory=dict)
    data: tuple[Any, Tensor | None] | None = None
    batch_size: int = BATCH_SIZE
    show: Callable[[int], str] | None = None
    warnings: tuple[str, ...] = ()
    noun: str = "samples"


def settled(module: nn.Module) -> nn.Module:
    """``module`` itself, in eval mode, its floating tensors FP32, none asking for gradients."""
    return module.eval().float().requires_grad_(False)


def nonfinite(module: nn.Module) -> tuple[str, ...]:
    """A sentence for every parameter or buffer that holds NaN or Inf; such weights are a result to show."""
    found = []
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            nans, infs = int(tensor.isnan().sum()), int(tensor.isinf().sum())
            found.append(f"the weight {name!r} holds {nans} NaN and {infs} Inf among {tensor.numel()} values")
    return tuple(found)


def as_inputs(asked: str, inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A caller's example inputs as a tuple of tensors; raises ``DataError`` for anything else."""
    several = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs) if isinstance(inputs, Sequence) else ()
    if several and all(isinstance(x, Tensor) for x in several):
        return several
    raise DataError(asked, f"the example inputs are {type(inputs).__name__}", "a tensor, or a tuple of tensors")
