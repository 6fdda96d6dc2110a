"""Attention on the CPU that reads its inputs where they lie and writes FP32 or codes. (Effect: JIT, threads.)"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.kernels.simd import job
from explorer.kernels.simd.ending import (
    Template,
    as_result,
    as_tokens,
    float_bits,
    lasting_fields,
    result_type,
    set_out,
)
from explorer.kernels.simd.product import scratch
from explorer.kernels.site import Post

SMALL = 1 << 17
"""Products of two numbers below which waking the other threads costs more than their help."""
ITEMS_PER_THREAD = 4
"""Blocks of queries that each thread should find, so that none waits long for the last."""
LANES, WIDEST = 16, 4
"""Queries to a register, and registers to a block."""
PLAIN = Post()
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """What decides how an attention is cut into blocks: its shapes, and where its results wait."""

    batches: int
    heads: int
    queries: int
    keys: int
    depth: int
    value_depth: int
    waits: bool
    threads: int

    @property
    def blocks(self) -> int:
        """Blocks of queries in one batch: as few as fit, but enough to go round."""
        registers = ceil(self.queries / LANES)
        wanted = ITEMS_PER_THREAD * self.threads if self.threads > 1 else 1
        return min(registers, max(ceil(registers / WIDEST), ceil(wanted / max(1, self.batches))))

    def fields(self) -> dict[int, int]:
        """The fields of a job that follow from the problem."""
        line = WIDEST * LANES * 4
        weights_at = _padded(max(self.depth, self.value_depth)) * line
        waiting_at = weights_at + _padded(self.keys) * line
        width = self.heads * self.value_depth
        waiting = WIDEST * LANES * width * 4 if self.waits else 0
        return {
            job.ITEMS: self.batches * self.blocks,
            job.BLOCKS: self.blocks,
            job.HEADS: self.heads,
            job.QUERIES: self.queries,
            job.KEYS: self.keys,
            job.DEPTH: self.depth,
            job.VALUE_DEPTH: self.value_depth,
            job.GROUP_WIDTH: width,
            job.OUT_WIDTH: width,
            job.WEIGHTS_AT: weights_at,
            job.WAITING_AT: waiting_at if self.waits else 0,
            job.SCRATCH_BYTES: _padded(waiting_at + waiting, 64),
        }


class Attention:
    """softmax(q k^T * scale + mask) v for any shapes that fit together; ``scale`` None: 1 / sqrt(depth).

    ``causal``: the query at place i sees the keys up to place i.
    """

    def __init__(self, scale: float | None = None, causal: bool = False) -> None:
        self.scale, self.causal = scale, causal
        self._prepared: dict[Any, tuple[Problem, Template]] = {}

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, post: Post = PLAIN
    ) -> Tensor | Quantized:
        """Return [batches, heads, queries, value_depth] of q [batches, heads, queries, depth], k and v, all FP32.

        The result lies in memory as [batches, queries, heads * value_depth], and with ``post.codes`` (UINT8 codes) or
        ``post.tokens`` (INT8 codes with a scale for each query, over all heads) it has that shape: bit for bit the
        codes of the FP32 result. ``post`` asks for nothing else. ``mask``: boolean (True: seen) or FP32 (added), any
        shape that broadcasts to [batches, heads, queries, keys].

        Strides are free, save that a row's numbers are neighbours (else there is a copy). A query that sees no key
        gets zeros, as in torch; a NaN in a query, or among the scores that it sees, gives NaN. A key whose score is
        87 below the largest has weight 0. Sums are in another order than torch's; they are the same for any number of
        threads, and a query's do not depend on the others.
        """
        q, k, v = (_rows_of(x) for x in (q, k, v))
        batches, heads, queries, depth = q.shape
        keys, value_depth = v.shape[2:]
        assert k.shape == (batches, heads, keys, depth) and v.shape[:2] == (batches, heads)
        assert not post.addend and not post.activation and not (self.causal and mask is not None)
        shape = (batches, queries, heads * value_depth)
        out = torch.empty(shape, dtype=result_type(post))
        added = None if mask is None else _as_addend(mask, (batches, heads, queries, keys))
        problem, template = self._prepare((q, k, v), added, post)
        block = template.copy()
        block[job.QUERY], block[job.KEY], block[job.VALUE] = q.data_ptr(), k.data_ptr(), v.data_ptr()
        block[job.MASK] = 0 if added is None else added.data_ptr()
        block[job.SCRATCH] = scratch(block[job.SCRATCH_BYTES] * problem.threads).data_ptr()
        set_out(block, out)
        scale = torch.empty((batches, queries, 1)) if post.tokens else None
        block[job.ROW_SCALE] = 0 if scale is None else scale.data_ptr()
        work, start = _team()
        start(work, problem.threads, block)
        if scale is not None:
            return as_tokens(out, scale)
        result = as_result(block, out, post)
        if isinstance(result, Quantized):
            return result
        return result.view(batches, queries, heads, value_depth).transpose(1, 2)

    def _prepare(
        self, inputs: tuple[Tensor, Tensor, Tensor], added: Tensor | None, post: Post
    ) -> tuple[Problem, Template]:
        q, _, v = inputs
        strides = tuple(x.stride() for x in (*inputs, *(() if added is None else (added,))))
        key = (q.shape, v.shape, strides, post, torch.get_num_threads())
        if key not in self._prepared:
            (batches, heads, queries, depth), (keys, value_depth) = q.shape, v.shape[2:]
            products = q.shape.numel() * keys
            threads = torch.get_num_threads() if products >= SMALL else 1
            waits = post != PLAIN
            problem = Problem(batches, heads, queries, keys, depth, value_depth, waits, threads)
            scale = 1 / sqrt(depth) if self.scale is None else self.scale
            fields = {job.CAUSAL: int(self.causal), job.FACTOR: float_bits(scale)} | problem.fields()
            first = (job.QUERY_BATCH, job.KEY_BATCH, job.VALUE_BATCH, job.MASK_BATCH)
            for place, stride in zip(first, strides, strict=False):
                fields |= {place + index: 4 * stride[index] for index in range(3)}
            self._prepared[key] = problem, Template(fields | lasting_fields(post))
        return self._prepared[key]


def _padded(count: int, to: int = LANES) -> int:
    return -(-count // to) * to


def _rows_of(x: Tensor) -> Tensor:
    """``x`` with its last dimension dense."""
    assert x.is_cpu and x.dtype == torch.float32 and x.dim() == 4, "the loop sees a bare address"
    x = x.detach()
    return x if x.stride(3) == 1 or x.shape[3] == 1 else x.contiguous()


def _as_addend(mask: Tensor, shape: Shape) -> Tensor:
    """The FP32 that is added to scores of ``shape``, expanded to it: -Inf where a boolean mask is False."""
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).masked_fill_(~mask, float("-inf"))
    assert mask.is_cpu and mask.dtype == torch.float32
    if mask.shape[-1] != shape[-1] or (shape[-1] > 1 and mask.stride(-1) != 1):
        mask = mask.expand(*mask.shape[:-1], shape[-1]).contiguous()
    return mask.detach().expand(shape)


@cache
def _team() -> tuple[Any, Any]:
    """The compiled loop and what starts it."""
    from explorer.kernels.simd.attention_loops import attention_team
    from explorer.team import start

    return attention_team, start
