"""Cutting data into slices: by labels given per sample or token, by phase of generation, by length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.errors import DataError
from explorer.observe.watch import Watched
from explorer.samples import Samples

UNASKED = -100
"""The target of positions that are not asked for."""
PHASE, LENGTH = "phase", "length"
ASKED = "cut the data into slices"


@dataclass(frozen=True, eq=False)
class Slicing:
    """One way to cut the data: ``codes`` [n] or [n, T] says which of ``names`` a sample or a token belongs to."""

    names: tuple[str, ...]
    codes: Tensor

    def under(self, name: str) -> Slicing:
        """The same with ``name=`` before each label."""
        return Slicing(tuple(f"{name}={label}" for label in self.names), self.codes)

    def cut(self, watched: Watched, x: Tensor, chosen: slice) -> Iterator[tuple[str, Tensor]]:
        """Yield the label and the elements of each slice of a value, of samples ``chosen``; nothing where it has none.

        A slice of samples cuts every value that has a batch dimension, first or inside; one of tokens those that have
        the tokens right after it, folded into it, or after the heads: [n, T, ...], [n * T, ...], [n, heads, T, ...].
        """
        if watched.batch_axis is None:
            return
        codes = self.codes[chosen].to(x.device)
        rows = _rows(watched, x, codes)
        if rows is None:
            return
        tensor, flat = rows
        for code in torch.unique(flat).tolist():
            yield self.names[code], tensor[flat == code]


def _rows(watched: Watched, x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor] | None:
    """The value as [rows, ...] and the code of each row; None where it cannot be cut so."""
    n, axis = len(codes), watched.batch_axis or 0
    x = x.movedim(axis, 0)
    if codes.dim() == 1:
        return (x, codes.repeat_interleave(len(x) // n)) if len(x) % n == 0 else None
    tokens = codes.shape[1]
    if len(x) == n * tokens:
        return x, codes.reshape(-1)
    if len(x) != n:
        return None
    for place in (1, 2):
        if x.dim() > place and x.shape[place] == tokens:
            return x.movedim(place, 1).flatten(0, 1), codes.reshape(-1)
    return None


def find_slicings(slices: Any, samples: Samples) -> tuple[Slicing, ...]:
    """The ways to cut the data that ``slices`` asks for.

    None: none. Labels [n] or [n, T]: one per sample or per token of the data, of any kind that ``str`` tells apart. A
    mapping name -> labels: several ways, whose slices are called ``name=label``. ``"phase"``: tokens of a causal
    language model, prefill where no answer is asked of a position (its target is -100) and decode where one is.
    ``"length"``: samples by their real length, in powers of two. Raises :class:`DataError` where the data cannot tell.
    """
    if slices is None:
        return ()
    if isinstance(slices, Mapping):
        named = ((name, _find(x, samples)) for name, x in slices.items())
        return tuple(Slicing(tuple(f"{name}={label}" for label in each.names), each.codes) for name, each in named)
    return (_find(slices, samples),)


def built_in_slices(samples: Samples) -> tuple[str, ...]:
    """The names of the built-in ways to cut ``samples`` that give more slices than one."""
    return tuple(name for name in (PHASE, LENGTH) if _count_slices(name, samples) > 1)


def _count_slices(name: str, samples: Samples) -> int:
    try:
        return len(_built_in(name, samples).names)
    except DataError:
        return 0


def _find(labels: Any, samples: Samples) -> Slicing:
    return _built_in(labels, samples) if isinstance(labels, str) else _encode(labels, samples)


def _encode(labels: Any, samples: Samples) -> Slicing:
    array: NDArray[Any] = np.asarray(labels.tolist() if isinstance(labels, Tensor) else labels)
    if array.ndim not in (1, 2) or len(array) != len(samples):
        found = f"labels have shape {list(array.shape)} for {len(samples)} samples"
        raise DataError(ASKED, found, "one label per sample [n], or one per token [n, T]")
    names, codes = np.unique(array.astype(str), return_inverse=True)
    return Slicing(tuple(map(str, names)), torch.from_numpy(codes.reshape(array.shape)))


def _built_in(name: str, samples: Samples) -> Slicing:
    if name == PHASE:
        return _by_phase(samples)
    if name == LENGTH:
        return _by_length(samples)
    raise DataError(ASKED, f"there are no slices called {name!r}", f"{PHASE!r}, {LENGTH!r}, or labels")


def _by_phase(samples: Samples) -> Slicing:
    targets = samples.targets
    if targets is None or targets.dim() != 2 or targets.is_floating_point() or not bool((targets == UNASKED).any()):
        found = "no position's target is -100, so which tokens are the prompt is not known"
        raise DataError(f"{ASKED} by {PHASE}", found, "targets [n, T] with -100 at the prompt, or labels [n, T]")
    return Slicing(("prefill", "decode"), (targets != UNASKED).long())


def _by_length(samples: Samples) -> Slicing:
    lengths = _lengths(samples)
    top = torch.ceil(torch.log2(lengths.clamp(min=1).double())).long()
    exponents, codes = torch.unique(top, return_inverse=True)
    return Slicing(tuple(f"up to {1 << int(e)} tokens" for e in exponents), codes)


def _lengths(samples: Samples) -> Tensor:
    """[n] tokens of each sample, as an attention mask among the inputs or the targets tell."""
    sequences = [x for x in samples.inputs if x.dim() == 2 and not x.is_floating_point()]
    masks = [x for x in sequences[1:] if bool(((x == 0) | (x == 1)).all())]
    if masks:
        return masks[0].sum(dim=1)
    targets = samples.targets
    if sequences and targets is not None and targets.dim() == 2 and bool((targets == UNASKED).any()):
        places = torch.arange(1, targets.shape[1] + 1, device=targets.device)
        return torch.where(targets != UNASKED, places, 0).amax(dim=1)
    found = "there is neither an attention mask of 0 and 1 among the inputs nor a target of -100"
    raise DataError(f"{ASKED} by {LENGTH}", found, "a mask, targets [n, T] with -100 beyond each sample, or labels [n]")
