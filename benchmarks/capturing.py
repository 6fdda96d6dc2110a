"""Capture of a ViT-base-shaped and a GPT-2-shaped transformers model with random weights."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch
from torch import nn

from benchmarks.record import spread, tell
from explorer.graph import capture

REPEATS = 3


def main() -> None:
    """Capture each model three times, weights and imports ready."""
    for name, (module, inputs) in _models().items():
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            graph = capture(module, inputs)
            seconds.append(time.perf_counter() - start)
        figures = spread(seconds)
        tell(f"capture of {name}", figures["median"], "s", "< 5", figures["median"] < 5, ops=len(graph.ops), **figures)


def _models() -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    from transformers import GPT2Config, GPT2LMHeadModel, ViTConfig, ViTForImageClassification

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vit = ViTForImageClassification(ViTConfig()).eval()
        gpt2 = GPT2LMHeadModel(GPT2Config(use_cache=False)).eval()
    return {
        "a ViT-base-shaped model": (vit, (torch.randn(2, 3, 224, 224),)),
        "a GPT-2-shaped model": (gpt2, (torch.randint(0, 50257, (2, 64)),)),
    }


if __name__ == "__main__":
    main()
