# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""Where the operands of a product of codes lie, and loading them: shared by the INT8 and the FP8 products."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def operands_at(a, b, row, column, k, rows, columns, a_stride, b_stride):
    """Pointers to the first tiles of a [BLOCK_M, BLOCK_K] and b [BLOCK_K, BLOCK_N].

    Rows beyond the last wrap around to rows that exist: loads without a mask, whose results are not written.
    """
    a_at = a + (row % rows).to(tl.int64)[:, None] * a_stride + k[None, :]
    b_at = b + (column % columns).to(tl.int64)[None, :] * b_stride + k[:, None]
    return a_at, b_at


@triton.jit
def load_tiles(a_at, b_at, first, k, depth, EVEN: tl.constexpr):
    """The tiles that start ``first`` along K; zeros beyond the end, which EVEN says there is none of."""
    if EVEN:
        a_tile, b_tile = tl.load(a_at + first), tl.load(b_at + first)
    else:
        a_tile = tl.load(a_at + first, mask=(first + k < depth)[None, :], other=0.0)
        b_tile = tl.load(b_at + first, mask=(first + k < depth)[:, None], other=0.0)
    return a_tile, b_tile
