"""How long each sample of a data set really is, as far as its inputs tell."""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.samples import Samples


def real_lengths(samples: Samples) -> Tensor | None:
    """[n] tokens of each sample without what fills it up; None where the inputs have no tokens or nothing fills up.

    An input of 0 and 1 beside the ids [n, T] is a mask. Else ids that repeat up to the end are filling, where more
    samples than not end so; of vectors [n, T, d], those that are all zero.
    """
    ids = [x for x in samples.inputs if x.dim() == 2 and not x.is_floating_point()]
    masks = [x for x in ids[1:] if bool(((x == 0) | (x == 1)).all())]
    if masks:
        return masks[0].sum(1)
    if ids:
        last = torch.mode(ids[0][:, -1]).values
        return _until(ids[0] == last)
    vectors = [x for x in samples.inputs if x.dim() == 3 and x.is_floating_point()]
    return _until((vectors[0] == 0).all(-1)) if vectors else None


def _until(filling: Tensor) -> Tensor | None:
    """[n] how many places come before the run of filling at the end [n, T]; None where there is none of two or more."""
    run = filling.flip(1).long().cumprod(1).sum(1)
    return filling.shape[1] - run if bool((run > 1).any()) else None
