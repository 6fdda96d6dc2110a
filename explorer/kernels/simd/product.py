"""One INT8 product with everything that follows it, on torch's threads. (Effect: threads; scratch memory is kept.)

What a product reads is given as :class:`Rows`: linear (:mod:`.int8_matmul`) and convolution (:mod:`.int8_conv`) differ
only in how they find their rows.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.kernels.simd import job
from explorer.kernels.simd.ending import Ending
from explorer.kernels.simd.weight import Int8Weight, aligned

SMALL = 1 << 18
"""Products of two codes below which waking the other threads costs more than their help."""
SHARE_BYTES = 1 << 18
"""Inputs of one share: they stay in a core's second cache while all panels of the weight pass by."""
SHARE_ROWS = 96
SHARES_PER_THREAD = 8
"""Shares that each thread should find, so that none waits long for the last."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that a product reads.

    codes: contiguous, INT8 (zero point 0) or UINT8 with ``zero_point``; count: how many rows; stride: bytes from one to
    the next; scale: [count] or [], FP32. A convolution's rows are found by ``offsets`` [pixels, taps] INT64 within an
    image of ``image_bytes`` (-1: in ``padding``, a row of zero points), and its codes are UINT8.
    """

    codes: Tensor
    count: int
    stride: int
    scale: Tensor
    zero_point: int = 0
    offsets: Tensor | None = None
    image_bytes: int = 0
    padding: Tensor | None = None

    @property
    def flipped(self) -> bool:
        """Whether the codes are signed, and made unsigned on the way in, with zero point 128."""
        return self.codes.dtype == torch.int8


class Scaled:
    """A packed weight with one scale and one bias (None: 0.0) for each output, in the order of its panels."""

    def __init__(self, weight: Int8Weight, scale: Tensor, bias: Tensor | None) -> None:
        self.weight = weight
        self.scale, self.bias = weight.spread(scale, 0.0), weight.spread(bias, 0.0)


def multiply(x: Rows, scaled: Scaled, ending: Ending, addend: Tensor | Quantized | None) -> None:
    """Fill ``ending.out`` [rows, outputs] with the rows times the weight, scaled, and what the ending asks for."""
    from explorer.kernels.simd.loops import product_team
    from explorer.team import run

    weight = scaled.weight
    _check(x, weight, ending)
    threads = torch.get_num_threads() if x.count * weight.panels.numel() >= SMALL else 1
    share, share_panels = share_out(x.count, weight.taps * weight.quads * 4, weight.panel_count, threads)
    scratch_bytes = _scratch_bytes(share, weight.taps, x.stride if x.flipped else 0)
    scratch = _scratch(scratch_bytes * threads)
    correction = weight.correct(128 if x.flipped else x.zero_point)
    fields = [0] * job.PLACES
    fields[job.ROWS], fields[job.SHARE] = x.count, share
    fields[job.PANELS], fields[job.SHARE_PANELS] = weight.panel_count, share_panels
    fields[job.ITEMS] = -(-x.count // share) * -(-weight.panel_count // share_panels)
    fields[job.X], fields[job.ROW_BYTES], fields[job.FLIPPED] = x.codes.data_ptr(), x.stride, int(x.flipped)
    fields[job.TAPS], fields[job.QUADS] = weight.taps, weight.quads
    if x.offsets is not None and x.padding is not None:
        fields[job.OFFSETS], fields[job.PIXELS] = x.offsets.data_ptr(), x.offsets.shape[0]
        fields[job.IMAGE_BYTES], fields[job.PADDING] = x.image_bytes, x.padding.data_ptr()
    fields[job.SCRATCH], fields[job.SCRATCH_BYTES] = scratch.data_ptr(), scratch_bytes
    fields[job.WEIGHT], fields[job.CORRECTION] = weight.panels.data_ptr(), correction.data_ptr()
    fields[job.ROW_SCALE], fields[job.ROW_SCALE_BYTES] = x.scale.data_ptr(), 4 if x.scale.ndim else 0
    fields[job.COLUMN_SCALE], fields[job.BIAS] = scaled.scale.data_ptr(), scaled.bias.data_ptr()
    fields[job.OUT_WIDTH], fields[job.GROUP_WIDTH] = weight.outputs, weight.width
    fields[job.GROUP_PANELS], fields[job.GROUP_BYTES] = weight.panels.shape[1], weight.depth
    ending.fill(fields, addend)
    run(product_team, threads, *fields[1:])


def share_out(rows: int, row_bytes: int, panels: int, threads: int) -> tuple[int, int]:
    """Return the rows and the panels of one share.

    A share fits the second cache and its rows fill whole tiles. Where there would be too few shares to go round,
    each gets fewer panels, and where even single panels are too few, fewer rows.
    """
    tile, wanted = job.HEIGHTS[0], SHARES_PER_THREAD * threads
    most = max(tile, min(SHARE_ROWS, SHARE_BYTES // row_bytes // tile * tile))
    row_shares = max(1, ceil(rows / most))
    if row_shares * panels < wanted:
        row_shares = max(row_shares, min(ceil(wanted / panels), ceil(rows / tile)))
    share = max(tile, ceil(rows / row_shares / tile) * tile)
    panel_shares = min(panels, ceil(wanted / max(1, ceil(rows / share))))
    return share, ceil(panels / panel_shares)


def _check(x: Rows, weight: Int8Weight, ending: Ending) -> None:
    """Assert what the loops rely on: they see bare addresses."""
    assert x.codes.is_cpu and x.codes.is_contiguous() and x.codes.dtype in (torch.int8, torch.uint8)
    assert (
        x.scale.dtype == torch.float32
        and x.scale.is_contiguous()
        and x.scale.numel() == (x.count if x.scale.ndim else 1)
    )
    assert ending.out.numel() == x.count * weight.outputs
    if x.offsets is None:
        assert x.stride == weight.groups * weight.quads * 4 and x.codes.numel() >= x.count * x.stride
    else:
        assert not x.flipped and x.offsets.is_contiguous() and x.offsets.dtype == torch.int64


def _scratch_bytes(share: int, taps: int, row_bytes: int) -> int:
    """Bytes of one thread: the sums of a tile, the addresses of a share's rows, its flipped inputs."""
    addresses = -(-(share + job.HEIGHTS[0]) * taps * 8 // 64) * 64
    return job.SUMS_BYTES + addresses + -(-share * row_bytes // 64) * 64


_local = threading.local()


def _scratch(count: int) -> Tensor:
    """Return this Python thread's scratch memory of at least ``count`` bytes, the same one from call to call."""
    found: Tensor | None = getattr(_local, "scratch", None)
    if found is None or found.numel() < count:
        found = _local.scratch = aligned(count, torch.uint8)
    return found
