"""One INT8 product with everything that follows it, on torch's threads. (Effect: threads; scratch memory is kept.)

What a product reads is given as :class:`Rows`: linear (:mod:`.int8_matmul`) and convolution (:mod:`.int8_conv`) differ
only in how they find their rows.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.kernels.simd import job
from explorer.kernels.simd.ending import Template, lasting_fields, set_addend, set_out
from explorer.kernels.simd.pages import aligned
from explorer.kernels.simd.weight import Int8Weight
from explorer.kernels.site import Post

SMALL = 1 << 18
"""Products of two codes below which waking the other threads costs more than their help."""
SHARE_BYTES = 1 << 18
"""Inputs of one share: they stay in a core's second cache while all panels of the weight pass by."""
SHARE_ROWS = 96
FAR_BYTES, HIGH_SHARE_BYTES, HIGH_SHARE_ROWS = 1 << 21, 1 << 20, 264
"""A weight from this size on comes from beyond the second cache anew for each share: shares are higher then."""
SHARES_PER_THREAD = 8
"""Shares that each thread should find, so that none waits long for the last."""
CODES = torch.int8, torch.uint8

WHOLE_SHARES, LOWEST_SHARE = 2, 24
"""Shares of whole rows that each thread should find, and the rows of such a share."""
KEPT_BYTES = 1 << 19
"""A weight up to this size stays in the second cache beside the inputs and results of a share."""


class Rows(NamedTuple):
    """The rows that a product reads. (A tuple: one is made at every call, and a record of few rows must not be dear.)

    codes: contiguous, INT8 (zero point 0) or UINT8 with ``zero_point``; rows: how many; stride: bytes from one to
    the next; scale: FP32, one for each row, or [] for all. Or rows of FP32 without a scale, few of them, which become
    INT8 codes with one scale each on the way in (each thread does all of them for itself). A convolution's rows are
    found by ``offsets`` [pixels, taps] INT64 within an image of ``image_bytes`` (-1: in ``padding``, a row of zero
    points), and its codes are UINT8.
    """

    codes: Tensor
    rows: int
    stride: int
    scale: Tensor | None
    zero_point: int = 0
    offsets: Tensor | None = None
    image_bytes: int = 0
    padding: Tensor | None = None

    @property
    def flipped(self) -> bool:
        """Whether the codes are signed, and made unsigned on the way in, with zero point 128."""
        return self.codes.dtype is not torch.uint8

    @property
    def by_row(self) -> bool:
        """Whether each row has a scale."""
        return self.scale is None or self.scale.ndim > 0

    @property
    def pixels(self) -> int:
        """Output pixels of one image; 0 for a linear op."""
        return 0 if self.offsets is None else self.offsets.shape[0]


class Scaled:
    """A packed weight with one scale and one bias (None: 0.0) for each output, in the order of its panels."""

    def __init__(self, weight: Int8Weight, scale: Tensor, bias: Tensor | None) -> None:
        self.weight = weight
        self.scale, self.bias = weight.spread(scale, 0.0), weight.spread(bias, 0.0)
        self.prepared: dict[Any, Prepared] = {}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Calls for rows of one kind: their lasting fields, how many threads, and the scratch memory that they take."""

    template: Template
    threads: int
    scratch_bytes: int


def multiply(
    x: Rows,
    scaled: Scaled,
    post: Post,
    addend: Tensor | Quantized | None,
    out: Tensor,
    token_scale: Tensor | None = None,
) -> Any:
    """Fill ``out`` [rows, outputs], dense, with the rows times the weight, scaled, and what ``post`` asks for.

    Returns the call's block, from which :func:`.ending.as_result` makes the result. ``addend``: contiguous.
    ``token_scale`` [rows], with ``post.tokens``, takes the scales of the rows' codes.
    """
    _check(x, scaled.weight, out)
    assert (addend is not None) == post.addend, "an addend is given where the kernel was extended by one"
    threads = torch.get_num_threads()
    key = (x.rows, x.pixels, x.image_bytes, x.codes.dtype, x.zero_point, x.by_row, threads, post)
    prepared = scaled.prepared.get(key)
    if prepared is None:
        prepared = scaled.prepared[key] = _prepare(x, scaled, post, threads)
    block = prepared.template.copy()
    block[job.X] = x.codes.data_ptr()
    if x.scale is not None:
        block[job.ROW_SCALE] = x.scale.data_ptr()
    block[job.SCRATCH] = scratch(prepared.scratch_bytes).data_ptr()
    if x.offsets is not None and x.padding is not None:
        block[job.OFFSETS], block[job.PADDING] = x.offsets.data_ptr(), x.padding.data_ptr()
    set_out(block, out)
    if token_scale is not None:
        block[job.TOKEN_SCALE] = token_scale.data_ptr()
    if addend is not None:
        set_addend(block, addend, out.numel())
    work, start = _team()
    start(work, prepared.threads, block)
    return block


def _prepare(x: Rows, scaled: Scaled, post: Post, threads: int) -> Prepared:
    weight = scaled.weight
    threads = threads if x.rows * weight.panels.numel() >= SMALL else 1
    row_bytes, panels = weight.taps * weight.quads * 4, weight.panel_count
    if post.tokens:
        share, share_panels = share_rows(x.rows, max(row_bytes, weight.outputs * 2), threads), panels
    else:
        share, share_panels = share_out(x.rows, row_bytes, panels, threads, weight.panels.numel() >= FAR_BYTES)
    scratch_bytes = waiting_at = _scratch_bytes(share, weight.taps, x.stride if x.flipped else 0)
    if post.tokens:
        scratch_bytes += job.BLOCK_BYTES + _whole_lines(share * weight.outputs * 4)
    if x.scale is None:
        scratch_bytes += job.BLOCK_BYTES + _whole_lines(x.rows * x.stride) + _whole_lines(x.rows * 4)
    correction = weight.correct(128 if x.flipped else x.zero_point)
    fields = {
        job.ROWS: x.rows,
        job.SHARE: share,
        job.ITEMS: ceil(x.rows / share) * ceil(panels / share_panels),
        job.PANELS: panels,
        job.SHARE_PANELS: share_panels,
        job.ROW_BYTES: x.stride,
        job.FLIPPED: int(x.flipped),
        job.TAPS: weight.taps,
        job.QUADS: weight.quads,
        job.PIXELS: x.pixels,
        job.IMAGE_BYTES: x.image_bytes,
        job.SCRATCH_BYTES: scratch_bytes,
        job.WAITING_AT: waiting_at if post.tokens else 0,
        job.CAST_AT: waiting_at if x.scale is None else 0,
        job.INPUTS: weight.depth,
        job.WEIGHT: weight.panels.data_ptr(),
        job.CORRECTION: correction.data_ptr(),
        job.ROW_SCALE_BYTES: 4 if x.by_row else 0,
        job.COLUMN_SCALE: scaled.scale.data_ptr(),
        job.BIAS: scaled.bias.data_ptr(),
        job.OUT_WIDTH: weight.outputs,
        job.GROUP_WIDTH: weight.width,
        job.GROUP_PANELS: weight.panels.shape[1],
        job.GROUP_BYTES: weight.depth,
    }
    return Prepared(Template(fields | lasting_fields(post)), threads, scratch_bytes * threads)


@cache
def _team() -> tuple[Any, Any]:
    """The compiled loop and what starts it."""
    from explorer.kernels.simd.loops import product_team
    from explorer.team import start

    return product_team, start


def share_out(rows: int, row_bytes: int, panels: int, threads: int, far: bool = False) -> tuple[int, int]:
    """Return the rows and the panels of one share; ``far``: of a weight that does not stay in the second cache.

    A share fits the second cache and its rows fill whole tiles. Where there would be too few shares to go round,
    each gets fewer panels, and where even single panels are too few, fewer rows.
    """
    tile, wanted = job.HEIGHTS[0], SHARES_PER_THREAD * threads
    most_rows, most_bytes = (HIGH_SHARE_ROWS, HIGH_SHARE_BYTES) if far else (SHARE_ROWS, SHARE_BYTES)
    most = max(tile, min(most_rows, most_bytes // row_bytes // tile * tile))
    row_shares = max(1, ceil(rows / most))
    if row_shares * panels < wanted:
        row_shares = max(row_shares, min(ceil(wanted / panels), ceil(rows / tile)))
    share = max(tile, ceil(rows / row_shares / tile) * tile)
    panel_shares = min(panels, ceil(wanted / max(1, ceil(rows / share))))
    return share, ceil(panels / panel_shares)


def share_rows(rows: int, row_bytes: int, threads: int) -> int:
    """Return the rows of one share that has all panels: each share reads the whole weight, so they are few."""
    tile = job.HEIGHTS[0]
    most = max(tile, min(SHARE_ROWS, SHARE_BYTES // row_bytes // tile * tile))
    shares = max(1, ceil(rows / most), min(WHOLE_SHARES * threads, ceil(rows / tile)))
    return ceil(rows / shares / tile) * tile or tile


def suits_whole_rows(rows: int, weight: Int8Weight, threads: int) -> bool:
    """Whether a product should write the codes of rows itself: each share of rows then reads the whole weight.

    So the weight must stay in a core's second cache, and shares that are not too low must go round.
    """
    return weight.panels.numel() <= KEPT_BYTES and (threads == 1 or rows >= WHOLE_SHARES * LOWEST_SHARE * threads)


def _check(x: Rows, weight: Int8Weight, out: Tensor) -> None:
    """Assert what the loops rely on: they see bare addresses."""
    codes, scale = x.codes, x.scale
    assert codes.is_cpu and codes.is_contiguous()
    if scale is None:
        assert codes.dtype is torch.float32 and codes.numel() == x.rows * weight.depth and weight.taps == 1
        assert out.numel() == x.rows * weight.outputs
        return
    assert codes.dtype in CODES
    assert scale.dtype is torch.float32 and scale.is_contiguous() and scale.numel() == (x.rows if scale.ndim else 1)
    assert out.numel() == x.rows * weight.outputs
    if x.offsets is None:
        assert x.stride == weight.groups * weight.quads * 4 and codes.numel() >= x.rows * x.stride
    else:
        assert not x.flipped and x.offsets.is_contiguous() and x.offsets.dtype == torch.int64


def _scratch_bytes(share: int, taps: int, row_bytes: int) -> int:
    """Bytes of one thread: the sums of a tile, the addresses of a share's rows, its flipped inputs."""
    addresses = _whole_lines((share + job.HEIGHTS[0]) * taps * 8)
    return job.SUMS_BYTES + addresses + _whole_lines(share * row_bytes)


def _whole_lines(count: int) -> int:
    """Bytes of the cache lines that so many bytes take."""
    return -(-count // 64) * 64


_local = threading.local()


def scratch(count: int) -> Tensor:
    """Return this Python thread's scratch memory of at least ``count`` bytes, the same one from call to call."""
    found: Tensor | None = getattr(_local, "scratch", None)
    if found is None or found.numel() < count:
        found = _local.scratch = aligned(count, torch.uint8)
    return found
