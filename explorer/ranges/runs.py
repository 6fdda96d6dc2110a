"""A few runs of neighbours of a tensor, as they are: which elements keep together, what no histogram tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from explorer.formats import Scheme, fake_quantize
from explorer.ranges.bins import Counts, Floats
from explorer.ranges.histogram import Histogram

WIDTH = 128
"""Elements of a run, neighbours along the last dimension: whole blocks of every block format, and whole groups."""
SAMPLES = 4
"""Samples of a stream that runs are kept of."""
PER_SAMPLE = 1024
"""Elements kept of a sample, or a row more; of a tensor that is no stream, as many as of all samples."""
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Part:
    """The runs of one sample: FP32 ``values`` [r, width], each as long as INT16 ``lengths`` [r] says and then zeros.

    key: what tells the sample from others and decides which ones are kept: the smallest.
    """

    key: int
    values: Tensor
    lengths: Tensor


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of a tensor, or of the ``SAMPLES`` samples of a stream with the smallest keys; in the order of the keys.

    A row of the last dimension shorter than ``WIDTH`` is a run, a longer one is cut into runs from its start on. NaN
    and Inf count as zeros. The same for any split and order of the data.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, x: Tensor, key: int = 0, most: int = SAMPLES * PER_SAMPLE) -> Runs:
        """Runs of a tensor, evenly spread over it from a start that ``key`` decides: ``most`` elements, at least one
        run; all of a tensor that is no larger."""
        return cls((cut(x, key, most),))

    def merge(self, other: Runs) -> Runs | None:
        """Those of both streams; None where their rows have different lengths."""
        found = {part.key: part for part in (*self.parts, *other.parts)}
        if len({part.values.shape[1] for part in found.values()}) > 1:
            return None
        return Runs(tuple(found[key] for key in sorted(found)[:SAMPLES]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Runs):
            return NotImplemented
        mine, theirs = self.parts, other.parts
        if [part.key for part in mine] != [part.key for part in theirs]:
            return False
        return all(torch.equal(a.values, b.values) for a, b in zip(mine, theirs, strict=True))

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def values(self) -> Tensor:
        """[r, width] all runs, filled up with zeros."""
        return torch.cat([part.values for part in self.parts])

    @cached_property
    def known(self) -> Tensor:
        """[r, width] which of ``values`` are elements."""
        lengths = torch.cat([part.lengths for part in self.parts])
        return torch.arange(self.values.shape[1]) < lengths[:, None]

    @property
    def elements(self) -> Tensor:
        """[n] the elements, without what fills the rows up."""
        return self.values[self.known]

    def are_all_of(self, histogram: Histogram) -> bool:
        """Whether they are all elements of the tensor, all finite, that has this histogram."""
        return len(self.elements) == histogram.count == histogram.finite

    def hold_whole(self, scheme: Scheme) -> bool:
        """Whether what shares a scale under the scheme lies within a run."""
        along_last = scheme.axis in (None, -1)
        if scheme.granularity == "block":
            return along_last
        return scheme.granularity == "group" and self.values.shape[1] % (scheme.group or 1) == 0


def cut(x: Tensor, key: int, most: int) -> Part:
    """The runs of one sample or tensor, as :meth:`Runs.of` has them."""
    x = x.detach()
    places, outside, lengths = _choose(tuple(x.shape), x.stride(), key, most)
    flat = x.as_strided((_reach(x),), (1,))
    taken = flat.index_select(0, places.view(-1) if x.is_cpu else places.view(-1).to(x.device)).cpu().float()
    values = taken.nan_to_num_(0.0, 0.0, 0.0).view(places.shape)
    return Part(key, values if outside is None else values.masked_fill_(outside, 0.0), lengths)


def _reach(x: Tensor) -> int:
    """How many elements of memory there are from a tensor's first to its last."""
    return 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0


@lru_cache(maxsize=256)
def _choose(
    shape: tuple[int, ...], strides: tuple[int, ...], key: int, most: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Of the runs of a tensor the places [r, run] in its memory, which of them are beyond the end of a row (None: none
    is), and the lengths [r].

    Kept, for many values of a model have one shape, and to choose takes longer than to copy.
    """
    *outer, width = shape or (1,)
    rows, last = math.prod(outer), max(width, 1)
    run, pieces = min(last, WIDTH), -(-last // WIDTH)
    total = rows * pieces if width else 0
    chosen = _spread(total, total if rows * width <= most else max(1, most // run), key)
    row, first = np.divmod(chosen, pieces)
    at = (first * WIDTH)[:, None] + np.arange(run)
    starts = np.zeros_like(row)
    for size, stride in zip(reversed(outer), reversed(strides[:-1]), strict=True):
        row, index = np.divmod(row, size)
        starts += index * stride
    places = starts[:, None] + np.minimum(at, last - 1) * (strides[-1] if strides else 1)
    outside, lengths = at >= last, np.minimum(last - first * WIDTH, run)
    found = torch.from_numpy(outside) if outside.any() else None
    return torch.from_numpy(places), found, torch.from_numpy(lengths)


def _spread(total: int, count: int, key: int) -> Counts:
    """About ``count`` of ``total`` places, rising; even steps would meet the same part of every row, so they follow the
    golden section (Kuipers and Niederreiter, "Uniform Distribution of Sequences", 1974, section 2.3)."""
    if count == total:
        return np.arange(total)
    start = (key & 0xFFFFFFFF) / 2**32
    turns = start + np.arange(count) * GOLDEN
    return np.unique(((turns - np.floor(turns)) * total).astype(np.int64))


def beside(parts: Sequence[Part]) -> Part:
    """The runs of one sample in several values of equally long rows."""
    if len(parts) == 1:
        return parts[0]
    values, lengths = torch.cat([part.values for part in parts]), torch.cat([part.lengths for part in parts])
    return Part(parts[0].key, values, lengths)


def squared_errors(runs: Runs, scheme: Scheme, absmax: float) -> Floats:
    """[r] the sum of (x - y)**2 over each run, y being x under a scheme whose scales lie within runs.

    absmax: of the whole tensor, for a format that has a scale of the tensor too.
    """
    values = runs.values
    whole = torch.zeros(1, values.shape[1])
    whole[0, 0] = absmax
    rounded = fake_quantize(torch.cat([whole, values]), scheme)[1:]
    errors: Floats = ((values.double() - rounded.double()).square() * runs.known).sum(dim=1).numpy()
    return errors


def relative_variance(errors: Floats) -> float:
    """The variance of the mean of independent errors [r], over the mean's square; 0 of one, or of none at all."""
    if len(errors) < 2 or not errors.any():
        return 0.0
    return float(errors.var(ddof=1) / len(errors) / errors.mean() ** 2)
