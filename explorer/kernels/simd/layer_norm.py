"""Layer norms on the CPU that write FP32 or codes, one read of the input from memory. (Effect: JIT, threads.)"""

from __future__ import annotations

from functools import cache
from math import ceil
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
from explorer.kernels.site import Post

SMALL = 1 << 14
"""Elements below which waking the other threads costs more than their help."""
SHARES_PER_THREAD = 4
PLAIN = Post()


class LayerNorm:
    """A layer norm over the last dimension, of ``width`` elements at least 1.

    weight, bias: [width], or None for ones and zeros; eps: added to the variance.
    """

    def __init__(self, width: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
        self.width = width
        self.weight = torch.ones(width) if weight is None else weight.detach().float().contiguous()
        self.bias = torch.zeros(width) if bias is None else bias.detach().float().contiguous()
        assert self.weight.is_cpu and self.bias.is_cpu, "the loop sees bare addresses"
        assert self.weight.shape == self.bias.shape == (width,)
        self._fields = {
            job.GROUP_WIDTH: width,
            job.COLUMN_SCALE: self.weight.data_ptr(),
            job.BIAS: self.bias.data_ptr(),
            job.EPS: float_bits(eps),
        }
        self._templates: dict[Post, Template] = {}

    def __call__(self, x: Tensor, post: Post = PLAIN) -> Tensor | Quantized:
        """Return the norm of each row of ``x`` [..., width] FP32, of x's shape, contiguous.

        As FP32, as UINT8 codes under ``post.codes``, or with ``post.tokens`` as INT8 codes with one scale per row: bit
        for bit the codes of the FP32 result (``carriers.quantize_static``, ``carriers.quantize_tokens``). ``post`` asks
        for nothing else. A row that has a NaN or an infinity is NaN throughout, as in torch; so is one whose sum
        overflows FP32. Another order of sums than torch's: results differ by a few units of the last place of the
        row's largest distance from its mean, and are the same for any number of threads.
        """
        source = x.detach().contiguous()
        assert source.is_cpu and source.dtype == torch.float32 and x.shape[-1] == self.width, "the loop sees an address"
        assert not post.addend and not post.activation
        out = torch.empty(x.shape, dtype=result_type(post))
        rows, threads = x.numel() // self.width, torch.get_num_threads() if x.numel() >= SMALL else 1
        block = self._template(post).copy()
        block[job.ROWS], block[job.X] = rows, source.data_ptr()
        block[job.SHARE] = ceil(rows / (threads if threads == 1 else threads * SHARES_PER_THREAD)) or 1
        set_out(block, out)
        work, start = _team()
        if not post.tokens:
            start(work, threads, block)
            return as_result(block, out, post)
        scale = torch.empty((*x.shape[:-1], 1), dtype=torch.float32)
        block[job.ROW_SCALE] = scale.data_ptr()
        start(work, threads, block)
        return as_tokens(out, scale)

    def _template(self, post: Post) -> Template:
        if post not in self._templates:
            self._templates[post] = Template(lasting_fields(post) | self._fields)
        return self._templates[post]


@cache
def _team() -> tuple[Any, Any]:
    """The compiled loop and what starts it."""
    from explorer.kernels.simd.norm_loops import norm_team
    from explorer.team import start

    return norm_team, start
