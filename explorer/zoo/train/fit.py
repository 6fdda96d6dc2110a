"""Effect: prints, and sets the thread count. One training loop for every bundled model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample
from torch.optim.lr_scheduler import OneCycleLR

from explorer.zoo.data import BACKGROUND, IGNORE
from explorer.zoo.score import logits_of

THREADS = 2


@dataclass(frozen=True)
class Settings:
    """How a model is trained; ``peak_rate`` is the highest learning rate of a one-cycle schedule of AdamW."""

    seed: int
    epochs: int
    batch: int
    peak_rate: float
    weight_decay: float
    label_smoothing: float = 0.0


def fit(
    build: Callable[[], nn.Module],
    x: Tensor,
    y: Tensor,
    settings: Settings,
    augment: Callable[[Tensor], Tensor] = lambda images: images,
) -> tuple[nn.Module, float]:
    """Train a new module on ``x [n, ...]`` and ``y``; return it in eval mode with the seconds that it took.

    The last epoch's weights are kept: nothing is chosen by looking at the test part.
    """
    torch.set_num_threads(THREADS)
    torch.manual_seed(settings.seed)
    module = build().train()
    steps = len(x) // settings.batch
    optimiser = torch.optim.AdamW(module.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay)
    schedule = OneCycleLR(optimiser, settings.peak_rate, epochs=settings.epochs, steps_per_epoch=steps, pct_start=0.15)
    start = time.perf_counter()
    for epoch in range(settings.epochs):
        total = 0.0
        for chosen in torch.randperm(len(x))[: steps * settings.batch].view(steps, settings.batch):
            logits = logits_of(module(augment(x[chosen])))
            loss = cross_entropy(
                logits.flatten(0, -2),
                y[chosen].flatten(),
                ignore_index=IGNORE,
                label_smoothing=settings.label_smoothing,
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:3d}  loss {total / steps:.4f}  {time.perf_counter() - start:6.1f} s", flush=True)
    return module.eval(), time.perf_counter() - start


def jitter(images: Tensor) -> Tensor:
    """Images ``[n, 1, h, w]`` turned by up to 10 degrees, scaled by up to 10 % and moved by up to 2 of 32 pixels."""
    n = len(images)
    angle = torch.empty(n).uniform_(-10, 10).deg2rad()
    scale = torch.empty(n).uniform_(0.9, 1.1)
    moved = torch.empty(n, 2).uniform_(-2, 2) * 2 / images.shape[-1]
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([cos, -sin, moved[:, 0]], 1), torch.stack([sin, cos, moved[:, 1]], 1)]
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    # What is drawn in from outside is empty paper, which is not zero after normalisation.
    return grid_sample(images - BACKGROUND, grid, align_corners=False) + BACKGROUND
