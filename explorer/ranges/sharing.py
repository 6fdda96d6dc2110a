"""Which scales a tensor's elements will meet: one for all, or one for every few of them, told from the histogram."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.errors import PrecisionError
from explorer.formats import BlockSpec, Scheme, find_scale
from explorer.formats.blocks import find_block_scale
from explorer.ranges.bins import Floats
from explorer.ranges.cells import Cells

_QUANTILES = (np.arange(4) + 0.5) / 4  # of a block's largest magnitude within one cell
_NEGLIGIBLE = 1e-12  # shares of the blocks that no tensor shows
_KINDS, _KINDS_OF_END = 192, 20  # kinds of blocks told apart: by magnitude, and by either end


@dataclass(frozen=True, eq=False)
class Blocks:
    """What blocks of ``size`` elements are like: a block of kind j has the extremes low[j] and high[j].

    share: [J] the share of the blocks that are of a kind. low, high: [J].
    """

    size: int
    share: Floats
    low: Floats
    high: Floats


def elements_in(scheme: Scheme, given: int | None) -> int:
    """How many elements share a scale, by the scheme or as given; raises ``PrecisionError`` where neither says."""
    known = scheme.spec.block if isinstance(scheme.spec, BlockSpec) else scheme.group
    if known is not None:
        return known**2 if scheme.granularity == "square" else known
    if given is None or given < 1:
        found = "a histogram does not tell the tensor's shape"
        raise PrecisionError(
            f"forecast {scheme}", found, f"elements_per_scale, the elements of one {scheme.granularity}"
        )
    return given


def expect_blocks(cells: Cells, size: int, symmetric: bool) -> Blocks:
    """The blocks of a tensor whose elements fell into blocks at random.

    The largest of ``size`` independent elements is at most t in a share P(\\|x\\| <= t)**size of the blocks. symmetric:
    extremes are -t and t; else the smallest and the largest are taken as independent, which they nearly are from 8
    elements on. A size of at least the number of elements leaves one block.
    Source: David and Nagaraja, "Order Statistics" (2003), section 2.1.
    """
    n = float(cells.weight.sum())
    if size >= n:
        low, high = (cells.low.min(), cells.high.max()) if n else (0.0, 0.0)
        most = max(high, -low)
        ends = (-most, most) if symmetric else (low, high)
        return Blocks(size, np.ones(1), np.array(ends[:1]), np.array(ends[1:]))
    if symmetric:
        share, most = _merge(*_largest_of(_fold(cells), size), _KINDS)
        return Blocks(size, share, -most, most)
    high_share, high = _merge(*_largest_of(cells, size), _KINDS_OF_END)
    low_share, low = _merge(*_largest_of(cells.mirror(), size), _KINDS_OF_END)
    share = np.outer(low_share, high_share).ravel()
    low, high = np.repeat(-low, len(high)), np.tile(high, len(low))
    kept = low <= high
    return Blocks(size, share[kept] / share[kept].sum(), low[kept], high[kept])


def block_scales(blocks: Blocks, scheme: Scheme, absmax: float) -> tuple[Floats, Floats]:
    """The scale and zero point (0 when symmetric) that the scheme gives each kind of block: [J, 1] both, FP64."""
    ends = torch.from_numpy(np.stack([blocks.low, blocks.high], axis=1)).float()
    if isinstance(scheme.spec, BlockSpec):
        whole = torch.tensor([[-absmax, absmax]])  # a tensor scale sees the largest element of all
        scale = find_block_scale(torch.cat([whole, ends]), scheme.spec)[1:]
        return scale.double().numpy() * scheme.spec.unit, np.zeros(scale.shape)
    grouped = scheme.granularity == "group"  # whose zero points may be floats
    by_row = replace(scheme, group=2) if grouped else replace(scheme, granularity="token", axis=None, group=None)
    scale, zero_point = find_scale(ends, by_row)
    return scale.double().numpy(), np.zeros(scale.shape) if zero_point is None else zero_point.double().numpy()


def _fold(cells: Cells) -> Cells:
    """The cells of the magnitudes, in ascending order; bins of both signs become one cell."""
    negative = cells.high <= 0
    low, high = np.where(negative, -cells.high, cells.low), np.where(negative, -cells.low, cells.high)
    starts, place = np.unique(low, return_inverse=True)
    ends = np.zeros_like(starts)
    np.maximum.at(ends, place, high)
    return Cells(starts, ends, _add_up(place, cells.weight), starts, ends)


def _largest_of(cells: Cells, size: int) -> tuple[Floats, Floats]:
    """The largest of ``size`` elements: shares and values, four to a cell; cells in ascending order."""
    reached = np.cumsum(cells.weight) / cells.weight.sum()
    before = np.append(0.0, reached[:-1])
    share = reached**size - before**size
    kept = share > _NEGLIGIBLE
    low, high, before, reached, share = (part[kept, None] for part in (cells.low, cells.high, before, reached, share))
    rank = (before**size + _QUANTILES * share) ** (1 / size)
    values = low + (high - low) * np.clip((rank - before) / (reached - before), 0.0, 1.0)
    shares = np.broadcast_to(share / len(_QUANTILES), values.shape)
    return shares.ravel(), values.ravel()


def _merge(share: Floats, value: Floats, most: int) -> tuple[Floats, Floats]:
    """At most about so many kinds for many: neighbours merge where they are few and add little to the mean square."""
    weight = share * value**2
    rank = np.cumsum(share) / share.sum() + np.cumsum(weight) / max(weight.sum(), np.finfo(float).tiny)
    group = np.minimum((rank * (most / 2)).astype(np.int64), most - 1)
    _, place = np.unique(group, return_inverse=True)
    shares = _add_up(place, share)
    return shares, _add_up(place, share * value) / shares


def _add_up(place: NDArray[np.intp], values: Floats) -> Floats:
    return np.bincount(place, values).astype(np.float64)
