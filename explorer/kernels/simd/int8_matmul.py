"""INT8 linear on the CPU: codes in, FP32 or codes out, in one pass. (Effect: JIT, threads.)"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.kernels.simd.ending import as_result, as_tokens
from explorer.kernels.simd.product import Rows, Scaled, multiply, suits_whole_rows
from explorer.kernels.simd.rows import quantize_rows
from explorer.kernels.simd.weight import pack_int8
from explorer.kernels.site import Post

PLAIN = Post()


class Int8Linear:
    """A linear op with an INT8 weight: ``codes`` [N, K], ``scale`` [N] and ``bias`` [N] (or None), both FP32."""

    def __init__(self, codes: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        self.outputs, self.inputs = codes.shape
        self.scaled = Scaled(pack_int8(codes), scale, bias)

    def __call__(
        self, x: Quantized, addend: Tensor | Quantized | None = None, post: Post = PLAIN
    ) -> Tensor | Quantized:
        """Return ``x`` [..., K] times the weight, and what ``post`` asks for: [..., N], FP32, UINT8 or INT8 codes.

        x: INT8 codes with one scale per row, or UINT8 codes with one scale and an integer zero point. Each step is
        rounded to FP32: sum, times the row's scale, times the column's, plus bias, plus addend, activation, codes.
        """
        shape = (*x.codes.shape[:-1], self.outputs)
        if post.tokens:
            return self._to_tokens(x, shape, addend, post)
        out = x.scale.new_empty(shape) if post.codes is None else x.codes.new_empty(shape, dtype=torch.uint8)
        block = multiply(self.read(x), self.scaled, post, None if addend is None else contiguous(addend), out)
        return as_result(block, out, post)

    def of_floats(self, x: Tensor, addend: Tensor | Quantized | None = None, post: Post = PLAIN) -> Tensor | Quantized:
        """Return what the call gives of ``x`` [..., K] FP32 with one scale a row, bit for bit, its rows cast inside.

        For few rows, which each thread casts for itself; ``post`` asks for no tokens.
        """
        assert not post.tokens, "rows to write as codes are cast before"
        x = x if x.dtype is torch.float32 and x.is_contiguous() else x.detach().float().contiguous()
        rows = Rows(x, x.numel() // max(self.inputs, 1), self.scaled.weight.quads * 4, None)
        shape = (*x.shape[:-1], self.outputs)
        out = x.new_empty(shape) if post.codes is None else x.new_empty(shape, dtype=torch.uint8)
        block = multiply(rows, self.scaled, post, None if addend is None else contiguous(addend), out)
        return as_result(block, out, post)

    def _to_tokens(
        self, x: Quantized, shape: tuple[int, ...], addend: Tensor | Quantized | None, post: Post
    ) -> Quantized:
        """The result as INT8 codes with a scale for each row: written by the product itself where that is faster."""
        rows, added = self.read(x), None if addend is None else contiguous(addend)
        if not suits_whole_rows(rows.rows, self.scaled.weight, torch.get_num_threads()):
            plain = x.scale.new_empty(shape)
            multiply(rows, self.scaled, replace(post, tokens=False), added, plain)
            return as_tokens(*quantize_rows(plain))
        out, scale = x.codes.new_empty(shape, dtype=torch.int8), x.scale.new_empty((*shape[:-1], 1))
        multiply(rows, self.scaled, post, added, out, scale)
        return as_tokens(out, scale)

    def read(self, x: Quantized) -> Rows:
        """Return the rows of ``x``; inputs that are no multiple of four are padded (the weight's padding is 0)."""
        codes = x.codes.contiguous()
        if self.inputs % 4:
            codes = torch.nn.functional.pad(codes, (0, -self.inputs % 4))
        stride = codes.shape[-1]
        zero_point = 0 if x.zero_point is None else int(x.zero_point)
        return Rows(codes, codes.numel() // max(stride, 1), stride, x.scale.contiguous(), zero_point)


def contiguous(addend: Tensor | Quantized) -> Tensor | Quantized:
    """Return the addend with its elements in the order of its shape, copied where they are not."""
    if isinstance(addend, Quantized):
        return replace(addend, codes=addend.codes.contiguous())
    return addend.contiguous()
