"""Inputs that are made up: noise and token ids from a seed, as many as wanted, in the shapes that a model takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import DataError
from explorer.zoo.loaded import Loaded

EXAMPLES = 2
"""Samples to capture with: a batch of one would be taken for a constant."""


@dataclass(frozen=True)
class Made:
    """Made-up inputs: how many samples, from which seed; ``shape`` of one sample, () for the model's own."""

    samples: int
    seed: int = 0
    shape: tuple[int, ...] = ()


def with_made_inputs(loaded: Loaded, made: Made, asked: str, most_bytes: int) -> Loaded:
    """``loaded`` with made-up inputs in the place of its data, and no labels: normal noise where the model takes
    floats, token ids drawn evenly from its vocabulary where it takes those.

    Raises ``DataError`` where they would take more than ``most_bytes``, or where the model takes neither.
    """
    example = (*loaded.inputs, *loaded.kwargs.values())
    shapes = [_shape(each, made.shape, asked) for each in example]
    size = made.samples * sum(
        math.prod(shape) * each.element_size() for shape, each in zip(shapes, example, strict=True)
    )
    if size > most_bytes:
        found = f"{made.samples} samples would take {size / 2**20:.0f} MiB, and {most_bytes / 2**20:.0f} are the most"
        raise DataError(asked, found, f"at most {max(1, made.samples * most_bytes // size)} samples")
    generator = torch.Generator().manual_seed(made.seed)
    parts = [
        _draw(loaded.module, each, (made.samples, *shape), generator, asked)
        for shape, each in zip(shapes, example, strict=True)
    ]
    return with_data(loaded, parts, None, f"made-up samples (seed {made.seed})")


def with_data(loaded: Loaded, parts: Sequence[Tensor], y: Tensor | None, noun: str) -> Loaded:
    """``loaded`` on other data: ``parts`` in the order of its arguments, [n, ...] each, and labels or None."""
    args, names = len(loaded.inputs), list(loaded.kwargs)
    two = [_two(part) for part in parts]
    x: Any = parts[0] if len(parts) == 1 else tuple(parts)  # as the graph has them: arguments, then those by name
    return replace(
        loaded,
        inputs=tuple(two[:args]),
        kwargs=dict(zip(names, two[args:], strict=True)),
        data=(x, y),
        task=loaded.task if y is not None else "agreement",
        show=None,
        noun=noun,
    )


def token_ids(vocabulary: int, padding: int | None, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Token ids [n, tokens] within the vocabulary; never padding, which models treat apart."""
    ids = torch.randint(0, max(1, vocabulary - 1), tuple(shape), generator=generator)
    return ids if padding is None else ids + (ids >= padding)


def vocabulary_of(module: nn.Module) -> int:
    """How many token ids the module knows; 0 where it takes none."""
    config: Any = getattr(module, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else None
    tables = (part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding))
    return int(getattr(text, "vocab_size", 0) or 0) or next(tables, 0)


def _draw(module: nn.Module, like: Tensor, shape: tuple[int, ...], generator: torch.Generator, asked: str) -> Tensor:
    if like.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=like.dtype)
    vocabulary = vocabulary_of(module)
    if like.dtype != torch.int64 or vocabulary < 1:
        raise DataError(asked, f"it takes {like.dtype}, for which nothing can be made up", "a .npz with your own x")
    config: Any = getattr(module, "config", None)
    padding = getattr(config.get_text_config(), "pad_token_id", None) if config is not None else None
    return token_ids(vocabulary, padding, shape, generator)


def _shape(like: Tensor, asked_shape: tuple[int, ...], asked: str) -> tuple[int, ...]:
    own = tuple(like.shape[1:])
    if not asked_shape:
        return own
    if len(asked_shape) != len(own):
        found = f"a sample of shape {words(asked_shape)} was asked for, and the model takes {words(own)}"
        raise DataError(asked, found, f"{len(own)} numbers, such as {words(own)}; or none, for the model's own")
    return asked_shape


def words(shape: Sequence[int]) -> str:
    """ "3 × 224 × 224"."""
    return " \u00d7 ".join(map(str, shape)) or "a single number"


def _two(part: Tensor) -> Tensor:
    return part[:EXAMPLES] if len(part) >= EXAMPLES else part[:1].expand(EXAMPLES, *part.shape[1:]).contiguous()
