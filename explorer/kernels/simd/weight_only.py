"""BF16 rows times an INT4 or INT8 weight, on AVX512-VNNI: few rows as fast as the weight can be read. (Effect: JIT.)

What is computed: each block of inputs of a row (a group of the weight, or 64) becomes 14-bit integers under a power of
two. Values down to 2**-6 of the largest in a block are held exactly, smaller ones to within 2**-14 of the largest.
Sums over a block are exact in INT32; blocks are added in FP32; the bias joins them; the result is rounded to BF16 once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.simd.pages import aligned_copy
from explorer.kernels.stored import Int4Weight
from explorer.measure.device import Device

MANY_ROWS = 32
"""Rows from which on several threads turn them into integers."""
WIDTH = 64
"""Outputs that lie beside each other in a packed weight."""
SMALL = 1 << 18
"""Products of single numbers below which waking the other threads costs more than their help."""
BLOCK = 64
"""Inputs of a row under one power of two where the weight has no groups."""


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A weight [width, depth] as the loops read it; outputs filled up to a multiple of 64, inputs to whole blocks.

    codes: UINT8, unsigned: a code plus ``offset``. INT4: [N / 64, K / 8, 4, 16, 4], a byte holding input j in its low
    half and input j + 4 in its high half; INT8: [N / 64, K / 4, 4, 16, 4]. scale, zero: BF16 [N / 64, blocks, 64];
    INT8: one block. bias: FP32 [N].
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor | None
    bias: Tensor
    width: int
    depth: int
    block: int
    bits: int

    @property
    def offset(self) -> int:
        return 8 if self.bits == 4 else 128


def refuse_device(device: Device) -> str:
    """Return why these kernels cannot run on ``device``, or nothing."""
    if find_spec("numba") is None:
        return "our own CPU kernels need Numba, which is not installed"
    if "AVX512-VNNI" not in device.features:
        return "our own CPU kernels need AVX512-VNNI, which this CPU lacks"
    return ""


def pack_int4(weight: Int4Weight, bias: Tensor | None) -> PackedWeight:
    """Pack a weight whose groups are multiples of 32, with its bias [N] (None: zeros)."""
    width, depth = weight.codes.shape
    codes = _fill(weight.codes, WIDTH, 8).reshape(-1, 4, 16, depth // 8, 2, 4).permute(0, 3, 1, 2, 4, 5)
    nibbles = codes[..., 0, :] | (codes[..., 1, :] << 4)
    zero = None if weight.zero is None else _by_panel(weight.zero)
    return PackedWeight(
        aligned_copy(nibbles), _by_panel(weight.scale), zero, _bias(bias, width), width, depth, weight.group, 4
    )


def pack_int8(codes: Tensor, scale: Tensor, bias: Tensor | None) -> PackedWeight:
    """Pack INT8 codes [N, K] with BF16 scales [N] and a bias [N] (None: zeros)."""
    width, depth = codes.shape
    unsigned = _fill((codes.to(torch.int16) + 128).to(torch.uint8), WIDTH, 128)
    unsigned = torch.nn.functional.pad(unsigned, (0, -depth % BLOCK), value=128)
    by_panel = aligned_copy(unsigned.reshape(-1, 4, 16, unsigned.shape[1] // 4, 4).permute(0, 3, 1, 2, 4))
    return PackedWeight(by_panel, _by_panel(scale.reshape(-1, 1)), None, _bias(bias, width), width, depth, BLOCK, 8)


def matmul(x: Tensor, weight: PackedWeight) -> Tensor:
    """Return x [M, K] BF16 times the weight, plus its bias: [M, N] BF16. A row with NaN or Inf gives NaN throughout."""
    loops = _loops()
    if missing := missing_inputs(weight.depth, weight.block):
        x = torch.nn.functional.pad(x, (0, missing))
    x = x.contiguous()
    rows, depth = x.shape
    blocks, panels, threads = depth // weight.block, weight.codes.shape[0], torch.get_num_threads()
    pieces = torch.empty(rows, 2, depth, dtype=torch.int8)
    meta = torch.empty(rows, blocks, 4, dtype=torch.int32)
    out = torch.empty(rows, panels * WIDTH, dtype=torch.bfloat16)
    loops.run(
        loops.pack_rows,
        threads if rows >= MANY_ROWS else 1,
        rows,
        blocks,
        weight.block,
        weight.offset,
        x.data_ptr(),
        pieces.data_ptr(),
        meta.data_ptr(),
    )
    loops.run(
        loops.int4_matmul if weight.bits == 4 else loops.int8_matmul,
        min(threads, panels) if rows * weight.width * depth >= SMALL else 1,
        rows, panels, blocks, weight.block // 32, pieces.data_ptr(), meta.data_ptr(), weight.codes.data_ptr(),
        weight.scale.data_ptr(), 0 if weight.zero is None else weight.zero.data_ptr(),
        weight.scale.shape[1] * 2 * WIDTH, 2 * WIDTH if weight.bits == 4 else 0, weight.bias.data_ptr(), out.data_ptr(),
    )  # fmt: skip
    return out if out.shape[1] == weight.width else out[:, : weight.width].contiguous()


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
