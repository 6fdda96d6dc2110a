"""Effect: reads one file. The bundled data: digits to classify and sums to complete."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

WEIGHTS = Path(__file__).parent / "weights"
DIGITS_FILE = WEIGHTS / "digits.safetensors"

# Mean and standard deviation of the 1,400 training images after enlargement, on the 0..1 scale.
DIGITS_MEAN = 0.3053
DIGITS_STD = 0.3236
BACKGROUND = -DIGITS_MEAN / DIGITS_STD
"""The normalised value of an empty pixel."""

VOCABULARY = "0123456789+=^$_?"
"""Token id -> character. ``^`` opens every sum; ``$``, ``_`` and ``?`` never occur: they round the size to 16."""
SUM_LENGTH = 13
"""``^`` + 3 digits + ``+`` + 3 digits + ``=`` + 4 digits."""
IGNORE = -100
"""The label of a position that is not scored, as in ``torch.nn.functional.cross_entropy``."""

_FIRST_ANSWER = 9


@dataclass(frozen=True)
class Split:
    """Inputs and targets of a training and a test part, all with the samples in the first dimension."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def digits() -> Split:
    """Handwritten digits: images FP32 ``[n, 1, 32, 32]`` and labels int64 ``[n]``; 1,400 for training, 397 for test.

    The 8x8 images (0..16) are enlarged bilinearly, scaled to 0..1 and normalised with the training part's mean and
    standard deviation. The split is stratified by label and stored in the file, so it is the same everywhere.
    """
    from safetensors.torch import load_file

    raw = load_file(DIGITS_FILE)
    enlarged = interpolate(raw["images"].float()[:, None] / 16, size=(32, 32), mode="bilinear", align_corners=False)
    x = (enlarged - DIGITS_MEAN) / DIGITS_STD
    y = raw["labels"].long()
    test = raw["test"].bool()
    return Split(x[~test], y[~test], x[test], y[test])


def sums(train: int = 40_000, test: int = 512, seed: int = 0) -> Split:
    """Three-digit sums as text: input ids int64 ``[n, 13]`` and labels int64 ``[n, 13]``.

    A sum reads ``^123+456=9750``: zero-padded operands, then the four digits of the answer **units first**, the
    order in which one carries by hand. Labels are already aligned: the logits at position ``t`` predict
    ``labels[:, t]``, so that no shift is needed; they are ``IGNORE`` except at the four positions whose next
    character belongs to the answer.

    All 1,000,000 pairs of operands are shuffled by ``seed``; the first ``test`` are held out and the next ``train``
    are for training, so the two parts are disjoint and the test part does not depend on ``train``.
    """
    # RandomState is numpy's legacy generator, whose stream is promised never to change.
    shuffled = np.random.RandomState(seed).permutation(1_000_000)
    pairs = torch.from_numpy(shuffled[: test + train].astype(np.int64))
    x, y = _spell(pairs // 1000, pairs % 1000)
    return Split(x[test:], y[test:], x[:test], y[:test])


def decode(ids: Tensor) -> str:
    """The sum that ``ids [13]`` spell, its answer in reading order: ``"123+456=0579"``."""
    text = "".join(VOCABULARY[i] for i in ids.tolist()).removeprefix("^")
    question, equals, answer = text.partition("=")
    return question + equals + answer[::-1]


def _spell(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Ids and aligned labels ``[n, 13]`` of the sums of operands ``a [n]`` and ``b [n]``."""
    n = len(a)
    mark = {c: torch.full((n, 1), i) for i, c in enumerate(VOCABULARY)}
    answer = _digits_of(a + b, 4).flip(1)
    x = torch.cat([mark["^"], _digits_of(a, 3), mark["+"], _digits_of(b, 3), mark["="], answer], dim=1)
    y = torch.full_like(x, IGNORE)
    y[:, _FIRST_ANSWER - 1 : -1] = answer
    return x, y


def _digits_of(value: Tensor, places: int) -> Tensor:
    """Decimal digits ``[n, places]`` of ``value [n]``, most significant first."""
    powers = 10 ** torch.arange(places - 1, -1, -1)
    return value[:, None] // powers % 10
