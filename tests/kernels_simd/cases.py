"""Codes, and what the separate steps of plain torch make of them: the oracle of the INT8 kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme, quantize
from explorer.kernels.simd.elementwise import activate
from explorer.kernels.site import Post

STATIC = Scheme("uint8", symmetric=False, dynamic=False)
TOKENS = Scheme("int8", granularity="token")
TENSOR = Scheme("int8", granularity="tensor")


def codes(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Random codes, the extreme ones among them more often."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (-128, 127) if dtype == torch.int8 else (0, 255)
    drawn = torch.randint(low, high + 1, shape, generator=generator)
    extreme = torch.rand(shape, generator=generator) < 0.2
    return torch.where(extreme, torch.where(drawn % 2 == 0, low, high), drawn).to(dtype)


def tokens(rows: int, depth: int, seed: int = 1) -> Quantized:
    scale = torch.rand(rows, 1, generator=torch.Generator().manual_seed(seed)) * 1e-2
    return Quantized(codes((rows, depth), torch.int8, seed), scale, None, TOKENS, torch.float32)


def static(shape: tuple[int, ...], zero_point: int, seed: int = 2) -> Quantized:
    zero = torch.tensor(float(zero_point))
    return Quantized(codes(shape, torch.uint8, seed), torch.tensor(0.0123), zero, STATIC, torch.float32)


def finish(sums: Tensor, x: Quantized, scale: Tensor, bias: Tensor | None, addend: Any, post: Post) -> Any:
    """The steps after the exact ``sums`` [..., N], each of them an operation of torch's."""
    out = sums.float() * x.scale
    out = out * scale
    if bias is not None:
        out = out + bias
    if isinstance(addend, Quantized):
        assert addend.zero_point is not None
        out = out + (addend.codes.float() - addend.zero_point) * addend.scale
    elif addend is not None:
        out = out + addend
    if post.activation:
        out = torch.relu(out) if post.activation == "relu" else activate(out.contiguous(), post.activation)
    if post.codes is None:
        return out
    fixed = torch.tensor(post.codes.scale), torch.tensor(float(post.codes.zero_point))
    return quantize(out.contiguous(), STATIC, *fixed)


def values(x: Quantized) -> Tensor:
    """The integers that the codes stand for, in FP64, where sums of their products are exact."""
    return x.codes.double() - (0.0 if x.zero_point is None else x.zero_point.double())


def assert_same(found: Any, expected: Any) -> None:
    """Equal bit for bit (any NaN equals any other)."""
    if isinstance(expected, Quantized):
        assert torch.equal(found.codes, expected.codes)
        assert torch.equal(found.scale.isnan(), expected.scale.isnan().reshape(()))
        assert found.scheme == expected.scheme and found.dtype == expected.dtype
        return
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(nan=0.0), expected.nan_to_num(nan=0.0))
