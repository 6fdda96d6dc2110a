"""BF16 rows times an INT4 or INT8 weight, on AVX512-VNNI: few rows as fast as the weight can be read. (Effect: JIT.)

What is computed: each block of inputs of a row (a group of the weight, or 64) becomes 14-bit integers under a power of
two. Values down to 2**-6 of the largest in a block are held exactly, smaller ones to within 2**-14 of the largest.
Sums over a block are exact in INT32; blocks are added in FP32; the bias joins them; the result is rounded to BF16 once.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from math import prod
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.simd import weight_only_job as job
from explorer.kernels.simd.pages import aligned_copy
from explorer.kernels.simd.product import scratch
from explorer.kernels.stored import Int4Weight
from explorer.measure.device import Device

MANY_ROWS = 8
"""Rows from which on the threads share the work of turning them into integers; of fewer each does all for itself."""
LONG_WEIGHT = 1 << 18
"""Numbers of a weight from which on it takes so long to read that rows of FP32 are rounded in the same call."""
WIDTH = 64
"""Outputs that lie beside each other in a packed weight."""
SMALL = 1 << 18
"""Products of single numbers below which waking the other threads costs more than their help."""
BLOCK = 64
"""Inputs of a row under one power of two where the weight has no groups."""


Block = ctypes.c_int64 * job.PLACES


@dataclass(frozen=True)
class Call:
    """Calls for rows of one shape: the fields that last, how many threads, inputs that are missing to whole blocks,
    whether each thread packs the rows for itself, the scratch memory that they take in all, where in one thread's part
    of it what belongs to the blocks starts, and a row rounded to BF16, and a tensor like the result, without memory."""

    block: bytes
    threads: int
    missing: int
    alone: bool
    scratch_bytes: int
    meta_at: int
    narrow_at: int
    out: Tensor


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A weight [width, depth] as the loops read it; outputs filled up to a multiple of 64, inputs to whole blocks.

    codes: UINT8 [N / 64, bytes], unsigned: a code plus ``offset``. INT4: block after block [block / 8, 4, 16, 4], a
    byte holding input j in its low half and input j + 4 in its high half, then that block's scales BF16 [64] and, if
    there are ``zeros``, its zero points: one stream to read. INT8: [K / 4, 4, 16, 4]; ``scale`` BF16 [N / 64, 1, 64]
    lies apart. bias: FP32 [N].
    """

    codes: Tensor
    scale: Tensor | None
    zeros: bool
    bias: Tensor
    width: int
    depth: int
    block: int
    bits: int
    _calls: dict[tuple[tuple[int, ...], int], Call] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        return 8 if self.bits == 4 else 128

    def call_for(self, sizes: tuple[int, ...], threads: int) -> Call:
        """Return what all calls for rows of these sizes (those before K) and so many threads share; kept."""
        found = self._calls.get((sizes, threads))
        if found is None:
            found = self._calls[sizes, threads] = _prepare(self, sizes, threads)
        return found


def refuse_device(device: Device) -> str:
    """Return why these kernels cannot run on ``device``, or nothing."""
    if find_spec("numba") is None:
        return "our own CPU kernels need Numba, which is not installed"
    if "AVX512-VNNI" not in device.features:
        return "our own CPU kernels need AVX512-VNNI, which this CPU lacks"
    return ""


def pack_int4(weight: Int4Weight, bias: Tensor | None) -> PackedWeight:
    """Pack a weight whose groups are multiples of 32, with its bias [N] (None: zeros)."""
    (width, depth), group = weight.codes.shape, weight.group
    codes = _fill(weight.codes, WIDTH, 8).reshape(-1, 4, 16, depth // 8, 2, 4).permute(0, 3, 1, 2, 4, 5)
    nibbles = (codes[..., 0, :] | (codes[..., 1, :] << 4)).reshape(codes.shape[0], depth // group, -1)
    steps = [each for each in (weight.scale, weight.zero) if each is not None]
    stream = torch.cat([nibbles, *(_by_panel(each).view(torch.uint8) for each in steps)], -1)
    packed = aligned_copy(stream.flatten(1))
    return PackedWeight(packed, None, weight.zero is not None, _bias(bias, width), width, depth, group, 4)


def pack_int8(codes: Tensor, scale: Tensor, bias: Tensor | None) -> PackedWeight:
    """Pack INT8 codes [N, K] with BF16 scales [N] and a bias [N] (None: zeros)."""
    width, depth = codes.shape
    unsigned = _fill((codes.to(torch.int16) + 128).to(torch.uint8), WIDTH, 128)
    unsigned = torch.nn.functional.pad(unsigned, (0, -depth % BLOCK), value=128)
    by_panel = unsigned.reshape(-1, 4, 16, unsigned.shape[1] // 4, 4).permute(0, 3, 1, 2, 4)
    packed, scales = aligned_copy(by_panel.flatten(1)), _by_panel(scale.reshape(-1, 1))
    return PackedWeight(packed, scales, False, _bias(bias, width), width, depth, BLOCK, 8)


def matmul(x: Tensor, weight: PackedWeight) -> Tensor:
    """Return x [..., K] BF16 times the weight, plus its bias: [..., N] BF16. A row with NaN or Inf gives NaN in all.

    x may be FP32 where its rows are fewer than :data:`MANY_ROWS`: what is multiplied is that rounded to BF16.
    """
    call = weight.call_for(x.shape[:-1], torch.get_num_threads())
    assert x.shape[-1] == weight.depth
    if call.missing:
        x = torch.nn.functional.pad(x, (0, call.missing))
    if not x.is_contiguous():
        x = x.contiguous()
    assert x.is_cpu and (x.dtype is torch.bfloat16 or (x.dtype is torch.float32 and call.alone)), "an address is read"
    out, block = torch.empty_like(call.out), Block.from_buffer_copy(call.block)
    pieces = scratch(call.scratch_bytes).data_ptr()
    block[job.X], block[job.OUT] = x.data_ptr(), out.data_ptr()
    block[job.PIECES], block[job.META] = pieces, pieces + call.meta_at
    if x.dtype is torch.float32:
        block[job.NARROW] = pieces + call.narrow_at
    loops = _loops()
    if not call.alone:
        loops.start(loops.pack_rows, call.threads, Block.from_buffer_copy(block))
    loops.start(loops.int4_matmul if weight.bits == 4 else loops.int8_matmul, call.threads, block)
    return out if out.shape[-1] == weight.width else out[..., : weight.width].contiguous()


def _prepare(weight: PackedWeight, sizes: tuple[int, ...], threads: int) -> Call:
    missing, rows, shares = missing_inputs(weight.depth, weight.block), prod(sizes), weight.codes.shape[0]
    depth = weight.depth + missing
    blocks, block = depth // weight.block, Block()
    threads = min(threads, shares) if rows * weight.width * depth >= SMALL else 1
    meta_at = rows * 2 * depth
    narrow_at = meta_at + rows * blocks * 16
    packed_bytes = -(-(narrow_at + 2 * depth) // 64) * 64
    alone = rows < MANY_ROWS
    fields = {
        job.ROWS: rows,
        job.PACKED_BYTES: packed_bytes if alone else 0,
        job.SHARES: shares,
        job.PART: 2 * threads,
        job.BLOCKS: blocks,
        job.BLOCK: weight.block,
        job.OFFSET: weight.offset,
        job.WEIGHT: weight.codes.data_ptr(),
        job.WEIGHT_BYTES: weight.codes.shape[1],
        job.BIAS: weight.bias.data_ptr(),
        **_scale_fields(weight),
    }
    for place, value in fields.items():
        block[place] = value
    out = torch.empty(1, dtype=torch.bfloat16).expand(*sizes, shares * WIDTH)
    return Call(
        bytes(block), threads, missing, alone, packed_bytes * (threads if alone else 1), meta_at, narrow_at, out
    )


def _scale_fields(weight: PackedWeight) -> dict[int, int]:
    """Where the scales are, and what lies between the codes of two blocks."""
    if weight.scale is not None:
        return {job.SCALE: weight.scale.data_ptr(), job.SCALE_BYTES: 2 * WIDTH}
    codes_bytes, steps_bytes = weight.block * WIDTH // 2, 2 * WIDTH
    gap, first = steps_bytes * (1 + weight.zeros), weight.codes.data_ptr() + codes_bytes
    return {
        job.GAP: gap,
        job.SCALE: first,
        job.ZERO: first + steps_bytes if weight.zeros else 0,
        job.SCALE_BYTES: weight.codes.shape[1],
        job.SCALE_STEP: codes_bytes + gap,
    }


def missing_inputs(depth: int, block: int = BLOCK) -> int:
    """Return how many zeros each row is filled up with."""
    return -depth % block


def _fill(rows: Tensor, multiple: int, value: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, 0, 0, -rows.shape[0] % multiple), value=value)


def _by_panel(scale: Tensor) -> Tensor:
    """[N, blocks] as [N / 64, blocks, 64]."""
    return _fill(scale, WIDTH, 0).reshape(-1, WIDTH, scale.shape[1]).transpose(1, 2).contiguous()


def _bias(bias: Tensor | None, width: int) -> Tensor:
    found = torch.zeros(width) if bias is None else bias.detach().float()
    return torch.nn.functional.pad(found, (0, -width % WIDTH)).contiguous()


@cache
def _loops() -> Any:
    from explorer.kernels.simd import weight_only_loops

    return weight_only_loops
